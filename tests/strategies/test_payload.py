from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from hypothesis.strategies import builds, composite, floats, integers, sampled_from, text, tuples
from payload_parts import block_linear, opened
from small_nets import GRAPHS, SPECS, built_in, chains, graph, graphs, rows_for

from fedtailor.protos import net as plain
from fedtailor.protos import quantised_net as quantised
from fedtailor.protos.errors import DecodeError
from fedtailor.protos.net import Activation, ChannelsFirst, Conv, GlobalAveragePool, Linear, MaxPool, Net
from fedtailor.protos.quantised_net import (
    Dequantise,
    Grid,
    Quantise,
    QuantisedAverage,
    QuantisedConv,
    QuantisedLinear,
    QuantisedNet,
)
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.integer.quantise import quantise
from fedtailor.strategies.payload.payload import pack, unpack

GOLDEN = Path(__file__).parents[1] / "golden" / "payload_v2.bin"

GRIDS = builds(Grid, floats(2**-100, 2**100, width=32), integers(0, 255))


def assert_same(a, b):
    assert (type(a), a.input_shape, a.tokens, a.wires) == (type(b), b.input_shape, b.tokens, b.wires)
    for one, other in zip(a.layers, b.layers, strict=True):
        assert type(one) is type(other)
        for name in one.__dataclass_fields__:
            left, right = getattr(one, name), getattr(other, name)
            if isinstance(left, np.ndarray):
                assert (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())
            else:
                assert left == right
                assert type(left) is type(right)


def short_floats(shape):
    """bfloat16 values above 0."""
    return arrays(np.uint16, shape, elements=integers(1, 0x7F7F)).map(
        lambda upper: (upper.astype(np.uint32) << 16).view(np.float32)
    )


@composite
def quantised_nets(draw):
    outputs, inputs, width = draw(array_shapes(min_dims=3, max_dims=3, max_side=5))
    conv = QuantisedConv(
        draw(text(max_size=5)) + "c",
        draw(arrays(np.int8, (outputs, inputs, width))),
        draw(short_floats(outputs)),
        draw(arrays(np.int32, outputs)),
        (draw(integers(1, 300)),),
        ((draw(integers(0, 300)), draw(integers(0, 300))),),
        (1,),
        1,
        draw(GRIDS),
    )
    rows = draw(integers(1, 4))
    linear = QuantisedLinear(
        "l", draw(arrays(np.int8, (rows, outputs))), draw(short_floats(rows)), draw(arrays(np.int32, rows)), None
    )
    layers = (Quantise("q", draw(GRIDS)), ChannelsFirst("f"), conv, QuantisedAverage("a", draw(GRIDS)), linear)
    return QuantisedNet((width + draw(integers(0, 9)), inputs), False, layers)


@composite
def float_nets(draw):
    shape = draw(tuples(integers(1, 6), integers(1, 6)))
    weight = draw(arrays(np.float32, shape))
    layers = (Linear("l", weight, draw(arrays(np.float32, shape[:1]))), Activation("a", draw(sampled_from(FUNCTIONS))))
    return Net((shape[1],), False, layers)


@composite
def coded_nets(draw):
    """Integers on scales down to the smallest; weights whose scale is so large that they overflow are left out."""
    shape = draw(tuples(integers(1, 6), integers(1, 6)))
    scales = np.minimum(draw(short_floats(shape[0])), np.float32(2**119))
    weight = draw(arrays(np.int16, shape, elements=integers(-255, 255))).astype(np.float32) * scales[:, None]
    return Net((shape[1],), False, (Linear("l", weight + np.float32(0), draw(arrays(np.float32, shape[:1])), scales),))


FUNCTIONS = get_args(plain.Function)


def some_nets():
    """Nets that hold every kind of layer between them."""
    rng = np.random.default_rng(0)
    tail = (block_linear("block", rng, 3, 20),)
    padded = MaxPool("pool", (3,), (2,), ((1, 0),))
    yield QuantisedNet((20,), False, (Quantise("in", Grid(0.5, 3)), Dequantise("out"), *tail))
    yield Net(
        (9, 2), False, (ChannelsFirst("f"), padded, plain.AveragePool("mean", (2,), (1,)), GlobalAveragePool("g"))
    )
    for name in (*SPECS, *GRAPHS):
        net = built_in(name)[1] if name in SPECS else graph(name)
        yield net
        yield quantise(net, rows_for(net, 8))
        yield replace(net, layers=net.layers[:-1], wires=net.wires[:-1])


@given(net=float_nets())
def test_any_float32_survives_bit_for_bit(net):
    assert_same(unpack(pack(net)), net)


@given(net=coded_nets())
def test_coded_weights_survive_bit_for_bit(net):
    assert_same(unpack(pack(net)), net)


@given(net=quantised_nets())
def test_any_integers_survive_bit_for_bit(net):
    assert_same(unpack(pack(net)), net)


@settings(max_examples=20)
@given(net=chains())
def test_chains_survive_whole(net):
    assert_same(unpack(pack(net)), net)


