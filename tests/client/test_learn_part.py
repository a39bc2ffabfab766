"""A weak device's part in a round: its submodel's coordinates alone, and masks that are told once."""

from dataclasses import replace

import numpy as np
import pytest
from small_devices import SPEC, device, instruction, plan

from fedtailor.client.learn import PENDING, coordinates_sent, learn
from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.messages import Instruction
from fedtailor.protos.plan import CodecSpec, Submodel
from fedtailor.protos.schema import schema_of
from fedtailor.strategies.codec.broadcast import snapshot
from fedtailor.strategies.codec.envelope import Address, decode_update
from fedtailor.strategies.codec.feedback import pending_from_bytes
from fedtailor.strategies.codec.flat import flatten
from fedtailor.strategies.codec.grid import steps_of
from fedtailor.strategies.codec.masking import joined
from fedtailor.strategies.codec.public_base import first_public, shared_context
from fedtailor.strategies.codec.sent_mask import NO_MASKS
from fedtailor.strategies.models.model import initial_state

CODEC = CodecSpec(name="uniform", version=1)
DEPTH = Submodel(kind="depth", exit="relu1")


def width(round_):
    return Submodel(kind="width", share=0.5, offset=round_)


def public_base(spec):
    state = initial_state(spec, seed=0)
    return first_public(schema_of(state), 0, steps_of(state))


def asked(submodel, round_=1, *, acknowledged=0, **changes):
    """The order to train a submodel, of the model that it needs."""
    spec = replace(SPEC, exits=("relu1",) if submodel.kind == "depth" else ())
    own = replace(plan(round_=round_), model=spec, submodel=submodel, codec=CODEC, **changes)
    return Instruction(plan=own, base=snapshot(public_base(spec)), acknowledged_round=acknowledged)


def opened(update, order, known=NO_MASKS):
    """What a server reads of it that knows these masks."""
    plan_ = order.plan
    context = shared_context(public_base(plan_.model).context, plan_.local_parameters)
    expected = Address(device_id="till-1", round=plan_.round, base_version=0, context_version=0, codec=CODEC)
    return decode_update(update, context, expected=expected, known_masks=known)


def residual(mine):
    return pending_from_bytes(mine.store.get(PENDING) or b"")


@pytest.mark.parametrize("submodel", [DEPTH, width(1)], ids=["depth", "width"])
def test_the_update_says_something_of_what_the_submodel_covers_and_nothing_of_the_rest(submodel, tmp_path):
    mine, order = device(tmp_path), asked(submodel)
    heard = opened(learn(mine, order).update, order)
    kept = coordinates_sent(order.plan, public_base(order.plan.model).state)
    assert np.array_equal(joined(heard.masks), kept)
    assert 0 < kept.sum() < kept.size
    said = flatten(heard.deltas)
    assert said[kept].any()
    assert not said[~kept].any()
    pending = residual(mine)
    for tensors in (pending.carried, pending.if_merged, pending.if_lost):
        assert not flatten(list(tensors))[~kept].any()


def test_an_exit_is_told_once_and_then_by_its_hash_alone(tmp_path):
    mine, first, second = device(tmp_path), asked(DEPTH), asked(DEPTH, 2, acknowledged=1)
    one = learn(mine, first).update
    known = opened(one, first).known_masks
    two = learn(mine, second).update
    assert one.mask
    assert two.mask == b""
    assert two.mask_hash == one.mask_hash
    assert opened(two, second, known).kept.sum() == opened(one, first).kept.sum()


def test_a_window_that_moves_is_told_anew_each_round_in_no_more_bytes_than_in_full(tmp_path):
    mine, known = device(tmp_path), NO_MASKS
    for round_ in (1, 2, 3):
        order = asked(width(round_), round_, acknowledged=round_ - 1)
        update, in_full = learn(mine, order).update, learn(device(tmp_path / str(round_)), order).update
        heard = opened(update, order, known)
        known = heard.known_masks
        assert np.array_equal(heard.kept, coordinates_sent(order.plan, public_base(SPEC).state))
        assert 0 < len(update.mask) <= len(in_full.mask)


def test_a_server_that_forgot_the_masks_refuses_one_update_and_gets_the_mask_in_full_with_the_next(tmp_path):
    mine = device(tmp_path)
    learn(mine, asked(DEPTH))
    second, third = asked(DEPTH, 2, acknowledged=1), asked(DEPTH, 3, acknowledged=1)
    with pytest.raises(DecodeError, match="is not known here; send it in full; this update is skipped"):
        opened(learn(mine, second).update, second)
    lost = residual(mine).if_lost
    update = learn(mine, third).update
    assert opened(update, third).kept.any()
    assert all(np.array_equal(one, two) for one, two in zip(residual(mine).carried, lost, strict=True))


def test_an_order_that_comes_twice_gives_the_same_delta_and_residual(tmp_path):
    mine, known = device(tmp_path), opened(learn(device(tmp_path / "twin"), asked(width(1))).update, asked(width(1)))
    learn(mine, asked(width(1)))
    order = asked(width(2), 2, acknowledged=1)
    first, kept = learn(mine, order).update, mine.store.get(PENDING)
    again = learn(mine, order).update
    assert (again.payload, again.scales, again.mask_hash) == (first.payload, first.scales, first.mask_hash)
    assert kept == mine.store.get(PENDING)
    for update in (first, again):
        assert opened(update, order, known.known_masks).kept.any()


def test_what_a_window_leaves_behind_is_forgotten(tmp_path):
    mine = device(tmp_path)
    learn(mine, asked(width(1)))
    before = flatten(list(residual(mine).if_merged))
    order = asked(width(20), 2, acknowledged=1)
    learn(mine, order)
    kept = coordinates_sent(order.plan, public_base(SPEC).state)
    after = flatten(list(residual(mine).carried))
    assert before[~kept].any()
    assert np.array_equal(after, np.where(kept, before, np.float32(0)))


def test_without_feedback_every_mask_is_told_in_full(tmp_path):
    mine = device(tmp_path)
    for round_ in (1, 2):
        order = asked(DEPTH, round_, acknowledged=round_ - 1, feedback=False)
        assert opened(learn(mine, order).update, order).kept.any()
    assert mine.store.get(PENDING) is None


def test_tensors_that_stay_on_the_device_are_in_no_mask(tmp_path):
    local = ("exits.relu1.0.weight", "exits.relu1.0.bias")
    mine, order = device(tmp_path), asked(DEPTH, local_parameters=local)
    heard = opened(learn(mine, order).update, order)
    names = [name for name in public_base(order.plan.model).state if name not in local]
    covered = {name for name, part in zip(names, heard.masks, strict=True) if part.any()}
    assert covered == {"fc1.weight", "fc1.bias"}


def test_who_trains_the_whole_of_a_model_with_exits_sends_no_mask(tmp_path):
    order = asked(DEPTH)
    order = replace(order, plan=replace(order.plan, submodel=None))
    heard = opened(learn(device(tmp_path), order).update, order)
    assert heard.masks is None
    assert all(delta.any() for delta in heard.deltas)


def test_a_submodel_that_the_model_has_not_is_refused(tmp_path):
    with pytest.raises(PlanError, match="model 'mlp' has exits none, the plan asks for 'relu1'"):
        learn(device(tmp_path), instruction(replace(plan(), submodel=DEPTH)))
