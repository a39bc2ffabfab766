"""The envelope carries what every codec writes, in few bytes, and refuses what it did not expect."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from codec_cases import context_of, spec_of, update_of
from envelopes import SCHEMA, address, cases_of, sent, some
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.messages import Update
from fedtailor.protos.schema import Schema
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.strategies.codec.codec import CODECS, coder_of
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.envelope import checksum, decode_update, encode_update
from fedtailor.strategies.codec.flat import flatten
from fedtailor.strategies.codec.masking import by_tensor
from fedtailor.strategies.codec.sent_mask import NO_MASKS, SentMask
from fedtailor.strategies.merge.merge import Merge
from fedtailor.strategies.merge.sparse import Sparse

GOLDEN = Path(__file__).parents[1] / "golden" / "update_v2.bin"
every_codec = pytest.mark.parametrize("name", CODECS)
values = st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)
tensors = st.tuples(*(hnp.arrays(np.float32, shape, elements=values) for shape in SCHEMA.shapes))
masks = hnp.arrays(np.bool_, SCHEMA.size).filter(np.any)


def encoded(delta, name, seed=0, **how) -> Update:
    rng = np.random.default_rng(seed)
    return encode_update(delta, context_of(SCHEMA), address(name), num_examples=1, rng=rng, **how)


def opened(update, name, **how):
    """What the server makes of an update that comes as bytes."""
    came = from_bytes(Update, to_bytes(update), sender="till-1")
    return decode_update(came, context_of(SCHEMA), expected=address(name), **how)


def sealed(broken: Update) -> Update:
    return replace(broken, crc32=checksum(broken))


@every_codec
@settings(max_examples=25)
@given(delta=tensors, seed=st.integers(0, 99))
def test_server_and_device_decode_the_same_bits(name, delta, seed):
    update = encoded(delta, name, seed)
    mine = decode_update(update, context_of(SCHEMA), expected=address(name))
    theirs = opened(update, name)
    assert theirs.masks is None
    assert [each.shape for each in theirs.deltas] == list(SCHEMA.shapes)
    assert all(each.dtype == np.float32 and np.isfinite(each).all() for each in theirs.deltas)
    assert flatten(mine.deltas).tobytes() == flatten(theirs.deltas).tobytes()


@every_codec
@settings(max_examples=25)
@given(delta=tensors, kept=masks, seed=st.integers(0, 99))
def test_under_a_mask_only_kept_coordinates_are_said(name, delta, kept, seed):
    update = encoded(delta, name, seed, mask=SentMask(kept))
    theirs = opened(update, name)
    assert np.array_equal(flatten(theirs.masks), kept)
    assert [each.shape for each in theirs.deltas] == [each.shape for each in theirs.masks] == list(SCHEMA.shapes)
    assert not flatten(theirs.deltas)[~kept].any()
    outside = [np.where(part, each, np.float32(7)) for each, part in zip(delta, theirs.masks, strict=True)]
    assert encoded(outside, name, seed, mask=SentMask(kept)) == update


@given(delta=tensors, kept=masks)
def test_an_exact_codec_gives_back_what_was_kept(delta, kept):
    theirs = opened(encoded(delta, "fp32", mask=SentMask(kept)), "fp32")
    assert np.array_equal(flatten(theirs.deltas)[kept], flatten(delta)[kept])


def test_the_merge_takes_what_the_envelope_gives():
    kept = some(0)
    theirs = opened(sent("fp32", mask=SentMask(kept)), "fp32")
    merge = Merge(SCHEMA)
    theirs.fold_into(merge, 1.0, sender="device till-1")
    merge.fold([np.ones(shape, np.float32) for shape in SCHEMA.shapes], 1.0, sender="device till-2")
    alone = flatten(update_of(SCHEMA))
    assert np.array_equal(merge.mean().values, np.where(kept, (alone + 1) / 2, 1))


@every_codec
@settings(max_examples=25)
@given(delta=tensors, kept=st.none() | masks, seed=st.integers(0, 99), max_norm=st.sampled_from([0.0, 1.0]))
def test_what_is_folded_as_it_came_is_what_its_dense_form_comes_to(name, delta, kept, seed, max_norm):
    theirs = opened(encoded(delta, name, seed, mask=None if kept is None else SentMask(kept)), name)
    as_it_came, as_dense = Merge(SCHEMA, max_norm=max_norm), Merge(SCHEMA, max_norm=max_norm)
    theirs.fold_into(as_it_came, 3.0, sender="device till-1")
    as_dense.fold(theirs.deltas, 3.0, sender="device till-1", masks=theirs.masks)
    assert as_it_came.mean().values.tobytes() == as_dense.mean().values.tobytes()


@pytest.mark.parametrize("name", ["stc", "ternary", "topk"])
@pytest.mark.parametrize("kept", [None, some(0)])
def test_a_codec_of_few_coordinates_is_read_without_the_others(name, kept):
    theirs = opened(sent(name, mask=None if kept is None else SentMask(kept)), name)
    assert isinstance(theirs.said, Sparse)
    assert 0 < theirs.said.positions.size < SCHEMA.size / 3
    assert (np.diff(theirs.said.positions) > 0).all()


def test_a_mask_is_sent_once_then_as_what_changes_then_not_at_all():
    kept, changed = some(0), some(0)
    changed[5] ^= True
    known, sizes = NO_MASKS, []
    for mask in (SentMask(kept), SentMask(kept, kept), SentMask(changed, kept), SentMask(changed, changed)):
        update = sent("fp32", mask=mask)
        theirs = opened(update, "fp32", known_masks=known)
        assert all(map(np.array_equal, theirs.masks, by_tensor(mask.kept, SCHEMA.shapes)))
        known = theirs.known_masks
        sizes.append(len(update.mask))
    assert sizes[1] == sizes[3] == 0
    assert 0 < sizes[2] < sizes[0]


def test_a_server_that_forgot_a_mask_asks_for_it_in_full():
    kept = some(0)
    with pytest.raises(DecodeError, match=r"till-1, round 1004: mask .* is not known here; send it in full; this"):
        opened(sent("fp32", mask=SentMask(kept, kept)), "fp32")


@every_codec
def test_the_envelope_takes_few_bytes(name):
    update = sent(name)
    codecs_own = len(update.payload) + 4 * len(update.scales)
    assert len(to_bytes(update)) - codecs_own - len(update.device_id) <= 48
    masked = sent(name, mask=SentMask(some(0), some(0)))
    codecs_own = len(masked.payload) + 4 * len(masked.scales)
    assert len(to_bytes(masked)) - codecs_own - len(masked.device_id) <= 58


@every_codec
def test_parameters_travel_only_where_they_differ_from_the_defaults(name):
    defaults = CODECS[name].defaults
    update = sent(name, **defaults)
    assert update.codec.args == {}
    assert update == sent(name)
    assert decode_update(update, context_of(SCHEMA), expected=address(name, **defaults)).deltas


def test_a_parameter_that_differs_travels_and_must_be_the_one_asked_for():
    update = sent("uniform", bits=6)
    assert update.codec.args == {"bits": 6}
    with pytest.raises(DecodeError, match=r"has codec CodecSpec\(name='uniform', .*'bits': 6.*expected .*args=\{\}"):
        opened(update, "uniform")


@every_codec
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_diverged_update_is_not_sent(name, value):
    delta = update_of(SCHEMA)
    delta[1][2] = value
    with pytest.raises(PlanError, match=r"device till-1, round 1004: layer 'conv.bias' holds NaN or infinity"):
        encoded(delta, name)


def test_an_unknown_codec_is_refused_on_either_side():
    unknown = replace(address("fp32"), codec=replace(spec_of("fp32"), name="zip"))
    with pytest.raises(PlanError, match="codec zip 1 is not known here"):
        encode_update(update_of(SCHEMA), context_of(SCHEMA), unknown, num_examples=1, rng=np.random.default_rng(0))
    with pytest.raises(PlanError, match="codec zip 1 is not known here"):
        decode_update(sent("fp32"), context_of(SCHEMA), expected=unknown)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"device_id": "till-2"}, "has device 'till-2', expected 'till-1'"),
        ({"round": 1005}, "has round 1005, expected 1004"),
        ({"base_version": 2}, "has base version 2, expected 1003"),
        ({"context_version": 0}, "has context version 0, expected 1002"),
        ({"schema_hash": b"1234"}, "has schema hash '31323334', expected '"),
        ({"codec": spec_of("fp16")}, "has codec CodecSpec.name='fp16'"),
        ({"num_examples": 0}, "counts 0 examples, expected 1 to 1000000000"),
        ({"num_examples": -5}, "counts -5 examples"),
        ({"scales": (1.0,)}, "1 scales came, expected 3"),
        ({"scales": (1.0, -1.0, 1.0)}, "scale 1 is -1.0, expected one that is finite and above 0"),
        ({"scales": (1.0, 1.0, float("nan"))}, "scale 2 is nan"),
        ({"payload": b"1" * 1000}, r"the payload has 1000 bytes, expected \d+ to \d+ for 144 parameters"),
        ({"mask": b"12"}, "mask: 2 bytes came without the hash of a mask"),
        ({"mask_hash": b"12"}, "mask 3132 of 144 coordinates is not known here"),
        ({"mask_hash": b"12345678", "mask": b"\x00\x00"}, "mask: "),
    ],
)
def test_each_lie_is_named(change, line):
    broken = sealed(replace(sent("uniform"), **change))
    with pytest.raises(DecodeError, match=rf"^device till-1, round 1004: .*{line}.*; this update is skipped$"):
        opened(broken, "uniform")


def test_a_mask_that_keeps_nothing_is_refused_on_either_side():
    nothing = np.zeros(SCHEMA.size, np.bool_)
    with pytest.raises(PlanError, match="keeps 0 of 144 coordinates"):
        sent("fp32", mask=SentMask(nothing))
    known = NO_MASKS.adding(nothing)
    broken = sealed(replace(sent("fp32"), mask_hash=known.packed[0][0]))
    with pytest.raises(DecodeError, match="keeps none of 144 coordinates"):
        opened(broken, "fp32", known_masks=known)


def test_a_layer_that_a_codec_decodes_to_infinity_is_named(monkeypatch):
    update, endless = sent("fp32"), [np.full(shape, np.inf, np.float32) for shape in SCHEMA.shapes]
    coder = replace(coder_of(spec_of("fp32")), decode=lambda *_: endless)
    monkeypatch.setitem(CODECS, "fp32", replace(CODECS["fp32"], make=lambda _: coder))
    with pytest.raises(DecodeError, match=r"till-1, round 1004: layer 'conv.weight' holds NaN or infinity; this"):
        opened(update, "fp32")


@every_codec
def test_a_wrong_checksum_is_refused(name):
    update = sent(name)
    with pytest.raises(DecodeError, match=rf"has checksum {update.crc32 ^ 1}, expected {update.crc32}"):
        opened(replace(update, crc32=update.crc32 ^ 1), name)


@every_codec
def test_neither_bytes_nor_values_depend_on_the_byte_order_of_the_arrays(name):
    plain, delta = context_of(SCHEMA), update_of(SCHEMA)
    swapped = Context(SCHEMA, plain.base.astype(">i4"), plain.moved.astype(">i4"))
    others = [tensor.astype(">f4") for tensor in delta]
    for mask in (None, SentMask(some(0))):
        rng = np.random.default_rng(0)
        update = encode_update(others, swapped, address(name), num_examples=1, rng=rng, mask=mask)
        assert to_bytes(update) == to_bytes(encoded(delta, name, mask=mask))
        came = decode_update(update, swapped, expected=address(name)).deltas
        assert flatten(came).tobytes() == flatten(opened(update, name).deltas).tobytes()


def golden_update() -> Update:
    schema = Schema(("body.weight", "body.bias"), ((2, 3), (3,)))
    delta = [np.array([[1, -2, 0.5], [0, 3, 4]], np.float32), np.array([0.25, -1, 8], np.float32)]
    kept = np.array([1, 1, 0, 0, 0, 1, 1, 0, 1], np.bool_)
    context = Context(schema, np.arange(9, dtype=np.int32), np.arange(9, dtype=np.int32))
    return encode_update(
        delta, context, address("fp32"), num_examples=312, rng=np.random.default_rng(0), mask=SentMask(kept)
    )


def test_the_bytes_of_an_envelope_are_what_they_always_were():
    assert to_bytes(golden_update()) == GOLDEN.read_bytes()


def test_an_envelope_of_this_version_can_be_read_for_ever():
    schema = Schema(("body.weight", "body.bias"), ((2, 3), (3,)))
    update = from_bytes(Update, GOLDEN.read_bytes(), sender="till-1")
    context = Context(schema, np.zeros(9, np.int32), np.zeros(9, np.int32))
    theirs = decode_update(update, context, expected=address("fp32"))
    assert theirs.deltas[0].tolist() == [[1, -2, 0], [0, 0, 4]]
    assert theirs.deltas[1].tolist() == [0.25, 0, 8]
    assert flatten(theirs.masks).tolist() == [True, True, False, False, False, True, True, False, True]


def test_every_way_to_send_a_mask_is_among_the_cases_that_are_mutated():
    updates = [case.update for case in cases_of("fp32")]
    assert [bool(update.mask_hash) for update in updates] == [False, True, True, True]
    assert [bool(update.mask) for update in updates] == [False, True, True, False]
