"""A device's part in a round."""

from dataclasses import replace

import numpy as np
import pytest
from small_bases import FP32, TERNARY, commits
from small_devices import SPEC, device, instruction, plan, public_base

from fedtailor.client.learn import PENDING, learn
from fedtailor.client.train import train
from fedtailor.protos.errors import DataError, DecodeError, PlanError
from fedtailor.protos.messages import Instruction, TrainReply
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import schema_of
from fedtailor.strategies.codec.envelope import Address, decode_update, short_hash
from fedtailor.strategies.codec.feedback import pending_from_bytes
from fedtailor.strategies.models.model import initial_state

CONTEXT = public_base().context


def decoded(reply: TrainReply) -> list:
    update = reply.update
    expected = Address(
        device_id="till-1",
        round=update.round,
        base_version=update.base_version,
        context_version=update.context_version,
        codec=CodecSpec(name="uniform", version=1),
    )
    return decode_update(update, CONTEXT, expected=expected).deltas


def test_the_update_is_the_delta_and_what_is_left_over_is_kept(tmp_path):
    mine = device(tmp_path)
    reply = learn(mine, instruction(plan()))
    pending = pending_from_bytes(mine.store.get(PENDING) or b"")
    for sent, total, rest in zip(decoded(reply), pending.if_lost, pending.if_merged, strict=True):
        np.testing.assert_allclose(sent + rest, total, atol=1e-6)
    assert reply.update.num_examples == 96
    assert reply.validation_rows == 48
    assert 0 <= reply.base_validation_score <= 1


def test_the_same_instruction_twice_gives_the_same_update_and_residual(tmp_path):
    mine, asked = device(tmp_path), instruction(plan())
    first, kept = learn(mine, asked).update, mine.store.get(PENDING)
    again = learn(mine, asked).update
    assert first == again
    assert kept == mine.store.get(PENDING)


@pytest.mark.parametrize(("acknowledged", "carries"), [(1, "if_merged"), (0, "if_lost")])
def test_a_later_round_carries_what_the_server_does_not_have(acknowledged, carries, tmp_path):
    mine = device(tmp_path)
    learn(mine, instruction(plan()))
    first = pending_from_bytes(mine.store.get(PENDING) or b"")
    learn(mine, instruction(plan(round_=2), acknowledged_round=acknowledged))
    second = pending_from_bytes(mine.store.get(PENDING) or b"")
    for got, want in zip(second.carried, getattr(first, carries), strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_damaged_residual_costs_the_residual_not_the_round(tmp_path):
    mine = device(tmp_path)
    fresh = learn(device(tmp_path / "other"), instruction(plan())).update
    mine.store.put(PENDING, b"no residual")
    assert learn(mine, instruction(plan())).update == fresh


def test_a_damaged_store_file_is_replaced_and_noted_once(tmp_path, caplog):
    mine = device(tmp_path)
    learn(mine, instruction(plan()))
    (tmp_path / "values" / PENDING).write_bytes(b"FTDS and nothing after")
    learn(mine, instruction(plan(round_=2)))
    assert len(caplog.messages) == 1
    assert pending_from_bytes(mine.store.get(PENDING) or b"").round == 2


def test_without_feedback_nothing_is_carried_and_nothing_kept(tmp_path):
    alone = learn(device(tmp_path / "other"), instruction(replace(plan(round_=2), feedback=False))).update
    mine = device(tmp_path)
    learn(mine, instruction(plan()))
    before = mine.store.get(PENDING)
    assert learn(mine, instruction(replace(plan(round_=2), feedback=False))).update == alone
    assert mine.store.get(PENDING) == before


def test_what_another_job_left_over_is_not_carried_into_this_one(tmp_path):
    fresh = learn(device(tmp_path / "other"), instruction(plan())).update
    mine = device(tmp_path)
    learn(mine, instruction(plan(round_=40)))
    assert learn(mine, instruction(plan())).update == fresh


def test_a_plan_for_another_base_than_came_with_it_is_refused(tmp_path):
    asked = instruction(plan())
    with pytest.raises(DecodeError, match="server: the plan is for base 5, base 0 came with it"):
        learn(device(tmp_path), replace(asked, plan=replace(asked.plan, base_version=5)))


def test_a_device_without_rows_says_so(tmp_path):
    with pytest.raises(DataError, match="device till-1: no rows to train on"):
        learn(device(tmp_path, train=0), instruction(plan()))


def test_a_base_of_another_model_is_refused(tmp_path):
    wider = replace(plan(), model=replace(SPEC, outputs=4))
    with pytest.raises(DecodeError, match=r"server, base 0: schema .* models differ"):
        learn(device(tmp_path), instruction(wider))


@pytest.mark.filterwarnings("ignore:overflow|invalid value:RuntimeWarning")
def test_training_that_diverges_sends_nothing_and_keeps_nothing(tmp_path):
    mine = device(tmp_path)
    with pytest.raises(PlanError, match=r"device till-1, round 1: layer .* lower the learning rate"):
        learn(mine, instruction(plan(learning_rate=1e20)))
    assert mine.store.get(PENDING) is None


def test_a_step_ahead_trains_from_where_the_residual_will_lead(tmp_path):
    mine = device(tmp_path)
    learn(mine, instruction(plan()))
    asked = replace(plan(round_=2), step_ahead=0.5)
    learn(mine, instruction(asked, acknowledged_round=1))
    second = pending_from_bytes(mine.store.get(PENDING) or b"")
    base = public_base().state
    start = {
        name: value + np.float32(0.5) * rest for (name, value), rest in zip(base.items(), second.carried, strict=True)
    }
    trained = train(start, mine.data.train, SPEC, asked.train, seed=asked.seed).state
    assert any(rest.any() for rest in second.carried)
    for name, total, rest in zip(base, second.if_lost, second.carried, strict=True):
        np.testing.assert_array_equal(total, trained[name] - start[name] + rest)


def test_what_is_local_is_not_in_the_update(tmp_path):
    mine, local = device(tmp_path), ("head.weight", "head.bias")
    reply = learn(mine, instruction(replace(plan(), local_parameters=local)))
    schema = schema_of({name: value for name, value in public_base().state.items() if name not in local})
    pending = pending_from_bytes(mine.store.get(PENDING) or b"")
    assert tuple(rest.shape for rest in pending.if_lost) == schema.shapes
    assert reply.update.schema_hash == short_hash(schema)


def test_a_base_that_moved_on_is_trained_from_in_its_own_context(tmp_path):
    mine, bases = device(tmp_path), commits(9, FP32, start=initial_state(SPEC, seed=0))
    for at, held in ((7, None), (9, 7)):
        asked = replace(plan(round_=at + 1, base_version=at), downlink=FP32, codec=TERNARY)
        order = Instruction(plan=asked, base=bases[at].ring.broadcast(held), acknowledged_round=0)
        update = learn(mine, order).update
        assert (update.base_version, update.context_version) == (at, bases[at].public.context_version)
        address = Address(
            device_id="till-1",
            round=at + 1,
            base_version=at,
            context_version=bases[at].public.context_version,
            codec=TERNARY,
        )
        assert decode_update(update, bases[at].public.context, expected=address).deltas
