from dataclasses import replace

import numpy as np
import pytest
import torch
from small_devices import SPEC, plan, rows
from small_variants import HARDWARE
from torch import nn

from fedtailor.client import bench
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.whole_ladder import packed_whole, unpacked_whole, whole_ladder
from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import PlanError
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.verdict import REJECTED
from fedtailor.strategies.gate import judge
from fedtailor.strategies.task import TASKS

DATA = DeviceData("till-1", SPEC.kind, SPEC.outputs, rows(64, 1), rows(40, 2), rows(10, 3))
PROBLEM = PlanError("not traced: 'memory' (GRU)")


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory, self.head = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.memory(x[:, None])[0][:, -1])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench, "MEASURE_S", 0.01)


def module():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Recurrent().eval()


def made(**changes):
    return whole_ladder(module(), PROBLEM, DATA, replace(plan(), **changes), HARDWARE)


def test_there_is_the_fp32_file_and_one_int8_rung_and_a_line_that_says_why():
    found = made()
    assert (found.reference.rung.recipe, [tried.rung.recipe for tried in found.rungs]) == ("fp32", ["int8"])
    assert found.problems == (str(PROBLEM),)
    assert found.reference.rung.weight_bits == 32
    assert 8 <= found.rungs[0].rung.weight_bits < 32  # the GRU stays in float32


def test_payloads_expand_to_the_files_that_were_judged():
    found = made()
    reference, outputs = (
        predict(open_session(unpacked_whole(tried.payload)), DATA.validation.x)
        for tried in (found.reference, *found.rungs)
    )
    with torch.no_grad():
        np.testing.assert_allclose(reference, module()(torch.from_numpy(DATA.validation.x)), atol=1e-5)
    rung = found.rungs[0].rung
    assert rung.verdict == judge(reference, outputs, DATA.validation.y, kind=DATA.kind, gate=plan().gate)
    assert rung.validation_score == TASKS[DATA.kind].score(outputs, DATA.validation.y)
    assert rung.efficiency.payload_bytes == len(found.rungs[0].payload)


def test_equal_files_give_equal_payloads():
    assert packed_whole(b"a file") == packed_whole(b"a file")
    assert unpacked_whole(packed_whole(b"a file")) == b"a file"


def test_nobody_counts_what_it_computes_so_no_energy_is_modelled():
    thrifty = replace(HARDWARE, energy_pj_per_mac_modelled=5.0, slowdown_modelled=3.0)
    found = whole_ladder(module(), PROBLEM, DATA, plan(), thrifty)
    costs = found.reference.rung.efficiency
    assert (costs.macs, costs.energy_mj_modelled) == (None, None)
    assert costs.latency_ms_modelled == pytest.approx(3 * costs.latency_p50_us_measured / 1000)


def test_the_budget_is_held_against_both():
    found = made(budget=Budget(size_bytes=10))
    assert all(len(tried.rung.unmet) == 1 for tried in (found.reference, *found.rungs))


def test_a_rung_that_is_slower_or_rejected_says_so(monkeypatch):
    monkeypatch.setattr(bench, "latency_ratio", lambda *_, **__: 0.5)
    assert made().rungs[0].rung.note == "slower than the fp32 reference: 0.50 of its speed"
    real = bench.judge
    monkeypatch.setattr(bench, "judge", lambda *_, **__: replace(real(*_, **__), verdict=REJECTED))
    assert made().rungs[0].rung.note.startswith("rejected: a drop of")


def test_a_model_that_answers_nan_is_refused():
    broken = module()
    nn.init.constant_(broken.head.bias, float("nan"))
    with pytest.raises(PlanError, match=r"NaN|does not compute the same"):
        whole_ladder(broken, PROBLEM, DATA, plan(), HARDWARE)
