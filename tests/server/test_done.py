"""A run that broke off in a late stage: what devices have done already is not asked for again."""

import os
from dataclasses import replace

import pytest
from scripted import FakeTime, fleet
from scripted_run import JOB, devices, fail, run
from sqlalchemy import func, select

from fedtailor.protos.errors import RegistryError
from fedtailor.server.coordinator import run_job
from fedtailor.server.done import is_finished
from fedtailor.server.registry import open_registry
from fedtailor.server.rows import LadderRow, ProblemRow, RoundEntry, VariantRow
from fedtailor.strategies.choice.choice import WAYS as CHOICES
from fedtailor.strategies.choice.choice import ChoiceSpec
from fedtailor.strategies.merge.aggregate import AGGREGATES, AggregateSpec
from fedtailor.strategies.merge.optimizer import OPTIMIZERS, OptimizerSpec


def break_off(folder, grid, stage, job=JOB):
    """A run whose process ends once the stage has reported."""

    def interrupt(*step):
        if step[:2] == stage:
            raise KeyboardInterrupt

    with open_registry(folder) as registry, pytest.raises(KeyboardInterrupt):
        run_job(grid, job, registry, interrupt, clock=FakeTime().clock)


def kinds(device):
    return [kind for kind, _ in device.orders]


def again(*before):
    """The same devices in a new process, with the bases that they hold."""
    back = devices([device.device_id for device in before])
    for device, old in zip(back, before, strict=True):
        device.held = old.held
    return back


def rows(folder, row):
    with open_registry(folder) as registry, registry.transaction() as session:
        return session.scalars(select(func.count()).select_from(row)).one()


def bases(folder):
    with open_registry(folder) as registry, registry.transaction() as session:
        return session.scalars(select(RoundEntry.base_sha256).order_by(RoundEntry.round)).all()


@pytest.mark.parametrize("stage", [("train", 1), ("train", 3), ("tailor", 1), ("tailor", 3), ("evaluate", 2)])
def test_a_run_that_broke_off_comes_to_the_same_summary(tmp_path, stage):
    unbroken, _ = run(tmp_path / "unbroken", fleet(*devices()))
    before = devices()
    break_off(tmp_path / "broken", fleet(*before), stage)
    summary, _ = run(tmp_path / "broken", fleet(*again(*before)))
    assert summary == unbroken
    assert rows(tmp_path / "broken", LadderRow) == rows(tmp_path / "broken", VariantRow) == 3


WAYS = (
    *({"optimizer": OptimizerSpec(name=name, version=1)} for name in sorted(OPTIMIZERS)),
    *({"aggregate": AggregateSpec(name=name, version=1)} for name in sorted(AGGREGATES)),
    *({"choice": ChoiceSpec(name=name, version=1)} for name in sorted(CHOICES)),
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: next(iter(way.values())).name)
def test_what_a_server_remembers_from_round_to_round_outlives_it(tmp_path, way):
    job = replace(JOB, rounds=5, fraction=0.6, **way)
    unbroken, before = devices("abcde"), devices("abcde")
    run(tmp_path / "unbroken", fleet(*unbroken), job)
    break_off(tmp_path / "broken", fleet(*before), ("train", 3), job)
    back = again(*before)
    run(tmp_path / "broken", fleet(*back), job)
    for one, *both in zip(unbroken, before, back, strict=True):
        trained = [order.plan.round for device in both for kind, order in device.orders if kind == "train"]
        assert trained == [order.plan.round for kind, order in one.orders if kind == "train"]
    assert bases(tmp_path / "broken") == bases(tmp_path / "unbroken")


def test_a_ladder_is_climbed_once(tmp_path):
    before = devices()
    break_off(tmp_path, fleet(*before), ("tailor", 1))
    a, b, _ = back = again(*before)
    run(tmp_path, fleet(*back))
    assert kinds(a) == ["evaluate"]
    assert kinds(b) == ["train.tailor", "evaluate"]


def test_the_test_rows_of_a_device_are_scored_once(tmp_path):
    before = devices()
    break_off(tmp_path, fleet(*before), ("evaluate", 3))
    back = again(*before)
    _, steps = run(tmp_path, fleet(*back))
    assert [kinds(device) for device in back] == [[], [], []]
    assert steps[-1] == ("evaluate", 0, 0, "")


def test_no_ladder_joins_the_evidence_once_it_has_been_pooled(tmp_path):
    before = devices()
    before[2].on["train.tailor"] = lambda *_: fail()
    break_off(tmp_path, fleet(*before), ("evaluate", 1))
    a, b, c = back = again(*before)
    summary, _ = run(tmp_path, fleet(*back))
    assert kinds(a) == []
    assert kinds(b) == kinds(c) == ["evaluate"]
    assert summary.devices[2].ladder is None


def test_a_refused_device_is_one_problem_however_often_the_run_is_resumed(tmp_path):
    before = devices()
    before[2].on["query.profile"] = lambda *_: fail()
    break_off(tmp_path, fleet(*before), ("train", 1))
    back = again(*before)
    back[2].on["query.profile"] = lambda *_: fail()
    run(tmp_path, fleet(*back))
    with open_registry(tmp_path) as registry, registry.transaction() as session:
        lines = session.scalars(select(ProblemRow.line)).all()
    assert len(lines) == len(set(lines)) == 1


def test_a_full_disk_costs_no_recorded_round(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def fill(device, _):
        if device.order.plan.round == 2:
            monkeypatch.setattr(os, "fsync", full)
        return device.train()

    unbroken, _ = run(tmp_path / "unbroken", fleet(*devices()))
    before = devices()
    before[0].on["train"] = fill
    with pytest.raises(RegistryError, match="free some space and resume the run"):
        run(tmp_path / "full", fleet(*before))
    monkeypatch.undo()
    summary, _ = run(tmp_path / "full", fleet(*again(*before)))
    assert summary == unbroken


def test_a_run_is_finished_once_its_last_stage_has_ended(tmp_path):
    time, before = FakeTime(), devices()
    before[0].on["evaluate"] = lambda device, _: time.clock.sleep(5.0) or device.evaluate()
    break_off(tmp_path, fleet(*before), ("evaluate", 3))
    with open_registry(tmp_path) as registry:
        assert not is_finished(registry)
    last = devices()
    last[0].on["query.profile"] = lambda device, _: time.clock.sleep(5.0) or device.profile()
    summary, _ = run(tmp_path, fleet(*last), time=time)
    assert summary.seconds == 5.0
    with open_registry(tmp_path) as registry:
        assert is_finished(registry)
