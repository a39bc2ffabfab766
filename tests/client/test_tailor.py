from dataclasses import replace

import numpy as np
import pytest
from small_nets import SPECS, built_in, rows_for
from small_variants import EFFICIENCY, HARDWARE

from fedtailor.client import tailor as tailoring
from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.tailor import tailor, unmet
from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.net import Conv, Linear
from fedtailor.protos.plan import CodecSpec, GatePlan, PersonalPlan, Plan, Recipe, TrainPlan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.variant import FALLBACK
from fedtailor.protos.verdict import PROVEN, REJECTED
from fedtailor.strategies.gate import judge
from fedtailor.strategies.payload import unpack
from fedtailor.strategies.prune import prune

INT8 = Recipe(name="int8", keep_fraction=1.0, precision="int8")
HALF = Recipe(name="half", keep_fraction=0.5, precision="fp32", distil_steps=3)
THIN = Recipe(name="thin", keep_fraction=0.5)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(tailoring, "MEASURE_S", 0.01)


def device(name, validation=40):
    """A device whose labels are what its personal net answers."""
    _, net = built_in(name)
    x = rows_for(net, 60 + validation)
    outputs = predict(open_session(to_onnx(net)), x)
    y = outputs[:, 0] if SPECS[name].kind == REGRESSION else outputs.argmax(-1)
    split = lambda rows: Samples(x[rows], y[rows])  # noqa: E731
    kind, outputs = SPECS[name].kind, SPECS[name].outputs
    return net, DeviceData("d", kind, outputs, split(slice(60)), split(slice(60, None)), split(slice(0)))


def plan_of(name, *recipes, budget=None, margin=0.01):
    train = TrainPlan(epochs=1, batch_size=8, learning_rate=0.1)
    personal = PersonalPlan(method="shared", epochs=1, batch_size=8, learning_rate=0.1)
    return Plan(
        device_id="d",
        round=1,
        seed=0,
        base_version=1,
        model=SPECS[name],
        train=train,
        personal=personal,
        personal_parameters=(),
        recipes=recipes,
        codec=CodecSpec(name="none", version=1),
        feedback=False,
        gate=GatePlan(margin=margin),
        budget=budget or Budget(),
    )


@pytest.mark.parametrize("name", SPECS)
def test_every_built_in_model_gets_its_ladder(name):
    net, data = device(name)
    tailored = tailor(net, data, plan_of(name, INT8, HALF, THIN), HARDWARE)
    assert tailored.problems == ()
    assert [tried.rung.recipe for tried in tailored.rungs] == ["int8", "half", "thin"]
    assert [tried.rung.precision for tried in tailored.rungs] == ["int8", "fp32", "int8"]
    for tried in tailored.rungs:
        assert len(tried.payload) < len(tailored.reference.payload)
        assert tried.rung.efficiency.payload_bytes == len(tried.payload)


def test_the_verdict_is_about_what_the_payload_answers_in_the_runtime():
    net, data = device("conv1d")
    plan = plan_of("conv1d", INT8, HALF)
    tailored = tailor(net, data, plan, HARDWARE)
    reference, *variants = (
        predict(open_session(to_onnx(unpack(tried.payload))), data.validation.x)
        for tried in (tailored.reference, *tailored.rungs)
    )
    for tried, outputs in zip(tailored.rungs, variants, strict=True):
        verdict = judge(reference, outputs, data.validation.y, kind=data.kind, gate=plan.gate)
        assert tried.rung.verdict == verdict
        assert tried.rung.validation_score == pytest.approx(float((outputs.argmax(-1) == data.validation.y).mean()))


def test_the_reference_is_the_personal_model_itself():
    net, data = device("mlp")
    rung = tailor(net, data, plan_of("mlp"), HARDWARE).reference.rung
    assert (rung.recipe, rung.precision, rung.weight_bits, rung.latency_ratio) == (FALLBACK, "fp32", 32, 1.0)
    assert (rung.verdict.verdict, rung.verdict.drop, rung.note) == (PROVEN, 0.0, "")


def test_the_test_split_is_never_read():
    net, data = device("mlp")
    poisoned = replace(data, test=Samples(np.full((5, 11), np.nan, np.float32), np.zeros(5, np.int64)))
    plan = plan_of("mlp", HALF)
    first, second = (tailor(net, rows, plan, HARDWARE).rungs[0].payload for rows in (data, poisoned))
    assert first == second


def test_recipes_of_one_width_are_narrowed_once(monkeypatch):
    asked = []
    monkeypatch.setattr(tailoring, "prune", lambda net, x, keep: asked.append(keep) or prune(net, x, keep))
    net, data = device("mlp")
    tailor(net, data, plan_of("mlp", INT8, THIN, replace(THIN, name="thin fp32", precision="fp32")), HARDWARE)
    assert asked == [1.0, 0.5]


