from dataclasses import replace

import numpy as np
import pytest
from small_nets import SPECS
from small_tailoring import device, plan_of
from small_variants import EFFICIENCY, HARDWARE

from fedtailor.client import bench
from fedtailor.client import tailor as tailoring
from fedtailor.client.bench import unmet
from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.store import DeviceStore
from fedtailor.client.tailor import tailor
from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import NEXT_TOKEN
from fedtailor.protos.net import Conv, Linear
from fedtailor.protos.plan import Recipe
from fedtailor.protos.samples import Samples
from fedtailor.protos.variant import FALLBACK
from fedtailor.protos.verdict import PROVEN, REJECTED
from fedtailor.strategies.gate import judge
from fedtailor.strategies.payload.payload import unpack
from fedtailor.strategies.planning.cost_model import float_bytes
from fedtailor.strategies.train_memory import parameter_count

INT8 = Recipe(name="int8", shrink=1, precision="int8")
FLOATS = Recipe(name="floats", shrink=6, precision="fp32")
SMALL = Recipe(name="small", shrink=12, distil_steps=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench, "MEASURE_S", 0.01)
    monkeypatch.setattr("fedtailor.client.latency_table.MEASURE_S", 0.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Of a device that has timed its operators before."""
    return DeviceStore(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("name", SPECS)
def test_every_built_in_model_gets_its_ladder(name, store):
    net, data = device(name)
    tailored = tailor(net, data, plan_of(name, INT8, FLOATS, SMALL), HARDWARE, store=store)
    assert tailored.problems == ()
    assert [tried.rung.recipe for tried in tailored.rungs] == ["int8", "floats", "small"]
    assert [tried.rung.precision for tried in tailored.rungs[:2]] == ["int8", "fp32"]
    for tried in tailored.rungs:
        assert tried.rung.efficiency.payload_bytes == len(tried.payload) < len(tailored.reference.payload)


def test_a_payload_keeps_the_size_that_its_recipe_asks_for(store):
    net, data = device("conv2d")
    recipes = [Recipe(name=f"x{shrink}", shrink=shrink, precision="int8") for shrink in (6, 12, 24, 48)]
    tailored = tailor(net, data, plan_of("conv2d", *recipes), HARDWARE, store=store)
    sizes = [len(tried.payload) for tried in tailored.rungs]
    assert sizes == sorted(sizes, reverse=True)
    for recipe, size in zip(recipes, sizes, strict=True):
        assert size <= 1.05 * float_bytes(net) / recipe.shrink


def test_the_verdict_is_about_what_the_payload_answers_in_the_runtime(store):
    net, data = device("conv1d")
    plan = plan_of("conv1d", INT8, FLOATS, SMALL)
    tailored = tailor(net, data, plan, HARDWARE, store=store)
    reference, *variants = (
        predict(open_session(to_onnx(unpack(tried.payload))), data.validation.x)
        for tried in (tailored.reference, *tailored.rungs)
    )
    for tried, outputs in zip(tailored.rungs, variants, strict=True):
        verdict = judge(reference, outputs, data.validation.y, kind=data.kind, gate=plan.gate)
        assert tried.rung.verdict == verdict
        assert tried.rung.validation_score == pytest.approx(float((outputs.argmax(-1) == data.validation.y).mean()))


def test_the_reference_is_the_personal_model_itself(store):
    net, data = device("mlp")
    rung = tailor(net, data, plan_of("mlp"), HARDWARE, store=store).reference.rung
    assert (rung.recipe, rung.precision, rung.weight_bits, rung.latency_ratio) == (FALLBACK, "fp32", 32, 1.0)
    assert (rung.verdict.verdict, rung.verdict.drop, rung.note) == (PROVEN, 0.0, "")


def test_it_tells_how_far_it_has_come(store):
    told = []
    net, data = device("mlp")
    plan = plan_of("mlp", INT8, FLOATS)
    tailor(net, data, plan, HARDWARE, store=store, told=lambda *heard: told.append(heard))
    assert told == [(0, 2, "planning layer by layer"), (0, 2, "int8"), (1, 2, "floats"), (2, 2, "")]


def test_the_test_split_is_never_read(store):
    net, data = device("mlp")
    poisoned = replace(data, test=Samples(np.full((5, 11), np.nan, np.float32), np.zeros(5, np.int64)))
    plan = plan_of("mlp", replace(SMALL, precision="int8"))
    first, second = (tailor(net, rows, plan, HARDWARE, store=store).rungs[0].payload for rows in (data, poisoned))
    assert first == second


def artefacts_that_take(monkeypatch, **us):
    """Measured latencies, by what an artefact computes in."""
    monkeypatch.setattr(
        bench.Bench, "latencies_us", lambda _, made: tuple(us[one.precision.replace("+", "_")] for one in made)
    )


@pytest.mark.parametrize(("int8", "fp32", "wins"), [(5.0, 9.0, "int8"), (9.0, 5.0, "fp32"), (5.1, 5.0, "int8")])
def test_the_faster_form_is_the_rung_and_of_two_alike_the_smaller_file(monkeypatch, store, int8, fp32, wins):
    artefacts_that_take(monkeypatch, int8=int8, fp32=fp32)
    net, data = device("conv1d")
    rung = tailor(net, data, plan_of("conv1d", SMALL, margin=1.0), HARDWARE, store=store).rungs[0].rung
    assert rung.precision == wins


def test_a_form_that_is_rejected_gives_way_to_a_slower_one(monkeypatch, store):
    artefacts_that_take(monkeypatch, int8=1.0, fp32=9.0)
    judged = bench.judge

    def strict(reference, outputs, *rest, **more):
        verdict = judged(reference, outputs, *rest, **more)
        strict.calls += 1
        return replace(verdict, verdict=REJECTED) if strict.calls == 1 else replace(verdict, verdict=PROVEN)

    strict.calls = 0  # int8 is made and judged first
    monkeypatch.setattr(bench, "judge", strict)
    net, data = device("conv1d")
    assert tailor(net, data, plan_of("conv1d", SMALL), HARDWARE, store=store).rungs[0].rung.precision == "fp32"


def test_a_faster_form_with_a_much_larger_payload_is_not_the_rung(monkeypatch, store):
    artefacts_that_take(monkeypatch, int8=9.0, fp32=1.0)
    net, data = device("next-token")  # its table of symbols stays float32 in a net that computes in float32
    rung = tailor(net, data, plan_of("next-token", SMALL, margin=1.0), HARDWARE, store=store).rungs[0].rung
    assert data.kind == NEXT_TOKEN
    assert rung.precision == "int8"


def test_a_variant_slower_than_the_reference_says_so(monkeypatch, store):
    monkeypatch.setattr(bench, "latency_ratio", lambda *_, **__: 0.8)
    net, data = device("mlp")
    rung = tailor(net, data, plan_of("mlp", INT8, margin=1.0), HARDWARE, store=store).rungs[0].rung
    assert rung.note == "slower than the fp32 reference: 0.80 of its speed"


def test_a_variant_that_loses_too_much_is_rejected_with_the_figures(store):
    net, data = device("mlp")
    crippling = Recipe(name="crippled", shrink=60)
    rung = tailor(net, data, plan_of("mlp", crippling), HARDWARE, store=store).rungs[0].rung
    assert rung.verdict.verdict == REJECTED
    assert rung.note.startswith("rejected: a drop of ")


def test_a_recipe_that_cannot_be_carried_out_is_a_line_and_no_rung(store):
    net, data = device("mlp")
    odd = Recipe(name="odd", shrink=2, precision="fp4")
    tiny = Recipe(name="tiny", shrink=9000)
    tailored = tailor(net, data, plan_of("mlp", odd, INT8, tiny), HARDWARE, store=store)
    assert [tried.rung.recipe for tried in tailored.rungs] == ["int8"]
    assert tailored.problems[0] == "recipe 'odd' on device d: precision must be int8, fp32 or fastest, got 'fp4'"
    assert tailored.problems[1].startswith("recipe 'tiny' on device d: ")
    assert "payload bytes" in tailored.problems[1]


def test_a_recipe_may_ask_for_speed_and_what_cannot_be_is_a_line(monkeypatch, store):
    asked = []
    plan = tailoring.allot
    monkeypatch.setattr(tailoring, "allot", lambda choices, limits: asked.append(limits) or plan(choices, limits))
    net, data = device("conv2d")
    same, fast = Recipe(name="same", shrink=2), Recipe(name="fast", shrink=2, speed=1.25)
    tailored = tailor(net, data, plan_of("conv2d", same, fast), HARDWARE, store=store)
    assert [limits.latency_us for limits in asked] == [asked[0].latency_us, asked[0].latency_us / 1.25]
    assert [tried.rung.recipe for tried in tailored.rungs] == ["same", "fast"]

    instant = Recipe(name="instant", shrink=2, speed=10_000)
    tailored = tailor(net, data, plan_of("conv2d", instant, budget=Budget(latency_ms=1e9)), HARDWARE, store=store)
    assert tailored.rungs == ()
    assert "latency in microseconds" in tailored.problems[0]


def test_a_student_is_a_rung_of_its_own(store):
    net, data = device("conv2d")
    pupil = Recipe(name="pupil", shrink=1, student=0.25, distil_steps=4, precision="int8")
    tailored = tailor(net, data, plan_of("conv2d", pupil), HARDWARE, store=store)
    assert tailored.problems == ()
    student = unpack(tailored.rungs[0].payload)
    assert parameter_count(net) / 8 < student_parameters(student) <= 0.27 * parameter_count(net)
    assert tailored.rungs[0].rung.mask.layers


def student_parameters(net):
    return sum(layer.weight.size for layer in net.layers if hasattr(layer, "weight"))


def test_a_budget_that_nothing_keeps_still_gets_its_variants(store):
    net, data = device("mlp")
    budget = Budget(latency_ms=1e-9, peak_ram_bytes=1)
    tailored = tailor(net, data, plan_of("mlp", INT8, budget=budget), HARDWARE, store=store)
    assert [line.split()[0] for line in tailored.rungs[0].rung.unmet] == ["latency_ms", "peak_ram_bytes"]


def test_an_artefact_that_answers_nan_is_no_rung(monkeypatch, store):
    net, data = device("mlp")
    broken = [replace(layer, bias=layer.bias * np.nan) if isinstance(layer, Linear) else layer for layer in net.layers]
    monkeypatch.setattr(tailoring, "compress", lambda *_: (replace(net, layers=tuple(broken)), None))
    tailored = tailor(net, data, plan_of("mlp", FLOATS), HARDWARE, store=store)
    assert tailored.rungs == ()
    assert "answers NaN or infinity" in tailored.problems[0]


def test_a_personal_model_that_answers_nan_is_refused(store):
    net, data = device("conv1d")
    layers = [replace(layer, bias=layer.bias * np.nan) if isinstance(layer, Conv) else layer for layer in net.layers]
    with pytest.raises(PlanError, match="personal model answers NaN"):
        tailor(replace(net, layers=tuple(layers)), data, plan_of("conv1d", INT8), HARDWARE, store=store)


class Gauge:
    """A counter that takes its time."""

    name, window_s = "battery", 5.0


@pytest.mark.parametrize(("limit", "waits"), [(None, False), (1.0, True)])
def test_a_slow_energy_counter_is_waited_for_only_where_energy_is_limited(store, monkeypatch, limit, waits):
    counters = []
    monkeypatch.setattr(bench, "energy_counter", Gauge)
    monkeypatch.setattr(bench, "measure", lambda *_, counter, **__: counters.append(counter) or EFFICIENCY)
    net, data = device("mlp")
    tailor(net, data, plan_of("mlp", INT8, budget=Budget(energy_mj=limit)), HARDWARE, store=store)
    assert [counter is not None for counter in counters] == [waits] * 2


def test_a_simulated_device_class_is_held_to_its_modelled_latency(store):
    slow = replace(HARDWARE, slowdown_modelled=1000.0, energy_pj_per_mac_modelled=1e6)
    net, data = device("mlp")
    plan = plan_of("mlp", budget=Budget(latency_ms=1e-3, energy_mj=1e-6))
    rung = tailor(net, data, plan, slow, store=store).reference.rung
    assert [line.split()[0] for line in rung.unmet] == ["latency_ms", "energy_mj"]


def test_limits_are_inclusive_and_named_with_got_and_limit():
    assert unmet(Budget(latency_ms=1.5, size_bytes=2000, peak_ram_bytes=300, energy_mj=1e-9), EFFICIENCY) == ()
    over = unmet(Budget(latency_ms=1.4, size_bytes=1999, peak_ram_bytes=299), EFFICIENCY)
    assert over == ("latency_ms 1.5 of 1.4", "size_bytes 2000 of 1999", "peak_ram_bytes 300 of 299")
