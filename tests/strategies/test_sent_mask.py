"""A mask is sent once, then as what changes; the server keeps few, and a device need not guess which."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.sent_mask import (
    MASKS_KNOWN,
    NO_MASKS,
    SentMask,
    mask_hash,
    read_mask,
    write_mask,
)

SIZE = 72_000
sizes = st.integers(1, 300)
flags = sizes.flatmap(lambda size: hnp.arrays(np.bool_, size))
pairs = sizes.flatmap(lambda size: st.tuples(hnp.arrays(np.bool_, size), hnp.arrays(np.bool_, size)))


def random(share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(SIZE) < share


def read(kept, data, known=NO_MASKS) -> np.ndarray:
    return read_mask(mask_hash(kept), data, kept.size, known)


@given(kept=flags)
def test_a_mask_in_full_comes_back(kept):
    assert np.array_equal(read(kept, write_mask(SentMask(kept))), kept)


@given(pair=pairs)
def test_a_changed_mask_comes_back_from_the_one_before(pair):
    before, kept = pair
    came = read(kept, write_mask(SentMask(kept, before)), NO_MASKS.adding(before))
    assert np.array_equal(came, kept)


@given(pair=pairs)
def test_a_change_is_never_longer_than_the_mask_in_full(pair):
    before, kept = pair
    assert len(write_mask(SentMask(kept, before))) <= len(write_mask(SentMask(kept)))


@given(kept=flags)
def test_a_mask_in_full_takes_at_most_a_bit_a_coordinate_and_eight_bytes(kept):
    assert len(write_mask(SentMask(kept))) <= kept.size / 8 + 8


def test_the_same_mask_again_takes_no_bytes():
    kept = random(0.5)
    assert write_mask(SentMask(kept, kept.copy())) == b""
    assert np.array_equal(read(kept, b"", NO_MASKS.adding(kept)), kept)


def test_a_mask_of_whole_channels_takes_a_byte_or_two_a_run():
    kept = np.repeat(np.random.default_rng(0).random(72) < 0.5, 1000)
    runs = np.count_nonzero(kept[1:] != kept[:-1]) + 1
    assert len(write_mask(SentMask(kept))) < 2 * runs + 8


def test_a_few_dropped_and_added_coordinates_take_about_two_bytes_each():
    before = random(0.5)
    kept = before.copy()
    kept[np.random.default_rng(1).choice(SIZE, 100, replace=False)] ^= True
    data = write_mask(SentMask(kept, before))
    assert len(data) < 200
    assert np.array_equal(read(kept, data, NO_MASKS.adding(before)), kept)


def test_a_mask_of_another_model_is_nothing_to_tell_against():
    kept = random(0.5)
    assert write_mask(SentMask(kept, kept[:-1])) == write_mask(SentMask(kept))


def test_an_unknown_mask_asks_for_the_mask_in_full():
    kept, before = random(0.5), random(0.5, seed=1)[:]
    before[:10] = kept[:10]
    near = kept.copy()
    near[5] ^= True
    for data in (b"", write_mask(SentMask(near, kept))):
        with pytest.raises(DecodeError, match=r"mask [0-9a-f]{16} of 72000 coordinates is not known here; send it in"):
            read(near, data, NO_MASKS.adding(before))


def test_a_known_mask_of_another_size_is_not_known():
    kept = random(0.5)
    with pytest.raises(DecodeError, match="is not known here"):
        read_mask(mask_hash(kept), b"", SIZE - 9, NO_MASKS.adding(kept))


def test_the_server_keeps_the_newest_masks_and_no_more():
    masks = [random(0.5, seed) for seed in range(6)]
    known = NO_MASKS
    for kept in (*masks, masks[-2]):  # known already: it becomes the newest again
        known = known.adding(kept)
    assert [name for name, _ in known.packed] == [mask_hash(masks[-1]), mask_hash(masks[-2])]
    assert len(known.packed) == MASKS_KNOWN
    assert sum(len(bits) for _, bits in known.packed) == MASKS_KNOWN * SIZE // 8


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\x00", "1 bytes came, 0 of them to name another"),
        (b"\x07" + b"\x00" * 9, "7 of them to name another; expected 0 or 8"),
        (b"\x08" + b"\x00" * 7, "8 bytes came, 8 of them to name another"),
        (b"\x00" * 40, "expected 0 or 8 to name it, and 1 to 5 for 16 coordinates"),
        (b"\x00\xff\xff\xff", "mask: 1 runs with Rice parameters .31, 31. came, expected at most 16 runs"),
        (b"\x00\x22\x00\x00", "payload has 1 bytes more than its numbers take"),
        (b"\x00\x01", "mask: payload ends early"),
        (b"\x00\x10\x00\x00\x00", "mask: payload ends early: 7 numbers in unary expected, 0 left"),
        (b"\x00\x01\x01\x01\x01", "mask: 128 runs with Rice parameters .17, 0. came, expected at most 16 runs"),
        (b"\x00\x54\x80\x07", "mask: runs reach coordinate 16, expected less than 16"),
        (b"\x00\x61\x00\xf0\xff\x0f", "mask: 17 runs with Rice parameters .0, 0. came, expected at most 16 runs"),
    ],
)
def test_each_lie_is_named(data, line):
    with pytest.raises(DecodeError, match=line):
        read(np.ones(16, np.bool_), data)


def test_another_masks_bytes_are_refused_by_their_hash():
    ones, other = np.ones(16, np.bool_), np.arange(16) < 7
    with pytest.raises(DecodeError, match=f"what came has hash {mask_hash(other).hex()}, expected"):
        read(ones, write_mask(SentMask(other)))


@given(data=st.binary(max_size=40), size=sizes)
def test_hostile_bytes_raise_one_exception_type(data, size):
    with contextlib.suppress(DecodeError):
        read_mask(mask_hash(np.ones(size, np.bool_)), data, size, NO_MASKS)


def test_the_bytes_of_a_mask_are_what_they_always_were():
    kept = np.arange(400) % 7 < 4
    before = kept.copy()
    before[[3, 30, 31]] ^= True
    assert write_mask(SentMask(np.repeat(np.arange(7) % 3 < 2, 30))).hex() == "00580caa5ffa03"
    assert write_mask(SentMask(kept, before)).hex() == "08a290e5ef7d2da3215801a306"
    assert mask_hash(kept).hex() == "9fdd641fe8c3c354"
