"""Distillation on the server: what a job may ask, and what a run with it leads to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scripted import FakeTime, fleet
from scripted_run import JOB, devices, fail, last_base, run

from fedtailor.protos.errors import ConfigError, DataError
from fedtailor.server import ensemble
from fedtailor.server.coordinator import run_job
from fedtailor.server.job import EnsemblePlan, Job, anchored, job_from, job_table
from fedtailor.server.registry import open_registry
from fedtailor.strategies.merge.aggregate import AggregateSpec

ROWS = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)


@pytest.fixture
def job(tmp_path):
    np.savez(tmp_path / "proxy.npz", x=ROWS)
    return replace(JOB, ensemble=EnsemblePlan(proxy=str(tmp_path / "proxy.npz"), steps=4, learning_rate=0.01))


@pytest.fixture
def lessons(monkeypatch):
    """The teacher of every distillation, and what it taught."""
    told = []

    def distilled(state, teacher, **how):
        told.append((teacher, how["steps"]))
        return real(state, teacher, **how)

    real = ensemble.distilled
    monkeypatch.setattr(ensemble, "distilled", distilled)
    return told


def bits(folder, device):
    return {name: value.tobytes() for name, value in last_base(folder, device)[1].items()}


def private(folder):
    with open_registry(folder) as registry:
        return [checkpoint.private_values for checkpoint in registry.checkpoints(99)]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"ensemble": EnsemblePlan(proxy="p.npz")}, r"together with steps above 0, got proxy 'p\.npz' and steps 0"),
        ({"ensemble": EnsemblePlan(steps=5)}, r"proxy, a file of rows, .* got proxy '' and steps 5"),
        ({"mode": "buffered"}, "expected mode rounds, got mode buffered"),
        ({"local_parameters": ("head.bias",)}, "expected no local_parameters"),
        ({"aggregate": AggregateSpec(name="trimmed-mean", version=1)}, "expected aggregate mean, got trimmed-mean"),
        ({"update_norm": 2.0}, "expected update_norm 0, got 2"),
    ],
)
def test_a_job_whose_ensemble_cannot_be_asked_is_refused_as_a_table_and_before_anything_is_sent(
    tmp_path, job, change, line
):
    bad, grid = replace(job, **change), fleet(*devices())
    with pytest.raises(ConfigError, match=rf"^job\.ensemble: .*{line}"):
        job_from(job_table(bad))
    with pytest.raises(ConfigError, match=line):
        run(tmp_path / "run", grid, bad)
    assert grid.sent == []


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"step": 3}, "job.ensemble.step: unknown key; did you mean 'steps'?"),
        ({"steps": -1}, "job.ensemble.steps: expected at least 0 "),
        ({"learning_rate": 0}, "job.ensemble.learning_rate: expected above 0, got 0"),
        ({"proxy": 3}, "job.ensemble.proxy: expected a text, got int 3"),
    ],
)
def test_settings_out_of_range_have_their_line(table, line):
    with pytest.raises(ConfigError) as error:
        job_from({"ensemble": table})
    assert str(error.value).startswith(line)


def test_a_relative_path_starts_at_the_folder_of_its_file():
    job = job_from({"ensemble": {"proxy": "rows/p.npz", "steps": 1}})
    assert anchored(job, Path("/fleets")).ensemble.proxy == "/fleets/rows/p.npz"
    assert anchored(anchored(job, Path("/fleets")), Path("/else")) == anchored(job, Path("/fleets"))
    assert anchored(Job(), Path("/fleets")) == Job()


def test_a_file_that_is_missing_or_of_other_rows_ends_the_run_before_a_round(tmp_path, job):
    absent = replace(job, ensemble=replace(job.ensemble, proxy=str(tmp_path / "absent.npz")))
    grid = fleet(*devices())
    with pytest.raises(DataError, match=r"absent\.npz: expected proxy rows"):
        run(tmp_path / "absent", grid, absent)
    assert grid.sent == []
    np.savez(tmp_path / "proxy.npz", x=ROWS[:, :3])
    with pytest.raises(DataError, match=r"proxy\.npz: x: expected float32 or uint8 \[N, 4\].*got float32 \[12, 3\]"):
        run(tmp_path / "other", grid, job)
    assert {message.metadata.message_type for message in grid.sent} == {"query.profile"}


def test_every_round_the_base_learns_from_the_models_that_came(tmp_path, job, lessons):
    near, far = devices("ab")
    near.pull, far.pull = 0.1, 0.3
    near.rows = 300
    summary, _ = run(tmp_path / "run", fleet(near, far), job)
    assert [row.committed for row in summary.rounds] == [True] * 3
    assert [steps for _, steps in lessons] == [4] * 3
    alone = type(lessons[0][0])(near.order.plan.model, ROWS)
    constants = [
        alone.ask({name: np.full_like(value, pull) for name, value in near.held[0].state.items()}, None, sender="")
        for pull in (0.1, 0.3)
    ]
    wanted = np.average(constants, axis=0, weights=[3, 1])
    for teacher, _ in lessons:
        np.testing.assert_allclose(teacher.answers(), wanted, rtol=1e-3)
    plain = devices("ab")
    run(tmp_path / "plain", fleet(*plain), replace(job, ensemble=EnsemblePlan()))
    assert bits(tmp_path / "run", near) != bits(tmp_path / "plain", plain[0])


def test_a_run_that_is_broken_off_and_resumed_comes_to_the_same_bits(tmp_path, job):
    run(tmp_path / "unbroken", fleet(*devices()), job)

    def interrupt(stage, done, *_):
        if (stage, done) == ("train", 2):
            raise KeyboardInterrupt

    grid = fleet(*devices())
    with open_registry(tmp_path / "broken") as registry, pytest.raises(KeyboardInterrupt):
        run_job(grid, job, registry, interrupt, clock=FakeTime().clock)
    assert len(private(tmp_path / "broken")) == 3
    run(tmp_path / "broken", grid, job)
    assert private(tmp_path / "broken") == private(tmp_path / "unbroken")


def test_abandoned_rounds_teach_nothing(tmp_path, job, lessons):
    a, b, c = devices()
    b.on["train"] = c.on["train"] = lambda *_: fail()
    summary, _ = run(tmp_path / "run", fleet(a, b, c), job)
    assert [row.committed for row in summary.rounds] == [False] * 3
    assert lessons == []
    assert last_base(tmp_path / "run", a)[0] == 0


def test_a_model_that_answers_no_number_is_skipped_and_named_and_leaves_no_trace(tmp_path, job):
    a, b, wild = devices()
    wild.pull = 1e30
    summary, _ = run(tmp_path / "run", fleet(a, b, wild), replace(job, rounds=1))
    (line,) = summary.rounds[0].problems
    assert "device c, round 1: its model answers NaN or infinity to the proxy rows; the update is skipped" in line
    tame = devices()
    tame[2].on["train"] = lambda *_: fail()
    run(tmp_path / "tame", fleet(*tame), replace(job, rounds=1))
    assert private(tmp_path / "run") == private(tmp_path / "tame")
