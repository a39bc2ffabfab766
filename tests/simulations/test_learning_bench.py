"""The contract of every method: scores of all devices, bytes, newcomers, equal seeds; and runs that are shared."""

import pickle
from collections import Counter
from dataclasses import replace
from functools import cache
from math import isfinite

import numpy as np
import pytest
from learning_fleets import KINDS, NEW, TRAINED, learning_fleet
from small_variants import HARDWARE

from fedtailor.simulations import kept_runs, learning_bench, learning_course
from fedtailor.simulations.learning_bench import Errand, Terms, bench_learning, run_training
from fedtailor.simulations.learning_course import intake_of
from fedtailor.simulations.learning_methods import METHODS, OURS, OURS_INT8, TRAININGS
from fedtailor.simulations.learning_newcomer import WAYS

WITHOUT_SHARED, WITHOUT_MESSAGES = ("Local",), ("Local", "pooled")
WITH_OWN_HEAD = ("FedRep", "FedPer", "FedBABU")


def methods(*names):
    return tuple(METHODS[name] for name in names)


@pytest.fixture(scope="module", autouse=True)
def _no_benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning_course, "probe", lambda *_, **__: HARDWARE)
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Every method's run by kind; each training is carried out once."""
    folder = tmp_path_factory.mktemp("rows")

    @cache
    def intake(kind):
        return intake_of(learning_fleet(folder, kind), 3, None, 5)

    @cache
    def trained(kind, training):
        methods = [method for method in METHODS.values() if method.training == training]
        return {run.method: run for run in run_training(intake(kind), training, methods)}

    return lambda kind, name: trained(kind, METHODS[name].training)[name]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_scores_every_device_and_says_what_it_sent(found, kind, name):
    run = found(kind, name)
    assert (run.method, run.seed) == (name, 5)
    assert set(run.scores) == set(TRAINED)
    assert all(map(isfinite, run.scores.values()))
    assert sum(run.finals.values()) == len(TRAINED)
    assert run.rows == {**dict.fromkeys(TRAINED, 12), NEW: 40}
    assert set(run.unseen) == (set() if name in WITHOUT_SHARED else {NEW})
    assert all(map(isfinite, run.unseen.values()))
    sent = (run.uplink_bytes, run.downlink_bytes)
    if name in WITHOUT_MESSAGES:
        assert sent == ((0, 0) if name == "Local" else (None, None))
    else:
        assert min(sent) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_baselines_send_four_bytes_a_shared_parameter_both_ways_and_ours_fewer(found, kind):
    whole = {found(kind, name).uplink_bytes for name in ("FedAvg", "Ditto", "FedALA")}
    without_head = {found(kind, name).uplink_bytes for name in WITH_OWN_HEAD}
    assert len(whole) == len(without_head) == 1
    assert max(without_head) < min(whole)
    for name in ("FedAvg", *WITH_OWN_HEAD):
        assert found(kind, name).downlink_bytes == found(kind, name).uplink_bytes
    assert found(kind, OURS).uplink_bytes < 0.2 * min(whole)
    assert found(kind, OURS).uplink_bytes == found(kind, OURS_INT8).uplink_bytes


@pytest.mark.parametrize("kind", KINDS)
def test_ditto_leaves_the_shared_model_as_fedavg_trains_it(found, kind):
    assert found(kind, "Ditto").unseen == found(kind, "FedAvg").unseen
    assert found(kind, "Ditto").scores != found(kind, "FedAvg").scores


@pytest.mark.parametrize("training", TRAININGS)
def test_equal_seeds_give_equal_runs_and_others_do_not(tmp_path, training):
    fleet = learning_fleet(tmp_path, "regression", rounds=1)  # figures that no two models share
    methods = [method for method in METHODS.values() if method.training == training]
    runs = [run_training(intake_of(fleet, 3, None, seed), training, methods) for seed in (1, 1, 2)]
    first, again, other = ([replace(run, cpu_s=0.0) for run in each] for each in runs)
    assert first == again
    assert [run.scores for run in first] != [run.scores for run in other]


