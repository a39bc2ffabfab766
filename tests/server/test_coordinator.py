import hashlib
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from scripted import RECORD, FakeTime, ScriptedDevice, Vanish, a_rung, entry, fleet

from fedtailor.protos.errors import PlanError, RegistryError, RoundError
from fedtailor.protos.messages import Profile, TailorReply
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import schema_of
from fedtailor.protos.wire import from_bytes
from fedtailor.server.coordinator import run_job
from fedtailor.server.job import Job
from fedtailor.server.registry import open_registry
from fedtailor.strategies.models.model import initial_state
from fedtailor.strategies.snapshot import state_of

JOB = replace(Job(), rounds=3, deadline_s=20.0, join_s=5.0, codec=CodecSpec(name="fp32", version=1))


def run(folder, grid, job=JOB, time=None):
    steps = []
    with open_registry(folder) as registry:
        summary = run_job(grid, job, registry, lambda *step: steps.append(step), clock=(time or FakeTime()).clock)
    return summary, steps


def last_base(folder, device):
    with open_registry(folder) as registry:
        number, snapshot = registry.last_committed()
    schema = schema_of(initial_state(device.order.plan.model, 0))
    return number, state_of(snapshot, schema, sender="test")


def devices(names="abc"):
    return [ScriptedDevice(name) for name in names]


def test_a_job_runs_from_profiles_to_variants(tmp_path):
    a, b, c = devices()
    summary, steps = run(tmp_path, fleet(a, b, c))
    assert [row.round for row in summary.rounds] == [1, 2, 3]
    assert all(row.committed and row.answered == row.asked == 3 for row in summary.rounds)
    assert [row.base_version for row in summary.rounds] == [0, 1, 2]
    assert [row.hardware.device_id for row in summary.devices] == ["a", "b", "c"]
    assert all(row.variant.rung.recipe == "int8" and row.scores.variant == 0.89 for row in summary.devices)
    assert all(row.rounds_answered == 3 and not row.problems for row in summary.devices)
    assert summary.devices[0].plan == "finetune"
    assert summary.base_fp32_bytes == 4 * sum(value.size for value in initial_state(a.order.plan.model, 0).values())
    assert summary.seconds == 0.0  # FakeTime moves only when somebody waits
    assert {step[0] for step in steps} == {"profile", "train", "tailor", "evaluate"}
    assert steps[-1] == ("evaluate", 3, 3, "c")


def test_the_base_is_the_weighted_mean_of_what_the_devices_hold(tmp_path):
    near, far = ScriptedDevice("a", rows=300, pull=1.0), ScriptedDevice("b", rows=100, pull=5.0)
    run(tmp_path, fleet(near, far))
    number, base = last_base(tmp_path, near)
    assert number == 3
    assert all(np.allclose(value, 2.0, atol=1e-6) for value in base.values())


def test_node_ids_do_not_matter(tmp_path):
    job = replace(JOB, fraction=0.5, rounds=4)
    names = "abcdef"
    one, other = devices(names), devices(names)
    run(tmp_path / "one", fleet(*one), job)
    run(tmp_path / "other", fleet(*reversed(other), first_node=900), job)
    assert [[k for k, _ in d.orders] for d in one] == [[k for k, _ in d.orders] for d in other]
    bases = [last_base(tmp_path / "one", one[0]), last_base(tmp_path / "other", other[0])]
    assert all(bases[0][1][name].tobytes() == bases[1][1][name].tobytes() for name in bases[0][1])


def test_every_device_hears_of_the_last_round_that_merged_its_update(tmp_path):
    a, b = devices("ab")
    b.on["train"] = lambda device, _: _fail() if device.order.plan.round == 2 else device.train()
    run(tmp_path, fleet(a, b))
    heard = {d.device_id: [o.acknowledged_round for kind, o in d.orders if kind == "train"] for d in (a, b)}
    assert heard == {"a": [0, 1, 2], "b": [0, 1, 1]}


def _fail():
    raise RuntimeError("battery at 2 %")


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


