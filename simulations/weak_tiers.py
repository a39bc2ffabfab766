"""A fleet in two tiers: weak devices, which can train half of the model's depth at most, and strong ones.

Weak devices hold what strong ones lack, else to leave them out would cost little: half of the classes are drawn, and
the half of the devices with the largest share of rows in them is weak. For a regression it is the targets above the
median, or those below; of tokens, which have no such halves, each device has a number drawn for it.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import CLASSIFICATION, REGRESSION, ModelSpec
from fedtailor.protos.plan import Footprint, Submodel
from fedtailor.protos.samples import DeviceData
from fedtailor.strategies.models.model import build, model_named
from fedtailor.strategies.submodel.choose import DEPTH, SHARES, WIDTH
from fedtailor.strategies.submodel.depth import depth_part
from fedtailor.strategies.submodel.width import width_part
from fedtailor.strategies.train_memory import step_bytes


def weak_devices(devices: Mapping[str, DeviceData], seed: int) -> frozenset[str]:
    """Half of the devices that have rows to train on, rounded down."""
    able = sorted(name for name, data in devices.items() if len(data.train))
    shares = _shares({name: devices[name] for name in able}, np.random.default_rng((seed, len(able))))
    return frozenset(sorted(able, key=lambda name: -shares[name])[: len(able) // 2])


def half_depth(spec: ModelSpec) -> Submodel:
    """The submodel whose exit has nearest to half of the layers with parameters below it; the deeper one of two.

    Raises:
        PlanError: the model has no exits.
    """
    exits = tuple(model_named(spec.name, spec.version).exits(spec))
    if not exits:
        raise PlanError(f"model {spec.name!r} has no exit to stop at: of its depth no half can be trained")
    names, deep = [], {}
    for name, layer in build(spec).named_children():
        names += [name] if any(True for _ in layer.parameters()) else []
        deep[name] = len(names)
    return Submodel(kind=DEPTH, exit=min(reversed(exits), key=lambda name: abs(deep[name] - len(names) / 2)))


def as_wide(spec: ModelSpec, depth: Submodel) -> Submodel:
    """The widest submodel by width that takes no more memory, row by row, to train than this one by depth."""
    row = Footprint(micro_batch=1)
    limit = step_bytes(depth_part(exited(spec, depth), depth.exit).layout, 2, row, moments=1)
    takes = {share: step_bytes(width_part(spec, share, 0).layout, 2, row, moments=1) for share in SHARES}
    return Submodel(kind=WIDTH, share=next((share for share in SHARES if takes[share] <= limit), SHARES[-1]))


def exited(spec: ModelSpec, submodel: Submodel) -> ModelSpec:
    """The model of a fleet whose weak devices train this submodel."""
    return replace(spec, exits=(submodel.exit,) if submodel.kind == DEPTH else ())


def _shares(devices: Mapping[str, DeviceData], rng: np.random.Generator) -> dict[str, float]:
    """Of each device's train rows, the share that lies in the drawn half; where there are no halves, a drawn number."""
    first = next(iter(devices.values()))
    if first.kind == CLASSIFICATION:
        half = rng.permutation(first.outputs)[: first.outputs // 2]
        return {name: float(np.isin(data.train.y, half).mean()) for name, data in devices.items()}
    if first.kind == REGRESSION:
        side, middle = rng.choice([-1, 1]), np.median(np.concatenate([data.train.y for data in devices.values()]))
        return {name: float((side * data.train.y > side * middle).mean()) for name, data in devices.items()}
    return {name: float(rng.random()) for name in devices}
