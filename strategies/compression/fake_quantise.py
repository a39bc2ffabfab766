"""Weights written as integers on a scale per row, as a network in training sees them.

Source: Esser et al. 2020, LSQ, arXiv:1902.08153, section 2.1: rounding lets gradients straight through, and a scale
learns from what it rounds. Different here: weights up to half a step outside the range of the integers still learn,
because many start at its ends and would stay outside for good after one step; a scale learns as a power of e, so that
one learning rate suits all, and is a bfloat16 value in every forward pass, as it is stored.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Layer, Linear, Net
from fedtailor.strategies.compression.allotment import FP32_BITS, Coding
from fedtailor.strategies.graph.realise import Realised, realise, trace_back

_SMALLEST = 1e-30  # a row of zeros may have scale 0


class FakeQuantised(nn.Module):
    """From the weight [out, ...] that is trained to integers · scales, which start as `weight` and `scales` [out].

    Where the coding's density is below 1, zeros stay zeros.
    """

    def __init__(self, weight: Tensor, scales: Tensor, coding: Coding) -> None:
        super().__init__()
        self._coding = coding
        self._start = scales.reshape(-1, *[1] * (weight.ndim - 1))
        self._kept = (weight != 0).float() if coding.density < 1 else torch.ones(())
        self.growth = nn.Parameter(torch.zeros_like(self._start))

    def scales(self) -> Tensor:
        """[out, 1, ...], bfloat16 values in float32."""
        scales = self._start * self.growth.exp()
        return _straight(scales.bfloat16().float(), scales)

    def forward(self, weight: Tensor) -> Tensor:
        scales, top = self.scales(), self._coding.top
        steps = weight / scales.clamp_min(_SMALLEST)
        integers = torch.where(steps < 0, -1.0, 1.0) if self._coding.bits == 1 else steps.clamp(-top, top).round()
        return _straight(integers, steps.clamp(-top - 0.5, top + 0.5)) * self._kept * scales


def realise_coded(net: Net, coding: Mapping[str, Coding]) -> Realised:
    """The module that computes `net`, in which the named layers keep to their coding whatever they learn.

    Raises:
        PlanError: a named layer is not coded yet.
    """
    module = realise(net)
    for part, layer in zip(module.parts, net.layers, strict=True):
        if coding.get(layer.name, Coding(FP32_BITS)).bits < FP32_BITS:
            scales = layer.scales if isinstance(layer, Conv | Linear) else None
            if scales is None:
                raise PlanError(
                    f"layer {layer.name!r} has no scales to learn from; write its weights as integers first"
                )
            quantised = FakeQuantised(
                part.get_parameter("weight").detach(), torch.from_numpy(scales), coding[layer.name]
            )
            parametrize.register_parametrization(part, "weight", quantised)
    return module


def trace_back_coded(module: Realised, net: Net) -> Net:
    """`net` with the numbers that the module holds now; what keeps to a coding has its scales too."""
    plain = trace_back(module, net)
    return replace(plain, layers=tuple(map(_with_scales, module.parts, plain.layers)))


def _with_scales(part: nn.Module, layer: Layer) -> Layer:
    if not isinstance(layer, Conv | Linear) or not parametrize.is_parametrized(part, "weight"):
        return layer
    quantised = next(each for each in part.modules() if isinstance(each, FakeQuantised))
    return replace(layer, scales=quantised.scales().detach().flatten().numpy())


def _straight(value: Tensor, learns: Tensor) -> Tensor:
    """Exactly `value`, with the gradient of `learns`."""
    return value.detach() + (learns - learns.detach())
