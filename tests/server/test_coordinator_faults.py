"""Devices that fail, vanish or answer what they must not: one line each, and nothing that was committed is lost."""

from dataclasses import replace

import pytest
from flwr.app import ConfigRecord, RecordDict
from scripted import RECORD, FakeTime, a_rung, entry, fleet
from scripted_run import JOB, devices, fail, last_base, run, vanish

from fedtailor.protos.errors import RoundError
from fedtailor.protos.messages import TailorReply


def _wrong_bytes(device, _):
    return RecordDict({RECORD: ConfigRecord({"train": b"\xff\xff\xff"})})


def _no_record(device, _):
    return RecordDict()


def _spoiled(**changes):
    def answer(device, _):
        reply = device.train_reply()
        return entry("train", replace(reply, update=replace(reply.update, **changes)))

    return answer


def _diverged(device, _):
    return entry("train", replace(device.train_reply(), train_loss=float("nan")))


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (lambda *_: fail(), "device b, train: RuntimeError: battery at 2 %"),
        (_wrong_bytes, "device b, round 1: 3 bytes are not a TrainReply"),
        (_no_record, "device b, round 1: expected the entry 'train' in record 'fedtailor', got none"),
        (_spoiled(device_id="a"), "device b, round 1: the update has device 'a', expected 'b'"),
        (_spoiled(round=9), "device b, round 1: the update has round 9, expected 1"),
        (_spoiled(payload=b"short"), "device b, round 1: the update has checksum"),
        (_spoiled(num_examples=0), "device b, round 1: the update"),
        (_diverged, "device b, round 1: TrainReply.train_loss is nan, expected a finite number"),
        (vanish, "device b, train: no answer within 20 s"),
    ],
)
def test_a_device_that_misbehaves_is_one_line_and_the_round_goes_on(tmp_path, answer, line):
    a, b, c = devices()
    b.on["train"] = answer
    summary, _ = run(tmp_path, fleet(a, b, c), replace(JOB, rounds=1))
    (only,) = summary.rounds
    assert only.committed
    assert (only.asked, only.answered) == (3, 2)
    assert len(only.problems) == 1
    assert only.problems[0].startswith(line)
    assert "\n" not in only.problems[0]
    assert summary.devices[1].rounds_answered == 0
    assert summary.devices[1].variant is not None


def test_too_few_answers_abandon_the_round_and_keep_the_base(tmp_path):
    a, b, c = devices()
    for device in (b, c):
        device.on["train"] = lambda device, _: fail() if device.order.plan.round == 2 else device.train()
    summary, _ = run(tmp_path, fleet(a, b, c))
    assert [row.committed for row in summary.rounds] == [True, False, True]
    assert [row.base_version for row in summary.rounds] == [0, 1, 1]
    assert "abandoned: 1 of 3 devices answered, at least 50% of 3 are needed" in summary.rounds[1].problems[-1]
    third = [order for kind, order in a.orders if kind == "train"][2]
    assert (third.base.base_version, third.acknowledged_round) == (1, 1)


def test_when_all_devices_vanish_the_run_ends_in_bounded_time_and_keeps_what_was_committed(tmp_path):
    time, (a, b) = FakeTime(), devices("ab")
    for device in (a, b):
        device.on["train"] = lambda device, _: device.train() if device.order.plan.round == 1 else vanish()
    with pytest.raises(RoundError, match=r"no device answered in rounds 2 to 4.*base 1 is kept"):
        run(tmp_path, fleet(a, b), replace(JOB, rounds=9), time)
    assert time.now_s <= 3 * JOB.deadline_s + 1
    assert last_base(tmp_path, a)[0] == 1


def test_devices_that_vanish_before_they_deploy_end_the_run_and_the_same_job_completes_it(tmp_path):
    a, b = devices("ab")
    a.on["evaluate"] = b.on["evaluate"] = lambda *_: fail()
    line = (
        "none of 2 devices present deployed a variant; first problem: device a, evaluate: RuntimeError: battery at 2 %"
    )
    with pytest.raises(RoundError, match=f"^{line}; base 3 is kept"):
        run(tmp_path, fleet(a, b))
    summary, _ = run(tmp_path, fleet(*devices("ab")))
    assert [row.committed for row in summary.rounds] == [True, True, True]
    assert all(row.variant is not None for row in summary.devices)