def test_a_variant_slower_than_the_reference_says_so(monkeypatch):
    monkeypatch.setattr(tailoring, "latency_ratio", lambda *_, **__: 0.8)
    net, data = device("mlp")
    rung = tailor(net, data, plan_of("mlp", INT8, margin=1.0), HARDWARE).rungs[0].rung
    assert rung.note == "slower than the fp32 reference: 0.80 of its speed"


def test_a_variant_that_loses_too_much_is_rejected_with_the_figures():
    net, data = device("mlp")
    crippling = Recipe(name="one channel", keep_fraction=0.01, precision="fp32")
    rung = tailor(net, data, plan_of("mlp", crippling), HARDWARE).rungs[0].rung
    assert rung.verdict.verdict == REJECTED
    assert rung.note.startswith("rejected: a drop of ")


def test_distillation_is_kept_only_where_it_does_not_hurt(monkeypatch):
    net, data = device("mlp")
    before = tailor(net, data, plan_of("mlp", replace(HALF, distil_steps=0)), HARDWARE).rungs[0]

    def ruin(student, *_, **__):
        layers = [
            replace(layer, weight=layer.weight * 0) if isinstance(layer, Linear) else layer for layer in student.layers
        ]
        return replace(student, layers=tuple(layers))

    monkeypatch.setattr(tailoring, "distil", ruin)
    after = tailor(net, data, plan_of("mlp", HALF), HARDWARE).rungs[0]
    assert after.payload == before.payload


def test_a_recipe_that_cannot_be_carried_out_is_a_line_and_no_rung():
    net, data = device("mlp")
    odd = Recipe(name="odd", keep_fraction=0.5, precision="fp4")
    wide = Recipe(name="wide", keep_fraction=1.5)
    tailored = tailor(net, data, plan_of("mlp", odd, INT8, wide), HARDWARE)
    assert [tried.rung.recipe for tried in tailored.rungs] == ["int8"]
    assert tailored.problems[0] == "recipe 'odd' on device d: precision must be int8 or fp32, got 'fp4'"
    assert "'wide'" in tailored.problems[1]
    assert "got 1.5" in tailored.problems[1]


def test_an_artefact_that_answers_nan_is_no_rung(monkeypatch):
    net, data = device("mlp")
    broken = [replace(layer, bias=layer.bias * np.nan) if isinstance(layer, Linear) else layer for layer in net.layers]
    monkeypatch.setattr(tailoring, "prune", lambda *_: (replace(net, layers=tuple(broken)), None))
    tailored = tailor(net, data, plan_of("mlp", replace(HALF, distil_steps=0)), HARDWARE)
    assert tailored.rungs == ()
    assert "answers NaN or infinity" in tailored.problems[0]


def test_a_personal_model_that_answers_nan_is_refused():
    net, data = device("conv1d")
    layers = [replace(layer, bias=layer.bias * np.nan) if isinstance(layer, Conv) else layer for layer in net.layers]
    with pytest.raises(PlanError, match="personal model answers NaN"):
        tailor(replace(net, layers=tuple(layers)), data, plan_of("conv1d", INT8), HARDWARE)


def test_without_validation_rows_only_the_reference_is_left():
    net, data = device("mlp", validation=0)
    tailored = tailor(net, data, plan_of("mlp", INT8), HARDWARE)
    assert (tailored.rungs, tailored.reference.rung.recipe) == ((), FALLBACK)
    assert "0 validation rows" in tailored.problems[0]


def test_a_simulated_device_class_is_held_to_its_modelled_latency():
    slow = replace(HARDWARE, slowdown_modelled=1000.0, energy_pj_per_mac_modelled=1e6)
    net, data = device("mlp")
    rung = tailor(net, data, plan_of("mlp", budget=Budget(latency_ms=1e-3, energy_mj=1e-6)), slow).reference.rung
    assert [line.split()[0] for line in rung.unmet] == ["latency_ms", "energy_mj"]


def test_limits_are_inclusive_and_named_with_got_and_limit():
    assert unmet(Budget(latency_ms=1.5, size_bytes=2000, peak_ram_bytes=300, energy_mj=1e-9), EFFICIENCY) == ()
    over = unmet(Budget(latency_ms=1.4, size_bytes=1999, peak_ram_bytes=299), EFFICIENCY)
    assert over == ("latency_ms 1.5 of 1.4", "size_bytes 2000 of 1999", "peak_ram_bytes 300 of 299")
