"""`fedtailor bench learning`."""

import json
from math import isfinite

import numpy as np
import pytest
from typer.testing import CliRunner

from fedtailor.cli.main import app
from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.errors import ConfigError, DataError
from fedtailor.server.report.wording import NBSP
from fedtailor.simulations import kept_runs
from fedtailor.simulations.learning_methods import METHODS

PROMISED = {"method", "mean", "worst_decile", "unseen", "bytes_per_device_round", "seeds", "metric", "better", "spread"}


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A file of six devices; measurements of this machine are kept beside it; no other processes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_runs, "in_processes", lambda function, tasks, _: map(function, tasks))
    x = np.random.default_rng(0).normal(size=(240, 4)).astype(np.float32)
    arrays = FleetArrays(x=x, y=(x[:, 0] > x[:, 1]).astype(np.int64), device=np.repeat([*"abcdef"], 40))
    write_fleet_file(tmp_path / "rows.npz", arrays)
    return tmp_path / "rows.npz"


def run(*words):
    return CliRunner().invoke(app, ["bench", "learning", *map(str, words)])


def test_quick_gives_a_row_for_every_method(rows, tmp_path):
    done = run(rows, "--quick", "--rounds", 3, "--json", "--plot", tmp_path / "plot.svg")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [row["method"] for row in found["rows"]] == list(METHODS)
    for row in found["rows"]:
        assert set(row) >= PROMISED
        assert (row["seeds"], row["metric"], row["better"], row["devices"]) == (1, "accuracy", "higher", 5)
        assert isfinite(row["mean"])
        assert isfinite(row["worst_decile"])
        assert (row["unseen"] is None) == (row["method"] == "Local")
    assert [row["against"] for row in found["paired"]] == [name for name in METHODS if name != "ours"]
    assert {row["everyone"]["devices"] for row in found["paired"]} == {5}
    ways = [(row["method"], row["way"], row["devices"]) for row in found["newcomers"]]
    assert ways == [("ours", way, 1) for way in ("base only", "nearest cohort", "after its own fine-tuning")]
    assert "FedALA" in (tmp_path / "plot.svg").read_text(encoding="utf-8")


def test_the_tables_have_scores_bytes_and_what_newcomers_get(rows):
    done = run(rows, "--quick", "--rounds", 1, "--only", "FedAvg,pooled", "--only", "ours", "--unseen", 0.4)
    shown = done.stdout.replace(NBSP, " ")
    first = [line.split()[0] for line in shown.splitlines()[1:4]]
    assert first == ["pooled", "FedAvg", "ours"]
    (line,) = [line for line in shown.splitlines() if line.startswith("FedAvg") and "%" in line]
    assert line.count("kB") == 2
    assert "over 4 devices" in shown
    assert "ours, base only" in shown
    (gain,) = [line for line in shown.splitlines() if line.startswith("FedAvg") and "of 4" in line]
    assert gain.split()[1][0] in "+\N{MINUS SIGN}"


def test_seeds_and_rounds_are_as_asked_and_kept_runs_are_taken_up(rows, tmp_path, monkeypatch):
    words = (rows, "--seeds", 2, "--rounds", 1, "--only", "FedAvg", "--json", "--out", tmp_path / "kept")
    first = json.loads(run(*words).stdout)
    assert first["rows"][0]["seeds"] == 2
    assert len(list((tmp_path / "kept").iterdir())) == 2
    monkeypatch.setattr(kept_runs, "in_processes", lambda _, tasks, __: iter([] if not tasks else [1 / 0]))
    assert json.loads(run(*words).stdout) == first


def test_where_only_newcomers_are_tested_the_table_says_so(rows, tmp_path):
    with np.load(rows) as kept:
        split = np.where(kept["device"] == "a", np.uint8(2), np.arange(240, dtype=np.uint8) % 2)
        np.savez(tmp_path / "late.npz", **kept, split=split)
    shown = run(tmp_path / "late.npz", "--quick", "--rounds", 1, "--only", "FedAvg").stdout
    assert "None of the others has test rows" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--only", "FedMagic"], ConfigError, "expected some of Local, .*, got 'FedMagic'"),
        (["--partition", "salami", "--devices", "3"], ConfigError, "expected iid"),
        (["--model", "conv2d"], Exception, "does not take samples"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(rows, words, error, said):
    refused = run(rows, "--quick", *words)
    assert isinstance(refused.exception, error)
    assert "\n" not in str(refused.exception)
    with pytest.raises(error, match=said):
        raise refused.exception


def test_a_damaged_file_and_a_share_above_one_are_refused(rows, tmp_path):
    (tmp_path / "bad.npz").write_bytes(rows.read_bytes()[:100])
    assert isinstance(run(tmp_path / "bad.npz", "--quick").exception, DataError)
    assert run(rows, "--unseen", 2).exit_code == 2
