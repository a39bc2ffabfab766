"""Whom rounds ask: as the registry knows the devices, the same after a restart, and no more than are waited for."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from flwr.app import Message
from scripted import FakeTime, ScriptedDevice, entry, fleet, profile
from scripted_run import JOB, devices, last_base, run, vanish

from fedtailor.protos.errors import PlanError, RoundError
from fedtailor.server.choice import candidates, choose_devices, cohort_of
from fedtailor.server.coordinator import run_job
from fedtailor.server.registry import open_registry
from fedtailor.server.run import check_names, start
from fedtailor.strategies.choice.choice import ChoiceSpec

UTILITY = replace(JOB, fraction=0.5, rounds=6, choice=ChoiceSpec(name="utility", version=1, args={"explore": 0.2}))


def quiet(*_):
    pass


def with_loss(device, _, *, loss):
    return entry("train", replace(device.train_reply(), train_loss=loss))


def with_tags(device, _, *, tags):
    return entry("profile", replace(profile(device.device_id, device.rows), tags=tags))


def differing(names="abcdef"):
    """Devices whose losses set them apart."""
    made = devices(names)
    for place, device in enumerate(made):
        device.rows = 40 + 30 * place
        device.on["train"] = partial(with_loss, loss=4.0 / (1 + place) ** 2)
    return made


def rounds_asked(device):
    return [order.plan.round for kind, order in device.orders if kind == "train"]


def test_the_default_asks_whom_a_plain_draw_from_the_sorted_ids_by_seed_and_round_gives(tmp_path):
    fleet_ = devices("cafedb")
    job = replace(JOB, fraction=0.4, rounds=5, seed=3)
    run(tmp_path, fleet(*fleet_), job)
    for round_ in range(1, 6):
        drawn = np.random.default_rng((3, round_)).choice(np.array(list("abcdef"), dtype=object), 2, replace=False)
        assert {device.device_id for device in fleet_ if round_ in rounds_asked(device)} == set(drawn)


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.parametrize("killed_after", [1, 3, 5])
def test_a_resumed_run_chooses_as_an_unbroken_one(tmp_path, killed_after):
    unbroken, broken = differing(), differing()
    run(tmp_path / "unbroken", fleet(*unbroken), UTILITY)

    def progress(stage, done, *_):
        if (stage, done) == ("train", killed_after):
            raise Killed

    with open_registry(tmp_path / "broken") as registry, pytest.raises(Killed):
        run_job(fleet(*broken), UTILITY, registry, progress, clock=FakeTime().clock)
    run(tmp_path / "broken", fleet(*reversed(broken), first_node=700), UTILITY)
    assert [rounds_asked(device) for device in broken] == [rounds_asked(device) for device in unbroken]
    bases = [last_base(tmp_path / name, unbroken[0])[1] for name in ("broken", "unbroken")]
    assert all(bases[0][name].tobytes() == bases[1][name].tobytes() for name in bases[0])


def test_candidates_know_what_earlier_rounds_recorded_and_nothing_of_later_ones(tmp_path):
    a, b, c = devices()
    a.on["train"] = partial(with_loss, loss=7.5)
    b.on["train"] = vanish
    run(tmp_path, fleet(a, b, c, ScriptedDevice("z", rows=0)))
    with open_registry(tmp_path) as registry:
        again = start(fleet(*devices("abcz")), JOB, registry, quiet, FakeTime().clock)
        known = {each.device_id: each for each in candidates(again, 3, ["c", "a", "b"])}
        new = candidates(again, 1, ["a"])
    assert set(known) == {"a", "b", "c"}
    assert [(known[name].asked, known[name].answered, known[name].last_round) for name in "ab"] == [
        (2, 2, 2),
        (2, 0, 2),
    ]
    assert (known["a"].last_loss, known["b"].last_loss, known["c"].last_loss) == (7.5, None, 0.5)
    assert known["a"].rows == 100
    assert [(each.asked, each.last_round, each.last_loss) for each in new] == [(0, None, None)]


def timed(pairs):
    """A fleet of (device, seconds that it takes), and its clock."""
    time, grid = FakeTime(), fleet(*(device for device, _ in pairs))

    def answer_later(device, message, *, seconds):
        reply = Message(device.train(), reply_to=message)
        time.at.append((time.now_s + seconds, lambda: grid.extra.append(reply)))
        vanish()

    for device, seconds in pairs:
        device.on["train"] = partial(answer_later, seconds=seconds)
    return grid, time


def test_candidates_know_how_long_their_last_answer_took_and_how_long_they_were_waited_for_in_vain(tmp_path):
    a, b, c = devices()
    grid, time = timed([(a, 2.0), (b, 9.0), (c, 1e6)])
    run(tmp_path, grid, time=time)
    with open_registry(tmp_path) as registry:
        again = start(fleet(*devices()), JOB, registry, quiet, FakeTime().clock)
        known, new = candidates(again, 4, ["a", "b", "c"]), candidates(again, 1, ["a"])
    assert [each.seconds for each in known] == [
        pytest.approx(2.0, abs=0.5),
        pytest.approx(9.0, abs=0.5),
        JOB.deadline_s,
    ]
    assert new[0].seconds is None


def test_a_slow_device_is_asked_less_often_than_an_equally_useful_fast_one(tmp_path):
    fleet_ = devices("abcdefgh")
    grid, time = timed([(device, 10.0 if device.device_id in "cg" else 1.0) for device in fleet_])
    run(tmp_path, grid, replace(UTILITY, rounds=40), time)
    asked = {device.device_id: len(rounds_asked(device)) for device in fleet_}
    assert 0 < max(asked[name] for name in "cg") < min(asked[name] for name in "abdefh") / 2


def test_only_what_came_lately_counts_as_answered(tmp_path):
    (a,) = devices("a")
    a.on["train"] = lambda device, _: device.train() if device.order.plan.round < 5 else vanish()
    b = ScriptedDevice("b")
    run(tmp_path, fleet(a, b), replace(JOB, rounds=30))
    with open_registry(tmp_path) as registry:
        again = start(fleet(*devices("ab")), replace(JOB, rounds=30), registry, quiet, FakeTime().clock)
        counts = [(each.asked, each.answered) for each in candidates(again, 31, ["a", "b"])]
    assert counts == [(20, 0), (20, 20)]


def test_the_merge_weighs_an_update_by_rows_over_inclusion(tmp_path):
    fleet_ = differing()
    for place, device in enumerate(fleet_):
        device.pull = float(place)
    job = replace(UTILITY, rounds=4)
    run(tmp_path, fleet(*fleet_), job)
    with open_registry(tmp_path) as registry:
        cohort = cohort_of(start(fleet(*fleet_), job, registry, quiet, FakeTime().clock), 4)
    asked = [device for device in fleet_ if 4 in rounds_asked(device)]
    assert [device.device_id for device in asked] == sorted(cohort.plans)
    assert len(set(cohort.inclusion.values())) > 1
    weights = [device.rows / cohort.inclusion[device.device_id] for device in asked]
    expected = np.average([device.pull for device in asked], weights=weights)
    _, base = last_base(tmp_path, fleet_[0])
    assert all(np.allclose(value, expected, atol=1e-5) for value in base.values())


def test_devices_among_which_to_choose_may_be_given(tmp_path):
    with open_registry(tmp_path) as registry:
        under_way = start(fleet(*devices("abcde"), ScriptedDevice("z", rows=0)), JOB, registry, quiet, FakeTime().clock)
        chosen = choose_devices(under_way, 1, 2, ["e", "b", "z", "c"])
        assert choose_devices(under_way, 1, 2, ["c", "z", "e", "b"]) == chosen
        assert {each.device_id for each in choose_devices(under_way, 1, 9, ["e", "b", "z"])} == {"b", "e"}
        assert choose_devices(under_way, 1, 2, []) == ()
    assert len(chosen) == 2
    assert all(each.inclusion == 2 / 3 and each.device_id in "ebc" for each in chosen)


def test_only_devices_with_one_of_the_jobs_tags_train_and_all_are_tailored(tmp_path):
    a, b, c, d = devices("abcd")
    for device, tags in ((a, ("till",)), (b, ("camera", "north")), (c, ("kiosk",))):
        device.on["query.profile"] = partial(with_tags, tags=tags)
    summary, _ = run(tmp_path, fleet(a, b, c, d), replace(JOB, tags=("till", "north")))
    assert [rounds_asked(device) for device in (a, b, c, d)] == [[1, 2, 3], [1, 2, 3], [], []]
    assert [row.asked for row in summary.rounds] == [2, 2, 2]
    assert all(row.variant is not None for row in summary.devices)


def test_a_tag_that_no_device_has_ends_the_run_with_its_name(tmp_path):
    with pytest.raises(RoundError, match="no device present with rows to train on has one of the tags till, kiosk"):
        run(tmp_path, fleet(*devices()), replace(JOB, rounds=9, tags=("till", "kiosk")))


@pytest.mark.parametrize("tags", [("",), ("x" * 201,), tuple("x" * (1 + i) for i in range(101))])
def test_a_profile_with_tags_of_no_use_is_refused(tmp_path, tags):
    a, b = devices("ab")
    b.on["query.profile"] = partial(with_tags, tags=tags)
    summary, _ = run(tmp_path, fleet(a, b))
    assert [row.hardware.device_id for row in summary.devices] == ["a"]


def test_a_choice_that_is_not_known_is_one_line_before_anything_is_asked():
    line = r"^choice luck 3 is not known here; known: .*utility 1; update the older side$"
    with pytest.raises(PlanError, match=line):
        check_names(replace(JOB, choice=ChoiceSpec(name="luck", version=3)))


OVER = replace(JOB, fraction=0.5, over_selection=0.5, rounds=1)


def test_over_selection_ends_the_round_once_as_many_as_wanted_have_answered(tmp_path):
    time, fleet_ = FakeTime(), devices("abcdefgh")
    asked = []
    for device in fleet_:
        device.on["train"] = lambda device, _: (
            asked.append(device.device_id) or (vanish() if len(asked) == 2 else device.train())
        )
    summary, _ = run(tmp_path, fleet(*fleet_), OVER, time)
    (only,) = summary.rounds
    assert (only.committed, only.asked, only.answered) == (True, 6, 4)
    assert time.now_s < 1
    assert sorted(only.problems) == [
        f"device {name}, train: late, 4 others had answered" for name in sorted((asked[1], asked[5]))
    ]


def test_a_late_device_is_told_that_its_update_does_not_count_and_takes_part_again(tmp_path):
    fleet_ = devices("abc")
    job = replace(JOB, fraction=0.67, over_selection=0.5, rounds=2)
    run(tmp_path, fleet(*fleet_), job)
    heard = [
        [
            (order.plan.round, order.acknowledged_round, order.base.held_version)
            for kind, order in each.orders
            if kind == "train"
        ]
        for each in fleet_
    ]
    in_time, late = [(1, 0, None), (2, 1, 0)], [(1, 0, None), (2, 0, None)]
    assert heard == [in_time, in_time, late]


def test_the_reply_of_a_slow_device_that_comes_in_a_later_round_is_not_merged(tmp_path):
    time, (a, b, slow) = FakeTime(), devices("abs")
    grid = fleet(a, b, slow)
    held = []

    def answer_later(device, message):
        grid.extra += held
        held.append(Message(device.train(), reply_to=message))
        vanish()

    slow.pull = 100.0
    slow.on["train"] = answer_later
    summary, _ = run(tmp_path, grid, replace(JOB, fraction=0.67, over_selection=0.5, rounds=2), time)
    assert [row.answered for row in summary.rounds] == [2, 2]
    assert all(np.allclose(value, 1.0, atol=1e-6) for value in last_base(tmp_path, a)[1].values())
    assert any("answered what nobody waits for" in line for line in summary.rounds[1].problems)


@pytest.mark.parametrize(("silent", "committed"), [(4, True), (5, False)])
def test_the_minimum_counts_against_the_number_wanted(tmp_path, silent, committed):
    fleet_, asked = devices("abcdefgh"), []
    for device in fleet_:
        device.on["train"] = lambda device, _: asked.append(1) or (vanish() if len(asked) <= silent else device.train())
    summary, _ = run(tmp_path, fleet(*fleet_), OVER)
    assert summary.rounds[0].committed is committed
    if not committed:
        assert "abandoned: 1 of 6 devices answered, at least 50% of 4 are needed" in summary.rounds[0].problems[-1]
