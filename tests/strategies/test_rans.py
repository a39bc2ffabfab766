import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import binary, composite, integers

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.payload.rans import SLOTS, Decoder, encode


@composite
def sources(draw):
    """Nine tables of 2 · top + 1 symbols, and symbols drawn by the first of them."""
    rng = np.random.default_rng(draw(integers(0, 2**32 - 1)))
    symbols = 2 * draw(integers(1, 40)) + 1
    shares = rng.dirichlet(np.full(symbols, draw(integers(1, 100)) / 50), 9)
    widths = 1 + np.floor(shares * (SLOTS - symbols)).astype(np.int64)
    widths[:, 0] += SLOTS - widths.sum(1)
    tables = np.concatenate((np.zeros((9, 1), np.int64), widths.cumsum(1)), axis=1)
    return tables, rng.choice(symbols, draw(integers(0, 300)), p=widths[0] / SLOTS)


def side(symbol, symbols):
    return 0 if symbol == 0 else 1 if symbol <= symbols // 2 else 2


def runs_of(tables, symbols, reach):
    """What an encoder is given for symbols in their contexts, and the bits that they carry."""
    sides = [0] * reach
    slots = []
    for symbol in symbols:
        table = tables[3 * sides[-1] + sides[-reach]]
        slots.append((table[symbol], table[symbol + 1]))
        sides.append(side(symbol, tables.shape[1] - 1))
    run = np.array(slots, np.int64).reshape(-1, 2).T
    return [run[:, :7], run[:, 7:]], float(-np.log2((run[1] - run[0]) / SLOTS).sum())


@given(source=sources(), reach=integers(2, 5), front=binary(max_size=9))
def test_symbols_come_back_and_what_lies_in_front_is_left_alone(source, reach, front):
    tables, symbols = source
    stream = encode(runs_of(tables, symbols, reach)[0])
    decoder = Decoder(front + stream)
    assert decoder.take(tables.tolist(), [0] * len(symbols), [0] * reach, reach) == symbols.tolist()
    assert decoder.finished
    assert decoder.used_bytes == len(stream)


@given(source=sources())
def test_a_stream_takes_five_bytes_more_than_its_symbols_carry(source):
    runs, bits = runs_of(*source, 2)
    assert len(encode(runs)) <= 1.001 * bits / 8 + 5


@given(source=sources(), data=binary(max_size=60))
def test_any_bytes_are_symbols_or_a_decode_error(source, data):
    tables, symbols = source
    try:
        taken = Decoder(data).take(tables.tolist(), [0] * len(symbols), [0, 0], 2)
    except DecodeError:
        return
    assert set(taken) <= set(range(tables.shape[1] - 1))


def test_a_stream_that_ends_early_is_a_decode_error():
    table = np.linspace(0, SLOTS, 6).astype(np.int64)
    stream = encode([np.stack((table[:-1], table[1:])).repeat(20, axis=1)])
    with pytest.raises(DecodeError, match="ends early"):
        Decoder(stream[6:]).take([table.tolist()] * 9, [0] * 100, [0, 0], 2)


def test_a_stream_has_a_state():
    with pytest.raises(DecodeError, match="5 bytes or more, got 4"):
        Decoder(bytes(4))


def test_the_bytes_are_the_same_everywhere():
    starts = np.array([0, 40000, 65535, 5, 30000], np.int64)
    ends = np.array([40000, 65535, 65536, 30000, 30001], np.int64)
    assert encode([np.stack((starts, ends))]).hex() == "00002527de1b370900"
