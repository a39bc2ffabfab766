"""A job over scripted devices that do as they are told."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Error, Message
from scripted import RECORD, ScriptedDevice, entry, fleet
from scripted_run import JOB, devices, fail, last_base, run

from fedtailor.protos.errors import PlanError, RegistryError
from fedtailor.protos.messages import Profile
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.wire import from_bytes
from fedtailor.server.registry import open_registry
from fedtailor.server.run import check_names
from fedtailor.strategies.models.model import initial_state


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
    b.on["train"] = lambda device, _: fail() if device.order.plan.round == 2 else device.train()
    run(tmp_path, fleet(a, b))
    heard = {d.device_id: [o.acknowledged_round for kind, o in d.orders if kind == "train"] for d in (a, b)}
    assert heard == {"a": [0, 1, 2], "b": [0, 1, 1]}


def test_another_job_does_not_write_into_the_same_registry(tmp_path):
    run(tmp_path, fleet(*devices()))
    with pytest.raises(RegistryError, match="holds the run of another job"):
        run(tmp_path, fleet(*devices()), replace(JOB, seed=7))


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
    assert summary.withdrawn == ("x8",)  # 9 rows of 200 lost and none won, on each of eight devices
    assert all(device.order.withdrawn == ("x8",) for device in everyone)


def test_a_deployed_payload_can_be_read_back_by_its_hash(tmp_path):
    summary, _ = run(tmp_path, fleet(*devices("a")))
    rung = summary.devices[0].variant.rung
    with open_registry(tmp_path) as registry:
        data = registry.artifacts.get(rung.payload_sha256)
        assert registry.check() == ()
    assert hashlib.sha256(data).hexdigest() == rung.payload_sha256
    assert data == b"int8" * 25


def test_bytes_are_counted_both_ways_and_devices_add_up_to_rounds(tmp_path):
    summary, _ = run(tmp_path, fleet(*devices()))
    per_update = summary.rounds[0].uplink_bytes / 3
    assert summary.base_fp32_bytes < per_update < summary.base_fp32_bytes + 700
    assert summary.base_fp32_bytes / 2 < summary.rounds[0].downlink_bytes / 3 < summary.base_fp32_bytes + 1700
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


def test_a_codec_that_is_to_be_chosen_takes_no_parameters():
    with pytest.raises(PlanError, match="codec auto takes no parameters, got bits"):
        check_names(replace(JOB, codec=CodecSpec(name="auto", version=1, args={"bits": 4})))


def test_an_unknown_codec_is_refused_before_anything_is_sent(tmp_path):
    grid = fleet(*devices())
    with pytest.raises(PlanError, match="codec zip 9 is not known here"):
        run(tmp_path, grid, replace(JOB, codec=CodecSpec(name="zip", version=9)))
    assert grid.sent == []
