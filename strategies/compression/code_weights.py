"""Weights as integers on a bfloat16 scale per row, layer after layer, each making up for what was rounded before it.

Sources: Frantar et al. 2022, GPTQ, arXiv:2210.17323 (as in `gptq.py`); Li et al. 2025, GPTAQ, arXiv:2504.02692 (inputs
from the coded net, answers from the dense one, as in `restore.py`); Nagel et al. 2019, arXiv:1906.04721, section 4.2
(what rounding adds to the mean answer is taken from the bias), here measured on the calibration rows.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Layer, Linear, Net
from fedtailor.protos.schema import Doubles
from fedtailor.strategies.compression.allotment import FP32_BITS, Coding
from fedtailor.strategies.compression.restore import Moments, mean_moments, moments, restored
from fedtailor.strategies.compression.round_rows import nearest_rows, round_rows
from fedtailor.strategies.compression.spread import spread_places, spread_rows
from fedtailor.strategies.graph.macs import macs
from fedtailor.strategies.graph.realise import Part
from fedtailor.strategies.graph.windows import input_windows
from fedtailor.strategies.graph.wiring import readers

_FEWEST_ROWS, _MOST_ROWS = 32, 512
_CALIBRATION_MACS = 4 * 10**9
_WINDOWS = 4096  # of a layer's inputs that describe them
_PLAIN = Coding(8)


def code(net: Net, calibration: NDArray[np.generic], coding: Mapping[str, Coding]) -> Net:
    """The net with the weights of the named convolutions and linear layers coded; 32 bits leave a layer as it is.

    Args:
        net: Float weights; its answers are what the coded one is to give.
        calibration: Samples [N, *net.input_shape]; at most 512 are used, evenly spread.

    Raises:
        ValueError: a name is not that of a convolution or linear layer.
        PlanError: there are no samples to calibrate on.
    """
    weighted = {layer.name for layer in net.layers if isinstance(layer, Conv | Linear)}
    if coding.keys() - weighted:
        raise ValueError(f"code: no layer with weights is called {sorted(coding.keys() - weighted)}")
    wanted = {name: each for name, each in coding.items() if each.bits != FP32_BITS}
    if not wanted:
        return net
    if not len(calibration):
        raise PlanError("code: samples to calibrate on are needed, got none; keep float32 weights on this device")
    most = max(_FEWEST_ROWS, min(_CALIBRATION_MACS // max(macs(net), 1), _MOST_ROWS))
    with torch.no_grad():
        return _coded_net(net, torch.from_numpy(spread_rows(calibration, most)), wanted)


def all_coded(net: Net, *, except_for: Collection[str]) -> Net:
    """The net with weights that are not coded rounded to the nearest of 8 bits."""

    def plainly(layer: Layer) -> Layer:
        if not isinstance(layer, Conv | Linear) or layer.scales is not None or layer.name in except_for:
            return layer
        return _with_integers(layer, *nearest_rows(_rows(layer), _PLAIN))

    return replace(net, layers=tuple(map(plainly, net.layers)))


def _coded_net(net: Net, rows: Tensor, wanted: Mapping[str, Coding]) -> Net:
    """Both nets at once, layer after layer; a value is held until its last reader has had it."""
    last_reader = [places[-1] if places else len(net.layers) for places in readers(net)]
    dense, coded = {0: rows}, {0: rows}
    layers: list[Layer] = []
    for place, (layer, read) in enumerate(zip(net.layers, net.wires, strict=True)):
        dense[place + 1] = Part(layer)(*(dense[value] for value in read))
        if isinstance(layer, Conv | Linear) and layer.name in wanted:
            layer = _coded(layer, coded[read[0]], dense[place + 1], wanted[layer.name])  # noqa: PLW2901
        layers.append(layer)
        coded[place + 1] = Part(layer)(*(coded[value] for value in read))
        for value in {value for value in read if last_reader[value] == place}:
            del dense[value], coded[value]
    return replace(net, layers=tuple(layers))


def _coded(layer: Conv | Linear, inputs: Tensor, answers: Tensor, coding: Coding) -> Conv | Linear:
    """The layer coded so that on `inputs` it comes near to `answers`; both of all samples."""
    groups = layer.groups if isinstance(layer, Conv) else 1
    halves = zip(*(_moments(layer, groups, *half) for half in _halves(inputs, answers)), strict=True)
    rounded = []
    for weight, (first, second) in zip(np.split(_rows(layer), groups), halves, strict=True):
        fitted = restored(weight, (first, second))
        rounded.append(round_rows(fitted, coding, mean_moments(first, second).inputs.numpy()))
    integers, scales = (np.concatenate(parts) for parts in zip(*rounded, strict=True))
    coded = _with_integers(layer, integers, scales)
    missing = (answers - Part(coded)(inputs)).movedim(_channel_axis(layer), 0).flatten(1).mean(1)
    return replace(coded, bias=layer.bias + missing.numpy())


def _halves(inputs: Tensor, answers: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The first and the last samples; a single sample is both."""
    size = max(len(inputs) // 2, 1)
    return (inputs[:size], answers[:size]), (inputs[-size:], answers[-size:])


def _moments(layer: Conv | Linear, groups: int, inputs: Tensor, answers: Tensor) -> list[Moments]:
    """For each group of channels."""
    windows, answers = input_windows(layer, inputs), answers.movedim(_channel_axis(layer), -1)
    places = spread_places(tuple(answers.shape[:-1]), _WINDOWS // 2)
    seen, wanted = (picked.flatten(1).unflatten(1, (groups, -1)) for picked in (windows[places], answers[places]))
    return [moments(seen[:, group], wanted[:, group]) for group in range(groups)]


def _channel_axis(layer: Conv | Linear) -> int:
    return 1 if isinstance(layer, Conv) else -1


def _rows(layer: Conv | Linear) -> Doubles:
    return layer.weight.reshape(len(layer.weight), -1).astype(np.float64)


def _with_integers(layer: Conv | Linear, integers: Doubles, scales: Doubles) -> Conv | Linear:
    weight = (integers * scales[:, None]).astype(np.float32).reshape(layer.weight.shape)
    return replace(layer, weight=weight, scales=scales.astype(np.float32))
