"""From a file with rows to a chosen rung: whoever made the model, and whatever it is made of."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_fleet import JOB, small_fleet

from fedtailor.client import bench
from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.store import DeviceStore
from fedtailor.client.whole_ladder import unpacked_whole
from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import ConfigError, DataError, PlanError
from fedtailor.simulations.optimise import Wish, optimise, prepare
from fedtailor.simulations.user_model import known_model
from fedtailor.strategies.models.model import MODELS, build
from fedtailor.strategies.task import TASKS

RECIPES = [{"name": "int8", "shrink": 1, "precision": "int8"}, {"name": "x12", "shrink": 12, "distil_steps": 10}]
SOURCE = """
import torch
from torch import nn

def normed(spec):
    return nn.Sequential(nn.Linear(6, 99), nn.BatchNorm1d(99), nn.ReLU(), nn.Linear(99, 3))

class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.gru(x[:, None])[0][:, -1])

def memory(spec):
    return Memory()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return DeviceStore(tmp_path_factory.mktemp("machine"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench, "MEASURE_S", 0.01)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Models of a user's own, by the names a command line gives them."""
    (tmp_path / "mine_to_optimise.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    yield lambda function: known_model(f"mine_to_optimise:{function}")
    sys.modules.pop("mine_to_optimise", None)
    for name in [name for name in MODELS if ":" in name]:
        del MODELS[name]


def wish(folder, model=None, **settings):
    job = {**JOB, "recipes": RECIPES} | ({} if model is None else {"model": model})
    return Wish(fleet=small_fleet(folder, job=job), epochs=4, **settings)


def run(asked, store, told=lambda *_: None):
    return optimise(prepare(asked), store, told)


def answers(candidate, samples):
    return predict(open_session(candidate.model), samples.x)


def test_a_base_of_the_other_devices_is_fine_tuned_and_every_recipe_tried(tmp_path, store):
    heard = []
    found = run(wish(tmp_path), store, lambda stage, *_: heard.append(stage))
    assert list(dict.fromkeys(heard)) == ["train a base", "fine-tune", "tailor"]
    assert [candidate.rung.recipe for candidate in found.candidates] == ["fp32", "int8", "x12", "student"]
    assert found.problems == ()
    assert found.chosen in [candidate.rung for candidate in found.candidates]
    assert found.reference.test_score > 0.8


def test_test_scores_are_those_of_the_files_that_would_run(tmp_path, store):
    found = run(wish(tmp_path), store)
    for candidate in found.candidates:
        outputs = answers(candidate, found.data.test)
        assert candidate.test_score == TASKS[found.data.kind].score(outputs, found.data.test.y)
        low, high = candidate.test_interval
        assert low <= candidate.test_score <= high


def test_the_devices_own_rows_are_not_in_the_base(tmp_path):
    task = prepare(wish(tmp_path, device="east"))
    assert task.data.device_id == "east"
    assert [device.device_id for device in task.others] == ["north", "south"]


def test_the_first_device_with_rows_is_taken_and_an_unknown_one_refused(tmp_path):
    assert prepare(wish(tmp_path)).data.device_id == "east"  # in sorted order
    with pytest.raises(DataError, match=r"\(east, north, south\), got 'west'"):
        prepare(wish(tmp_path, device="west"))


def test_a_file_whose_devices_train_or_validate_but_never_both_says_what_to_do(tmp_path):
    split = np.repeat(np.arange(2, dtype=np.uint8), 30)
    arrays = FleetArrays(
        x=np.zeros((60, 6), np.float32), y=np.arange(60) % 3, device=np.repeat(["a", "b"], 30), split=split
    )
    write_fleet_file(tmp_path / "apart.npz", arrays)
    with pytest.raises(DataError, match="got none among 2 devices; make one of all rows: --partition iid --devices 1"):
        prepare(Wish(fleet=small_fleet(tmp_path, tmp_path / "apart.npz")))
    whole = small_fleet(tmp_path, tmp_path / "apart.npz", partition="iid", devices=1)
    assert len(prepare(Wish(fleet=whole)).data.validation) == 30


def test_a_device_alone_trains_on_its_own_rows(tmp_path, store):
    asked = wish(tmp_path)
    alone = replace(asked, fleet=replace(asked.fleet, devices=1, partition="iid"))
    assert prepare(alone).others == ()
    assert run(alone, store).reference.test_score > 0.8


def test_equal_seeds_give_equal_models(tmp_path, store):
    first, second = (run(wish(tmp_path), store) for _ in range(2))
    assert first.reference.payload == second.reference.payload
    assert first.rungs[0].payload == second.rungs[0].payload  # what is planned from latencies may differ


@pytest.mark.parametrize("model", [None, "normed"])
def test_weights_are_taken_as_they_are(tmp_path, store, mine, model):
    name = model and mine(model)
    spec = prepare(wish(tmp_path, name)).spec
    module = build(spec) if model is None else build(spec).user
    torch.save(module.state_dict(), tmp_path / "w.pt")
    heard = []
    found = run(wish(tmp_path, name, weights=tmp_path / "w.pt"), store, lambda stage, *_: heard.append(stage))
    with torch.no_grad():
        wanted = module.eval()(torch.from_numpy(found.data.test.x)).numpy()
    np.testing.assert_allclose(answers(found.reference, found.data.test), wanted, atol=1e-5)
    assert set(heard) == {"tailor"}
    assert found.ladder.personal_method == "weights"


def test_a_model_of_ones_own_with_batch_norm_is_trained_and_tailored(tmp_path, store, mine):
    found = run(wish(tmp_path, mine("normed")), store)
    assert (found.whole, found.problems) == (False, ())
    assert [candidate.rung.recipe for candidate in found.rungs] == ["int8", "x12", "student"]
    assert found.reference.test_score > 0.8


def test_a_model_that_cannot_be_traced_gets_its_int8_rung_and_a_line_that_says_why(tmp_path, store, mine):
    found = run(wish(tmp_path, mine("memory")), store)
    assert found.whole
    assert [candidate.rung.recipe for candidate in found.candidates] == ["fp32", "int8"]
    assert len(found.problems) == 1
    assert "'user.gru' (GRU)" in found.problems[0]
    for candidate in found.candidates:
        assert unpacked_whole(candidate.payload) == candidate.model


def test_a_budgets_margin_is_the_gates_and_its_limits_are_held(tmp_path, store):
    found = run(wish(tmp_path, budget=Budget(accuracy_margin=0.2, size_bytes=10)), store)
    assert {candidate.rung.verdict.margin for candidate in found.candidates} == {0.2}
    assert all(candidate.rung.unmet for candidate in found.candidates)


def test_weights_that_answer_nan_are_refused(tmp_path, store):
    module = build(prepare(wish(tmp_path)).spec)
    torch.save({name: value * float("nan") for name, value in module.state_dict().items()}, tmp_path / "w.pt")
    with pytest.raises(PlanError, match="NaN"):
        run(wish(tmp_path, weights=tmp_path / "w.pt"), store)


def test_what_does_not_fit_is_said_before_anything_is_trained(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"w\.pt"):
        prepare(wish(tmp_path, weights=tmp_path / "w.pt"))
    with pytest.raises(PlanError, match="'conv2d' does not take samples of shape"):
        prepare(wish(tmp_path, "conv2d"))
