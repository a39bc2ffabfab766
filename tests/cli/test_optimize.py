"""`fedtailor optimize`."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from fedtailor.cli.main import app
from fedtailor.cli.optimize import budget_from
from fedtailor.client import bench
from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import ConfigError, DataError, FedTailorError
from fedtailor.protos.plan import Recipe
from fedtailor.simulations import optimise as optimising
from fedtailor.strategies.models.model import MODELS

RECIPES = (Recipe(name="int8", shrink=1, precision="int8"), Recipe(name="x12", shrink=12, distil_steps=10))
SOURCE = """
import torch
from torch import nn

class Memory(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.gru, self.head = nn.GRU(spec.input_shape[0], 8, batch_first=True), nn.Linear(8, spec.outputs)

    def forward(self, x):
        return self.head(self.gru(x[:, None])[0][:, -1])

def plain(spec):
    return nn.Sequential(nn.Linear(spec.input_shape[0], 99), nn.ReLU(), nn.Linear(99, spec.outputs))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, cache):
    """A working folder with rows of three devices and a model; a short ladder, quickly measured."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(bench, "MEASURE_S", 0.01)
    template = optimising.plan_template
    monkeypatch.setattr(optimising, "plan_template", lambda *given: replace(template(*given), recipes=RECIPES))
    x = np.random.default_rng(0).normal(size=(360, 6)).astype(np.float32)
    y = x[:, :3].argmax(1)
    write_fleet_file(tmp_path / "rows.npz", FleetArrays(x=x, y=y, device=np.repeat(["a", "b", "c"], 120)))
    write_fleet_file(tmp_path / "free.npz", FleetArrays(x=x, y=y))
    (tmp_path / "mine_to_type.py").write_text(SOURCE)
    yield tmp_path
    sys.modules.pop("mine_to_type", None)
    for name in [name for name in MODELS if ":" in name]:
        del MODELS[name]


@pytest.fixture
def untrained(monkeypatch):
    """Whoever comes as far as training has come too far."""

    def train(*_, **__):
        raise AssertionError("nothing should be trained")

    monkeypatch.setattr(optimising, "personal_model", train)


def run(*words):
    done = CliRunner().invoke(app, ["optimize", *map(str, words)])
    if done.exception and not isinstance(done.exception, FedTailorError):
        raise done.exception
    return done


def optimize(*words):
    return run("rows.npz", "--epochs", 3, *words)


def test_the_ladder_is_a_table_and_what_runs_is_said_below():
    done = optimize()
    recipes = [line.removeprefix("→").split()[0] for line in done.stdout.splitlines()[3:6]]
    assert recipes == ["fp32", "int8", "x12"]
    assert " runs: " in done.stderr
    assert "picture: runs/optimize-a-seed0/pareto.svg" in done.stderr


def test_json_is_all_of_stdout_and_says_what_runs():
    rows = json.loads(optimize("--json", "--device", "b", "--seed", 3).stdout)
    assert (rows["device"], rows["seed"], rows["model"]) == ("b", 3, "mlp")
    assert [row["recipe"] for row in rows["rungs"]] == ["int8", "x12"]
    assert [row["recipe"] for row in (rows["reference"], *rows["rungs"]) if row["chosen"]] == [rows["chosen"]]


def test_models_and_figures_lie_in_the_folder_named():
    optimize("--out", "new")
    assert {path.name for path in Path("new").iterdir()} == {"fp32", "int8", "x12", "ladder.json", "pareto.svg"}


def test_this_machine_is_measured_once_and_nothing_of_it_lies_in_runs(cache):
    optimize("--out", "new")
    assert not Path("runs").exists()
    assert list(cache.glob("fedtailor/*/values/hardware"))


def test_rows_without_an_owner_are_one_devices():
    assert json.loads(run("free.npz", "--epochs", 3, "--json").stdout)["rows"]["train"] == 216


def test_rows_may_be_dealt_anew():
    rows = json.loads(optimize("--partition", "iid", "--devices", 2, "--json").stdout)
    assert (rows["device"], rows["rows"]["train"]) == ("device-00", 108)


def test_a_model_of_ones_own_with_its_weights_is_not_trained(untrained):
    plain = nn.Sequential(nn.Linear(6, 99), nn.ReLU(), nn.Linear(99, 3))
    torch.save(plain.state_dict(), "w.pt")
    rows = json.loads(optimize("--model", "mine_to_type:plain", "--weights", "w.pt", "--json").stdout)
    assert (rows["model"], rows["personal"]["method"]) == ("mine_to_type:plain", "weights")
    assert [row["recipe"] for row in rows["rungs"]] == ["int8", "x12"]


def test_a_model_that_cannot_be_traced_has_one_rung_and_a_line_that_says_why():
    done = optimize("--model", "mine_to_type:Memory", "--out", "new")
    assert "not traced: 'user.gru' (GRU)" in done.stderr
    assert {path.name for path in Path("new/int8").iterdir()} == {"model.onnx", "model.onnx.gz"}


@pytest.mark.parametrize(
    ("words", "error", "line"),
    [
        (["--device", "nobody"], DataError, r"\(a, b, c\), got 'nobody'"),
        (["--budget", "latency=3"], ConfigError, "expected limits of latency_ms"),
        (["--model", "nope"], ConfigError, "expected one of .*mlp"),
        (["--model", "mine_to_type:nope"], ConfigError, "has no attribute 'nope'"),
        (["--weights", "absent.pt"], ConfigError, "absent.pt: expected a file"),
        (["--weights", "rows.npz"], ConfigError, "rows.npz: expected arrays in a .npz file"),
        (["--out", "."], ConfigError, "expected a new or empty folder"),
        (["--out", "rows.npz"], ConfigError, "expected a new or empty folder"),
        (["--out", "rows.npz/deep"], ConfigError, "expected a folder that can be written, got: Not a directory"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_trained(untrained, words, error, line):
    done = optimize(*words)
    assert isinstance(done.exception, error)
    assert "\n" not in str(done.exception)
    assert re.search(line, str(done.exception))


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("", Budget()),
        ("latency_ms=1.5", Budget(latency_ms=1.5)),
        ("size_kb=20, memory_kb=0.5", Budget(size_bytes=20_000, peak_ram_bytes=500)),
        ("energy_mj=2,margin=0.02,", Budget(energy_mj=2.0, accuracy_margin=0.02)),
    ],
)
def test_a_budget_is_a_list_of_limits(text, budget):
    assert budget_from(text) == budget


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("latency=3", "expected limits of latency_ms, size_kb, memory_kb, energy_mj, margin, .*got 'latency=3'"),
        ("20", "each as NAME=NUMBER, got '20'"),
        ("size_kb", "size_kb: expected a number above 0, got ''"),
        ("size_kb=much", "size_kb: expected a number above 0, got 'much'"),
        ("size_kb=inf", "size_kb: expected a number above 0, got 'inf'"),
        ("size_kb=0.0001", "size_kb: expected a number above 0, got '0.0001'"),
        ("latency_ms=nan", "latency_ms: expected a number above 0, got 'nan'"),
        ("latency_ms=-1", "latency_ms: expected a number above 0, got '-1'"),
        ("margin=1", "margin: expected a fraction between 0 and 1"),
    ],
)
def test_a_limit_that_is_none_is_named(text, line):
    with pytest.raises(ConfigError, match=line):
        budget_from(text)
