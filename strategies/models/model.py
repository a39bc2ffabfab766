"""Built-in models: a registry of builders, and the choice by shape and kind.

To add a model: one file with a `Model`, registered at import, named in `models/__init__.py`.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import NEXT_TOKEN, REGRESSION, ModelSpec
from fedtailor.protos.schema import State
from fedtailor.strategies.models.exits import WithExits
from fedtailor.strategies.models.modules import Rescale, Residual, Standardise

Layers = OrderedDict[str, nn.Module]


def no_exits(_: ModelSpec) -> Layers:
    """Of a model that can only be trained as a whole."""
    return OrderedDict()


@dataclass(frozen=True, kw_only=True)
class Model:
    """A named way to build layers for a spec; `head` names the layers a device may keep to itself.

    `exits` builds the heads that can hang off its layers, by the layer, in order.
    """

    name: str
    version: int
    suits: Callable[[str, tuple[int, ...]], bool]
    layers: Callable[[ModelSpec], Layers]
    head: tuple[str, ...] = ("head",)
    exits: Callable[[ModelSpec], Layers] = no_exits


MODELS: dict[str, Model] = {}


def register(model: Model) -> Model:
    """Make a model known by its name."""
    MODELS[model.name] = model
    return model


def model_named(name: str, version: int | None = None) -> Model:
    """The registered model.

    Raises:
        PlanError: no such name, or another version of it.
    """
    model = MODELS.get(name)
    if model is None:
        raise PlanError(f"model {name!r} is not known here; known: {', '.join(sorted(MODELS))}")
    if version is not None and version != model.version:
        raise PlanError(
            f"model {name!r} is version {model.version} here, the plan asks for {version}; update the older side"
        )
    return model


def choose_model(kind: str, sample_shape: tuple[int, ...]) -> Model:
    """The first registered model that suits this kind of task and shape of sample.

    Raises:
        PlanError: none does.
    """
    for model in MODELS.values():
        if model.suits(kind, sample_shape):
            return model
    raise PlanError(
        f"no built-in model takes samples of shape {list(sample_shape)} for {kind}; choose one with --model"
    )


def build(spec: ModelSpec) -> nn.Sequential:
    """The torch module of a spec: [N, *input_shape] to [N, outputs], or [N, T, outputs] for next-token.

    The input is standardised and a regression's output rescaled inside, so what is exported takes samples as stored.
    Exits are part of the module and of its numbers, not of what it computes.

    Raises:
        PlanError: the model is not known, or has no such exit.
    """
    layers = model_named(spec.name, spec.version).layers(spec)
    if spec.kind != NEXT_TOKEN:
        layers["standardise"] = Standardise(spec.feature_means, spec.feature_scales)
        layers.move_to_end("standardise", last=False)
    if spec.kind == REGRESSION:
        layers["rescale"] = Rescale(spec.target_scale, spec.target_mean)
    return WithExits(layers, _exits(spec)) if spec.exits else nn.Sequential(layers)


def initial_state(spec: ModelSpec, seed: int) -> State:
    """Freshly initialised parameters; equal seeds give equal bits on one platform.

    Hidden layers follow He et al. 2015, arXiv:1502.01852, section 2.2: without normalisation layers, torch's own
    smaller default shrinks activations from layer to layer, and a short federation does not catch up. Residual branches
    start at zero (`Residual`). Exits start as torch makes them, and change nothing of the rest.
    """
    head = model_named(spec.name, spec.version).head
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(replace(spec, exits=()))
        for name, part in module.named_children():
            if name not in head:
                _initialise(part)
        state = read_state(module)
        return state | {name: value for name, value in read_state(build(spec)).items() if name not in state}


def _exits(spec: ModelSpec) -> Layers:
    known = model_named(spec.name, spec.version).exits(spec)
    missing = sorted(set(spec.exits) - set(known))
    if missing:
        raise PlanError(
            f"model {spec.name!r} has no exit after {', '.join(missing)}; it has {', '.join(known) or 'none'}"
        )
    return OrderedDict((name, head) for name, head in known.items() if name in spec.exits)


def _initialise(part: nn.Module) -> None:
    """A layer, or all of a residual block; a module of another kind keeps the numbers it was made with."""
    inside = part.modules() if isinstance(part, Residual) else (part,)
    weighted = [layer for layer in inside if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    for layer in weighted:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if isinstance(part, Residual):
        nn.init.zeros_(weighted[-1].weight)


def head_of(spec: ModelSpec) -> tuple[str, ...]:
    """The parameters of the layers that a device may keep to itself."""
    layers = model_named(spec.name, spec.version).head
    return tuple(name for name, _ in build(spec).named_parameters() if name.split(".")[0] in layers)


def read_state(module: nn.Module) -> State:
    """A copy of the module's parameters as float32 arrays, in the module's order."""
    return {name: value.detach().numpy().astype(np.float32, copy=True) for name, value in module.named_parameters()}


def load_state(module: nn.Module, state: Mapping[str, np.ndarray]) -> None:
    """Write a state into the module's parameters.

    Raises:
        PlanError: a name or shape differs.
    """
    parameters = dict(module.named_parameters())
    want = {name: tuple(value.shape) for name, value in parameters.items()}
    got = {name: tuple(value.shape) for name, value in state.items()}
    if want != got:
        wrong = next(iter(sorted(set(want.items()) ^ set(got.items()))))[0]
        raise PlanError(f"layer {wrong!r}: the model has shape {want.get(wrong)}, the state {got.get(wrong)}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(state[name])))
