"""Flower's own messages through the real ClientApp of a small device."""

from dataclasses import replace

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from small_devices import device, instruction, plan

from fedtailor.client import bench
from fedtailor.client.app import client_app
from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import RECORD, EvaluateReply, Profile, TailorReply, TrainReply
from fedtailor.protos.wire import from_bytes, to_bytes

CONTEXT = Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={})
ORDERS = ("train", "train.tailor", "evaluate")
ANSWERS = {
    "query.profile": ("profile", Profile),
    "train": ("train", TrainReply),
    "train.tailor": ("tailor", TailorReply),
    "evaluate": ("evaluate", EvaluateReply),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1  # Flower stamps every message with it
    monkeypatch.setattr(bench, "MEASURE_S", 0.01)


@pytest.fixture
def app(tmp_path):
    return client_app(lambda context, round_: device(tmp_path))


def message(kind, **entries) -> Message:
    return Message(RecordDict({RECORD: ConfigRecord(entries)}), 2, kind)


def order(kind, asked=None) -> Message:
    return message(kind, instruction=to_bytes(asked or instruction(plan())))


def answer(app, sent: Message):
    kind = sent.metadata.message_type
    name, noun = ANSWERS[kind]
    (record,) = app(sent, CONTEXT).content.config_records.values()
    assert list(record) == [name]
    return from_bytes(noun, record[name], sender="device")


def test_each_of_the_four_messages_is_answered_with_its_noun(app):
    profile = answer(app, message("query.profile"))
    trained = answer(app, order("train"))
    tailored = answer(app, order("train.tailor"))
    deployed = answer(app, order("evaluate"))
    assert profile.data.device_id == trained.update.device_id == tailored.ladder.device_id == "till-1"
    assert deployed.variant.rung in (tailored.ladder.reference, *tailored.ladder.rungs)
    assert deployed.scores.rows == 60


def test_a_device_under_way_is_profiled_against_its_plan(app):
    answer(app, message("query.profile"))
    again = answer(app, order("query.profile"))
    assert (again.data.drift.label.size, again.data.round) == (0.0, 1)


@pytest.mark.parametrize(("group", "round_"), [("", None), ("7", 7), ("a group of mine", None)])
def test_a_device_is_opened_as_it_is_in_the_round_that_the_message_names(tmp_path, group, round_):
    opened = []

    def open_device(context, round_):
        opened.append(round_)
        return device(tmp_path)

    asked = Message(RecordDict({RECORD: ConfigRecord()}), 2, "query.profile", group_id=group)
    client_app(open_device)(asked, CONTEXT)
    assert opened == [round_]


def test_a_reply_goes_back_to_the_message_it_answers(app):
    sent = message("query.profile")
    sent.metadata.__dict__["_message_id"] = "17"
    assert app(sent, CONTEXT).metadata.reply_to_message_id == "17"


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"other": ConfigRecord({"instruction": b""})}),
        RecordDict({RECORD: ConfigRecord({})}),
        RecordDict({RECORD: ConfigRecord({"instruction": "text"})}),
    ],
)
def test_an_order_without_an_instruction_says_where_it_was_expected(app, kind, content):
    with pytest.raises(DecodeError, match=r"server: the message has no bytes under fedtailor\.instruction"):
        app(Message(content, 2, kind), CONTEXT)


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("data", [b"\xff\xff\xff", to_bytes(instruction(plan()))[:-9]])
def test_wrong_bytes_are_no_instruction(app, kind, data):
    with pytest.raises(DecodeError, match=rf"server: {len(data)} bytes are not a Instruction"):
        app(message(kind, instruction=data), CONTEXT)


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"plan": replace(plan(), version=3)}, "Plan has version 3, this side knows 2"),
        ({"base": replace(instruction(plan()).base, format_version=9)}, "Broadcast has format_version 9, this side"),
        ({"plan": replace(plan(), device_id="till-2")}, "the plan is for device 'till-2', this is 'till-1'"),
        ({"plan": replace(plan(), base_version=3)}, "the plan is for base 3, base 0 came with it"),
        (
            {"base": replace(instruction(plan()).base, base_hash="ab")},
            "base 0: expected hash ab, what came leads to base 0",
        ),
    ],
)
def test_an_order_of_another_version_device_or_base_is_refused_and_changes_nothing(app, tmp_path, kind, changes, line):
    with pytest.raises(DecodeError, match=line):
        app(order(kind, replace(instruction(plan()), **changes)), CONTEXT)
    assert not any((tmp_path / "values").iterdir())


def test_whatever_the_device_cannot_open_is_not_answered_with_a_guess():
    def broken(context: Context, round_: int | None):
        raise OSError("no such disk")

    with pytest.raises(OSError, match="no such disk"):
        client_app(broken)(message("query.profile"), CONTEXT)


def test_an_unknown_message_is_refused(app):
    with pytest.raises(ValueError, match=r"query\.secrets|No .* function"):
        app(message("query.secrets"), CONTEXT)
