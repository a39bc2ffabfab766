import numpy as np
import pytest
from codec_cases import context_of, encoded_by, spec_of
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.bits import BitWriter
from fedtailor.strategies.codec.codec import coder_of
from fedtailor.strategies.codec.context import Context, blank
from fedtailor.strategies.codec.flat import flatten
from fedtailor.strategies.codec.linear import Linear, add_modulo, decode_sum, support

SCHEMA = Schema(("w", "b"), ((60, 50), (60,)))
CONTEXT = context_of(SCHEMA)
ARGS = {"share": 0.2, "fresh": 0.25, "bits": 12, "step_bits": 9, "devices": 5}
LINEAR = Linear(**ARGS)


def update(seed):
    return [np.random.default_rng(seed).standard_t(2, shape).astype(np.float32) for shape in SCHEMA.shapes]


def payload(seed, linear=LINEAR):
    args = {name: getattr(linear, name) for name in ARGS}
    return encoded_by(spec_of("linear", **args), update(seed), CONTEXT).payload


def clipped_and_rounded(seed, linear):
    whole = np.rint(flatten(update(seed)).astype(np.float64) * 2.0**linear.step_bits)
    kept = np.zeros(SCHEMA.size)
    kept[support(CONTEXT, linear)] = np.clip(whole, -linear.most_steps, linear.most_steps)[support(CONTEXT, linear)]
    return kept / 2.0**linear.step_bits


@settings(max_examples=40)
@given(
    bits=st.integers(6, 24),
    step_bits=st.integers(0, 16),
    devices=st.integers(1, 20),
    share=st.floats(0.01, 1),
    data=st.data(),
)
def test_the_sum_of_residues_is_the_sum_of_the_clipped_and_rounded_updates(bits, step_bits, devices, share, data):
    linear = Linear(share=share, fresh=0.5, bits=bits, step_bits=step_bits, devices=devices)
    seeds = range(data.draw(st.integers(1, devices)))
    total = add_modulo([payload(seed, linear) for seed in seeds], CONTEXT, linear)
    came = flatten(decode_sum(total, CONTEXT, linear, devices=len(seeds)))
    assert (came == sum(clipped_and_rounded(seed, linear) for seed in seeds)).all()


def residues(values):
    writer = BitWriter()
    writer.write_bits(values % (1 << LINEAR.bits), LINEAR.bits)
    return writer.to_bytes()


def test_masks_that_cancel_hide_each_update_and_leave_the_sum_as_it_is():
    plain = [payload(0), payload(1)]
    mask = np.random.default_rng(0).integers(1 << LINEAR.bits, size=support(CONTEXT, LINEAR).size)
    masked = [add_modulo([plain[0], residues(mask)], CONTEXT, LINEAR)]
    masked.append(add_modulo([plain[1], residues(-mask)], CONTEXT, LINEAR))
    assert masked[0] != plain[0]
    assert add_modulo(masked, CONTEXT, LINEAR) == add_modulo(plain, CONTEXT, LINEAR)


def test_the_largest_updates_of_as_many_devices_as_fit_do_not_wrap():
    huge = [np.full(shape, 1e30, np.float32) for shape in SCHEMA.shapes]
    one = encoded_by(spec_of("linear", **ARGS), huge, CONTEXT).payload
    came = flatten(decode_sum(add_modulo([one] * 5, CONTEXT, LINEAR), CONTEXT, LINEAR, devices=5))
    assert set(came.tolist()) == {0.0, 5 * LINEAR.most_steps / 2.0**9}


def test_more_devices_than_fit_are_refused():
    with pytest.raises(ValueError, match="6 updates were to be added, the bits allow 5"):
        add_modulo([payload(0)] * 6, CONTEXT, LINEAR)


def test_more_steps_than_so_many_devices_can_send_are_refused():
    total = add_modulo([payload(0)] * 5, CONTEXT, LINEAR)
    with pytest.raises(DecodeError, match=r"a sum of \d+ steps came, 1 devices can reach 409"):
        decode_sum(total, CONTEXT, LINEAR, devices=1)


@pytest.mark.parametrize("change", [lambda each: each[:-1], lambda each: each + b"\x00"])
def test_a_payload_of_another_length_is_refused(change):
    with pytest.raises(DecodeError, match="payload"):
        add_modulo([payload(0), change(payload(1))], CONTEXT, LINEAR)


def test_the_support_holds_what_moved_most_and_some_drawn_from_each_base():
    chosen = support(CONTEXT, LINEAR)
    moved = np.abs(CONTEXT.moved.astype(np.int64))
    assert chosen.size == 612 == np.unique(chosen).size
    assert np.isin(np.argsort(-moved, kind="stable")[:459], chosen).all()
    other = Context(SCHEMA, CONTEXT.base + 1, CONTEXT.moved)
    assert 459 <= np.intersect1d(chosen, support(other, LINEAR)).size < 612


def test_every_coordinate_has_its_turn():
    seen = set()
    for step in range(120):
        base = Context(SCHEMA, CONTEXT.base + step, np.zeros(SCHEMA.size, np.int32))
        seen |= set(support(base, LINEAR).tolist())
    assert len(seen) > 0.95 * SCHEMA.size


def test_all_coordinates_are_sent_where_the_share_is_one():
    args = {**ARGS, "share": 1.0, "step_bits": 20, "bits": 24, "devices": 1}
    spec, small = spec_of("linear", **args), [each / 100 for each in update(0)]
    came = flatten(coder_of(spec).decode(encoded_by(spec, small, blank(SCHEMA)), blank(SCHEMA)))
    assert np.abs(came - flatten(small)).max() <= 2.0**-21


@pytest.mark.parametrize(
    "args",
    [{"share": 0.0}, {"fresh": 1.5}, {"bits": 25}, {"bits": 1.5}, {"step_bits": -1}, {"bits": 4, "devices": 8}],
)
def test_parameters_out_of_range_are_named(args):
    with pytest.raises(PlanError, match=f"codec linear 1: .*{next(iter(args))}"):
        coder_of(spec_of("linear", **args))
