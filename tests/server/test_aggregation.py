"""A job's own aggregate and optimizer, from its settings to its bases."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
from scripted import fleet
from scripted_run import JOB, devices, run

from fedtailor.protos.errors import PlanError
from fedtailor.server.job import Job, job_from
from fedtailor.server.registry import open_registry
from fedtailor.strategies.merge.aggregate import AggregateSpec
from fedtailor.strategies.merge.optimizer import OptimizerSpec


def moments(folder):
    with open_registry(folder) as registry:
        return [checkpoint.moments for checkpoint in registry.checkpoints(99)]


def test_settings_name_them_and_keep_what_is_not_named():
    job = job_from(
        tomllib.loads("[optimizer]\nname = 'yogi'\n[optimizer.args]\ntau = 0.01\n[aggregate]\nname = 'mean'")
    )
    assert job.optimizer == OptimizerSpec(name="yogi", version=1, args={"tau": 0.01})
    assert (job.aggregate, job_from({})) == (AggregateSpec(name="mean", version=1), Job())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"optimizer": OptimizerSpec(name="lamb", version=1)}, "optimizer lamb 1 is not known here; known: adagrad 1"),
        ({"optimizer": OptimizerSpec(name="sgd", version=1, args={"tau": 1})}, "sgd 1: unknown parameter tau"),
        ({"aggregate": AggregateSpec(name="median", version=1)}, "aggregate median 1 is not known here; known: mean 1"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_sent(tmp_path, change, line):
    grid = fleet(*devices())
    with pytest.raises(PlanError, match=line):
        run(tmp_path, grid, replace(JOB, **change))
    assert grid.sent == []


@pytest.mark.parametrize(("name", "count"), [("sgd", 0), ("momentum", 1), ("adam", 2), ("yogi", 2), ("adagrad", 2)])
def test_every_commit_keeps_the_moments_of_the_shared_parameters(tmp_path, name, count):
    a, b = devices("ab")
    run(tmp_path / "first", fleet(a, b), replace(JOB, rounds=1))
    schema = a.held[0].schema
    local = schema.names[:1]
    job = replace(JOB, optimizer=OptimizerSpec(name=name, version=1), local_parameters=local)
    run(tmp_path / "then", fleet(*devices("ab")), job)
    first, *others = moments(tmp_path / "then")
    assert first == ()
    assert [len(each) for each in others] == [count] * 3
    size = schema.size - schema.sizes[0]
    values = [np.frombuffer(moment, "<f4") for each in others for moment in each]
    assert all(each.size == size and each.any() for each in values)


def test_a_robust_aggregate_commits_where_enough_answer(tmp_path):
    job = replace(JOB, aggregate=AggregateSpec(name="multi-krum", version=1))
    summary, _ = run(tmp_path, fleet(*devices("abcde")), job)
    assert [row.committed for row in summary.rounds if row.round] == [True] * 3


def test_a_round_with_too_few_answers_for_its_promise_is_abandoned_and_says_so(tmp_path):
    job = replace(JOB, aggregate=AggregateSpec(name="multi-krum", version=1))
    summary, _ = run(tmp_path, fleet(*devices("abc")), job)
    rounds = [row for row in summary.rounds if row.round]
    assert [row.committed for row in rounds] == [False] * 3
    (line,) = rounds[0].problems
    assert line == (
        "abandoned: multi-krum: 3 replies came, at least 5 are needed to withstand 1 hostile; the base is as before"
    )
