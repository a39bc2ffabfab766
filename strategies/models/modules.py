"""The few torch modules that built-in models need beside torch's own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """(x − mean) / scale along the last axis; constants of the model, not parameters."""

    scale: Tensor
    shift: Tensor

    def __init__(self, means: Sequence[float], scales: Sequence[float]) -> None:
        super().__init__()
        inverse = 1.0 / torch.tensor(scales, dtype=torch.float32)
        self.register_buffer("scale", inverse, persistent=False)
        self.register_buffer("shift", -torch.tensor(means, dtype=torch.float32) * inverse, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class Rescale(nn.Module):
    """x · scale + shift: a regression's raw output to the unit of its target."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([scale], dtype=torch.float32), persistent=False)
        self.register_buffer("shift", torch.tensor([shift], dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class ChannelsFirst(nn.Module):
    """[N, *spatial, C] to [N, C, *spatial]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(-1, 1)


class ChannelsLast(nn.Module):
    """[N, C, *spatial] to [N, *spatial, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1)


class GlobalAveragePool(nn.Module):
    """[N, C, *spatial] to [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(dim=2)


class CausalConv1d(nn.Conv1d):
    """A convolution that sees only the past: padded on the left by (kernel − 1) · dilation."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        left = (self.kernel_size[0] - 1) * self.dilation[0]
        return super().forward(nn.functional.pad(input, (left, 0)))
