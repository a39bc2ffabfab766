from dataclasses import replace

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.common.serde import recorddict_to_proto
from scripted import RECORD, FakeTime, ScriptedGrid, Vanish

from fedtailor.protos.errors import DecodeError, RegistryError
from fedtailor.server.rounds import Ask, Call, exchange, wire_bytes

CALL = Call(message_type="train", round=7, deadline_s=30.0)


def content(size=10):
    return RecordDict({RECORD: ConfigRecord({"train": b"x" * size})})


def asks(*names):
    return [Ask(name, node, content(100)) for node, name in enumerate(names, start=11)]


def answer(size=10):
    return lambda _: content(size)


def vanish(_):
    raise Vanish


def run(handlers, receive=lambda *_: None, time=None, names=None):
    grid = ScriptedGrid(dict(enumerate(handlers, start=11)))
    names = names or "abcdefgh"[: len(handlers)]
    return grid, exchange(grid, asks(*names), CALL, receive, clock=(time or FakeTime()).clock)


def test_every_reply_is_handed_over_with_its_device():
    seen = {}
    _, found = run([answer(1), answer(2)], lambda device_id, it: seen.update({device_id: len(it[RECORD]["train"])}))
    assert seen == {"a": 1, "b": 2}
    assert found.answered == ("a", "b")
    assert found.problems == []


def test_it_returns_at_once_when_all_have_answered():
    time = FakeTime()
    run([answer(), answer()], time=time)
    assert time.now_s == 0


def test_it_never_waits_longer_than_the_deadline():
    time = FakeTime()
    _, found = run([vanish, answer(), vanish], time=time)
    assert time.now_s == pytest.approx(CALL.deadline_s)
    assert found.answered == ("b",)
    assert [p.line for p in found.problems] == [f"device {d}, train: no answer within 30 s" for d in "ac"]


def test_it_ends_when_enough_have_answered_and_the_others_are_late():
    time, taken = FakeTime(), []
    grid = ScriptedGrid(dict(enumerate([vanish, answer(), answer(), answer()], start=11)))
    call = replace(CALL, enough=2)
    found = exchange(grid, asks(*"abcd"), call, lambda device_id, _: taken.append(device_id), clock=time.clock)
    assert taken == list(found.answered) == ["b", "c"]
    assert time.now_s == 0
    assert sorted(p.line for p in found.problems) == [f"device {d}, train: late, 2 others had answered" for d in "ad"]


def test_a_refused_reply_is_not_one_of_enough():
    def refuse(device_id, _):
        if device_id == "a":
            raise DecodeError("not its base")

    grid = ScriptedGrid(dict(enumerate([answer()] * 3, start=11)))
    found = exchange(grid, asks(*"abc"), replace(CALL, enough=2), refuse, clock=FakeTime().clock)
    assert found.answered == ("b", "c")


def test_a_reply_that_comes_while_waiting_is_taken():
    time, held = FakeTime(), []
    grid = ScriptedGrid({11: lambda message: held.append(message) or vanish(message)})
    time.at.append((10.0, lambda: grid.extra.append(Message(content(), reply_to=held[0]))))
    found = exchange(grid, asks("a"), CALL, lambda *_: None, clock=time.clock)
    assert found.answered == ("a",)
    assert 10 <= time.now_s < 11


def test_a_device_is_waited_for_until_it_replies_or_the_deadline_has_passed():
    time, held = FakeTime(), []
    grid = ScriptedGrid(dict.fromkeys((11, 12, 13), lambda message: held.append(message) or vanish(message)))
    grid.handlers[14] = answer()
    for at, seconds in enumerate((12.0, 7.0)):
        time.at.append((seconds, lambda at=at: grid.extra.append(Message(content(), reply_to=held[at]))))

    def refuse(device_id, _):
        if device_id == "b":
            raise DecodeError("not its base")

    found = exchange(grid, asks(*"abcd"), CALL, refuse, clock=time.clock)
    seconds = {device_id: traffic.seconds for device_id, traffic in found.traffic.items()}
    assert seconds == {
        "a": pytest.approx(12.0, abs=0.5),
        "b": pytest.approx(7.0, abs=0.5),
        "c": CALL.deadline_s,
        "d": 0.0,
    }


def test_a_refused_reply_costs_its_bytes_and_one_line():
    def refuse(device_id, _):
        if device_id == "a":
            raise DecodeError("the\nbase is another one")

    _, found = run([answer(500), answer()], refuse)
    assert found.answered == ("b",)
    assert found.traffic["a"].uplink_bytes > 500
    assert [(p.device_id, p.line) for p in found.problems] == [("a", "device a, train: the base is another one")]


@pytest.mark.parametrize("fault", [KeyError, RegistryError])
def test_a_fault_of_ours_is_not_taken_for_the_devices(fault):
    def broken(*_):
        raise fault("ours")

    with pytest.raises(fault):
        run([answer()], broken)


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("<class 'fedtailor.protos.errors.DataError'>:<'rows are missing'>", "DataError: rows are missing"),
        ("<class 'ValueError'>:<'two\nlines'>", "ValueError: two lines"),
        ("Traceback:\n  File x\nKeyError: 'w'", "KeyError: 'w'"),
        (None, "failed without a reason"),
        ("x" * 10_000, "x" * 482 + "…"),
    ],
)
def test_an_error_reply_becomes_one_line_of_bounded_length(reason, line):
    grid = ScriptedGrid({11: vanish})
    push = grid.push_messages

    def push_and_fail(messages):
        messages = list(messages)
        ids = push(messages)
        grid.extra.append(Message(Error(2, reason), reply_to=messages[0]))
        return ids

    grid.push_messages = push_and_fail
    found = exchange(grid, asks("a"), CALL, lambda *_: None, clock=FakeTime().clock)
    assert [p.line for p in found.problems] == [f"device a, train: {line}"]


def test_a_message_that_cannot_be_sent_does_not_hold_up_the_others():
    time = FakeTime()
    _, found = run([answer()], time=time, names="ab")
    assert found.answered == ("a",)
    assert found.problems[0].line == "device b, train: the message could not be sent; is it connected?"
    assert time.now_s == 0


def test_the_grid_is_asked_for_nothing_when_nobody_is_asked():
    assert exchange(ScriptedGrid({}), [], CALL, lambda *_: None).traffic == {}


def test_messages_carry_round_and_lifetime():
    grid, _ = run([answer()])
    (message,) = grid.sent
    assert (message.metadata.group_id, message.metadata.ttl, message.metadata.message_type) == ("7", 30.0, "train")


@pytest.mark.parametrize("size", [0, 1000, 200_000])
def test_bytes_on_the_wire_are_flowers_own_up_to_object_headers(size):
    record = content(size)
    assert 0 <= wire_bytes(record) - recorddict_to_proto(record).ByteSize() < 200
