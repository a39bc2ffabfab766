"""`fedtailor report`: the same figures as table, JSON and page."""

import contextlib
import json
from types import SimpleNamespace

import pytest
from summaries import watch_summary
from typer.testing import CliRunner

from fedtailor.cli.main import app
from fedtailor.protos.errors import ConfigError, RegistryError
from fedtailor.server.report.page import to_html
from fedtailor.server.report.summary_json import summary_dict


@pytest.fixture
def recorded(monkeypatch):
    """A registry whose summary is made up; opened is what the command asked for."""
    opened = []

    def open_registry(run, url=None, *, create=True):
        opened.append((run, create))
        return contextlib.nullcontext(SimpleNamespace(check=lambda: ("artifacts/ab: damaged",)))

    monkeypatch.setattr("fedtailor.server.registry.open_registry", open_registry)
    monkeypatch.setattr("fedtailor.server.summarise.summarise", lambda registry: watch_summary())
    return opened


def invoke(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)


def test_the_table_is_printed_and_nothing_is_made(recorded, tmp_path):
    done = invoke(tmp_path)
    assert "watch-10" in done.stdout
    assert recorded == [(tmp_path, False)]


def test_json_is_the_summary(recorded, tmp_path):
    assert json.loads(invoke(tmp_path, "--json").stdout) == json.loads(json.dumps(summary_dict(watch_summary())))


def test_the_page_is_written_where_asked(recorded, tmp_path):
    done = invoke(tmp_path, "--html", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == to_html(watch_summary())
    assert "page.html" in done.stderr
    assert "page.html" not in done.stdout


def test_a_page_that_cannot_be_written_is_told_in_one_line(recorded, tmp_path):
    with pytest.raises(ConfigError, match=r"--html .*page\.html: expected a file that can be written"):
        invoke(tmp_path, "--html", tmp_path / "nowhere" / "page.html")


def test_a_folder_without_a_run_is_refused_and_left_as_it_was(tmp_path):
    with pytest.raises(RegistryError):
        invoke(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_told_beside_the_report_not_in_it(recorded, tmp_path):
    done = invoke(tmp_path, "--json")
    assert done.stderr == "artifacts/ab: damaged\n"
    assert "damaged" not in done.stdout
    assert done.exit_code == 0
