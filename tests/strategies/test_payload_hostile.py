"""Bytes that are no payload: one error, bounded memory."""

import resource
from dataclasses import replace

import numpy as np
import pytest
from payload_parts import block_linear, opened, sealed
from small_nets import built_in

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.net import Activation, Add, ChannelsFirst, Conv, Linear, Net
from fedtailor.protos.quantised_net import Dequantise, Grid, Quantise, QuantisedConv, QuantisedEmbedding, QuantisedNet
from fedtailor.strategies.payload.payload import pack, unpack


def little_nets():
    """Few and small arrays, so that ten thousand are read in seconds."""
    rng = np.random.default_rng(0)
    weight, scales = rng.integers(-3, 4, (3, 2, 3)).astype(np.float32), np.full(3, 0.5, np.float32)
    bias = rng.normal(size=3).astype(np.float32)
    conv = Conv("c", weight * scales[:, None, None], bias, (1,), ((1, 1),), (1,), 1, scales)
    add = Add("add")
    yield Net((6, 2), False, (ChannelsFirst("f"), conv, Activation("r", "relu"), add), ((0,), (1,), (2,), (2, 3)))
    table = rng.integers(100, 156, (7, 4)).astype(np.uint8)
    embed = QuantisedEmbedding("embed", table, Grid(0.25, 128))
    yield QuantisedNet((5,), True, (embed, Dequantise("d"), block_linear("b", rng, 2, 4)))
    kernel, biases = table[:3].reshape(3, 2, 2).astype(np.int8), np.array([3, -70000, 9], np.int32)
    eight = QuantisedConv("c", kernel, scales, biases, (1,), ((0, 0),), (1,), 1, Grid(0.25, 7))
    yield QuantisedNet((6, 2), False, (Quantise("q", Grid(1.0, 0)), ChannelsFirst("f"), eight))


def mutated(data, rng):
    """One to three times, a byte changed, cut out or put in."""
    for _ in range(rng.integers(1, 4)):
        at, cut = rng.integers(0, len(data)), rng.integers(0, 2)
        data = data[:at] + rng.bytes(rng.integers(0, 2)) + data[at + cut :]
    return data


@pytest.mark.parametrize("part", ["facts", "numbers"])
def test_ten_thousand_mutated_payloads_are_nets_or_decode_errors_in_bounded_memory(part):
    rng = np.random.default_rng(7)
    originals = [opened(pack(net)) for net in little_nets()]
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for at in range(5000):
        facts, numbers = originals[at % len(originals)]
        facts, numbers = (mutated(facts, rng), numbers) if part == "facts" else (facts, mutated(numbers, rng))
        try:
            unpack(sealed(facts, numbers))
        except DecodeError:
            refused += 1
    assert refused > 2500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # a gigabyte, in kB


def test_a_bomb_is_refused_before_it_is_inflated():
    with pytest.raises(DecodeError, match="describe its net in 1048576 bytes"):
        unpack(sealed(bytes(1 << 26), bytes(5)))


@pytest.mark.parametrize(("facts", "numbers"), [(b"\0", b""), (b"", b"\0")])
def test_bytes_left_over_are_refused(facts, numbers):
    right = opened(pack(built_in("mlp")[1]))
    with pytest.raises(DecodeError, match="payload must end"):
        unpack(sealed(right[0] + facts, numbers + right[1]))


def test_an_array_larger_than_any_net_is_refused():
    facts, numbers = opened(pack(Net((3,), False, (Linear("l", np.ones((4, 3), np.float32), np.ones(4, np.float32)),))))
    huge = facts.replace(b"\2\4\3", b"\2\xff\xff\xff\xff\x0f\3")
    assert huge != facts
    with pytest.raises(DecodeError, match="too many"):
        unpack(sealed(huge, numbers))


def test_layers_of_the_other_kind_of_net_are_refused():
    facts, numbers = opened(pack(QuantisedNet((3,), False, (Quantise("q", Grid(1.0, 0)),))))
    with pytest.raises(DecodeError, match="Quantise in a Net"):
        unpack(sealed(b"\0" + facts[1:], numbers))


def test_integers_without_scales_are_refused():
    net = Net((2,), False, (Linear("l", np.ones((1, 2), np.float32), np.ones(1, np.float32), np.ones(1, np.float32)),))
    coded, uncoded = opened(pack(net)), opened(pack(replace(net, layers=(replace(net.layers[0], scales=None),))))
    shared = next(at for at in range(len(uncoded[0])) if uncoded[0][at] != coded[0][at])
    with pytest.raises(DecodeError, match="has integers for 'weight'"):
        unpack(sealed(coded[0][:shared] + b"\0" + coded[0][shared + 5 :], coded[1]))


@pytest.mark.parametrize(
    ("at", "byte", "message"),
    [(0, 0, "must be 'FT'"), (2, 1, "must be 'FT' version 2, got b'FT' version 1; update"), (4, 0, "checksum")],
)
def test_the_header_says_what_is_wrong(at, byte, message):
    data = bytearray(pack(built_in("mlp")[1]))
    data[at] = byte
    with pytest.raises(DecodeError, match=message):
        unpack(bytes(data))
