"""Nets to test tailoring with: every built-in model, small graphs, thinned nets, random ones for hypothesis."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis.strategies import booleans, composite, integers, lists, sampled_from
from small_modules import MODULES, small_module

from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION, ModelSpec
from fedtailor.protos.net import (
    Activation,
    Add,
    AveragePool,
    ChannelsFirst,
    Concat,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Net,
)
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build, initial_state, load_state


def _standardised(name, kind, shape, outputs, **target):
    means = tuple(0.1 * np.arange(shape[-1]))
    return ModelSpec(
        name=name,
        version=1,
        kind=kind,
        input_shape=shape,
        outputs=outputs,
        feature_means=means,
        feature_scales=(1.5,) * shape[-1],
        **target,
    )


SPECS = {
    "mlp": _standardised("mlp", CLASSIFICATION, (11,), 4),
    "conv1d": _standardised("conv1d", CLASSIFICATION, (40, 6), 7),
    "conv1d regression": _standardised("conv1d", REGRESSION, (30, 5), 1, target_mean=75.0, target_scale=40.0),
    "conv2d": _standardised("conv2d", CLASSIFICATION, (14, 14, 1), 10),
    "conv2d strided": _standardised("conv2d", CLASSIFICATION, (32, 32, 3), 5),
    "next-token": ModelSpec(name="causal-conv", version=1, kind=NEXT_TOKEN, input_shape=(24,), outputs=30),
}


def built_in(name, seed=0):
    """The torch module of a built-in model and its net."""
    module = build(SPECS[name])
    load_state(module, initial_state(SPECS[name], seed))
    return module.eval(), trace(module, SPECS[name])


def graph(name, seed=0):
    """The net of a small torch module of `small_modules.MODULES`: residuals, depthwise, concatenation, attention."""
    return trace(*small_module(name, seed))


GRAPHS = tuple(MODULES)


def traced_alike(module, spec):
    """The net of a module, after a check that it computes the same."""
    net = trace(module, spec)
    x = torch.from_numpy(rows_for(net, 5))
    with torch.no_grad():
        torch.testing.assert_close(realise(net)(x), module.eval()(x), rtol=1e-5, atol=1e-5)
    return net


def rows_for(net, count, seed=0):
    """Samples as a fleet file stores them."""
    rng = np.random.default_rng(seed)
    if net.tokens:
        symbols = next(len(layer.table) for layer in net.layers if isinstance(layer, Embedding))
        return rng.integers(0, symbols, (count, *net.input_shape))
    return rng.normal(size=(count, *net.input_shape)).astype(np.float32)


def thinned(net, keep_fraction):
    """A chain with the last channels of every convolution and hidden linear layer cut off."""
    weighted = [layer for layer in net.layers if isinstance(layer, Conv | Linear)]
    layers, inputs = [], None
    for layer in net.layers:
        if isinstance(layer, Conv | Linear):
            outputs = len(layer.bias) if layer is weighted[-1] else round(len(layer.bias) * keep_fraction)
            cut = replace(layer, weight=layer.weight[:outputs, :inputs].copy(), bias=layer.bias[:outputs].copy())
            layers.append(cut)
            inputs = outputs
        else:
            layers.append(layer)
    return replace(net, layers=tuple(layers))


@composite
def chains(draw):
    """Convolutions of odd shapes over series or pictures, with pools, and a linear layer on top."""
    rng, net = _started(draw)
    for at in range(draw(integers(1, 3))):
        net = _grown(net, _conv(draw, rng, f"conv{at}", layer_shapes(net)[-1]))
        net = _grown(net, Activation(f"relu{at}", "relu")) if draw(booleans()) else net
        net = _pooled(draw, net, f"pool{at}") if draw(booleans()) else net
    return _topped(draw, rng, net)


@composite
def graphs(draw):
    """Residual adds, concatenations and depthwise convolutions in a random order, and a linear layer on top."""
    rng, net = _started(draw)
    net = _grown(net, _conv(draw, rng, "stem", layer_shapes(net)[-1]))
    for at in range(draw(integers(1, 4))):
        block = draw(sampled_from([_residual, _projected, _side_by_side, _depthwise, _pooled_block]))
        net = block(draw, rng, net, f"block{at}")
        function = draw(sampled_from(["relu", "relu6", "gelu", "hardswish", None]))
        net = _grown(net, Activation(f"act{at}", function)) if function else net
    return _topped(draw, rng, net)


def _started(draw):
    rng = np.random.default_rng(draw(integers(0, 2**32 - 1)))
    rank, channels, size = draw(integers(1, 2)), draw(integers(1, 9)), draw(integers(8, 14))
    return rng, Net((*[size] * rank, channels), False, (ChannelsFirst("first"),))


def _topped(draw, rng, net):
    net = _grown(net, draw(sampled_from([GlobalAveragePool("average"), Flatten("flat")])))
    (width,), outputs = layer_shapes(net)[-1], draw(integers(1, 5))
    return _grown(net, Linear("head", _normal(rng, outputs, width), _normal(rng, outputs)))


def _grown(net, layer, *reads):
    """The net with one more layer, which reads the last value where nothing else is said."""
    return replace(net, layers=(*net.layers, layer), wires=(*net.wires, reads or (len(net.layers),)))


def _pooled(draw, net, name):
    """With a pool on top, or as it is where the picture has become too small."""
    sizes = layer_shapes(net)[-1][1:]
    if min(sizes) < 2:
        return net
    kind = draw(sampled_from([MaxPool, AveragePool]))
    return _grown(net, kind(name, (2,) * len(sizes), (draw(integers(1, 2)),) * len(sizes)))


def _pooled_block(draw, rng, net, name):
    return _pooled(draw, net, f"{name}.pool")


def _residual(draw, rng, net, name):
    """value + convolution(convolution(value)), every size kept."""
    start, shape = len(net.layers), layer_shapes(net)[-1]
    hidden = draw(integers(1, 9))
    net = _grown(net, _same(rng, f"{name}.in", shape[0], hidden, len(shape) - 1))
    net = _grown(net, Activation(f"{name}.relu", "relu"))
    net = _grown(net, _same(rng, f"{name}.out", hidden, shape[0], len(shape) - 1))
    return _grown(net, Add(f"{name}.add"), start, len(net.layers))


def _projected(draw, rng, net, name):
    """The sum of two convolutions of one value, both with another number of channels."""
    start, shape = len(net.layers), layer_shapes(net)[-1]
    outputs = draw(integers(1, 9))
    net = _grown(net, _same(rng, f"{name}.one", shape[0], outputs, len(shape) - 1))
    net = _grown(net, _same(rng, f"{name}.two", shape[0], outputs, len(shape) - 1), start)
    return _grown(net, Add(f"{name}.add"), len(net.layers) - 1, len(net.layers))


def _side_by_side(draw, rng, net, name):
    """A convolution beside what it read, or beside another convolution of it."""
    start, shape = len(net.layers), layer_shapes(net)[-1]
    net = _grown(net, _same(rng, f"{name}.one", shape[0], draw(integers(1, 5)), len(shape) - 1))
    if draw(booleans()):
        return _grown(net, Concat(f"{name}.concat", 0), start, len(net.layers))
    net = _grown(net, _same(rng, f"{name}.two", shape[0], draw(integers(1, 5)), len(shape) - 1), start)
    return _grown(net, Concat(f"{name}.concat", 0), len(net.layers), len(net.layers) - 1)


def _depthwise(draw, rng, net, name):
    """A depthwise convolution, an activation and a pointwise one."""
    channels, *sizes = layer_shapes(net)[-1]
    net = _grown(net, _same(rng, f"{name}.deep", channels, channels, len(sizes), groups=channels))
    net = _grown(net, Activation(f"{name}.relu", "relu"))
    outputs = draw(integers(1, 9))
    point = _same(rng, f"{name}.point", channels, outputs, len(sizes), kernel=1)
    return _grown(net, point)


def _same(rng, name, inputs, outputs, rank, *, kernel=3, groups=1):
    """A convolution that keeps the picture's size."""
    weight = _normal(rng, outputs, inputs // groups, *[kernel] * rank) / np.float32(kernel * inputs) ** 0.5
    padding = ((kernel // 2, kernel // 2),) * rank
    return Conv(name, weight, _normal(rng, outputs), (1,) * rank, padding, (1,) * rank, groups)


def _conv(draw, rng, name, shape):
    channels, *sizes = shape
    groups = draw(sampled_from([1, channels]))
    outputs = groups * draw(integers(1, 3)) if groups > 1 else draw(integers(1, 17))
    kernel = draw(lists(integers(1, 5), min_size=len(sizes), max_size=len(sizes)))
    dilation = draw(integers(1, 2))
    reach = [(width - 1) * dilation for width in kernel]
    causal = len(sizes) == 1 and draw(booleans())
    return Conv(
        name,
        _normal(rng, outputs, channels // groups, *kernel),
        _normal(rng, outputs),
        stride=tuple(draw(integers(1, 2)) for _ in sizes),
        padding=tuple((width, 0) if causal else (-(-width // 2),) * 2 for width in reach),
        dilation=(dilation,) * len(sizes),
        groups=groups,
    )


def _normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)
