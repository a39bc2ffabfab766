"""The bench's federation: the same course for every method, bytes as sent, and runs that are kept."""

import json

import numpy as np
import pytest
from small_fleet import small_fleet

from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.errors import ConfigError, DataError
from fedtailor.simulations import kept_runs
from fedtailor.simulations.codec_accuracy import Terms, bench_accuracy, run_method
from fedtailor.simulations.codec_methods import METHODS, methods_named
from fedtailor.simulations.codec_rows import FP32
from fedtailor.simulations.course import course_of
from fedtailor.simulations.federation import Federation
from fedtailor.simulations.fleet import fleet_from

FP = METHODS[FP32]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return small_fleet(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def course(fleet):
    return course_of(fleet, per_round=2, seed=3)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_goes_through_its_rounds_and_says_what_it_sent(course, name):
    run = run_method(course, METHODS[name])
    assert (run.method, run.seed, run.metric) == (name, 3, "accuracy")
    assert 0 < run.uplink_bytes < 4 * run.parameters + 200
    assert min(run.downlink_bytes, run.broadcast_bytes) > 0
    assert 0 <= run.test_score <= 1


def test_the_bytes_of_fp32_are_four_a_parameter_and_an_envelope(course):
    run = run_method(course, FP)
    assert 4 * run.parameters < run.uplink_bytes < 4 * run.parameters + 100


def test_all_methods_of_a_seed_meet_the_same_devices_with_the_same_local_seeds(course):
    asked = [[(name, plan.seed) for name, plan in course.plans(number).items()] for number in (1, 2)]
    assert [len(plans) for plans in asked] == [2, 2]
    assert asked[0] != asked[1]
    exact, coarse = (Federation(course, METHODS[name]) for name in (FP32, "rotate1"))
    pairs = zip(exact.round(), coarse.round(), strict=True)  # in round 1 bases are equal, so updates before coding are
    assert all(np.array_equal(one, other) for a, b in pairs for one, other in zip(a.total, b.total, strict=True))


def test_equal_seeds_give_equal_runs_and_others_do_not(fleet, course):
    method = METHODS["int8"]
    first, again = run_method(course, method), run_method(course_of(fleet, 2, 3), method)
    other = run_method(course_of(fleet, 2, 4), method)
    figures = [(run.uplink_bytes, run.test_score, run.validation_score) for run in (first, again, other)]
    assert figures[0] == figures[1]
    assert figures[0] != figures[2]


def test_feedback_brings_back_what_an_update_could_not_say(course):
    federation = Federation(course, METHODS["stc"])
    left = {}
    for number in (1, 2, 3):
        for name, sent in zip(course.plans(number), federation.round(), strict=True):
            said = sum(float(np.abs(each).sum()) for each in sent.decoded.deltas)
            left.setdefault(name, []).append(sum(float(np.abs(each).sum()) for each in sent.total) - said)
    repeated = [amounts for amounts in left.values() if len(amounts) > 1]
    assert repeated
    assert all(amounts[1] > 1.2 * amounts[0] for amounts in repeated)


def test_more_devices_a_round_than_there_are_is_all_of_them(fleet):
    assert len(course_of(fleet, per_round=50, seed=0).plans(1)) == 3


def test_a_fleet_without_test_rows_is_refused(tmp_path):
    x = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    split = np.tile(np.uint8([0, 0, 1]), 30)
    arrays = FleetArrays(x=x, y=(x[:, 0] > 0).astype(np.int64), device=np.repeat(["a", "b", "c"], 30), split=split)
    write_fleet_file(tmp_path / "rows.npz", arrays)
    with pytest.raises(DataError, match="expected test rows"):
        course_of(fleet_from({"data": str(tmp_path / "rows.npz")}), 2, 0)


def test_runs_are_in_order_of_seed_and_method_and_kept_ones_are_not_repeated(fleet, tmp_path, monkeypatch):
    terms = Terms(methods=methods_named(["stc"]), seeds=2, per_round=2, out=tmp_path)
    heard = []
    runs = bench_accuracy(fleet, terms, lambda *told: heard.append(told))
    assert [(run.seed, run.method) for run in runs] == [(0, "fp32"), (0, "stc"), (1, "fp32"), (1, "stc")]
    assert heard[0][1:3] == (0, 4)
    assert heard[-1][1:3] == (4, 4)
    carried_out = []

    def instead(_function, tasks, _count):
        carried_out.extend(tasks)
        return iter(())

    monkeypatch.setattr(kept_runs, "in_processes", instead)
    assert bench_accuracy(fleet, terms, lambda *_: None) == runs
    assert not carried_out
    lost = next(tmp_path.glob("stc-seed1-*.json"))
    assert json.loads(lost.read_text(encoding="utf-8"))["seed"] == 1
    lost.unlink()
    with pytest.raises(KeyError):
        bench_accuracy(fleet, terms, lambda *_: None)
    assert [(errand.method.name, errand.seed) for errand in carried_out] == [("stc", 1)]


def test_a_kept_run_of_other_settings_is_not_taken_for_this_one(fleet, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_runs, "in_processes", lambda function, tasks, _: map(function, tasks))
    for per_round in (2, 1):
        bench_accuracy(fleet, Terms(methods=(FP,), seeds=1, per_round=per_round, out=tmp_path), lambda *_: None)
    assert len(list(tmp_path.iterdir())) == 2


def test_methods_are_asked_for_by_name_and_fp32_comes_first():
    assert list(methods_named([])) == list(METHODS.values())
    assert [method.name for method in methods_named(["stc", "fp16"])] == ["fp32", "fp16", "stc"]
    with pytest.raises(ConfigError, match=r"expected some of .*int4-ef.*, got 'zip'"):
        methods_named(["zip"])


def test_every_method_with_state_stands_beside_itself_with_a_step_ahead():
    uplinks = [method.uplink for method in METHODS.values() if method.uplink and method.uplink.feedback]
    assert {each.codec.name for each in uplinks if each.step_ahead} == {each.codec.name for each in uplinks}
    assert sorted(each.codec.name for each in uplinks) == sorted(2 * ["uniform", "topk", "stc", "ternary"])


def test_ours_follows_the_profile_of_the_course(fleet):
    rare, often = (course_of(fleet, per_round, 0) for per_round in (1, 3))
    assert (rare.uplink(10**6).feedback, often.uplink(10**6).feedback) == (False, True)
