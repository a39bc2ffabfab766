from dataclasses import replace

import pytest
from scripted import FakeTime, ScriptedDevice, fleet

from fedtailor.protos.plan import CodecSpec
from fedtailor.server.coordinator import run_job
from fedtailor.server.job import Job
from fedtailor.server.registry import open_registry
from fedtailor.server.run import start
from fedtailor.server.strategy import TailorStrategy

JOB = replace(Job(), rounds=3, fraction=0.7, codec=CodecSpec(name="uniform", version=1, args={"bits": 8}))


def quiet(*_):
    pass


def fail(*_):
    raise RuntimeError("no power")


def test_flowers_own_loop_gives_the_same_base_and_the_same_record(tmp_path):
    def new_fleet():
        return fleet(*(ScriptedDevice(name, rows=40 + 10 * i, pull=i / 3) for i, name in enumerate("abcd")))

    with open_registry(tmp_path / "ours") as registry:
        ours = run_job(new_fleet(), JOB, registry, quiet, clock=FakeTime().clock)
        want = registry.last_committed()
    with open_registry(tmp_path / "flowers") as registry:
        run = start(grid := new_fleet(), JOB, registry, quiet, FakeTime().clock)
        strategy = TailorStrategy(run)
        result = strategy.start(grid, strategy.initial_arrays(), num_rounds=JOB.rounds, timeout=5)
        assert registry.last_committed() == want
    values = b"".join(result.arrays[name].numpy().tobytes() for name in run.base.state)
    assert values == want[1].private_values
    losses = [result.train_metrics_clientapp[number]["train_loss"] for number in (1, 2, 3)]
    assert losses == [row.train_loss for row in ours.rounds]


def test_an_abandoned_round_keeps_the_arrays(tmp_path):
    a, b, c = (ScriptedDevice(name) for name in "abc")
    b.on["train"] = c.on["train"] = fail
    with open_registry(tmp_path) as registry:
        run = start(grid := fleet(a, b, c), replace(JOB, fraction=1.0), registry, quiet, FakeTime().clock)
        strategy = TailorStrategy(run)
        messages = strategy.configure_train(1, strategy.initial_arrays(), None, grid)
        arrays, _ = strategy.aggregate_train(1, grid.send_and_receive(messages))
        assert arrays is None
        assert run.base.version == 0
        assert strategy.configure_evaluate(1, strategy.initial_arrays(), None, grid) == []


def test_a_round_that_was_not_configured_is_a_wrong_call(tmp_path):
    with open_registry(tmp_path) as registry:
        strategy = TailorStrategy(start(fleet(ScriptedDevice("a")), JOB, registry, quiet, FakeTime().clock))
        with pytest.raises(ValueError, match="round 2 was not configured"):
            strategy.aggregate_train(2, [])
