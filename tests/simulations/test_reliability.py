import math
from dataclasses import replace

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given, settings
from hypothesis.strategies import floats, integers, text

from fedtailor.protos.budget import Budget
from fedtailor.protos.messages import Broadcast, Instruction, TrainReply, Update
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import CodecSpec, GatePlan, PersonalPlan, Plan, TrainPlan
from fedtailor.protos.wire import to_bytes
from fedtailor.simulations.reliability import (
    REFERENCE_MACS_PER_S,
    Conditions,
    fate,
    reliability,
    round_s,
    virtual_time,
)
from fedtailor.simulations.virtual_grid import TOOK_S, VIRTUAL

STEADY = Conditions(seed=3, downlink_bytes_per_s=1e6, uplink_bytes_per_s=1e6)
NEVER_IN_TIME = 1e-9
MODEL = ModelSpec(
    name="mlp",
    version=1,
    kind="classification",
    input_shape=(4,),
    outputs=3,
    feature_means=(0.0,) * 4,
    feature_scales=(1.0,) * 4,
)


def instruction(round_: int) -> Instruction:
    plan = Plan(
        device_id="watch-1",
        round=round_,
        seed=0,
        base_version=0,
        model=MODEL,
        train=TrainPlan(epochs=1, batch_size=8, learning_rate=0.1),
        personal=PersonalPlan(method="shared", epochs=0, batch_size=8, learning_rate=0.1),
        personal_parameters=(),
        recipes=(),
        codec=CodecSpec(name="raw", version=1),
        feedback=True,
        gate=GatePlan(),
        downlink=CodecSpec(name="fp32", version=1),
        budget=Budget(),
    )
    base = Broadcast(base_version=0, base_hash="", schema_hash=b"", held_version=None, hops=())
    return Instruction(plan=plan, base=base, acknowledged_round=0)


def trained(round_: int) -> TrainReply:
    update = Update(
        device_id="watch-1",
        codec=CodecSpec(name="raw", version=1),
        schema_hash=b"",
        base_version=0,
        mask_hash=b"",
        round=round_,
        num_examples=100,
        scales=(),
        payload=b"x" * 1000,
        crc32=0,
    )
    return TrainReply(update=update, base_validation_score=0.5, validation_rows=9, train_loss=1.0, train_cpu_s=0.1)


class Call:
    """The device behind the mod; counts how often it is reached."""

    def __init__(self):
        self.count = 0

    def __call__(self, message: Message, context: Context) -> Message:
        self.count += 1
        content = ConfigRecord({"train": to_bytes(trained(1))})
        return Message(RecordDict({"fedtailor": content}), reply_to=message)


def ask(conditions: Conditions, call: Call, *, round_: int = 1, kind: str = "train", mod=reliability) -> Message:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, SUPERLINK_NODE_ID
    record = ConfigRecord({"instruction": to_bytes(instruction(round_))})
    message = Message(RecordDict({"fedtailor": record}), 2, kind)
    return mod(lambda context: conditions)(message, Context(1, 2, {}, RecordDict(), {}), call)


@given(device=text(), round_=integers(0, 10**6), seed=integers(0, 2**63))
def test_fate_is_the_same_whenever_it_is_asked(device, round_, seed):
    conditions = replace(STEADY, seed=seed, dropout=0.5, slow_fraction=0.5, slow_factor=4)
    assert fate(conditions, device, round_) == fate(conditions, device, round_)


@settings(deadline=None, max_examples=20)
@given(dropout=floats(0.05, 0.95), slow=floats(0.05, 0.95))
def test_fractions_are_met_over_many_rounds_and_devices(dropout, slow):
    conditions = replace(STEADY, dropout=dropout, slow_fraction=slow, slow_factor=4)
    rounds = [fate(conditions, "watch-1", round_) for round_ in range(1000)]
    devices = [fate(conditions, f"watch-{i}", 1) for i in range(1000)]
    six_sigma = 6 * 0.5 / math.sqrt(1000)
    assert sum(each.drops_out for each in rounds) / 1000 == pytest.approx(dropout, abs=six_sigma)
    assert sum(each.slowdown == 4 for each in devices) / 1000 == pytest.approx(slow, abs=six_sigma)


