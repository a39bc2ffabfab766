"""Buffered training over scripted devices, some of them slow, some of them faulty."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from buffered_fleet import BUFFERED, TRAIN, merged, slow_fleet
from flwr.app import Error, Message
from scripted import FakeTime, Vanish, fleet
from scripted_run import devices, fail, last_base, run, vanish
from sqlalchemy import select

from fedtailor.protos.errors import RoundError
from fedtailor.server.registry import Registry, open_registry
from fedtailor.server.rows import TrafficRow
from fedtailor.strategies.merge.aggregate import AggregateSpec


def orders(device):
    return [order for kind, order in device.orders if kind == TRAIN]


def test_a_commit_takes_as_many_updates_as_the_buffer_holds(tmp_path):
    summary, steps = run(tmp_path, fleet(*devices("abcd")), BUFFERED)
    assert [(row.round, row.base_version, row.committed, row.answered) for row in summary.rounds] == [
        (number, number - 1, True, 2) for number in range(1, 7)
    ]
    assert all(row.variant is not None for row in summary.devices)
    assert [step[1] for step in steps if step[0] == "train"] == [1, 2, 3, 4, 5, 6]


def test_nobody_waits_for_a_slow_device(tmp_path):
    a, b, c = devices("abc")
    grid, time = slow_fleet((a, 1.0), (b, 1.0), (c, 4.5))
    summary, _ = run(tmp_path, grid, BUFFERED, time)
    rounds = Counter(device_id for device_id, _, _ in merged(tmp_path))
    assert rounds["a"] + rounds["b"] >= 10
    assert rounds["c"] >= 1
    assert sum(row.seconds for row in summary.rounds) < 8  # waiting for everyone takes 27


def test_the_seconds_of_every_device_run_from_its_message_to_its_reply_however_many_commits_lie_between(tmp_path):
    a, b, c = devices("abc")
    grid, time = slow_fleet((a, 1.0), (b, 1.0), (c, 4.5))
    run(tmp_path, grid, BUFFERED, time)
    with open_registry(tmp_path) as registry, registry.transaction() as session:
        rows = session.scalars(select(TrafficRow).where(TrafficRow.stage == TRAIN)).all()
    assert all((row.seconds is not None) == row.answered for row in rows)
    found = {name: [row.seconds for row in rows if row.device_id == name and row.answered] for name in "abc"}
    assert found["a"] + found["b"] == pytest.approx([1.0] * (len(found["a"]) + len(found["b"])), abs=0.5)
    assert found["c"] == pytest.approx([4.5] * len(found["c"]), abs=0.5)
    assert found["c"]


def test_an_update_that_is_too_old_is_refused_and_its_device_goes_on(tmp_path):
    a, b, c = devices("abc")
    grid, time = slow_fleet((a, 1.0), (b, 1.0), (c, 3.5))
    summary, _ = run(tmp_path, grid, replace(BUFFERED, staleness=2), time)
    line = "device c, round 1: it trained on base 0, 3 commits old, at most 2 are allowed; skipped. "
    assert [p for row in summary.rounds for p in row.problems] == [
        line + "Raise staleness or buffer if slow devices are to count"
    ]
    assert "c" not in {device_id for device_id, _, _ in merged(tmp_path)}
    assert orders(c)[1].acknowledged_round == 0
    assert all(row.committed for row in summary.rounds)


def test_a_device_is_never_asked_twice_from_one_base_and_trains_one_thing_at_a_time(tmp_path):
    everyone = devices("abcde")
    grid, time = slow_fleet(*((device, 1.0 + at) for at, device in enumerate(everyone)))
    everyone[1].on[TRAIN] = lambda *_: fail()
    run(tmp_path, grid, replace(BUFFERED, rounds=12), time)
    for device in everyone:
        rounds = [order.plan.round for order in orders(device)]
        assert rounds == sorted(set(rounds))
        assert [order.base.base_version for order in orders(device)] == [round_ - 1 for round_ in rounds]


def test_every_device_hears_of_its_own_updates_once_they_are_committed(tmp_path):
    everyone = devices("abcd")
    grid, time = slow_fleet(*((device, 1.0 + 0.7 * at) for at, device in enumerate(everyone)))
    run(tmp_path, grid, replace(BUFFERED, rounds=12), time)
    for device in everyone:
        told = [order.acknowledged_round for order in orders(device)]
        asked = [order.plan.round for order in orders(device)]
        assert told == [0, *asked[:-1]]


def test_no_more_devices_train_than_the_job_allows(tmp_path):
    time, most, under_way = FakeTime(), [], set()
    everyone = devices("abcdef")
    grid = fleet(*everyone)

    def answer(device, message):
        under_way.add(device.device_id)
        most.append(len(under_way))
        reply = Message(device.train(), reply_to=message)

        def come():
            under_way.discard(device.device_id)
            grid.extra.append(reply)

        time.at.append((time.now_s + 1.0 + len(most) % 3, come))
        raise Vanish

    for device in everyone:
        device.on[TRAIN] = answer
    run(tmp_path, grid, replace(BUFFERED, concurrency=3, rounds=20), time)
    assert max(most) == 3
    assert all(orders(device) for device in everyone)


def test_a_buffer_larger_than_the_fleet_takes_what_there_is(tmp_path):
    summary, _ = run(tmp_path, fleet(*devices("ab")), replace(BUFFERED, buffer=50, rounds=2))
    assert [(row.asked, row.answered, row.committed) for row in summary.rounds] == [(2, 2, True)] * 2


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (lambda *_: fail(), "device c, train: RuntimeError: battery at 2 %"),
        (vanish, "device c, train: no answer within 20 s"),
        (lambda *_: None, "device c, train: "),
    ],
)
def test_a_device_that_misbehaves_is_one_line_and_the_others_go_on(tmp_path, answer, line):
    a, b, c = devices("abc")
    c.on[TRAIN] = answer
    summary, _ = run(tmp_path, fleet(a, b, c), replace(BUFFERED, buffer=3, rounds=2))
    assert [(row.answered, row.committed) for row in summary.rounds] == [(2, True)] * 2
    for row in summary.rounds:
        assert len(row.problems) == 1
        assert row.problems[0].startswith(line)


def test_a_reply_that_comes_twice_counts_once(tmp_path):
    a, b = devices("ab")
    grid = fleet(a, b)

    def twice(device, message):
        grid.extra.append(Message(Error(1, "late"), reply_to=message))
        return device.train()

    a.on[TRAIN] = twice
    summary, _ = run(tmp_path, grid, replace(BUFFERED, rounds=1))
    assert summary.rounds[0].answered == 2
    assert summary.rounds[0].problems == ("device a, train: answered twice; ignored",)


def test_a_node_that_leaves_does_not_hold_up_the_rest(tmp_path):
    a, b, c = devices("abc")
    grid, time = slow_fleet((a, 1.0), (b, 1.0), (c, 2.5))

    def leave(*_):
        grid.handlers.pop(13, None)
        raise Vanish

    c.on[TRAIN] = leave
    summary, _ = run(tmp_path, grid, replace(BUFFERED, rounds=30), time)
    assert all(row.committed for row in summary.rounds)
    assert [p for row in summary.rounds for p in row.problems] == ["device c, train: no answer within 20 s"]


def test_a_fleet_that_is_gone_ends_the_run_and_keeps_what_was_committed(tmp_path):
    time, (a, b) = FakeTime(), devices("ab")
    for device in (a, b):
        device.on[TRAIN] = lambda device, _: device.train() if device.order.plan.round == 1 else vanish()
    with pytest.raises(RoundError, match=r"no device answered in rounds 2 to 4.*base 1 is kept"):
        run(tmp_path, fleet(a, b), BUFFERED, time)
    assert time.now_s <= 3 * BUFFERED.deadline_s + 1
    assert last_base(tmp_path, a)[0] == 1


def test_too_few_updates_for_a_robust_aggregate_are_not_merged_and_their_devices_keep_them(tmp_path):
    everyone = devices("abcd")
    job = replace(BUFFERED, rounds=3, aggregate=AggregateSpec(name="multi-krum", version=1))
    summary, _ = run(tmp_path, fleet(*everyone), job)
    assert [row.committed for row in summary.rounds] == [False] * 3
    assert all(row.problems[-1].startswith("abandoned: ") for row in summary.rounds)
    assert {order.acknowledged_round for device in everyone for order in orders(device)} == {0}
    assert {order.base.base_version for device in everyone for order in orders(device)} == {0}


def test_bytes_of_devices_add_up_to_those_of_commits(tmp_path):
    everyone = devices("abcd")
    grid, time = slow_fleet(*((device, 1.0 + 0.7 * at) for at, device in enumerate(everyone)))
    summary, _ = run(tmp_path, grid, replace(BUFFERED, rounds=9), time)
    for way in ("uplink_bytes", "downlink_bytes"):
        assert sum(getattr(row, way) for row in summary.rounds) == sum(getattr(row, way) for row in summary.devices)
    assert sum(row.answered for row in summary.rounds) == sum(row.rounds_answered for row in summary.devices) == 18


class Killed(Exception):  # noqa: N818 - not an error of ours
    """The process ends."""


def test_a_run_that_was_killed_loses_only_what_came_since_the_last_commit(tmp_path, monkeypatch):
    everyone = devices("abc")
    grid, time = slow_fleet(*zip(everyone, (1.0, 1.0, 2.5), strict=True))
    commit = Registry.commit_round

    def killed(self, outcome, *args, **kwargs):
        if outcome.round == 4:
            raise Killed
        commit(self, outcome, *args, **kwargs)

    monkeypatch.setattr(Registry, "commit_round", killed)
    with pytest.raises(Killed):
        run(tmp_path, grid, BUFFERED, time)
    monkeypatch.undo()
    before = merged(tmp_path)
    assert {round_ for _, round_, _ in before} == {1, 2, 3}
    back = devices("abc")
    for device, old in zip(back, everyone, strict=True):
        device.held = old.held
    summary, _ = run(tmp_path, fleet(*back), BUFFERED)
    assert [(row.round, row.committed) for row in summary.rounds] == [(number, True) for number in range(1, 7)]
    assert merged(tmp_path)[: len(before)] == before
    for device in back:
        first = orders(device)[0]
        bases = [version for name, _, version in before if name == device.device_id]
        assert (first.plan.round, first.base.base_version) == (4, 3)
        assert first.acknowledged_round == max(bases) + 1


def test_a_local_parameter_stays_local_and_the_rate_falls_at_the_end(tmp_path):
    a, b = devices("ab")
    job = replace(BUFFERED, cooldown=0.5, rounds=4)
    run(tmp_path / "all", fleet(a, b), job)
    rates = [order.plan.train.learning_rate for order in orders(a)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < rates[0]
    name = next(iter(a.held[0].state))
    first = a.held[0].state[name]
    c, d = devices("ab")
    run(tmp_path / "local", fleet(c, d), replace(job, local_parameters=(name,)))
    moved = last_base(tmp_path / "local", c)[1]
    assert np.array_equal(moved[name], first)
    assert all(np.allclose(value, 1.0, atol=1e-5) for other, value in moved.items() if other != name)
