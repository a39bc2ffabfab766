"""Devices under way are asked for their profile anew, and planned anew where their data has moved."""

from dataclasses import replace

import pytest
from scripted import RECORD, FakeTime, entry, fleet
from scripted_run import JOB, devices, fail, run

from fedtailor.protos.data_profile import Drift, Shift
from fedtailor.protos.messages import Profile
from fedtailor.protos.plan import Plan
from fedtailor.protos.wire import from_bytes
from fedtailor.server.job import BUFFERED
from fedtailor.server.registry import open_registry
from fedtailor.server.rows import PlanRow, ProblemRow, ProfileRow, TrafficRow

EVERY_2 = replace(JOB, rounds=5, reprofile_every=2)
FAR = Drift(label=Shift(size=0.6, level=1e-9), feature=Shift(size=0.1, level=0.4))
NEAR = Drift(label=Shift(size=0.1, level=0.2), feature=Shift(size=0.1, level=0.4))


def asked_again(device):
    """The orders that came with a question for the profile."""
    return [order for kind, order in device.orders if kind == "query.profile"]


def tells(**by_round):
    """A device whose later profiles differ from its first: `r4` is what is new in the one of round 4."""

    def answer(device, message):
        noun = from_bytes(Profile, device.profile()[RECORD]["profile"], sender="test")
        number = int(message.metadata.group_id)
        changes = by_round.get(f"r{number}", {"drift": NEAR} if number else {})
        return entry("profile", replace(noun, data=replace(noun.data, **{"round": number, **changes})))

    return answer


def stored(folder, table, device_id):
    with open_registry(folder) as registry, registry.transaction() as session:
        return session.query(table).filter_by(device_id=device_id).all()


def plans(folder, device_id):
    rows = stored(folder, PlanRow, device_id)
    return [(row.word, from_bytes(Plan, row.plan, sender="test").profile_round) for row in rows]


def test_by_default_nobody_is_asked_twice(tmp_path):
    a, b = devices("ab")
    run(tmp_path, fleet(a, b), replace(JOB, rounds=5))
    assert asked_again(a) == asked_again(b) == []
    assert [row.round for row in stored(tmp_path, ProfileRow, "a")] == [0]


def test_every_so_many_rounds_all_devices_present_are_asked_with_plan_and_base(tmp_path):
    a, b = devices("ab")
    for device in (a, b):
        device.on["query.profile"] = tells()
    run(tmp_path, fleet(a, b), replace(EVERY_2, fraction=0.5))
    for device in (a, b):
        assert [order.plan.round for order in asked_again(device)] == [2, 4]
        assert [order.base.base_version for order in asked_again(device)] == [1, 3]
        assert all(order.plan.recipes == () for order in asked_again(device))
    assert [row.round for row in stored(tmp_path, ProfileRow, "a")] == [0, 2, 4]
    assert {row.round for row in stored(tmp_path, TrafficRow, "a") if row.stage == "query.profile"} == {0, 2, 4}


def test_data_that_has_moved_is_planned_anew_and_told_in_the_report(tmp_path):
    a, b = devices("ab")
    a.on["query.profile"] = tells(r4={"drift": FAR}, r6={"drift": NEAR, "class_counts": (100, 0)})
    b.on["query.profile"] = tells()
    summary, _ = run(tmp_path, fleet(a, b), replace(EVERY_2, rounds=6))
    assert plans(tmp_path, "a") == [("finetune", 0), (summary.devices[0].plan, 4)]
    assert summary.devices[0].plan.endswith("; anew in round 4: labels moved")
    assert [order.plan.profile_round for order in asked_again(a)] == [0, 0, 4]
    assert plans(tmp_path, "b") == [("finetune", 0)]
    (drift,) = summary.devices[0].drifts
    assert (drift.round, drift.parts, drift.drift) == (4, ("labels",), FAR)
    assert summary.devices[1].drifts == ()
    assert summary.devices[0].data.class_counts == (100, 0)


def test_a_device_that_gets_its_first_rows_takes_part_from_then_on(tmp_path):
    a, late = devices("az")
    late.rows = 0

    def answer(device, message):
        device.rows = 100 if int(message.metadata.group_id) else 0
        return tells()(device, message)

    a.on["query.profile"], late.on["query.profile"] = tells(), answer
    summary, _ = run(tmp_path, fleet(a, late), EVERY_2)
    assert [row.asked for row in summary.rounds] == [1, 2, 2, 2, 2]
    assert summary.devices[1].plan == "finetune; anew in round 2: it has rows now"


def test_a_device_that_has_gained_rows_since_its_profile_counts_with_those_it_told_of(tmp_path):
    a, b = devices("ab")
    a.on["train"] = lambda device, _: _with_rows(device, 10_000)
    summary, _ = run(tmp_path, fleet(a, b))
    assert [row.answered for row in summary.rounds] == [2, 2, 2]
    assert not summary.devices[0].problems


def _with_rows(device, rows):
    device.rows = rows
    return device.train()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"device_id": "b"}, "hardware is of device"),
        ({"sample_shape": (2, 4)}, "expected classification on samples of shape"),
        ({"drift": Drift(label=Shift(size=float("nan"), level=0.0))}, "expected a finite number"),
    ],
)
def test_a_profile_that_cannot_be_is_a_problem_and_changes_nothing(tmp_path, changes, line):
    a, b = devices("ab")
    a.on["query.profile"] = tells(r2=changes)
    b.on["query.profile"] = tells()
    run(tmp_path, fleet(a, b), replace(EVERY_2, rounds=3))
    assert [row.round for row in stored(tmp_path, ProfileRow, "a")] == [0]
    assert any(line in row.line for row in stored(tmp_path, ProblemRow, "a"))


def test_a_device_that_does_not_answer_is_asked_again_when_its_turn_comes_and_trains_on(tmp_path):
    a, b = devices("ab")
    b.on["query.profile"] = lambda device, message: fail() if device.orders else device.profile()
    summary, _ = run(tmp_path, fleet(a, b), EVERY_2)
    assert [order.plan.round for order in asked_again(b)] == [2, 4]
    assert [row.answered for row in summary.rounds] == [2] * 5
    assert len(summary.devices[1].problems) == 2


def test_without_rounds_devices_are_asked_when_they_do_not_train(tmp_path):
    a, b, c = devices()
    for device in (a, b, c):
        device.on["query.profile"] = tells()
    run(tmp_path, fleet(a, b, c), replace(EVERY_2, mode=BUFFERED, buffer=2, rounds=6), FakeTime())
    for device in (a, b, c):
        assert len(asked_again(device)) >= 2


def test_a_run_that_goes_on_plans_by_the_rows_of_the_last_profiles(tmp_path):
    rounds = []

    def watch(device, message):
        rounds.append(int(message.metadata.group_id))
        return tells()(device, message)

    a, b = devices("ab")
    for device in (a, b):
        device.on["train"] = lambda device, _: device.train() if device.order.plan.round < 4 else 1 / 0
    job = replace(EVERY_2, rounds=8)
    with pytest.raises(Exception, match="no device answered in rounds 4 to 6"):
        run(tmp_path, fleet(a, b), job)
    back = devices("ab")
    for device, before in zip(back, (a, b), strict=True):
        device.held = before.held
        device.on["query.profile"] = watch
    run(tmp_path, fleet(*back), job)
    assert rounds == [6, 6, 8, 8]
