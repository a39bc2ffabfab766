"""What the server plans for devices that the whole model is too much for."""

from dataclasses import replace

import pytest
from scripted import entry, fleet, profile
from scripted_run import JOB, devices, last_base, run, vanish

from fedtailor.protos.errors import ConfigError, RoundError
from fedtailor.protos.plan import Submodel
from fedtailor.protos.schema import state_hash
from fedtailor.server.job import job_from

WEAK_BYTES, TINY_BYTES = 30_000, 900  # the whole takes 55 KB and more, its first layer and exit 6 KB


def with_memory(device, train_ram_bytes):
    """The device, which tells the server that its training may take so much."""
    told = profile(device.device_id, device.rows)
    told = replace(told, budget=replace(told.budget, train_ram_bytes=train_ram_bytes))
    device.on["query.profile"] = lambda *_: entry("profile", told)
    return device


def tiers():
    strong, weak, tiny = devices()
    return strong, with_memory(weak, WEAK_BYTES), with_memory(tiny, TINY_BYTES)


def orders(device, kind="train"):
    return [order for asked, order in device.orders if asked == kind]


def test_a_weak_device_trains_to_an_exit_that_the_fleets_model_then_has(tmp_path):
    strong, weak, _ = tiers()
    run(tmp_path, fleet(strong, weak))
    for device, submodel in ((strong, None), (weak, Submodel(kind="depth", exit="relu1"))):
        assert [order.plan.submodel for order in orders(device)] == [submodel] * 3
        assert all(order.plan.model.exits == ("relu1",) for _, order in device.orders)
    assert weak.order.plan.personal.method == "head"
    assert strong.order.plan.personal.method == "finetune"


def test_who_can_train_nothing_gets_base_and_variant_and_the_report_says_why(tmp_path):
    strong, weak, tiny = tiers()
    summary, _ = run(tmp_path, fleet(strong, weak, tiny))
    assert [kind for kind, _ in tiny.orders] == ["train.tailor", "evaluate"]
    assert tiny.order.plan.personal.method == "shared"
    assert [row.asked for row in summary.rounds] == [2, 2, 2]
    row = next(row for row in summary.devices if row.hardware.device_id == "c")
    assert row.variant is not None
    assert len(row.problems) == 1
    assert row.problems[0].startswith("device c: left out of training: a training step of this model takes at least ")
    assert "; its smallest submodel by depth: " in row.problems[0]


def test_windows_of_channels_move_on_every_round(tmp_path):
    strong, weak, _ = tiers()
    run(tmp_path, fleet(strong, weak), replace(JOB, weak="width"))
    submodels = [order.plan.submodel for order in orders(weak)]
    assert {submodel.share for submodel in submodels} == {0.5}
    assert [submodel.offset for submodel in submodels] == [1, 2, 3]
    assert weak.order.plan.model.exits == ()


def test_weak_devices_are_left_out_where_the_job_asks_for_that(tmp_path):
    strong, weak, _ = tiers()
    run(tmp_path, fleet(strong, weak), replace(JOB, weak="leave-out"))
    assert orders(weak) == []
    assert len(orders(strong)) == 3
    assert orders(weak, "train.tailor")[0].plan.personal.method == "head"  # of the whole, that fits


def test_a_weak_device_that_comes_later_stops_at_an_exit_that_there_is_or_is_left_out(tmp_path):
    for name, exits, kind in (("with", ("relu1",), "depth"), ("without", (), "leave-out")):
        strong, weak, _ = tiers()
        late = with_memory(devices("d")[0], WEAK_BYTES)
        grid = fleet(strong, weak) if exits else fleet(strong)
        strong.on["train"] = lambda device, _, grid=grid, late=late: (
            grid.handlers.setdefault(99, late) and device.train()
        )
        run(tmp_path / name, grid)
        assert late.order.plan.model.exits == exits
        assert late.order.plan.submodel.kind == kind


@pytest.mark.parametrize("weak", ["depth", "width", "leave-out"])
def test_a_fleet_without_weak_devices_is_trained_as_ever(tmp_path, weak):
    plain = devices("ab")
    run(tmp_path / "plain", fleet(*plain))
    ample = [with_memory(device, 10**9) for device in devices("ab")]
    run(tmp_path / "ample", fleet(*ample), replace(JOB, weak=weak))
    for one, other in zip(plain, ample, strict=True):
        pairs = zip(orders(one), orders(other), strict=True)
        assert all(replace(b.plan, budget=a.plan.budget) == a.plan for a, b in pairs)
    (_, left), (_, right) = last_base(tmp_path / "plain", plain[0]), last_base(tmp_path / "ample", ample[0])
    assert state_hash(left) == state_hash(right)


def test_a_run_that_is_resumed_keeps_the_exits_of_its_model(tmp_path):
    strong, weak, _ = tiers()
    strong.on["train"] = weak.on["train"] = vanish
    with pytest.raises(RoundError, match="no device answered"):
        run(tmp_path, fleet(strong, weak))
    again = devices("a")[0]
    run(tmp_path, fleet(again))
    assert again.order.plan.model.exits == ("relu1",)
    assert again.order.plan.submodel is None


def test_the_ways_that_a_job_may_ask_for_are_named():
    assert job_from({"weak": "width"}).weak == "width"
    with pytest.raises(ConfigError, match=r"job.weak: expected one of depth, width, leave-out, got 'drop'"):
        job_from({"weak": "drop"})
