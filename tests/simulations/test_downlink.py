"""Real devices in worker processes: after a run with drop-outs and a device that forgot, all hold the same base."""

import shutil

import pytest
from small_fleet import DEVICES, JOB, small_fleet

from fedtailor.client.held_base import BASE, held_from_bytes
from fedtailor.client.store import DeviceStore
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.schema import schema_of
from fedtailor.protos.wire import from_bytes
from fedtailor.server.registry import open_registry
from fedtailor.server.rows import RunRow
from fedtailor.simulations.simulate import simulate
from fedtailor.strategies.models.model import initial_state

ROUNDS = 6
SETTINGS = {
    **JOB,
    "rounds": ROUNDS,
    "codec": {"name": "ternary", "version": 1, "args": {"tau": 0.5}},
    "downlink": {"name": "topk", "version": 1, "args": {"share": 0.1}},
    "step_ahead": 0.5,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("downlink")

    def forget(stage, done, total, note):
        if (stage, done) == ("train", 3):
            shutil.rmtree(folder / "run" / "devices" / DEVICES[1] / "values")

    fleet = small_fleet(folder, dropout=0.2, job=SETTINGS)
    return simulate(fleet, folder / "run", forget), folder / "run"


def test_every_device_ends_with_the_servers_base_bit_for_bit(run):
    _, folder = run
    with open_registry(folder) as registry:
        number, checkpoint = registry.last_committed()
        with registry.transaction() as session:
            spec = from_bytes(ModelSpec, session.get_one(RunRow, 1).spec, sender="test")
    schema = schema_of(initial_state(spec, 0))
    assert number == ROUNDS
    for name in DEVICES:
        kept = held_from_bytes(DeviceStore(folder / "devices" / name).get(BASE), schema)
        assert (kept.version, kept.hash) == (number, checkpoint.base_hash)
        assert kept.steps.astype("<i4").tobytes() == checkpoint.public_steps


def test_who_forgot_its_base_misses_one_round_and_says_why(run):
    summary, _ = run
    lines = [line for row in summary.rounds for line in row.problems if "dropped out" not in line]
    (line,) = lines
    assert line.startswith(f"device {DEVICES[1]}, train: DecodeError: server, base 3: it starts from base")
    assert line.endswith("held here is none; resend it")
    assert any("dropped out" in line for row in summary.rounds for line in row.problems)