def _vanish(*_):
    raise Vanish


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (lambda *_: _fail(), "device b, train: RuntimeError: battery at 2 %"),
        (_wrong_bytes, "device b, round 1: 3 bytes are not a TrainReply"),
        (_no_record, "device b, round 1: expected the entry 'train' in record 'fedtailor', got none"),
        (_spoiled(device_id="a"), "device b, round 1: the update has device 'a', expected 'b'"),
        (_spoiled(round=9), "device b, round 1: the update has round 9, expected 1"),
        (_spoiled(payload=b"short"), "device b, round 1: the update has checksum"),
        (_spoiled(num_examples=0), "device b, round 1: the update"),
        (_diverged, "device b, round 1: TrainReply.train_loss is nan, expected a finite number"),
        (_vanish, "device b, train: no answer within 20 s"),
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
        device.on["train"] = lambda device, _: _fail() if device.order.plan.round == 2 else device.train()
    summary, _ = run(tmp_path, fleet(a, b, c))
    assert [row.committed for row in summary.rounds] == [True, False, True]
    assert [row.base_version for row in summary.rounds] == [0, 1, 1]
    assert "abandoned: 1 of 3 devices answered, at least 50% are needed" in summary.rounds[1].problems[-1]
    third = [order for kind, order in a.orders if kind == "train"][2]
    assert (third.base.base_version, third.acknowledged_round) == (1, 1)


def test_when_all_devices_vanish_the_run_ends_in_bounded_time_and_keeps_what_was_committed(tmp_path):
    time, (a, b) = FakeTime(), devices("ab")
    for device in (a, b):
        device.on["train"] = lambda device, _: device.train() if device.order.plan.round == 1 else _vanish()
    with pytest.raises(RoundError, match=r"no device answered in rounds 2 to 4 .*base 1 is kept"):
        run(tmp_path, fleet(a, b), replace(JOB, rounds=9), time)
    assert time.now_s <= 3 * JOB.deadline_s + 1
    assert last_base(tmp_path, a)[0] == 1


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
        device.on["train"] = lambda device, _: device.train() if device.order.plan.round == 1 else _vanish()
    job = replace(JOB, rounds=6)
    with pytest.raises(RoundError):
        run(tmp_path / "broken", fleet(a, b), job)
    back = devices("ab")
    summary, _ = run(tmp_path / "broken", fleet(*back), job)
    assert [(row.round, row.committed) for row in summary.rounds] == [
        (1, True), (2, False), (3, False), (4, False), (5, True), (6, True)
    ]  # fmt: skip
    first = back[0].orders[0][1]
    assert (first.plan.round, first.base.base_version, first.acknowledged_round) == (5, 1, 1)


def test_another_job_does_not_write_into_the_same_registry(tmp_path):
    run(tmp_path, fleet(*devices()))
    with pytest.raises(RegistryError, match="holds the run of another job"):
        run(tmp_path, fleet(*devices()), replace(JOB, seed=7))


def test_too_few_devices_end_the_run_before_it_begins(tmp_path):
    time = FakeTime()
    with pytest.raises(RoundError, match="1 devices joined within 5 s, the job needs 2"):
        run(tmp_path, fleet(*devices("a")), replace(JOB, minimum_devices=2), time)
    assert time.now_s == pytest.approx(5.0)


def test_a_device_that_joins_late_takes_part_from_the_next_round(tmp_path):
    a, late = devices("az")
    grid = fleet(a)

    def bring(device, _):
        grid.handlers[77] = late
        return device.train()

    a.on["train"] = bring
    summary, _ = run(tmp_path, grid)
    assert [row.asked for row in summary.rounds] == [1, 2, 2]
    assert summary.devices[1].variant is not None


def test_a_device_that_comes_back_under_another_node_id_is_the_same_device(tmp_path):
    a, b = devices("ab")
    grid = fleet(a, b)

    def move(device, _):
        grid.handlers.pop(12, None)
        grid.handlers[99] = b
        return device.train()

    a.on["train"] = move
    summary, _ = run(tmp_path, grid)
    assert [row.hardware.device_id for row in summary.devices] == ["a", "b"]
    assert summary.devices[1].rounds_answered == 2


def test_a_second_device_of_the_same_name_is_refused(tmp_path):
    summary, _ = run(tmp_path, fleet(ScriptedDevice("a"), ScriptedDevice("a"), ScriptedDevice("b")))
    assert [row.asked for row in summary.rounds] == [2, 2, 2]


def _profile(**changes):
    def answer(device, message):
        noun = from_bytes(Profile, device.profile()[RECORD]["profile"], sender="test")
        return entry("profile", replace(noun, data=replace(noun.data, **changes)))

    return answer


@pytest.mark.parametrize(
    "changes",
    [
        {"device_id": "b\nc"},
        {"feature_means": (float("nan"),) * 4},
        {"feature_means": (0.0,)},
        {"feature_variances": (-1.0,) * 4},
        {"class_counts": (1, 2, 3)},
        {"train_samples": -5},
    ],
)
def test_a_profile_that_cannot_be_keeps_its_device_out_and_the_run_goes_on(tmp_path, changes):
    a, b = devices("ab")
    b.on["query.profile"] = _profile(**changes)
    summary, _ = run(tmp_path, fleet(a, b))
    assert [row.hardware.device_id for row in summary.devices] == ["a"]


