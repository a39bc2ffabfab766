from math import inf, nextafter

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, lists, permutations, tuples

from fedtailor.simulations.timeline import Timeline

DAY_S = 86_400.0


def arrivals(line, ids):
    """Everything that arrives, with its time, until nothing does any more."""
    seen = []
    while line.now_s < inf:
        seen += [(each, line.now_s) for each in line.arrived(ids)]
        line.advance(inf)
    return seen


def sent(*nodes, ttl_s=DAY_S):
    line = Timeline()
    for at, node in enumerate(nodes):
        line.send(str(at), node, ttl_s)
    return line


def test_replies_arrive_by_duration_not_by_the_order_they_were_computed_in():
    line = sent(1, 2, 3)
    for message_id, took_s in (("2", 9.0), ("0", 7.0), ("1", 8.0)):
        line.finish(message_id, took_s)
    assert arrivals(line, ["0", "1", "2"]) == [("0", 7.0), ("1", 8.0), ("2", 9.0)]


durations = lists(tuples(integers(1, 4), floats(0, 100)), min_size=1, max_size=8)


@given(durations.flatmap(lambda of: tuples(permutations(range(len(of))), permutations(range(len(of)))).map(
    lambda orders: (of, orders)
)))  # fmt: skip
def test_the_order_of_computing_changes_nothing(case):
    of, orders = case
    seen = []
    for order in orders:
        line = sent(*(node for node, _ in of))
        for at in in_order_for_each_node(order, [node for node, _ in of]):
            line.finish(str(at), of[at][1])
        seen.append(arrivals(line, [str(at) for at in range(len(of))]))
    assert seen[0] == seen[1]
    assert len(seen[0]) == len(of)


def in_order_for_each_node(order, nodes):
    """The permutation, with each node's own messages put into the order in which they were sent."""
    waiting = {node: [at for at, other in enumerate(nodes) if other == node] for node in nodes}
    return [waiting[nodes[at]].pop(0) for at in order]


def test_equal_times_come_as_sent():
    line = sent(3, 1, 2)
    for message_id in ("2", "0", "1"):
        line.finish(message_id, 5.0)
    assert [each for each, _ in arrivals(line, ["2", "1", "0"])] == ["0", "1", "2"]


def test_a_node_does_one_thing_after_the_other():
    line = sent(1, 1, 2)
    for message_id, took_s in (("0", 10.0), ("1", 5.0), ("2", 12.0)):
        line.finish(message_id, took_s)
    assert arrivals(line, ["0", "1", "2"]) == [("0", 10.0), ("2", 12.0), ("1", 15.0)]


@given(took_s=floats(0, 1e6), ttl_s=floats(1e-3, 1e6))
def test_a_reply_that_takes_longer_than_its_message_lives_never_arrives(took_s, ttl_s):
    line = sent(1, ttl_s=ttl_s)
    assert line.finish("0", took_s) == (took_s <= ttl_s)
    assert arrivals(line, ["0"]) == ([("0", took_s)] if took_s <= ttl_s else [])


def test_a_node_gives_up_what_has_outlived_its_message():
    line = sent(1, ttl_s=10.0)
    assert not line.finish("0", 1000.0)
    line.advance(10.0)
    line.send("1", 1, 10.0)
    assert line.finish("1", 4.0)
    line.advance(inf)
    assert line.now_s == 14.0


def test_time_stops_at_the_next_arrival():
    line = sent(1)
    line.finish("0", 3.0)
    line.advance(100.0)
    assert line.now_s == 3.0
    line.advance(100.0)
    assert line.now_s == 103.0


def test_nothing_arrives_before_its_time_and_nothing_twice():
    line = sent(1)
    line.finish("0", 3.0)
    line.advance(nextafter(3.0, 0))
    assert line.arrived(["0"]) == []
    line.advance(1.0)
    assert line.arrived(["0"]) == ["0"]
    assert line.arrived(["0"]) == []


def test_what_was_not_sent_is_no_duration_of_ours():
    with pytest.raises(KeyError):
        Timeline().finish("7", 1.0)
