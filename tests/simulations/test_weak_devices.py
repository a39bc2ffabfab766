"""A whole job in which one device can train half of the model, and one nothing: in worker processes, as simulated."""

import pytest
from small_fleet import JOB, small_fleet

from fedtailor.protos.plan import Plan
from fedtailor.protos.wire import from_bytes
from fedtailor.server.registry import open_registry
from fedtailor.server.rows import PlanRow
from fedtailor.simulations.simulate import simulate

LIMITS = {"north": "none", "east": 30_000, "south": 900}  # bytes; the whole model takes 58 KB and more


def tiered(folder, **job):
    devices = [{"id": name, "class": "phone", "budget": {"train_ram_bytes": limit}} for name, limit in LIMITS.items()]
    return small_fleet(folder, device=devices, job={**JOB, **job})


@pytest.fixture(scope="module", params=["depth", "width"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return folder / "run", simulate(tiered(folder, weak=request.param), folder / "run", lambda *_: None)


def plans(folder):
    with open_registry(folder) as registry, registry.transaction() as session:
        rows = session.query(PlanRow).all()
        return {row.device_id: from_bytes(Plan, row.plan, sender="registry") for row in rows}


def test_every_round_has_the_weak_device_in_it_and_not_the_one_that_can_train_nothing(run):
    folder, summary = run
    assert [(row.asked, row.answered, row.committed) for row in summary.rounds] == [(2, 2, True)] * 3
    assert [row.problems for row in summary.rounds] == [()] * 3
    kinds = {name: plan.submodel.kind if plan.submodel else None for name, plan in plans(folder).items()}
    assert kinds["north"] is None
    assert kinds["east"] in {"depth", "width"}
    assert kinds["south"] == "leave-out"


def test_every_device_ends_with_a_variant_and_the_base_has_learned(run):
    _, summary = run
    for row in summary.devices:
        assert row.variant is not None
        assert row.scores.base > 0.6  # of three classes
    left_out = next(row for row in summary.devices if row.hardware.device_id == "south")
    assert any("left out of training" in line for line in left_out.problems)


def test_a_weak_device_sends_less(run):
    _, summary = run
    sent = {row.hardware.device_id: row.uplink_bytes for row in summary.devices}
    assert sent["east"] < sent["north"]
