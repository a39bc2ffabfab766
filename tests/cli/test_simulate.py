"""`fedtailor simulate`: options become a fleet, the summary goes to stdout, remarks to stderr."""

import json
from pathlib import Path

import numpy as np
import pytest
from summaries import watch_summary
from typer.testing import CliRunner

from fedtailor.cli.main import app
from fedtailor.cli.simulate import free_folder
from fedtailor.protos.errors import ConfigError


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Runs nothing; keeps what the command asked for."""
    calls = []

    def run(fleet, out, progress):
        calls.append((fleet, out))
        progress("train", 1, 40, "base 31.0 %")
        progress("train", 40, 40, "base 94.0 %")
        return watch_summary()

    monkeypatch.setattr("fedtailor.simulations.simulate.simulate", run)
    monkeypatch.chdir(tmp_path)
    return calls


def invoke(*arguments):
    return CliRunner().invoke(app, ["simulate", *arguments], catch_exceptions=False)


def rows(path):
    np.savez(path, x=np.zeros((2, 3), np.float32), y=np.zeros(2, np.int64))
    return path


def test_without_arguments_the_default_fleet_runs(asked):
    assert invoke().exit_code == 0
    fleet, out = asked[0]
    assert fleet.data is None
    assert fleet.seed == fleet.job.seed == 0
    assert fleet.job.rounds == 40
    assert out == Path("runs/watch-seed0")


def test_every_option_reaches_the_fleet(asked, tmp_path):
    data = rows(tmp_path / "shelf.npz")
    given = [
        "--devices",
        "12",
        "--rounds",
        "3",
        "--partition",
        "dirichlet:0.3",
        "--model",
        "mlp",
        "--seed",
        "7",
        "--out",
        "kept",
    ]
    assert invoke("shelf.npz", *given).exit_code == 0
    fleet, out = asked[0]
    assert fleet.data == data
    assert (fleet.devices, fleet.partition, fleet.seed) == (12, "dirichlet:0.3", 7)
    assert (fleet.job.rounds, fleet.job.model, fleet.job.seed) == (3, "mlp", 7)
    assert out == Path("kept")


def test_options_override_the_config_and_leave_the_rest(asked, tmp_path):
    folder = tmp_path / "fleets"
    folder.mkdir()
    rows(folder / "own.npz")
    text = 'name = "shop"\ndata = "own.npz"\nseed = 4\ndropout = 0.25\n[job]\nrounds = 9\nfraction = 0.5\nseed = 5\n'
    (folder / "fleet.toml").write_text(text)
    invoke("--config", "fleets/fleet.toml", "--rounds", "2", "--seed", "6")
    fleet, out = asked[0]
    assert fleet.data == folder / "own.npz"
    assert (fleet.dropout, fleet.job.fraction) == (0.25, 0.5)
    assert (fleet.job.rounds, fleet.seed, fleet.job.seed) == (2, 6, 6)
    assert out == Path("runs/shop-seed6")


def test_json_is_all_there_is_on_stdout(asked):
    done = invoke("--json")
    assert json.loads(done.stdout)["devices"] == 10


def test_the_table_goes_to_stdout_and_the_way_to_the_page_to_stderr(asked, tmp_path):
    done = invoke()
    assert "watch-10" in done.stdout
    assert "report.html" not in done.stdout
    lines = done.stderr.splitlines()
    assert "report: runs/watch-seed0/report.html" in lines
    assert f"see it: python3 -m webbrowser {(tmp_path / 'runs/watch-seed0/report.html').as_uri()}" in lines


def test_progress_goes_to_stderr(asked):
    done = invoke("--json")
    assert "train: 1 of 40, base 31.0 %" in done.stderr.splitlines()
    assert "train: 40 of 40, base 94.0 %" in done.stderr.splitlines()


@pytest.mark.parametrize("given", [("--partition", "dirichlet:-1"), ("--config", "nowhere.toml"), ("nowhere.npz",)])
def test_what_cannot_be_is_refused_before_anything_runs(asked, given):
    with pytest.raises(ConfigError, match=given[-1].split(":", maxsplit=1)[0]):
        invoke(*given)
    assert asked == []


def test_a_job_that_is_no_table_is_refused(asked, tmp_path):
    (tmp_path / "fleet.toml").write_text("job = 3\n")
    with pytest.raises(ConfigError, match="job"):
        invoke("--config", "fleet.toml", "--rounds", "2")


def test_an_earlier_run_is_never_overwritten(tmp_path):
    assert free_folder("watch", 0, tmp_path) == tmp_path / "watch-seed0"
    (tmp_path / "watch-seed0").mkdir()
    (tmp_path / "watch-seed0-2").mkdir()
    assert free_folder("watch", 0, tmp_path) == tmp_path / "watch-seed0-3"


@pytest.fixture
def resumed(monkeypatch, tmp_path):
    """Resumes nothing; keeps which folders the command was to go on with. The one named `over` had finished."""
    folders = []

    def run(folder, progress):
        folders.append(folder)
        return watch_summary(), folder.name == "over"

    monkeypatch.setattr("fedtailor.simulations.resume.resume", run)
    monkeypatch.chdir(tmp_path)
    return folders


def test_a_run_is_resumed_by_its_folder_alone(resumed):
    done = invoke("--resume", "runs/mine", "--json")
    assert done.exit_code == 0
    assert resumed == [Path("runs/mine")]
    assert json.loads(done.stdout)["devices"] == 10
    assert "report: runs/mine/report.html" in done.stderr.splitlines()
    assert "had finished" not in done.stderr


def test_a_finished_run_says_so_and_shows_its_report_again(resumed):
    done = invoke("--resume", "over")
    assert done.exit_code == 0
    assert "watch-10" in done.stdout
    assert "over: had finished; this is its report again" in done.stderr.splitlines()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("rows.npz",), "FLEET.npz"),
        (("--rounds", "3"), "--rounds"),
        (("--seed", "0"), "--seed"),
        (("--devices", "2"), "--devices"),
        (("--partition", "iid"), "--partition"),
        (("--model", "mlp"), "--model"),
        (("--config", "fleet.toml"), "--config"),
        (("--out", "elsewhere"), "--out"),
    ],
)
def test_what_would_change_the_job_of_a_run_does_not_go_with_resume(resumed, given, named):
    with pytest.raises(ConfigError, match=f"^--resume: goes on with the job of its run, {named} came with it; leave"):
        invoke("--resume", "runs/mine", *given)
    assert resumed == []


def test_who_interrupts_a_run_reads_how_to_go_on_with_it_once_it_has_begun(monkeypatch, tmp_path):
    def interrupted(fleet, out, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr("fedtailor.simulations.simulate.simulate", interrupted)
    monkeypatch.chdir(tmp_path)
    assert invoke("--out", "my run").stderr == ""
    (tmp_path / "my run").mkdir()
    (tmp_path / "my run" / "config.toml").touch()
    assert invoke("--out", "my run").stderr == "go on with: fedtailor simulate --resume 'my run'\n"


@pytest.mark.parametrize("name", ["../../etc", "a b/c", "..", "", "…"])
def test_a_fleets_name_cannot_leave_the_runs_folder(tmp_path, name):
    folder = free_folder(name, 1, tmp_path)
    assert folder.parent == tmp_path
    assert folder.name.endswith("-seed1")
