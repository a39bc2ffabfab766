"""Nets with what ties channels together: residual adds, depthwise convolutions, concatenations, attention."""

import numpy as np

from fedtailor.protos.net import (
    Activation,
    Add,
    Affine,
    Attention,
    AveragePool,
    ChannelsFirst,
    ChannelsLast,
    Concat,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    LayerNorm,
    Linear,
    MaxPool,
    Net,
    Positions,
)


def convolution(rng, name, inputs, outputs, kernel=3, *, groups=1, stride=1):
    weight = _normal(rng, outputs, inputs // groups, kernel, kernel) / np.float32(kernel * inputs**0.5)
    sides = ((kernel // 2, kernel // 2),) * 2
    return Conv(name, weight, _normal(rng, outputs), (stride, stride), sides, (1, 1), groups)


def linear(rng, name, inputs, outputs):
    return Linear(name, _normal(rng, outputs, inputs) / np.float32(inputs**0.5), _normal(rng, outputs))


def residual(rng):
    """A stem, two blocks that add to it, the second one through a strided 1×1 convolution."""
    layers = (
        ChannelsFirst("first"),
        convolution(rng, "stem", 2, 6),
        convolution(rng, "one.in", 6, 5),
        Activation("one.relu", "relu"),
        convolution(rng, "one.out", 5, 6),
        Add("one.add"),
        convolution(rng, "two.in", 6, 4, stride=2),
        Activation("two.relu", "relu"),
        convolution(rng, "two.out", 4, 8),
        convolution(rng, "two.short", 6, 8, 1, stride=2),
        Add("two.add"),
        GlobalAveragePool("average"),
        linear(rng, "head", 8, 3),
    )
    wires = ((0,), (1,), (2,), (3,), (4,), (2, 5), (6,), (7,), (8,), (6,), (9, 10), (11,), (12,))
    return Net((8, 8, 2), False, layers, wires)


def mobile(rng):
    """A depthwise convolution with two outputs a channel between two pointwise ones, then flattened."""
    layers = (
        ChannelsFirst("first"),
        convolution(rng, "wide", 3, 6, 1),
        Activation("wide.act", "hardswish"),
        convolution(rng, "deep", 6, 12, groups=6, stride=2),
        MaxPool("pool", (2, 2), (1, 1)),
        convolution(rng, "thin", 12, 5, 1),
        ChannelsLast("last"),
        Affine("rescale", np.abs(_normal(rng, 5)), _normal(rng, 5)),
        Flatten("flat"),
        linear(rng, "head", 45, 3),
    )
    return Net((8, 8, 3), False, layers)


def branches(rng):
    """Three branches side by side, one of them the input itself, added to a convolution of as many channels."""
    layers = (
        ChannelsFirst("first"),
        convolution(rng, "point", 2, 3, 1),
        convolution(rng, "wide", 2, 4),
        Concat("side", 0),
        convolution(rng, "all", 2, 9),
        Add("add"),
        AveragePool("pool", (2, 2), (2, 2)),
        convolution(rng, "mixed", 9, 4, groups=1),
        GlobalAveragePool("average"),
        linear(rng, "head", 4, 3),
    )
    wires = ((0,), (1,), (1,), (1, 2, 3), (1,), (4, 5), (6,), (7,), (8,), (9,))
    return Net((6, 6, 2), False, layers, wires)


def transformer(rng, *, normed=True):
    """A causal block: attention of two heads and a hidden layer, each added to the stream."""
    norm = (lambda name: LayerNorm(name, _normal(rng, 6), _normal(rng, 6), 1e-5)) if normed else _passed
    layers = (
        Embedding("embed", _normal(rng, 11, 6)),
        Positions("positions", _normal(rng, 7, 6)),
        norm("norm"),
        linear(rng, "q", 6, 8),
        linear(rng, "k", 6, 8),
        linear(rng, "v", 6, 8),
        Attention("attention", 4, causal=True),
        linear(rng, "out", 8, 6),
        Add("attended"),
        linear(rng, "up", 6, 10),
        Activation("gelu", "gelu"),
        linear(rng, "down", 10, 6),
        Add("added"),
        linear(rng, "head", 6, 11),
    )
    wires = ((0,), (1,), (2,), (3,), (3,), (3,), (4, 5, 6), (7,), (2, 8), (9,), (10,), (11,), (9, 12), (13,))
    return Net((7,), True, layers, wires)


BLOCKS = {"residual": residual, "mobile": mobile, "branches": branches, "transformer": transformer}


def _passed(name):
    return Activation(name, "tanh")


def _normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)
