import time

import psutil
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from toy_app import make_app, make_broken_app

from fedtailor.simulations.grid import FIRST_NODE_ID, InProcessGrid
from fedtailor.simulations.workers import Workers

NODES = 5


@pytest.fixture(scope="module")
def workers():
    with Workers(make_app, 2) as pool:
        yield pool


@pytest.fixture
def grid(workers):
    return InProcessGrid(workers, nodes=NODES, run_config={"config": "fleet.toml"})


def to(node: int, action: str = "train", text: str = "") -> Message:
    return Message(RecordDict({"toy": ConfigRecord({"text": text})}), FIRST_NODE_ID + node, action)


def ask_all(grid: InProcessGrid, action: str = "train") -> list[Message]:
    return list(grid.send_and_receive([to(node, action) for node in range(NODES)]))


def pull_until(grid: InProcessGrid, ids: list[str], enough: int) -> list[Message]:
    come: list[Message] = []
    while len(come) < enough:
        come += grid.pull_messages(ids)
        time.sleep(0.01)
    return come


def test_every_node_answers_as_itself_on_one_thread(grid):
    answers = {reply.metadata.src_node_id: reply.content["toy"] for reply in ask_all(grid)}
    assert sorted(answers) == list(grid.get_node_ids()) == [FIRST_NODE_ID + i for i in range(NODES)]
    for i in range(NODES):
        answer = answers[FIRST_NODE_ID + i]
        assert (answer["partition-id"], answer["num-partitions"], answer["threads"]) == (i, NODES, "1")


def test_a_node_keeps_its_state_from_message_to_message_and_a_new_grid_starts_empty(grid, workers):
    for turn in (1, 2, 3):
        assert {reply.content["toy"]["had"] for reply in ask_all(grid)} == {turn}
    fresh = InProcessGrid(workers, nodes=NODES, run_config={})
    assert {reply.content["toy"]["had"] for reply in ask_all(fresh)} == {1}


def test_messages_of_one_node_are_carried_out_in_the_order_pushed(grid):
    replies = grid.send_and_receive([to(0, text=str(i)) for i in range(20)])
    answers = sorted((reply.content["toy"]["had"], int(reply.content["toy"]["text"])) for reply in replies)
    assert answers == [(i + 1, i) for i in range(20)]


def test_replies_stream_while_another_device_still_works(workers):
    with Workers(make_app, 2) as pool:
        grid = InProcessGrid(pool, nodes=NODES, run_config={})
        ids = list(grid.push_messages([to(0, "train.sleep"), to(1), to(2)]))
        come = pull_until(grid, ids, enough=2)
        assert {reply.metadata.reply_to_message_id for reply in come} == set(ids[1:])
        assert list(grid.pull_messages(ids)) == []


def test_a_timeout_returns_what_has_come():
    with Workers(make_app, 2) as pool:
        grid = InProcessGrid(pool, nodes=NODES, run_config={})
        ask_all(grid)
        replies = list(grid.send_and_receive([to(0, "train.sleep"), to(1)], timeout=2))
    assert [reply.metadata.src_node_id for reply in replies] == [FIRST_NODE_ID + 1]


def test_a_message_outlives_its_time_to_live(grid):
    late = Message(RecordDict({"toy": ConfigRecord({"text": ""})}), FIRST_NODE_ID, "train", ttl=1e-6)
    [reply] = grid.send_and_receive([late])
    assert reply.has_content()


def test_a_device_that_raises_answers_with_one_line_and_goes_on(grid):
    ask_all(grid)
    [reply] = grid.send_and_receive([to(3, "train.fail")])
    assert reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert reply.error.reason == "ValueError: the device is broken"
    [after] = grid.send_and_receive([to(3)])
    assert after.content["toy"]["had"] == 2


def test_an_app_that_returns_no_message_is_an_error_of_that_device(grid):
    [reply] = grid.send_and_receive([to(3, "train.nothing")])
    assert reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION


def test_a_worker_killed_mid_message_costs_that_message_alone(grid):
    replies = list(grid.send_and_receive([to(0), to(1, "train.die"), to(1), to(2), to(3, "train.die"), to(4)]))
    errors = {reply.metadata.src_node_id: reply.error for reply in replies if reply.has_error()}
    assert sorted(errors) == [FIRST_NODE_ID + 1, FIRST_NODE_ID + 3]
    assert {error.code for error in errors.values()} == {ErrorCode.CLIENT_APP_CRASHED}
    assert errors[FIRST_NODE_ID + 1].reason == "its worker process ended with exit code -9"
    assert len(replies) == 6
    assert not any(reply.has_error() for reply in ask_all(grid))


def test_an_app_that_cannot_be_loaded_answers_every_message_with_the_cause():
    with Workers(make_broken_app, 1) as pool:
        replies = ask_all(InProcessGrid(pool, nodes=NODES, run_config={}))
    assert {(reply.error.code, reply.error.reason) for reply in replies} == {
        (ErrorCode.LOAD_CLIENT_APP_EXCEPTION, "OSError: no such fleet")
    }


def test_many_messages_all_come_back_once(grid):
    ids = list(grid.push_messages([to(i % NODES, text=str(i)) for i in range(2000)]))
    come = pull_until(grid, ids, enough=2000)
    assert sorted(int(reply.content["toy"]["text"]) for reply in come) == list(range(2000))
    assert list(grid.pull_messages(ids)) == []


def test_closing_ends_every_process_even_a_busy_one_and_late_messages_are_dropped():
    with Workers(make_app, 2) as pool:
        grid = InProcessGrid(pool, nodes=NODES, run_config={})
        processes = {reply.content["toy"]["pid"] for reply in ask_all(grid)}
        grid.push_messages([to(0, "train.sleep"), to(0), to(1, "train.sleep"), to(2)])
    assert not any(psutil.pid_exists(process) for process in processes)
    ids = grid.push_messages([to(4)])
    assert list(grid.pull_messages(ids)) == []


def test_a_message_for_a_node_that_is_not_there_names_the_ones_that_are(grid):
    with pytest.raises(ValueError, match=f"node 99: this grid has the nodes {FIRST_NODE_ID} to {FIRST_NODE_ID + 4}"):
        grid.push_messages([Message(RecordDict(), 99, "train")])


def test_a_pool_of_no_workers_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Workers(make_app, 0)