def test_when_all_nodes_disconnect_before_they_deploy_the_run_ends(tmp_path):
    (a,) = devices("a")
    grid = fleet(a)

    def leave(device, _):
        grid.handlers.clear()
        return device.tailor()

    a.on["train.tailor"] = leave
    with pytest.raises(RoundError, match="none of 0 devices present deployed a variant; base 3 is kept"):
        run(tmp_path, grid)


def test_a_fleet_of_which_none_sends_a_profile_never_begins(tmp_path):
    a, b = devices("ab")
    a.on["query.profile"] = b.on["query.profile"] = lambda *_: fail()
    with pytest.raises(RoundError, match=r"0 of 2 devices sent a profile, .*; first problem: .*battery at 2 %"):
        run(tmp_path, fleet(a, b))


def test_when_all_nodes_disconnect_the_rounds_wait_for_them_but_not_for_ever(tmp_path):
    time, (a,) = FakeTime(), devices("a")
    grid = fleet(a)

    def leave(device, _):
        grid.handlers.clear()
        return device.train()

    a.on["train"] = leave
    with pytest.raises(RoundError, match="no device answered in rounds 2 to 4"):
        run(tmp_path, grid, replace(JOB, rounds=9), time)
    assert time.now_s == pytest.approx(3 * JOB.deadline_s, abs=1)


def test_a_run_that_broke_off_is_resumed_after_its_last_round(tmp_path):
    a, b = devices("ab")
    for device in (a, b):
        device.on["train"] = lambda device, _: device.train() if device.order.plan.round == 1 else vanish()
    job = replace(JOB, rounds=6)
    with pytest.raises(RoundError):
        run(tmp_path / "broken", fleet(a, b), job)
    back = devices("ab")
    for device, before in zip(back, (a, b), strict=True):
        device.held = before.held
    summary, _ = run(tmp_path / "broken", fleet(*back), job)
    assert [(row.round, row.committed) for row in summary.rounds] == [
        (1, True), (2, False), (3, False), (4, False), (5, True), (6, True)
    ]  # fmt: skip
    first = back[0].orders[0][1]
    assert (first.plan.round, first.base.base_version, first.acknowledged_round) == (5, 1, 1)
    assert first.base.held_version == 0


def test_too_few_devices_end_the_run_before_it_begins(tmp_path):
    time = FakeTime()
    with pytest.raises(RoundError, match="1 devices joined within 5 s, the job needs 2"):
        run(tmp_path, fleet(*devices("a")), replace(JOB, minimum_devices=2), time)
    assert time.now_s == pytest.approx(5.0)


def _deploy(recipe, lost, **changes):
    def answer(device, _):
        reply = device.evaluate_reply(a_rung(recipe, lost=lost))
        return entry("evaluate", replace(reply, **changes))

    return answer


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (_deploy("int8", 9), "device a, evaluate: deployed 'int8', which the gate rejected; refused"),
        (_deploy("x8", 0), "device a, evaluate: deployed 'x8', which the fleet has withdrawn; refused"),
        (_deploy("int8", 0, payload=b"other"), "device a, evaluate: the payload has SHA-256"),
        (lambda *_: fail(), "device a, evaluate: RuntimeError: battery at 2 %"),
    ],
)
def test_a_variant_that_must_not_run_is_refused_with_its_reason(tmp_path, answer, line):
    everyone = devices("abcdefgh")
    everyone[0].on["evaluate"] = answer
    summary, _ = run(tmp_path, fleet(*everyone))
    assert summary.devices[0].variant is None
    assert summary.devices[0].problems[0].startswith(line)
    assert summary.devices[1].variant is not None


@pytest.mark.parametrize("changes", [{"device_id": "z"}, {"base_hash": "00"}, {"base_version": 1}])
def test_a_ladder_of_another_device_or_base_is_not_kept(tmp_path, changes):
    a, b = devices("ab")
    a.on["train.tailor"] = lambda device, _: entry(
        "tailor", TailorReply(ladder=replace(device.ladder(), **changes), tailor_cpu_s=0.1)
    )
    summary, _ = run(tmp_path, fleet(a, b))
    assert summary.devices[0].ladder is None
    assert "came, expected" in summary.devices[0].problems[0]
    assert summary.devices[1].ladder is not None
