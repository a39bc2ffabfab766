"""Nets to test tailoring with: every built-in model, thinned ones, and random chains for hypothesis."""

from dataclasses import replace

import numpy as np
from hypothesis.strategies import booleans, composite, integers, lists, sampled_from

from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION, ModelSpec
from fedtailor.protos.net import ChannelsFirst, Conv, Flatten, GlobalAveragePool, Linear, MaxPool, Net, Relu
from fedtailor.strategies.models.model import build, initial_state, load_state
from fedtailor.strategies.shapes import layer_shapes
from fedtailor.strategies.trace import trace


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


def rows_for(net, count, seed=0):
    """Samples as a fleet file stores them."""
    rng = np.random.default_rng(seed)
    if net.tokens:
        return rng.integers(0, len(net.layers[0].table), (count, *net.input_shape))
    return rng.normal(size=(count, *net.input_shape)).astype(np.float32)


def thinned(net, keep_fraction):
    """The net with the last channels of every convolution and hidden linear layer cut off."""
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
    rng = np.random.default_rng(draw(integers(0, 2**32 - 1)))
    rank = draw(integers(1, 2))
    channels, size = draw(integers(1, 9)), draw(integers(8, 14))
    net = Net((*[size] * rank, channels), False, (ChannelsFirst("first"),))
    for at in range(draw(integers(1, 3))):
        net = _grown(net, _conv(draw, rng, f"conv{at}", layer_shapes(net)[-1]))
        net = _grown(net, Relu(f"relu{at}")) if draw(booleans()) else net
        net = (
            _grown(net, MaxPool(f"pool{at}", (2,) * rank, (draw(integers(1, 2)),) * rank)) if draw(booleans()) else net
        )
    net = _grown(net, draw(sampled_from([GlobalAveragePool("average"), Flatten("flat")])))
    (width,) = layer_shapes(net)[-1]
    return _grown(net, Linear("head", _normal(rng, draw(integers(1, 5)), width), _normal(rng, 1)[:1]))


def _grown(net, layer):
    """The net with one more layer, or without it where the picture has become too small."""
    if isinstance(layer, MaxPool) and min(layer_shapes(net)[-1][1:]) < 2:
        return net
    if isinstance(layer, Linear):
        layer = replace(layer, bias=np.resize(layer.bias, len(layer.weight)))
    return replace(net, layers=(*net.layers, layer))


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
