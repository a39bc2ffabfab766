"""A device whose data moves in the middle of a job: it is noticed, planned anew, and recovers."""

from dataclasses import replace

import numpy as np
import pytest
from in_this_process import run_here
from small_variants import HARDWARE

from fedtailor.client import bench
from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.plan import Plan
from fedtailor.protos.wire import from_bytes
from fedtailor.server.registry import open_registry
from fedtailor.server.rows import PlanRow
from fedtailor.simulations import device
from fedtailor.simulations.fleet import fleet_from

STEADY = ("east", "north", "south")
MOVES_AT, ROUNDS = 5, 8
EVEN, BEFORE, AFTER = (1 / 3, 1 / 3, 1 / 3), (1, 0, 0), (0.3, 0.3, 0.4)
JOB = {
    "rounds": ROUNDS,
    "train": {"epochs": 1, "batch_size": 16, "learning_rate": 0.05},
    "personal": {"method": "auto", "epochs": 10, "batch_size": 16, "learning_rate": 0.05},
    "recipes": [],
}


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "MEASURE_S", 0.01)
        patch.setattr(device, "probe", lambda device_id, **_: replace(HARDWARE, device_id=device_id))
        yield


def rows(rng, shares, *, rounds, moved=False, count=300):
    """Three classes in four features; once moved, another feature level, and what was one class is the next."""
    y = rng.choice(3, count, p=shares)
    x = 2.5 * np.eye(3, 4)[y] + rng.normal(size=(count, 4)) + (np.array([0, 0, 0, 2]) if moved else 0)
    return FleetArrays(
        x=x.astype(np.float32),
        y=(y + moved) % 3,
        split=np.resize(np.array([0, 0, 1, 0, 2], np.uint8), count),
        from_round=np.full(count, rounds[0]),
        until_round=np.full(count, rounds[1]),
    )


def fleet(folder, seed, moves_at, **job):
    """Three devices that stay as they are, and one, west, that moves before round `moves_at`; 0: it always was so."""
    rng = np.random.default_rng(seed)
    parts = {name: [rows(rng, EVEN, rounds=(0, ROUNDS), count=450)] for name in STEADY}
    parts["west"] = [rows(rng, AFTER, rounds=(moves_at, ROUNDS), moved=True)]
    if moves_at:
        parts["west"].append(rows(rng, BEFORE, rounds=(0, moves_at - 1)))
    flat = [replace(part, device=np.full(len(part), name)) for name, those in parts.items() for part in those]
    keys = ("x", "y", "device", "split", "from_round", "until_round")
    whole = FleetArrays(**{key: np.concatenate([getattr(part, key) for part in flat]) for key in keys})
    folder.mkdir()
    write_fleet_file(folder / "rows.npz", whole)
    return fleet_from({"data": str(folder / "rows.npz"), "seed": seed, "job": {**JOB, **job}})


def plans_of(out, device_id):
    with open_registry(out) as registry, registry.transaction() as session:
        stored = session.query(PlanRow).filter_by(device_id=device_id).order_by(PlanRow.key)
        return [from_bytes(Plan, row.plan, sender="registry") for row in stored]


def by_id(summary):
    return {row.hardware.device_id: row for row in summary.devices}


@pytest.fixture(scope="module")
def always(tmp_path_factory):
    """West's score where its data was always what it has become."""
    folder = tmp_path_factory.mktemp("always")
    return by_id(run_here(fleet(folder / "fleet", 0, 0), folder / "run"))["west"].scores.personal


@pytest.mark.parametrize(("mode", "noticed_by"), [("rounds", 6), ("buffered", ROUNDS)])  # not while it trains
def test_a_device_that_drifts_is_noticed_planned_anew_and_recovers(tmp_path, always, mode, noticed_by):
    moving = fleet(tmp_path / "fleet", 0, MOVES_AT, reprofile_every=2, mode=mode)
    found = by_id(run_here(moving, tmp_path / "run"))
    west, (drift,) = found["west"], found["west"].drifts
    assert MOVES_AT <= drift.round <= noticed_by
    assert {"labels", "features"} <= set(drift.parts)
    assert not any(found[name].drifts for name in STEADY)
    first, second = plans_of(tmp_path / "run", "west")
    assert (first.profile_round, second.profile_round) == (0, drift.round)
    assert first.personal.method != second.personal.method
    assert west.plan.endswith(f"; anew in round {drift.round}: {' and '.join(drift.parts)} moved")
    assert all(len(plans_of(tmp_path / "run", name)) == 1 for name in STEADY)
    assert west.scores.rows == 60
    assert west.scores.personal > always - 0.1
    assert not any(row.problems for row in found.values())