@settings(max_examples=20)
@given(net=graphs())
def test_graphs_survive_whole(net):
    assert_same(unpack(pack(net)), net)


def test_every_kind_of_layer_survives():
    kinds = set()
    for net in some_nets():
        assert_same(unpack(pack(net)), net)
        kinds |= {type(layer) for layer in net.layers}
    assert kinds >= set(get_args(plain.Layer)) | set(get_args(quantised.QuantisedLayer)) - {plain.ChannelsLast}


@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("name", SPECS)
def test_built_in_models_survive_coded_and_quantised(name, bits):
    net = built_in(name)[1]
    coded = code(net, rows_for(net, 8), codings(net, bits))
    for each in (coded, quantise(coded, rows_for(net, 8))):
        assert_same(unpack(pack(each)), without_minus_zeros(each))


def without_minus_zeros(net):
    """Whole multiples know one zero: 0.0 for −0.0."""
    layers = [
        replace(layer, weight=layer.weight + np.float32(0)) if isinstance(layer, Conv | Linear) else layer
        for layer in net.layers
    ]
    return replace(net, layers=tuple(layers))


def codings(net, bits):
    return {layer.name: Coding(bits) for layer in net.layers if isinstance(layer, Conv | Linear)}


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "next-token"])
def test_a_parameter_costs_its_entropy_and_little_more(name):
    module, net = built_in(name)
    parameters = sum(value.numel() for value in module.parameters())
    rows = rows_for(net, 8)
    sizes = {bits: len(pack(quantise(code(net, rows, codings(net, bits)), rows))) / parameters for bits in (1, 2, 4, 8)}
    assert len(pack(net)) / parameters < 3.4
    assert sizes[8] < 0.97
    assert sizes[4] < 0.47
    assert sizes[2] < 0.23
    assert sizes[1] < 0.16


def test_a_net_like_a_built_in_one_describes_itself_in_a_hundred_bytes():
    net = built_in("conv2d")[1]
    layers = [
        replace(layer, weight=np.zeros_like(layer.weight), bias=np.zeros_like(layer.bias))
        if isinstance(layer, Conv | Linear)
        else layer
        for layer in net.layers
    ]
    assert len(pack(replace(net, layers=tuple(layers)))) < 100


def test_a_weight_that_is_no_multiple_of_its_scales_is_refused():
    weight, scales = np.array([[0.5, 0.3]], np.float32), np.array([0.25], np.float32)
    with pytest.raises(ValueError, match="'odd': a weight with scales must be whole multiples"):
        pack(Net((2,), False, (Linear("odd", weight, np.zeros(1, np.float32), scales),)))


@settings(max_examples=300)
@given(net=quantised_nets(), at=integers(0, 10**6), flip=integers(1, 255))
def test_a_changed_byte_is_a_decode_error(net, at, flip):
    data = bytearray(pack(net))
    data[at % len(data)] ^= flip
    with pytest.raises(DecodeError):
        unpack(bytes(data))


@given(net=quantised_nets(), end=integers(0, 10**6))
def test_a_truncated_payload_is_a_decode_error(net, end):
    data = pack(net)
    with pytest.raises(DecodeError):
        unpack(data[: end % len(data)])


def golden_net():
    rng = np.random.default_rng(1)
    conv = QuantisedConv(
        name="conv",
        weight=rng.integers(-7, 8, (3, 2, 5)).astype(np.int8),
        scales=np.array([0.5, 0.25, 2.0], np.float32),
        bias=rng.integers(-(2**17), 2**17, 3).astype(np.int32),
        stride=(2,),
        padding=((4, 0),),
        dilation=(1,),
        groups=1,
        output=Grid(0.125, 3),
    )
    multiples = rng.integers(-3, 4, (4, 3)).astype(np.float32)
    scales = np.array([0.5, 1.25, 3.0, 0.0078125], np.float32)
    head = Linear("head", multiples * scales[:, None], rng.integers(-9, 9, 4).astype(np.float32), scales)
    average, real = QuantisedAverage("mean", Grid(0.25, 0)), Dequantise("real")
    layers = (Quantise("in", Grid(0.5, 128)), ChannelsFirst("first"), conv, average, real, head, plain.Add("twice"))
    return QuantisedNet((9, 2), False, layers, ((0,), (1,), (2,), (3,), (4,), (5,), (6, 6)))


def test_version_2_is_still_read_and_written():
    golden = GOLDEN.read_bytes()
    assert_same(unpack(golden), golden_net())
    assert opened(pack(golden_net())) == opened(golden)  # deflate itself may differ between builds of zlib


def test_a_net_beyond_the_limit_is_not_packed():
    weight = np.broadcast_to(np.float32(0.1), (1 << 13, (1 << 11) + 1))
    with pytest.raises(ValueError, match="16777216 numbers, this one has 16793600"):
        pack(Net(((1 << 11) + 1,), False, (Linear("l", weight, np.zeros(1 << 13, np.float32)),)))
