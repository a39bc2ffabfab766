"""The server's own loop on virtual time, over a grid that computes in whatever order it likes."""

import random
from itertools import count

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedtailor.server.rounds import Ask, Call, exchange, wire_bytes
from fedtailor.simulations.virtual_grid import NOTICED_S, VIRTUAL, VirtualGrid, stamp


class ShuffledGrid(Grid):
    """Seconds by node, or what it answers instead; each pull computes a random few of what is waiting."""

    def __init__(self, answers, seed=0):
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, SUPERLINK_NODE_ID
        self.answers = answers
        self._rng = random.Random(seed)
        self._ids = count(1)
        self._waiting = {}

    def set_run(self, run):
        raise NotImplementedError

    @property
    def run(self):
        return Run.create_empty(1)

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self):
        return list(self.answers)

    def push_messages(self, messages):
        return [self._push(message) for message in messages]

    def _push(self, message):
        message.metadata.__dict__["_message_id"] = message_id = str(next(self._ids))
        self._waiting[message_id] = message
        return message_id

    def pull_messages(self, message_ids):
        there = [each for each in message_ids if each in self._waiting]
        come = self._rng.sample(there, self._rng.randint(0, len(there)))
        return [self._reply(self._waiting.pop(each)) for each in come]

    def _reply(self, message):
        answer = self.answers[message.metadata.dst_node_id]
        if isinstance(answer, Error):
            return Message(answer, reply_to=message)
        reply = Message(content(), reply_to=message)
        timed = answer is not None and message.metadata.message_type == "train"
        return stamp(reply, answer) if timed else reply

    def send_and_receive(self, messages, *, timeout=None):
        raise NotImplementedError


def content():
    return RecordDict({"fedtailor": ConfigRecord({"train": b"x" * 50})})


def ask_all(grid, receive=lambda *_: None, *, deadline_s=600.0, kind="train", enough=None):
    call = Call(message_type=kind, round=1, deadline_s=deadline_s, enough=enough)
    asks = [Ask(str(node), node, content()) for node in grid.get_node_ids()]
    return exchange(grid, asks, call, receive, clock=grid.clock)


SECONDS = {11: 30.0, 12: 5.0, 13: 20.0, 14: 100.0, 15: 5.0}


@pytest.mark.parametrize("seed", range(10))
def test_replies_come_in_order_of_virtual_time_in_whatever_order_they_are_computed(seed):
    seen = []
    grid = VirtualGrid(ShuffledGrid(SECONDS, seed))
    ask_all(grid, lambda device_id, _: seen.append((device_id, grid.clock.now())))
    assert seen == [("12", 5.0), ("15", 5.0), ("13", 20.0), ("11", 30.0), ("14", 100.0)]


def test_who_is_late_is_decided_by_the_servers_deadline():
    grid = VirtualGrid(ShuffledGrid(SECONDS))
    found = ask_all(grid, deadline_s=20.0)
    assert found.answered == ("12", "13", "15")
    assert grid.clock.now() == 20.0
    lines = {problem.line for problem in found.problems}
    assert lines == {f"device {node}, train: no answer within 20 s" for node in (11, 14)}


def test_a_late_device_is_free_for_the_next_round():
    grid = VirtualGrid(ShuffledGrid({11: 30.0, 12: 5.0}))
    ask_all(grid, deadline_s=20.0)
    assert ask_all(grid, deadline_s=40.0).answered == ("11", "12")
    assert grid.clock.now() == 50.0


def test_a_device_that_is_not_waited_for_is_still_busy():
    grid = VirtualGrid(ShuffledGrid({11: 30.0, 12: 5.0}))
    ask_all(grid, enough=1)
    assert grid.clock.now() == 5.0
    ask_all(grid)
    assert grid.clock.now() == 60.0


def test_a_device_that_cannot_be_reached_is_noticed_by_its_heartbeats():
    answers = {11: Error(ErrorCode.NODE_UNAVAILABLE, "dropped out"), 12: 5.0}
    grid = VirtualGrid(ShuffledGrid(answers))
    found = ask_all(grid)
    assert grid.clock.now() == NOTICED_S
    assert [problem.line for problem in found.problems] == ["device 11, train: dropped out"]
    sooner = VirtualGrid(ShuffledGrid(answers))
    assert ask_all(sooner, deadline_s=8.0).answered == ("12",)
    assert sooner.clock.now() == 8.0


def test_any_other_error_takes_no_time():
    grid = VirtualGrid(ShuffledGrid({11: Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "it diverged")}))
    ask_all(grid)
    assert grid.clock.now() == 0.0


def test_the_stamp_never_reaches_the_server_nor_counts_as_bytes():
    seen = {}
    found = ask_all(VirtualGrid(ShuffledGrid(SECONDS)), seen.__setitem__)
    assert all(VIRTUAL not in reply for reply in seen.values())
    assert {traffic.uplink_bytes for traffic in found.traffic.values()} == {wire_bytes(content())}


def test_other_messages_are_answered_outside_virtual_time_as_they_are_computed():
    grid = VirtualGrid(ShuffledGrid(SECONDS))
    found = ask_all(grid, kind="evaluate", deadline_s=1e-3)
    assert len(found.answered) == len(SECONDS)
    assert grid.clock.now() == 0.0


def test_a_reply_without_a_stamp_takes_no_time():
    grid = VirtualGrid(ShuffledGrid({11: None}))
    assert ask_all(grid).answered == ("11",)
    assert grid.clock.now() == 0.0


def test_flowers_own_send_and_receive_keeps_to_its_timeout():
    grid = VirtualGrid(ShuffledGrid(SECONDS))
    messages = [Message(content(), node, "train", ttl=1000.0) for node in SECONDS]
    come = [reply.metadata.src_node_id for reply in grid.send_and_receive(messages, timeout=25.0)]
    assert come == [12, 15, 13]
    assert grid.clock.now() == 25.0
