from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, lists, text

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.payload.payload_bytes import FactReader, FactWriter


@given(count=integers(0, 2**35 - 1), counts=lists(integers(0, 2**35 - 1)), texts=lists(text()), byte=integers(0, 255))
def test_facts_come_back(count, counts, texts, byte):
    writer = FactWriter()
    writer.count(count)
    writer.counts(counts)
    writer.texts(texts)
    writer.byte(byte)
    reader = FactReader(bytes(writer.body))
    assert (reader.count(), reader.counts()) == (count, tuple(counts))
    assert reader.texts(len(texts)) == texts
    assert reader.byte(255, "byte") == byte
    assert reader.left == 0


@given(body=binary(max_size=20), number=integers(0, 30))
def test_any_bytes_are_facts_or_a_decode_error(body, number):
    reads = (FactReader.count, FactReader.counts, lambda facts: facts.texts(number), lambda facts: facts.take(number))
    for read in reads:
        facts = FactReader(body)
        with suppress(DecodeError):
            read(facts)
        assert 0 <= facts.left <= len(body)


@pytest.mark.parametrize(
    ("read", "body", "message"),
    [
        (lambda facts: facts.take(3), b"ab", "3 more bytes expected, 2 left"),
        (lambda facts: facts.byte(4, "kind of net"), b"\5", "kind of net must be at most 4, got 5"),
        (FactReader.count, b"\xff" * 9, "more than 35 bits"),
        (FactReader.counts, b"\x81\x08", "1024 entries, got 1025"),
        (lambda facts: facts.texts(1), b"\1\xff", "a name that is no text"),
    ],
)
def test_what_is_wrong_is_said(read, body, message):
    with pytest.raises(DecodeError, match=message):
        read(FactReader(body))


def test_a_list_that_no_reader_takes_is_not_written():
    with pytest.raises(ValueError, match="1024 entries, got 1025"):
        FactWriter().counts([0] * 1025)
