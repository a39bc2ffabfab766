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


class Residual(nn.Module):
    """x + branch(x). The branch's last layer starts at zero, so a deep stack starts as the identity.

    Source: Zhang et al. 2019, arXiv:1901.09321 (Fixup), rule 1: what makes residual blocks train without norm layers.
    """

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.branch(x)
        return x + changed


class CausalAttention(nn.Module):
    """Self-attention [N, T, width] in which a position sees itself and what is before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries, self.keys, self.values = (nn.Linear(width, width) for _ in range(3))
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (self._heads(part(x)) for part in (self.queries, self.keys, self.values))
        seen = nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        mixed: Tensor = self.mix(seen.transpose(1, 2).flatten(2))
        return mixed

    def _heads(self, x: Tensor) -> Tensor:
        heads: Tensor = x.unflatten(-1, (self.heads, -1))
        return heads.transpose(1, 2)


class Positions(nn.Module):
    """Adds a learned table [T, width] to [N, T, width]."""

    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(steps, width) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


class CausalConv1d(nn.Conv1d):
    """A convolution that sees only the past: padded on the left by (kernel − 1) · dilation."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        left = (self.kernel_size[0] - 1) * self.dilation[0]
        return super().forward(nn.functional.pad(input, (left, 0)))
