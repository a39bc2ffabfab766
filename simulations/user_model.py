"""A model of the user's own: a function named on the command line, and weights from a file."""

import importlib
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.model import MODELS, Model, register

PREFIX = "user"  # of its parameters, inside the module that standardises its input


def known_model(name: str) -> str:
    """The name of a registered model: a built-in's, or `module:function`, which is imported and registered.

    The function takes a `ModelSpec` and gives a `torch.nn.Module` from [N, *input_shape], as stored in a fleet file,
    to [N, outputs], or [N, T, outputs] for next-token. The working folder is searched first, as `python -m` does.

    Raises:
        ConfigError: there is no such model, module or function.
    """
    if name in MODELS:
        return name
    module, colon, function = name.partition(":")
    if not colon:
        raise ConfigError(f"model: expected one of {', '.join(sorted(MODELS))}, or module:function, got {name!r}")
    made = _imported(module, function)
    return register(
        Model(
            name=name,
            version=1,
            suits=lambda _kind, _shape: True,
            layers=lambda spec: OrderedDict({PREFIX: _module(made, spec)}),
        )
    ).name


def _imported(module: str, function: str) -> Callable[[ModelSpec], object]:
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # a module of the user's raises whatever it meets
        raise ConfigError(
            f"model {module}:{function}: expected a function that can be imported, got {_said(error)}"
        ) from error
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise ConfigError(f"model {module}:{function}: expected a function, got a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _module(function: Callable[[ModelSpec], object], spec: ModelSpec) -> nn.Module:
    try:
        made = function(spec)
    except Exception as error:
        raise ConfigError(f"model {spec.name}: expected a module from it, got {_said(error)}") from error
    if not isinstance(made, nn.Module):
        raise ConfigError(f"model {spec.name}: expected a torch.nn.Module from it, got a {type(made).__name__}")
    return made


def user_part(module: nn.Module) -> nn.Module | None:
    """Of a module that was built for a spec, the user's own, as the function made it; None of a built-in model."""
    return getattr(module, PREFIX, None)


def check_answers(module: nn.Module, spec: ModelSpec) -> None:
    """Whether it takes this data and answers what the task needs; the module is left in eval mode.

    Raises:
        ConfigError: it does not; the line says what it was given and what it gave.
    """
    tokens = spec.kind == NEXT_TOKEN
    rows = torch.zeros(2, *spec.input_shape, dtype=torch.int64 if tokens else torch.float32)
    wanted = (2, *(spec.input_shape if tokens else ()), spec.outputs)
    given = f"model {spec.name}: expected answers of shape {list(wanted)} to rows of shape {list(rows.shape)}"
    try:
        with torch.no_grad():
            answers = module.eval()(rows)
    except Exception as error:
        raise ConfigError(f"{given}, got {_said(error)}") from error
    got = list(answers.shape) if isinstance(answers, torch.Tensor) else type(answers).__name__
    if got != list(wanted):
        raise ConfigError(f"{given}, got {got}")


def _said(error: Exception) -> str:
    """The class of an error and what it says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module from a state dict: `.npz` with an array a name, or what `torch.save` wrote.

    Pickled code is never run.

    Raises:
        ConfigError: the file cannot be read, or its names and shapes are not the module's.
    """
    try:
        arrays = _arrays(path)
    except OSError as error:
        raise ConfigError(f"weights: {path}: expected a file, got: {error.strerror or error}") from None
    except Exception as error:  # of files that hold something else numpy and torch say it in many ways
        raise ConfigError(
            f"weights: {path}: expected arrays in a .npz file, or what torch.save wrote, got {_said(error)}"
        ) from None
    try:
        module.load_state_dict(arrays)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ConfigError(f"weights: {path}: expected a state dict of this model, got {_said(error)}") from None


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".npz":
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # numpy leaves a bad one open
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    loaded: dict[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return loaded
