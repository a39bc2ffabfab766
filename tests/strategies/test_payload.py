import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from hypothesis.strategies import builds, composite, floats, integers, text, tuples
from small_nets import SPECS, built_in, chains, rows_for

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.net import ChannelsFirst, Conv, Linear, Net, Relu
from fedtailor.protos.quantised_net import (
    Grid,
    Quantise,
    QuantisedAverage,
    QuantisedConv,
    QuantisedLinear,
    QuantisedNet,
)
from fedtailor.strategies.payload import pack, unpack
from fedtailor.strategies.quantise import quantise

GOLDEN = Path(__file__).parents[1] / "golden" / "payload_v1.bin"
HEADER = struct.Struct("<2sBII")

GRIDS = builds(Grid, floats(2**-100, 2**100, width=32), integers(0, 255))


def assert_same(a, b):
    assert (type(a), a.input_shape, a.tokens) == (type(b), b.input_shape, b.tokens)
    for one, other in zip(a.layers, b.layers, strict=True):
        assert type(one) is type(other)
        for name in one.__dataclass_fields__:
            left, right = getattr(one, name), getattr(other, name)
            if isinstance(left, np.ndarray):
                assert (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())
            else:
                assert left == right


def scales(count):
    """bfloat16 values above 0."""
    return arrays(np.uint16, count, elements=integers(1, 0x7F7F)).map(
        lambda upper: (upper.astype(np.uint32) << 16).view(np.float32)
    )


@composite
def quantised_nets(draw):
    outputs, inputs, width = draw(array_shapes(min_dims=3, max_dims=3, max_side=5))
    conv = QuantisedConv(
        draw(text(max_size=5)) + "c",
        draw(arrays(np.int8, (outputs, inputs, width))),
        draw(scales(outputs)),
        draw(arrays(np.int32, outputs)),
        (draw(integers(1, 300)),),
        ((draw(integers(0, 300)), draw(integers(0, 300))),),
        (1,),
        1,
        draw(GRIDS),
    )
    rows = draw(integers(1, 4))
    linear = QuantisedLinear(
        "l", draw(arrays(np.int8, (rows, outputs))), draw(scales(rows)), draw(arrays(np.int32, rows)), None
    )
    layers = (Quantise("q", draw(GRIDS)), ChannelsFirst("f"), conv, QuantisedAverage("a", draw(GRIDS)), linear)
    return QuantisedNet((width + draw(integers(0, 9)), inputs), False, layers)


@composite
def float_nets(draw):
    shape = draw(tuples(integers(1, 6), integers(1, 6)))
    weight = draw(arrays(np.float32, shape))
    return Net((shape[1],), False, (Linear("l", weight, draw(arrays(np.float32, shape[:1]))), Relu("r")))


@given(net=float_nets())
def test_any_float32_survives_bit_for_bit(net):
    assert_same(unpack(pack(net)), net)


@given(net=quantised_nets())
def test_any_integers_survive_bit_for_bit(net):
    assert_same(unpack(pack(net)), net)


@settings(max_examples=20)
@given(net=chains())
def test_chains_survive_whole(net):
    assert_same(unpack(pack(net)), net)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("name", SPECS)
def test_built_in_models_survive_quantised(name, bits):
    net = built_in(name)[1]
    quantised = quantise(net, rows_for(net, 8), weight_bits=bits)
    assert_same(unpack(pack(quantised)), quantised)


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "next-token"])
def test_a_parameter_costs_its_bits_and_little_more(name):
    module, net = built_in(name)
    parameters = sum(value.numel() for value in module.parameters())
    sizes = {bits: len(pack(quantise(net, rows_for(net, 8), weight_bits=bits))) / parameters for bits in (2, 4, 8)}
    assert len(pack(net)) / parameters < 4.02
    assert sizes[8] < 1.03
    assert sizes[4] < 0.54
    assert sizes[2] < 0.29


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


def sealed(body, size=None):
    """An envelope with the right checksum around any body."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = deflater.compress(body) + deflater.flush()
    return HEADER.pack(b"FT", 1, zlib.crc32(deflated), len(body) if size is None else size) + deflated


def opened(data):
    return zlib.decompress(data[HEADER.size :], -15)


@settings(max_examples=500)
@given(net=quantised_nets(), at=integers(0, 10**6), byte=integers(0, 255))
def test_a_changed_body_with_a_right_checksum_is_a_net_or_a_decode_error(net, at, byte):
    body = bytearray(opened(pack(net)))
    body[at % len(body)] = byte
    try:
        again = unpack(sealed(bytes(body)))
    except DecodeError:
        return
    assert_same(unpack(pack(again)), again)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 26) + 1, (1 << 32) - 1])
def test_a_wrong_length_is_refused(size):
    with pytest.raises(DecodeError):
        unpack(sealed(opened(pack(built_in("mlp")[1])), size))


def test_a_bomb_is_refused_before_it_is_inflated():
    with pytest.raises(DecodeError, match="inflate to 100 bytes"):
        unpack(sealed(bytes(1 << 26), size=100))


def test_bytes_after_the_last_layer_are_refused():
    with pytest.raises(DecodeError, match="1 bytes follow"):
        unpack(sealed(opened(pack(built_in("mlp")[1])) + b"\0"))


def test_an_array_that_is_longer_than_what_follows_is_refused():
    axes = b"\x02\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f"  # two axes of 2^32 - 1
    with pytest.raises(DecodeError, match="ends early"):
        unpack(sealed(bytes((0, 0, 1, 3, 1, 4, 1)) + b"l" + axes + b"\x20" + bytes(8)))


def test_layers_of_the_other_kind_of_net_are_refused():
    with pytest.raises(DecodeError, match="Quantise in a Net"):
        unpack(sealed(b"\0" + opened(pack(QuantisedNet((3,), False, (Quantise("q", Grid(1.0, 0)),))))[1:]))


@pytest.mark.parametrize(("at", "byte", "message"), [(0, 0, "must be 'FT'"), (2, 2, "version 2"), (4, 0, "checksum")])
def test_the_header_says_what_is_wrong(at, byte, message):
    data = bytearray(pack(built_in("mlp")[1]))
    data[at] = byte
    with pytest.raises(DecodeError, match=message):
        unpack(bytes(data))


def test_version_1_is_still_read():
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
    layers = (Quantise("in", Grid(0.5, 128)), ChannelsFirst("first"), conv, QuantisedAverage("mean", Grid(0.25, 0)))
    assert_same(unpack(GOLDEN.read_bytes()), QuantisedNet((9, 2), False, layers))


def test_a_net_beyond_the_limit_is_not_packed():
    weight = np.zeros((1 << 12, 1 << 12), np.float32)
    weight[0, 0] = 0.1  # no bfloat16, so that the array takes 32 bits a value
    conv = Conv("c", weight[:, :, None], np.zeros(1 << 12, np.float32), (1,), ((0, 0),), (1,), 1)
    with pytest.raises(ValueError, match="at most"):
        pack(Net((1 << 12, 1), False, (conv,)))
