"""The ladder on the device: every recipe of the plan tried, exported, judged and measured where it would run.

Which channels go and how many bits each layer gets is planned here, from this device's rows and this device's operator
timings. A variant is then a file that ONNX Runtime has opened: the gate sees what that file answers, not what torch
would, and its speed is that file's (int8 of a thin network is often slower than its fp32).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedtailor.client.artefact import Artefact, artefact
from fedtailor.client.bench import Bench, Tried
from fedtailor.client.forms import forms
from fedtailor.client.latency_table import LatencyTable
from fedtailor.client.layer_choices import layer_choices
from fedtailor.client.store import DeviceStore
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Net
from fedtailor.protos.plan import Plan, Recipe
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.verdict import REJECTED, Verdict
from fedtailor.strategies.compression.allotment import Allotment
from fedtailor.strategies.compression.compress import Cloth, compress, compress_student
from fedtailor.strategies.planning.cost_model import float_bytes
from fedtailor.strategies.planning.plan_layers import Choices, Limits, allot, dense_us

_AS_SMALL, _AS_FAST = 1.1, 1.03  # payloads and latencies of forms of one rung that do not count as different

Told = Callable[[int, int, str], None]  # rungs done, rungs in all, a note


@dataclass(frozen=True, eq=False)
class Tailored:
    """The fp32 reference, the rungs in the order of the recipes, and a line for each recipe that became none."""

    reference: Tried
    rungs: tuple[Tried, ...]
    problems: tuple[str, ...]


def tailor(
    personal: Net,
    data: DeviceData,
    plan: Plan,
    hardware: DeviceProfile,
    *,
    store: DeviceStore,
    told: Told = lambda _done, _total, _note: None,
) -> Tailored:
    """Try every recipe of the plan on the personal fp32 model.

    Calibration and distillation see the train split, decisions the validation split, nothing sees the test split.
    A recipe that cannot be carried out, or whose artefact answers NaN or infinity, becomes a line in `problems`; so
    does a device on whose rows nothing can be planned, which has only its reference.

    Args:
        store: Where operator timings are kept for the next time.
        told: Hears how far the ladder has come.

    Raises:
        PlanError: the personal model itself answers NaN or infinity.
    """
    bench = _bench(personal, data, plan, hardware)
    cloth = Cloth(personal, data, plan.model, plan.seed, plan.budget.train_ram_bytes)
    total = len(plan.recipes)
    told(0, total, "planning layer by layer")
    try:
        choices = _choices(cloth, store)
    except Exception as error:  # whatever planning breaks on, the device goes on with the model that it has
        line = f"device {data.device_id}: {error}; it runs the fp32 model"
        return Tailored(bench.fp32(), (), (line,))
    rungs, problems = [], []
    for done, recipe in enumerate(plan.recipes):
        told(done, total, recipe.name)
        try:
            rungs.append(_try_recipe(bench, cloth, choices, recipe))
        except Exception as error:  # whatever one recipe breaks on, the device and the other recipes go on
            problems.append(f"recipe {recipe.name!r} on device {data.device_id}: {error}")
    told(total, total, "")
    return Tailored(bench.fp32(), tuple(rungs), tuple(problems))


def reference_of(personal: Net, data: DeviceData, plan: Plan, hardware: DeviceProfile) -> Tried:
    """The fp32 model as an artefact, measured; raises as `tailor`."""
    return _bench(personal, data, plan, hardware).fp32()


def _bench(personal: Net, data: DeviceData, plan: Plan, hardware: DeviceProfile) -> Bench:
    try:
        reference = artefact(personal, Mask(), data.validation.x)
    except PlanError:
        raise PlanError(f"device {data.device_id}: the personal model answers NaN or infinity; train it anew") from None
    return Bench(reference, data, plan, hardware)


def _choices(cloth: Cloth, store: DeviceStore) -> Choices:
    data = cloth.data
    if not len(data.train) or not len(data.validation):
        counts = f"{len(data.train)} train and {len(data.validation)} validation rows"
        raise PlanError(f"{counts}, tailoring needs both")
    return layer_choices(cloth.personal, cloth.calibration, cloth.spec, LatencyTable(store))


def _allotted(bench: Bench, cloth: Cloth, choices: Choices, recipe: Recipe) -> Allotment:
    """What the recipe asks, within the device's budget if that can be: a variant that misses it may still be the best.

    Raises:
        PlanError: the recipe asks for what cannot be.
    """
    asked = Limits(float_bytes(cloth.personal) / recipe.shrink, dense_us(choices) / recipe.speed)
    budget = bench.plan.budget
    most_us = math.inf if budget.latency_ms is None else budget.latency_ms * 1000 / bench.hardware.slowdown_modelled
    try:
        return allot(choices, Limits(asked.payload_bytes, min(asked.latency_us, most_us), budget.peak_ram_bytes))
    except PlanError:
        return allot(choices, asked)


def _try_recipe(bench: Bench, cloth: Cloth, choices: Choices, recipe: Recipe) -> Tried:
    if recipe.student < 1:
        net, mask = compress_student(cloth, recipe.student, recipe.distil_steps)
    else:
        net, mask = compress(cloth, _allotted(bench, cloth, choices, recipe), recipe.distil_steps)
    ways = forms(net, cloth.calibration, recipe.precision)
    made, verdict = _best(bench, [artefact(form, mask, bench.data.validation.x) for form in ways])
    return bench.tried(recipe.name, made, verdict)


def _best(bench: Bench, made: Sequence[Artefact]) -> tuple[Artefact, Verdict]:
    """Of those not rejected, if there are any, and about as small as the smallest payload, the fastest one.

    Of several that are about as fast, the smallest file: luck in measuring is no reason.
    """
    judged = [(one, bench.judge(one)) for one in made]
    passed = [(one, verdict) for one, verdict in judged if verdict.verdict != REJECTED] or judged
    smallest = min(len(one.payload) for one, _ in passed)
    small = [(one, verdict) for one, verdict in passed if len(one.payload) <= _AS_SMALL * smallest]
    took_us = bench.latencies_us([one for one, _ in small]) if len(small) > 1 else (0.0,)
    fast = [pair for pair, us in zip(small, took_us, strict=True) if us <= _AS_FAST * min(took_us)]
    return min(fast, key=lambda pair: len(pair[0].model))
