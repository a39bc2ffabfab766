"""What each output value of a layer is computed from."""

import torch
from torch import Tensor

from fedtailor.protos.net import Conv, Linear


def input_windows(layer: Conv | Linear, x: Tensor) -> Tensor:
    """A view of the layer's inputs, padded: [N, *positions, in, *kernel], or [N, *positions, in] where it is linear."""
    if isinstance(layer, Linear):
        return x
    x = torch.nn.functional.pad(x, [side for pair in reversed(layer.padding) for side in pair])
    for axis, (size, step, dilation) in enumerate(
        zip(layer.weight.shape[2:], layer.stride, layer.dilation, strict=True)
    ):
        x = x.unfold(2 + axis, (size - 1) * dilation + 1, step)[..., ::dilation]
    return x.movedim(1, 1 + len(layer.stride))
