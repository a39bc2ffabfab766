"""A function of u8 as its 256 answers, and whether float32 arithmetic of any runtime would give the same ones."""

from dataclasses import replace

import numpy as np
import torch

from fedtailor.protos.net import Function
from fedtailor.protos.quantised_net import Grid, UInt8s
from fedtailor.protos.schema import Doubles
from fedtailor.strategies.graph.compute import FUNCTIONS

_NEAR_A_TIE = 2e-3  # steps; ONNX Runtime was seen to be off by at most 8e-4 (silu), the others by 1.4e-4
_MOST_WIDENINGS = 100


def lookup(function: Function, given: Grid, output: Grid) -> UInt8s:
    """The answer on `output` for each of the 256 values on `given`: round half to even, saturate."""
    return np.clip(np.rint(_in_steps(function, given, output)), 0, 255).astype(np.uint8)


def is_steady(function: Function, given: Grid, output: Grid) -> bool:
    """Whether no answer lies so near the middle of two steps that float32 could round it to the other one."""
    steps = _in_steps(function, given, output)
    inside = steps[(steps > -1) & (steps < 256)]
    return bool((np.abs(inside - np.floor(inside) - 0.5) > _NEAR_A_TIE).all())


def steady_grid(function: Function, given: Grid, output: Grid) -> Grid:
    """`output`, its scale widened by as many thousandths as make it steady; as it is if a tenth does not."""
    for widening in range(_MOST_WIDENINGS):
        grid = replace(output, scale=float(np.float32(output.scale * (1 + widening * 1e-3))))
        if is_steady(function, given, grid):
            return grid
    return output


def _in_steps(function: Function, given: Grid, output: Grid) -> Doubles:
    """The 256 real answers in units of the output's steps, from its first one."""
    reals = (torch.arange(256, dtype=torch.float64) - given.zero_point) * given.scale
    answers: Doubles = FUNCTIONS[function](reals).numpy()
    return answers / output.scale + output.zero_point
