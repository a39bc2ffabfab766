import pytest
from in_this_process import Here
from small_fleet import JOB, small_fleet

from fedtailor.server.job import BUFFERED, ROUNDS
from fedtailor.simulations import pace
from fedtailor.simulations.pace import CUT_OFF, EVERYONE, Check, bench_pace, course_of, jobs_of, reached_s

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
    assert 0 < course.slow < 3
    assert 0 < course.deadlines_s[CUT_OFF] < course.deadlines_s[EVERYONE]


def test_buffered_training_merges_half_as_many_updates_again(course):
    jobs = jobs_of(course, buffer=2)
    assert {mode: job.mode for mode, job in jobs.items()} == {
        EVERYONE: ROUNDS, CUT_OFF: ROUNDS, BUFFERED: BUFFERED
    }  # fmt: skip
    assert jobs[BUFFERED].rounds * 2 == pytest.approx(1.5 * 10 * 3 * 0.8, abs=1)
    assert jobs[BUFFERED].optimizer.name == "sgd"
    assert jobs[BUFFERED].deadline_s == jobs[EVERYONE].deadline_s


def test_every_way_to_train_is_a_row_and_waiting_takes_longest(tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "Workers", HereAlone)
    told = []
    fleet = small_fleet(tmp_path, **SLOW, job={**JOB, "rounds": 4})
    rows = {row.mode: row for row in bench_pace(fleet, 1, 1, lambda *step: told.append(step))}
    assert list(rows) == [EVERYONE, CUT_OFF, BUFFERED]
    assert rows[CUT_OFF].virtual_s < rows[EVERYONE].virtual_s
    assert rows[CUT_OFF].updates < rows[EVERYONE].updates
    assert rows[BUFFERED].commits == rows[BUFFERED].updates == 14
    assert all(0 <= row.score <= 1 for row in rows.values())
    assert (rows[BUFFERED].buffered_s, rows[BUFFERED].share) == (None, None)
    for mode in (EVERYONE, CUT_OFF):
        row = rows[mode]
        assert row.buffered_s is None or row.share == row.buffered_s / row.virtual_s
    assert told[-1][:3] == ("seed 0, buffered", 14, 14)