def test_a_straggler_stays_one():
    conditions = replace(STEADY, slow_fraction=0.5, slow_factor=4)
    for device in map(str, range(20)):
        assert len({fate(conditions, device, round_).slowdown for round_ in range(20)}) == 1


def test_devices_rounds_and_seeds_draw_differently():
    odds = replace(STEADY, dropout=0.5)
    other = replace(odds, seed=4)
    rounds = range(64)
    of = [fate(odds, "a", r).drops_out for r in rounds]
    assert of != [fate(odds, "b", r).drops_out for r in rounds]
    assert of != [fate(other, "a", r).drops_out for r in rounds]
    assert of != [fate(odds, "a", r + 64).drops_out for r in rounds]


def test_a_round_is_download_plus_three_passes_plus_upload():
    conditions = replace(STEADY, downlink_bytes_per_s=1000, uplink_bytes_per_s=100)
    assert round_s(conditions, 1.0, train_macs=REFERENCE_MACS_PER_S, down_bytes=2000, up_bytes=300) == pytest.approx(
        2 + 3 + 3
    )
    assert round_s(conditions, 4.0, train_macs=REFERENCE_MACS_PER_S, down_bytes=2000, up_bytes=300) == pytest.approx(
        2 + 12 + 3
    )


def test_a_steady_device_answers():
    call = Call()
    reply = ask(replace(STEADY, deadline_s=60), call)
    assert (reply.has_content(), call.count) == (True, 1)


def test_a_device_that_drops_out_never_sees_the_message():
    call = Call()
    reply = ask(replace(STEADY, dropout=1), call, round_=7)
    assert (reply.error.code, reply.error.reason) == (ErrorCode.NODE_UNAVAILABLE, "dropped out of round 7")
    assert call.count == 0


def test_a_late_device_has_trained_but_its_reply_is_lost():
    call = Call()
    reply = ask(replace(STEADY, deadline_s=NEVER_IN_TIME), call, round_=7)
    assert reply.error.code == ErrorCode.REPLY_MESSAGE_UNAVAILABLE
    assert reply.error.reason == "late in round 7: 0.0 virtual seconds, deadline 1e-09"
    assert call.count == 1


def test_a_straggler_is_late_where_a_steady_device_is_not():
    slow = replace(STEADY, slow_fraction=1, slow_factor=1e9, deadline_s=60)
    assert ask(slow, Call()).has_error()
    assert ask(replace(slow, slow_fraction=0), Call()).has_content()


@pytest.mark.parametrize("kind", ["query.profile", "train.tailor", "evaluate"])
def test_only_rounds_of_training_are_missed(kind):
    assert ask(replace(STEADY, dropout=1, deadline_s=NEVER_IN_TIME), Call(), kind=kind).has_content()


def test_on_virtual_time_a_device_says_how_long_it_took_and_is_never_late():
    slow = replace(STEADY, slow_fraction=1, slow_factor=1e3, deadline_s=NEVER_IN_TIME)
    took_s = [ask(each, Call(), mod=virtual_time).content[VIRTUAL][TOOK_S] for each in (STEADY, slow)]
    assert 0 < took_s[0] < took_s[1]


def test_on_virtual_time_a_device_that_drops_out_is_not_reached_and_says_nothing_of_time():
    call = Call()
    reply = ask(replace(STEADY, dropout=1), call, round_=7, mod=virtual_time)
    assert (reply.error.code, reply.error.reason) == (ErrorCode.NODE_UNAVAILABLE, "dropped out of round 7")
    assert call.count == 0


@pytest.mark.parametrize("kind", ["query.profile", "train.tailor", "evaluate"])
def test_only_training_takes_virtual_time(kind):
    reply = ask(replace(STEADY, dropout=1), Call(), kind=kind, mod=virtual_time)
    assert VIRTUAL not in reply.content
