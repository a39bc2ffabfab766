"""Every built-in model with all the exits it can have."""

from dataclasses import replace

import numpy as np
import torch
from small_nets import SPECS

from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.model import build, load_state, model_named

RESNET = ModelSpec(
    name="resnet",
    version=1,
    kind=CLASSIFICATION,
    input_shape=(8, 8, 1),
    outputs=4,
    feature_means=(0.0,),
    feature_scales=(1.0,),
)
TRANSFORMER = ModelSpec(name="transformer", version=1, kind=NEXT_TOKEN, input_shape=(12,), outputs=9)


def with_all_exits(spec):
    return replace(spec, exits=tuple(model_named(spec.name).exits(spec)))


EXITED = {name: with_all_exits(spec) for name, spec in (SPECS | {"resnet": RESNET, "transformer": TRANSFORMER}).items()}
SMALL = {name: spec for name, spec in EXITED.items() if name != "resnet"}


def rows_of(spec, count=4, seed=0):
    """Samples as a fleet file stores them."""
    rng = np.random.default_rng(seed)
    if spec.kind == NEXT_TOKEN:
        return torch.from_numpy(rng.integers(0, spec.outputs, (count, *spec.input_shape)))
    return torch.from_numpy(rng.normal(size=(count, *spec.input_shape)).astype(np.float32))


def module_of(spec, state):
    module = build(spec)
    load_state(module, state)
    return module.eval()