def test_devices_with_other_data_are_named_before_anything_is_trained(tmp_path):
    a, b, c = devices()
    c.on["query.profile"] = _profile(sample_shape=(7,), feature_means=(0.0,) * 7, feature_variances=(1.0,) * 7)
    with pytest.raises(PlanError, match=r"but c classification on samples of shape \[7\]"):
        run(tmp_path, fleet(a, b, c))


def test_a_device_without_rows_is_only_evaluated(tmp_path):
    a, unseen = ScriptedDevice("a"), ScriptedDevice("new", rows=0)
    summary, _ = run(tmp_path, fleet(a, unseen))
    assert [kind for kind, _ in unseen.orders] == ["evaluate"]
    assert (summary.devices[1].variant, summary.devices[1].scores.base) == (None, 0.8)
    assert summary.devices[1].plan == "shared (no rows)"


def test_a_recipe_the_fleet_speaks_against_is_withdrawn_on_every_device(tmp_path):
    everyone = devices("abcdefgh")
    summary, _ = run(tmp_path, fleet(*everyone))
    assert summary.withdrawn == ("keep50",)  # 9 rows of 200 lost and none won, on each of eight devices
    assert all(device.order.withdrawn == ("keep50",) for device in everyone)


def _deploy(recipe, lost, **changes):
    def answer(device, _):
        reply = device.evaluate_reply(a_rung(recipe, lost=lost))
        return entry("evaluate", replace(reply, **changes))

    return answer


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (_deploy("int8", 9), "device a, evaluate: deployed 'int8', which the gate rejected; refused"),
        (_deploy("keep50", 0), "device a, evaluate: deployed 'keep50', which the fleet has withdrawn; refused"),
        (_deploy("int8", 0, payload=b"other"), "device a, evaluate: the payload has SHA-256"),
        (lambda *_: _fail(), "device a, evaluate: RuntimeError: battery at 2 %"),
    ],
)
def test_a_variant_that_must_not_run_is_refused_with_its_reason(tmp_path, answer, line):
    everyone = devices("abcdefgh")
    everyone[0].on["evaluate"] = answer
    summary, _ = run(tmp_path, fleet(*everyone))
    assert summary.devices[0].variant is None
    assert summary.devices[0].problems[0].startswith(line)
    assert summary.devices[1].variant is not None


def test_a_deployed_payload_can_be_read_back_by_its_hash(tmp_path):
    summary, _ = run(tmp_path, fleet(*devices("a")))
    rung = summary.devices[0].variant.rung
    with open_registry(tmp_path) as registry:
        data = registry.artifacts.get(rung.payload_sha256)
        assert registry.check() == ()
    assert hashlib.sha256(data).hexdigest() == rung.payload_sha256
    assert data == b"int8" * 25


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


def test_bytes_are_counted_both_ways_and_devices_add_up_to_rounds(tmp_path):
    summary, _ = run(tmp_path, fleet(*devices()))
    per_update = summary.rounds[0].uplink_bytes / 3
    assert summary.base_fp32_bytes < per_update < summary.base_fp32_bytes + 700
    assert summary.base_fp32_bytes < summary.rounds[0].downlink_bytes / 3 < summary.base_fp32_bytes + 1700
    for way in ("uplink_bytes", "downlink_bytes"):
        assert sum(getattr(row, way) for row in summary.rounds) == sum(getattr(row, way) for row in summary.devices)


def test_replies_nobody_waits_for_are_noted_and_ignored(tmp_path):
    a, b = devices("ab")
    grid = fleet(a, b)

    def twice(device, message):
        grid.extra.append(Message(Error(1, "late"), reply_to=message))
        return device.train()

    a.on["train"] = twice
    summary, _ = run(tmp_path, grid, replace(JOB, rounds=1))
    assert summary.rounds[0].answered == 2
    assert summary.rounds[0].problems == ("device a, train: answered twice; ignored",)


def test_an_unknown_codec_is_refused_before_anything_is_sent(tmp_path):
    grid = fleet(*devices())
    with pytest.raises(PlanError, match="codec zip 9 is not known here"):
        run(tmp_path, grid, replace(JOB, codec=CodecSpec(name="zip", version=9)))
    assert grid.sent == []
