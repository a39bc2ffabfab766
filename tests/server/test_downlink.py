"""How the public base comes to devices that miss rounds, forget, or get damaged messages."""

from dataclasses import replace

import pytest
from scripted import entry, fleet
from scripted_run import JOB, devices, fail, run, vanish

from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import CodecSpec
from fedtailor.server.registry import open_registry
from fedtailor.server.rounds import wire_bytes
from fedtailor.strategies.codec.broadcast import follow
from fedtailor.strategies.merge.optimizer import OptimizerSpec

TERNARY = CodecSpec(name="ternary", version=1, args={"tau": 0.5})
DOWN = replace(JOB, rounds=6, downlink=TERNARY)


def held_versions(device):
    return [order.base.held_version for kind, order in device.orders if kind == "train"]


def in_round(number, answer):
    """Answers otherwise in one round of training."""
    return lambda device, _: answer(device) if device.order.plan.round == number else device.train()


def checkpoints(folder):
    with open_registry(folder) as registry:
        return {checkpoint.base_version: checkpoint for checkpoint in registry.checkpoints(99)}


@pytest.mark.parametrize("spec", [JOB.downlink, TERNARY], ids=lambda spec: spec.name)
def test_in_every_round_every_device_holds_the_servers_base_bit_for_bit(tmp_path, spec):
    everyone = devices("abc")
    everyone[1].on["train"] = in_round(3, lambda _: fail())
    run(tmp_path, fleet(*everyone), replace(DOWN, downlink=spec, fraction=0.7))
    kept = checkpoints(tmp_path)
    assert list(kept) == list(range(7))
    for device in everyone:
        assert 6 in device.held
        for version, base in device.held.items():
            assert base.steps.astype("<i4").tobytes() == kept[version].public_steps
            assert base.hash == kept[version].base_hash


def test_who_took_part_in_every_round_gets_one_step_a_round_and_nothing_after_the_last(tmp_path):
    a, b = devices("ab")
    run(tmp_path, fleet(a, b), DOWN)
    assert held_versions(a) == [None, 0, 1, 2, 3, 4]
    assert [len(order.base.hops) for _, order in a.orders[1:]] == [1] * 6 + [0]  # rounds, tailor, evaluate


def test_who_was_silent_is_brought_on_from_what_it_held(tmp_path):
    a, b = devices("ab")
    b.on["train"] = lambda device, _: vanish() if device.order.plan.round in (3, 4) else device.train()
    run(tmp_path, fleet(a, b), DOWN)
    assert held_versions(b) == [None, 0, 1, 1, 1, 4]


@pytest.mark.parametrize("cause", ["wiped", "damaged", "refused"])
def test_who_cannot_use_a_message_or_sends_what_cannot_be_used_gets_a_snapshot_next(tmp_path, cause):
    def spoil(device):
        if cause == "wiped":
            device.held.clear()
        if cause == "damaged":
            follow(None, replace(device.order.base, base_hash="0" * 16), device.held[0].schema, TERNARY)
        reply = device.train_reply()
        return entry("train", replace(reply, train_loss=float("nan")) if cause == "refused" else reply)

    a, b = devices("ab")
    b.on["train"] = in_round(3, spoil)
    summary, _ = run(tmp_path, fleet(a, b), DOWN)
    assert held_versions(b) == [None, 0, 1, None, 3, 4]
    assert [row.answered for row in summary.rounds] == [2, 2, 1, 2, 2, 2]
    assert len(summary.rounds[2].problems) == 1
    assert 6 in b.held


def test_a_device_that_only_deploys_gets_a_snapshot_once(tmp_path):
    a, new = devices("a")[0], devices("n")[0]
    new.rows = 0
    run(tmp_path, fleet(a, new), DOWN)
    assert [(kind, order.base.held_version) for kind, order in new.orders] == [("evaluate", None)]
    assert new.base().hash == checkpoints(tmp_path)[6].base_hash


@pytest.mark.parametrize("stop", [2, 4])
def test_a_run_that_was_killed_goes_on_as_if_nothing_had_been(tmp_path, stop):
    job = replace(
        DOWN, fraction=0.6, optimizer=OptimizerSpec(name="yogi", version=1), codec=CodecSpec(name="uniform", version=1)
    )

    def killed(_):
        raise KeyboardInterrupt

    def fates(everyone):
        everyone[1].on["train"] = in_round(2, lambda _: vanish())

    unbroken, broken = devices("abcde"), devices("abcde")
    fates(unbroken)
    want, _ = run(tmp_path / "one", fleet(*unbroken), job)
    for device in broken:
        device.on["train"] = in_round(stop, killed)
    broken[1].on["train"] = lambda device, _: (
        vanish() if device.order.plan.round == 2 else in_round(stop, killed)(device, _)
    )
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "two", fleet(*broken), job)
    for device in broken:
        device.on.clear()
    fates(broken)
    got, _ = run(tmp_path / "two", fleet(*broken), job)
    assert checkpoints(tmp_path / "two") == checkpoints(tmp_path / "one")
    assert got.rounds == want.rounds


def test_an_abandoned_round_moves_nothing_and_who_answered_holds_the_base(tmp_path):
    a, b, c = devices()
    for device in (b, c):
        device.on["train"] = in_round(3, lambda _: fail())
    run(tmp_path, fleet(a, b, c), DOWN)
    assert held_versions(a) == [None, 0, 1, 2, 2, 4]
    assert held_versions(b) == [None, 0, 1, None, 2, 4]
    assert list(checkpoints(tmp_path)) == [0, 1, 2, 4, 5, 6]


def test_local_parameters_never_move(tmp_path):
    a, b = devices("ab")
    run(tmp_path / "plain", fleet(a, b), replace(DOWN, rounds=1))
    names = a.held[0].schema.names
    a.held, b.held = {}, {}
    local = (names[0], names[-1])
    run(tmp_path / "known", fleet(a, b), replace(DOWN, downlink=JOB.downlink, local_parameters=local))
    for name in names:
        moved = (a.held[6].state[name] != a.held[0].state[name]).mean()
        assert moved == 0 if name in local else moved > 0.9


def test_an_unknown_local_parameter_is_refused_before_training(tmp_path):
    grid = fleet(*devices("ab"))
    with pytest.raises(PlanError, match="local_parameters: the model has no 'nothing'"):
        run(tmp_path, grid, replace(DOWN, local_parameters=("nothing",)))
    assert {message.metadata.message_type for message in grid.sent} == {"query.profile"}


def test_an_unknown_downlink_codec_is_refused_before_anything_is_sent(tmp_path):
    grid = fleet(*devices())
    with pytest.raises(PlanError, match="codec zip 1 is not known here"):
        run(tmp_path, grid, replace(DOWN, downlink=CodecSpec(name="zip", version=1)))
    assert grid.sent == []


def test_a_broadcast_of_one_round_is_far_smaller_than_the_base(tmp_path):
    grid = fleet(*devices("a"))
    summary, _ = run(tmp_path, grid, DOWN)
    sent = [wire_bytes(message.content) for message in grid.sent if message.metadata.message_type == "train"]
    assert sent[0] > summary.base_fp32_bytes / 2
    assert max(sent[1:]) < summary.base_fp32_bytes / 5
