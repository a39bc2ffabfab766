"""Real devices on virtual time: what a fleet learns does not depend on the machine that simulates it."""

import shutil
from dataclasses import replace

import pytest
from in_this_process import run_here
from small_fleet import JOB, small_fleet
from sqlalchemy import select

from fedtailor.protos.messages import RECORD, TrainReply
from fedtailor.protos.wire import from_bytes
from fedtailor.server.coordinator import train
from fedtailor.server.job import job_from, job_table
from fedtailor.server.registry import open_registry
from fedtailor.server.rounds import CLOCK
from fedtailor.server.rows import TrafficRow
from fedtailor.server.run import start
from fedtailor.server.summarise import summarise
from fedtailor.simulations import reliability
from fedtailor.simulations.app import simulated_app, virtual_app
from fedtailor.simulations.fleet import write_fleet
from fedtailor.simulations.grid import InProcessGrid
from fedtailor.simulations.simulate import CONFIG, prepare, simulate
from fedtailor.simulations.virtual_grid import VirtualGrid, stamp
from fedtailor.simulations.workers import Workers

TRYING = {"dropout": 0.2, "slow_fraction": 0.5, "slow_factor": 10.0}
CUTS_OFF_S = 0.05  # virtual: between the slow and the other devices of the small fleet


def quiet(*_):
    pass


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A run folder, with what is measured of this machine, and its fleet."""
    folder = tmp_path_factory.mktemp("prepared")
    return folder / "run", prepare(small_fleet(folder, **TRYING), folder / "run")


@pytest.fixture(scope="module")
def pools():
    """Workers by their number, and those of devices that decide themselves who is late."""
    with Workers(virtual_app, 1) as one, Workers(virtual_app, 2) as two, Workers(simulated_app, 2) as deciding:
        yield {1: one, 2: two, "deciding": deciding}


def learned(prepared, pool, out, job, *, virtual=True):
    """The base that a job's training comes to, and the rounds' figures."""
    folder, fleet = prepared
    shutil.copytree(folder, out)
    fleet = replace(fleet, job=job_from({**job_table(fleet.job), **job}))
    write_fleet(out / CONFIG, fleet)
    grid = InProcessGrid(pool, nodes=len(fleet.members), run_config={"config": str(out / CONFIG)})
    with open_registry(out) as registry:
        if virtual:
            grid = VirtualGrid(grid)
            run = start(grid, fleet.job, registry, quiet, grid.clock)
        else:
            run = start(grid, replace(fleet.job, deadline_s=600.0), registry, quiet, CLOCK)
        train(run)
        return registry.last_committed(), summarise(registry).rounds


@pytest.mark.parametrize("mode", ["rounds", "buffered"])
def test_equal_seeds_give_equal_results_whatever_the_number_of_workers(prepared, pools, tmp_path, mode):
    job = {"rounds": 4, "mode": mode, "buffer": 2}
    one, two = (learned(prepared, pools[workers], tmp_path / str(workers), job) for workers in (1, 2))
    assert one == two
    assert any(row.problems for row in one[1])


def test_who_is_late_on_virtual_time_is_who_would_be_on_flowers_engine(prepared, pools, tmp_path):
    job = {"rounds": 4, "minimum_fraction": 0.0, "deadline_s": CUTS_OFF_S}
    ours, ours_rounds = learned(prepared, pools[2], tmp_path / "ours", job)
    theirs, their_rounds = learned(prepared, pools["deciding"], tmp_path / "theirs", job, virtual=False)
    assert ours == theirs
    assert [row.answered for row in ours_rounds] == [row.answered for row in their_rounds]
    assert 0 < sum(row.answered for row in ours_rounds) < sum(row.asked for row in ours_rounds)


def test_a_buffered_job_runs_to_its_report(tmp_path):
    job = {**JOB, "rounds": 4, "recipes": [], "mode": "buffered", "buffer": 1}
    summary = simulate(small_fleet(tmp_path, job=job, **TRYING), tmp_path / "run", quiet)
    assert [(row.round, row.committed, row.answered) for row in summary.rounds] == [(n, True, 1) for n in range(1, 5)]
    assert all(row.scores is not None for row in summary.devices)


@pytest.mark.parametrize("mode", ["rounds", "buffered"])
def test_the_registry_knows_the_seconds_that_every_device_was_simulated_to_take(tmp_path, monkeypatch, mode):
    simulated: dict[str, list[tuple[int, float]]] = {}

    def noted(reply, took_s):
        update = from_bytes(TrainReply, reply.content[RECORD]["train"], sender="test").update
        simulated.setdefault(update.device_id, []).append((update.round, took_s))
        return stamp(reply, took_s)

    monkeypatch.setattr(reliability, "stamp", noted)
    job = {**JOB, "rounds": 6, "recipes": [], "mode": mode, "buffer": 2}
    run_here(small_fleet(tmp_path, job=job, **TRYING), tmp_path / "run")
    with open_registry(tmp_path / "run") as registry, registry.transaction() as session:
        query = select(TrafficRow).where(TrafficRow.stage == "train", TrafficRow.answered).order_by(TrafficRow.round)
        rows = session.scalars(query).all()
    for device_id, took in simulated.items():
        recorded = [row.seconds for row in rows if row.device_id == device_id]
        assert 0 < len(recorded) <= len(took)
        assert recorded == pytest.approx([took_s for _, took_s in sorted(took)][: len(recorded)], abs=1e-6)
