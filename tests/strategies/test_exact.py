"""Differences of public bases, exactly."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.bits import BitWriter
from fedtailor.strategies.codec.exact import MOST, read_exact, write_exact
from fedtailor.strategies.codec.rice import write_gamma, write_rice

SCHEMA = Schema(("w", "none", "b"), ((5, 4), (0,), (3,)))
WIDE = st.one_of(st.just(0), st.integers(-3, 3), st.integers(-MOST, MOST))


@given(arrays(np.int64, SCHEMA.size, elements=WIDE))
def test_every_difference_comes_back(difference):
    np.testing.assert_array_equal(read_exact(write_exact(difference, SCHEMA), SCHEMA), difference)


def test_nothing_costs_a_bit_a_tensor():
    assert len(write_exact(np.zeros(SCHEMA.size, np.int64), SCHEMA)) == 1


def test_steps_of_one_size_cost_little_more_than_their_positions_and_signs():
    rng = np.random.default_rng(0)
    schema = Schema(("w",), ((100_000,),))
    difference = np.where(rng.random(100_000) < 0.02, rng.choice([-12_345, 12_345], 100_000), 0)
    density = float(np.mean(difference != 0))
    entropy = 100_000 * (-density * np.log2(density) - (1 - density) * np.log2(1 - density) + density) / 8
    assert entropy < len(write_exact(difference, schema)) < 1.03 * entropy + 20


def test_dense_steps_cost_little_more_than_their_entropy():
    rng = np.random.default_rng(0)
    schema, spread = Schema(("w",), ((50_000,),)), 2.0**20
    difference = np.rint(rng.normal(size=50_000) * spread).astype(np.int64)
    entropy = 50_000 * (20 + np.log2(np.sqrt(2 * np.pi * np.e))) / 8
    assert len(write_exact(difference, schema)) < 1.03 * entropy


@given(st.binary(max_size=60))
def test_hostile_bytes_raise_one_exception_type(payload):
    with contextlib.suppress(DecodeError):
        assert read_exact(payload, SCHEMA).shape == (SCHEMA.size,)


@given(
    arrays(np.int64, SCHEMA.size, elements=st.integers(-9, 9)),
    st.integers(0, 10**6),
    st.integers(1, 255),
    st.booleans(),
)
def test_damage_is_one_exception_type(difference, at, flip, cut):
    payload = bytearray(write_exact(difference, SCHEMA))
    payload[at % len(payload)] ^= flip
    with contextlib.suppress(DecodeError):
        read_exact(bytes(payload[: at % len(payload)] if cut else payload), SCHEMA)


def _told(counts, units=(), parameters=()):
    writer = BitWriter()
    write_gamma(writer, np.array(counts))
    write_gamma(writer, np.array(units, np.int64))
    writer.write_bits(np.array(parameters, np.int64), 5)
    return writer.to_bytes()


def _far(gap):
    """One change in the last tensor, `gap` values behind its start."""
    writer = BitWriter()
    write_gamma(writer, np.array([0, 0, 1]))
    write_gamma(writer, np.array([0]))
    writer.write_bits(np.array([0]), 5)
    write_rice(writer, np.array([gap]), 0)
    return writer.to_bytes()


def _tall():
    """One change of twice the most there can be."""
    writer = BitWriter()
    write_gamma(writer, np.array([1, 0, 0]))
    write_gamma(writer, np.array([MOST - 1]))
    writer.write_bits(np.array([31]), 5)
    writer.write_bits(np.array([0]), 5)
    write_rice(writer, np.array([1]), 0)
    return writer.to_bytes()


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (b"", "payload ends early"),
        (_told([21, 0, 0]), "layer 'w': more changes came than it has values"),
        (_told([0, 1, 0]), "layer 'none': more changes came than it has values"),
        (_told([1, 0, 3]), "payload ends early"),
        (_told([1, 0, 0], [0], [25]), "a Rice parameter of more than 24 came"),
        (_far(21), "layer 'b': a change came beyond its end"),
        (_tall(), "layer 'w': a change of more than 4294967295 steps came"),
        (write_exact(np.ones(SCHEMA.size, np.int64), SCHEMA) + b"\0", "more than its numbers take"),
    ],
)
def test_what_no_writer_wrote_is_named(payload, line):
    with pytest.raises(DecodeError, match=line):
        read_exact(payload, SCHEMA)
