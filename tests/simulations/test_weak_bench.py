"""The bench of weak devices: the same fleet and rounds for every way, and rows that say what they mean."""

from statistics import fmean

import numpy as np
import pytest
from small_fleet import small_fleet

from fedtailor.protos.errors import DataError
from fedtailor.simulations.course import course_of
from fedtailor.simulations.federation import Federation, Wire
from fedtailor.simulations.weak_bench import Errand, Terms, bench_weak, carry_out, personal_plan
from fedtailor.simulations.weak_tiers import weak_devices
from fedtailor.simulations.weak_ways import ALL_STRONG, DEPTH, LEFT_OUT, WAYS, WIDTH, course_of_way
from fedtailor.strategies.models.model import initial_state


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return small_fleet(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def terms(tmp_path_factory):
    return Terms(seeds=2, per_round=3, out=tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def rows(fleet, terms):
    return bench_weak(fleet, terms, lambda *_: None)


@pytest.fixture(scope="module")
def course(fleet):
    return course_of(fleet, per_round=3, seed=0)


WEAK = frozenset({"east"})


def test_there_is_a_row_for_every_way_with_every_device_in_it(rows):
    assert [row.way for row in rows] == list(WAYS)
    for row in rows:
        assert (row.seeds, row.metric, row.better) == (2, "accuracy", "higher")
        assert all(set(run.base) == set(run.tuned) == {"north", "east", "south"} for run in row.runs)
        assert all(run.weak == rows[0].runs[at].weak for at, run in enumerate(row.runs))
        assert row.worst <= min(row.strong, row.weak)
        assert row.worst_tuned <= min(row.strong_tuned, row.weak_tuned)
        assert row.mean == pytest.approx(fmean(fmean(run.base.values()) for run in row.runs))


def test_weak_devices_send_less_by_depth_and_by_width_and_nothing_where_they_are_left_out(rows):
    sent = {row.way: row.weak_uplink_bytes for row in rows}
    assert sent[LEFT_OUT] is None
    assert max(sent[DEPTH], sent[WIDTH]) < sent[ALL_STRONG]


def test_strong_devices_do_the_same_in_round_one_of_every_way_without_exits(course):
    firsts = {}
    for way in (ALL_STRONG, WIDTH, LEFT_OUT):
        tiered = course_of_way(course, WEAK, way)
        asked = list(tiered.plans(1))
        said = Federation(tiered, Wire(name=way, uplink=None)).round()
        firsts[way] = dict(zip(asked, (each.total for each in said), strict=True))
    assert set(firsts[LEFT_OUT]) == {"north", "south"}
    for name in ("north", "south"):
        for way in (WIDTH, LEFT_OUT):
            assert all(map(np.array_equal, firsts[way][name], firsts[ALL_STRONG][name]))


def test_only_the_course_by_depth_has_exits_and_they_change_nothing_of_where_it_starts(course):
    specs = {way: course_of_way(course, WEAK, way).template.model for way in WAYS}
    assert {way for way, spec in specs.items() if spec.exits} == {DEPTH}
    start, exited = (initial_state(specs[way], 0) for way in (ALL_STRONG, DEPTH))
    assert all(np.array_equal(start[name], exited[name]) for name in start)


def test_a_weak_device_personalises_its_head_and_as_a_strong_one_the_whole_model(course):
    tiered = course_of_way(course, WEAK, DEPTH)
    weak, strong = (personal_plan(tiered, "east", weak=weak) for weak in (True, False))
    assert (weak.personal.method, weak.personal_parameters) == ("head", ("head.weight", "head.bias"))
    assert (strong.personal.method, strong.personal_parameters) == ("finetune", ())


def test_a_run_that_is_kept_is_not_repeated(fleet, terms, rows):
    steps = []
    assert bench_weak(fleet, terms, lambda *step: steps.append(step)) == rows
    assert len(list(terms.out.iterdir())) == 2 * len(WAYS)
    assert [step[1:3] for step in steps] == [(8, 8)]


def test_a_fleet_of_one_device_has_no_tiers(tmp_path):
    alone = small_fleet(tmp_path, devices=1, partition="iid")
    assert not weak_devices(course_of(alone, per_round=1, seed=0).devices, 0)
    with pytest.raises(DataError, match="expected two devices with rows to train on, or more, got one"):
        carry_out(Errand(fleet=alone, way=DEPTH, per_round=1, seed=0))
