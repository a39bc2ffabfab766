from dataclasses import replace

import pytest
from in_this_process import Here
from small_fleet import JOB, small_fleet

from fedtailor.protos.errors import ConfigError
from fedtailor.server.job import BUFFERED, ROUNDS
from fedtailor.simulations import pace
from fedtailor.simulations.pace import Check, bench_pace, reached_s
from fedtailor.simulations.pace_course import (
    CUT_OFF,
    EVERYONE,
    UNIFORM,
    UTILITY,
    course_of,
    jobs_of,
    updates_per_s,
)

SLOW = {"slow_fraction": 0.5, "slow_factor": 10.0, "dropout": 0.2}


class HereAlone(Here):
    """In place of `Workers`."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def checks(*scores):
    return [Check(at, 10.0 * at, score) for at, score in enumerate(scores, start=1)]


@pytest.mark.parametrize(
    ("scores", "better", "at"),
    [
        ((0.1, 0.5, 0.6), "higher", 20.0),
        ((0.1, 0.5, 0.4, 0.5, 0.7), "higher", 40.0),  # once is not for good
        ((0.1, 0.2, 0.9), "higher", None),
        ((0.9, 0.5, 0.4), "lower", 20.0),
        ((), "higher", None),
    ],
)
def test_a_score_is_reached_when_two_checks_in_a_row_say_so(scores, better, at):
    assert reached_s(checks(*scores), 0.5, better) == at


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pace")
    return course_of(small_fleet(folder, **SLOW, job={**JOB, "rounds": 10}), folder)


def test_the_deadlines_let_everyone_answer_or_all_but_the_slow(course):
    assert 0 < sum(course.slow) < 3
    assert 0 < course.cut_off_s < course.deadline_s


def test_every_way_has_a_job_and_those_with_spares_differ_in_their_choice_alone(course):
    jobs = jobs_of(course, buffer=2)
    assert {mode: job.mode for mode, job in jobs.items()} == {
        EVERYONE: ROUNDS, CUT_OFF: ROUNDS, UNIFORM: ROUNDS, UTILITY: ROUNDS, BUFFERED: BUFFERED
    }  # fmt: skip
    assert jobs[UTILITY].choice.name == "utility"
    assert replace(jobs[UTILITY], choice=jobs[UNIFORM].choice) == jobs[UNIFORM]
    assert jobs[UNIFORM].over_selection > 0
    assert jobs[UNIFORM].rounds * jobs[UNIFORM].fraction == jobs[EVERYONE].rounds
    assert jobs[BUFFERED].optimizer.name == "sgd"
    assert {job.deadline_s for mode, job in jobs.items() if mode != CUT_OFF} == {course.deadline_s}


def test_buffered_training_is_given_half_the_time_of_rounds_that_wait(course):
    steady = replace(course, fleet=replace(course.fleet, dropout=0.0), seconds=(1.0, 1.0, 4.0))
    assert updates_per_s(steady) == pytest.approx(2.25)
    job = jobs_of(steady, buffer=2)[BUFFERED]
    assert job.rounds * 2 == pytest.approx(0.5 * 10 * steady.deadline_s * 2.25, abs=1)
    absent = replace(course, fleet=replace(course.fleet, dropout=0.5), seconds=(1.0, 1.0, 4.0))
    assert updates_per_s(absent) == pytest.approx(0.5 * (2 / (0.5 + 2.1) + 1 / (2 + 2.1)))


def test_every_way_to_train_is_a_row_and_whoever_does_not_wait_for_all_commits_sooner(tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "Workers", HereAlone)
    told = []
    fleet = small_fleet(tmp_path, **SLOW, job={**JOB, "rounds": 4})
    rows = {row.mode: row for row in bench_pace(fleet, 1, 1, lambda *step: told.append(step))}
    waiting, buffered = rows[EVERYONE], rows[BUFFERED]
    assert list(rows) == [EVERYONE, CUT_OFF, UNIFORM, UTILITY, BUFFERED]
    assert max(row.virtual_s / row.commits for row in rows.values()) == waiting.virtual_s / waiting.commits
    assert rows[CUT_OFF].updates < waiting.updates
    assert buffered.commits == buffered.updates
    assert buffered.virtual_s == pytest.approx(waiting.virtual_s / 2, rel=0.3)
    assert all(0 <= row.score <= 1 for row in rows.values())
    for row in rows.values():
        assert row.share == (None if row.reached_s is None else row.reached_s / waiting.virtual_s)
    assert told[-1][:3] == ("seed 0, buffered", buffered.commits, buffered.commits)


def test_one_device_is_too_few(tmp_path):
    fleet = replace(small_fleet(tmp_path), devices=1, partition="iid")
    with pytest.raises(ConfigError, match=r"devices: expected at least 2, .* got 1"):
        bench_pace(fleet, 1, 0, lambda *_: None)
