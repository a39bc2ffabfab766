"""The bench of weak devices: the same fleet and rounds for every way, and rows that say what they mean."""

from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from small_fleet import small_fleet

from fedtailor.protos.errors import ConfigError, DataError
from fedtailor.simulations.course import course_of
from fedtailor.simulations.federation import Federation, Wire
from fedtailor.simulations.weak_bench import Errand, Terms, bench_weak, carry_out, personal_plan
from fedtailor.simulations.weak_tiers import weak_devices
from fedtailor.simulations.weak_ways import ALL_STRONG, DEPTH, LEFT_OUT, TAUGHT, WAYS, WIDTH, course_of_way
from fedtailor.strategies.models.model import initial_state


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return small_fleet(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    return small_fleet(tmp_path_factory.mktemp("four"), partition="iid", devices=4)


@pytest.fixture(scope="module")
def terms(tmp_path_factory):
    return Terms(seeds=2, per_round=3, proxy_devices=1, out=tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def rows(four, terms):
    return bench_weak(four, terms, lambda *_: None)


@pytest.fixture(scope="module")
def course(fleet):
    return course_of(fleet, per_round=3, seed=0)


WEAK = frozenset({"east"})


def test_there_is_a_row_for_every_way_with_every_device_in_it(rows):
    assert [row.way for row in rows] == list(WAYS)
    for row in rows:
        assert (row.seeds, row.metric, row.better) == (2, "accuracy", "higher")
        for run, other in zip(row.runs, rows[0].runs, strict=True):
            assert len(run.base) == 3  # one of four is set apart, the same in every way
            assert set(run.base) == set(run.tuned) == set(other.base)
            assert run.weak == other.weak
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
    assert {way for way, spec in specs.items() if spec.exits} == {DEPTH, TAUGHT}
    start, exited = (initial_state(specs[way], 0) for way in (ALL_STRONG, DEPTH))
    assert all(np.array_equal(start[name], exited[name]) for name in start)


def test_a_weak_device_personalises_its_head_and_as_a_strong_one_the_whole_model(course):
    tiered = course_of_way(course, WEAK, DEPTH)
    weak, strong = (personal_plan(tiered, "east", weak=weak) for weak in (True, False))
    assert (weak.personal.method, weak.personal_parameters) == ("head", ("head.weight", "head.bias"))
    assert (strong.personal.method, strong.personal_parameters) == ("finetune", ())


def test_a_run_that_is_kept_is_not_repeated(four, terms, rows):
    steps = []
    assert bench_weak(four, terms, lambda *step: steps.append(step)) == rows
    assert len(list(terms.out.iterdir())) == 2 * len(WAYS)
    assert [step[1:3] for step in steps] == [(10, 10)]
    (alone,) = bench_weak(four, replace(terms, ways=(TAUGHT,)), lambda *_: None)
    assert alone == rows[WAYS.index(TAUGHT)]


def test_only_the_rows_of_devices_set_apart_teach_and_of_one_way_alone(four):
    course, others = course_of(four, 3, seed=0, proxy_devices=1), course_of(four, 3, seed=0)
    (apart,) = set(others.devices) - set(course.devices)
    assert np.array_equal(course.proxy, others.devices[apart].train.x)
    weak = weak_devices(course.devices, 0)
    tiered = {way: course_of_way(course, weak, way) for way in WAYS}
    assert [way for way in WAYS if tiered[way].teacher() is not None] == [TAUGHT]
    plain, taught = (Federation(tiered[way], Wire(name=way, uplink=None)) for way in (DEPTH, TAUGHT))
    said, again = plain.round(), taught.round()
    for one, other in zip(said, again, strict=True):
        assert all(map(np.array_equal, one.total, other.total))
    assert any(not np.array_equal(plain.state[name], taught.state[name]) for name in plain.state)


def test_other_seeds_set_other_devices_apart(four):
    left = {tuple(course_of(four, 3, seed=seed, proxy_devices=2).devices) for seed in range(6)}
    assert len(left) > 1


def test_two_devices_must_be_left_to_train(four):
    with pytest.raises(ConfigError, match=r"proxy: expected at most 2 of 4 devices .* to be set apart, .* got 3"):
        course_of(four, 3, seed=0, proxy_devices=3)


def test_a_fleet_of_one_device_has_no_tiers(tmp_path):
    alone = small_fleet(tmp_path, devices=1, partition="iid")
    assert not weak_devices(course_of(alone, per_round=1, seed=0).devices, 0)
    with pytest.raises(DataError, match="expected two devices with rows to train on, or more, got one"):
        carry_out(Errand(fleet=alone, way=DEPTH, per_round=1, proxy_devices=0, seed=0))