def test_newcomers_are_tried_in_every_way_they_can_go(found, tmp_path):
    assert set(found("regression", OURS).newcomers) == set(WAYS)
    assert [len(scores) for scores in found("regression", OURS).newcomers.values()] == [1, 0, 0, 0]
    assert not found("regression", "FedAvg").newcomers
    late = intake_of(learning_fleet(tmp_path, "regression", rounds=1), 3, 0.25, 1)
    (run,) = run_training(late, "ours", [METHODS[OURS]])
    counts = {way: len(scores) for way, scores in run.newcomers.items()}
    assert counts == {"base only": 2, "calibration only": 0, "nearest cohort": 1, "after its own fine-tuning": 1}
    assert run.newcomers["base only"] == run.unseen
    assert set(run.scores).isdisjoint(run.unseen)


def test_where_only_newcomers_have_test_rows_methods_are_judged_by_them(tmp_path):
    fleet = learning_fleet(tmp_path, rounds=1)
    with np.load(fleet.data) as kept:
        arrays = {**kept, "split": np.where((kept["device"] != NEW) & (kept["split"] == 2), np.uint8(0), kept["split"])}
    np.savez(fleet.data, **arrays)
    found = bench_here(fleet, Terms(methods=methods("Local", "FedAvg"), seeds=1, per_round=3))
    local, fedavg = found.rows
    assert (local.mean, local.worst_decile, local.devices) == (None, None, 0)
    assert (fedavg.mean, fedavg.devices) == (fedavg.unseen, 1)


def bench_here(fleet, terms, told=lambda *_: None):
    """In this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_runs, "in_processes", lambda function, tasks, _: map(function, tasks))
        return bench_learning(fleet, terms, told)


def test_methods_share_a_training_and_rows_are_in_the_table_s_order(tmp_path, monkeypatch):
    began = Counter()

    def counted(name):
        return lambda intake: began.update([name]) or TRAININGS[name](intake)

    monkeypatch.setattr(learning_bench, "TRAININGS", {name: counted(name) for name in TRAININGS})
    asked = methods("Local", "FedAvg", "FedAvg+fine-tuning")
    heard = []
    terms = Terms(methods=asked, seeds=2, per_round=3)
    found = bench_here(learning_fleet(tmp_path), terms, lambda *told: heard.append(told))
    assert [row.method for row in found.rows] == ["Local", "FedAvg", "FedAvg+fine-tuning"]
    assert [[run.seed for run in row.runs] for row in found.rows] == 3 * [[0, 1]]
    assert began == {"alone": 2, "fedavg": 2}
    assert [told[1:3] for told in heard] == [(done, 4) for done in range(5)]
    assert heard[-1][3] == "FedAvg, FedAvg+fine-tuning, seed 1"


def test_a_bench_that_was_interrupted_goes_on_and_gives_the_same(tmp_path):
    fleet = learning_fleet(tmp_path)
    terms = Terms(methods=methods("FedAvg", "FedPer", OURS), seeds=1, per_round=3, out=tmp_path / "kept")
    terms.out.mkdir()
    first = bench_here(fleet, terms)
    lost = next(terms.out.glob("fedper-seed0-*.json"))
    lost.unlink()
    began = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(learning_bench.TRAININGS, "fedavg", lambda _: began.append("fedavg"))
        again = bench_here(fleet, terms)
    assert not began
    assert lost.exists()
    assert [row.mean for row in again.rows] == [row.mean for row in first.rows]
    assert again.newcomers == first.newcomers


def test_an_errand_goes_to_a_process_and_is_named_by_what_was_asked(tmp_path):
    fleet = learning_fleet(tmp_path)
    asked = {"training": "fedavg", "methods": ("FedAvg",), "per_round": 3, "unseen": None, "seed": 0}
    errand = Errand(fleet=fleet, **asked)
    assert pickle.loads(pickle.dumps(errand)) == errand
    assert Errand(fleet=replace(fleet, workers=7), **asked).file == errand.file
    others = [{**asked, key: value} for key, value in (("per_round", 2), ("unseen", 0.5), ("seed", 1), ("methods", ()))]
    assert errand.file not in {Errand(fleet=fleet, **other).file for other in others}
