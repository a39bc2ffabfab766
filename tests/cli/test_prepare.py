"""`fedtailor prepare`."""

import shlex

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fedtailor.cli.main import app
from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.fleet import load_fleet


def prepare(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)])


def test_it_makes_the_folder_and_prints_the_command_that_runs_it(tmp_path):
    (tmp_path / "fleet.toml").write_text('name = "three"\ndevices = 3\n', encoding="utf-8")
    result = prepare(tmp_path / "fleet.toml", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    words = shlex.split(result.stdout)
    assert words[:2] == ["flwr", "run"]
    assert f'config="{tmp_path / "run" / "config.toml"}"' in words
    assert any("num-supernodes=3" in word for word in words)
    assert len(load_fleet(tmp_path / "run" / "config.toml").members) == 3


def test_a_missing_fleet_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        raise prepare(tmp_path / "nowhere.toml", "--out", tmp_path / "run").exception or AssertionError
