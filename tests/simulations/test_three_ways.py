"""The same two apps in process, on Flower's engine with Ray, and on a real SuperLink with real SuperNodes."""

import importlib.util
import tempfile
from pathlib import Path

import numpy as np
import pytest
from certificates import write_node_key, write_server_certificates
from flower_processes import FlowerProcesses, free_port
from small_fleet import DEVICES, small_fleet, write_rows

from fedtailor.protos.summary import Summary
from fedtailor.server.registry import Registry, open_registry
from fedtailor.server.summarise import summarise
from fedtailor.simulations.flower_app import app_folder
from fedtailor.simulations.simulate import prepare, simulate

ENGINE = f"num-supernodes={len(DEVICES)} client-resources-num-cpus=1 init-args-num-cpus=2"


@pytest.fixture
def flower():
    with tempfile.TemporaryDirectory(prefix="flower") as home, FlowerProcesses(Path(home)) as processes:
        yield processes  # in a short path: Ray's sockets lie below it


def no_progress(stage, done, total, note):
    pass


def bases(registry: Registry) -> tuple[int, str]:
    version_and_base = registry.last_committed()
    assert version_and_base is not None
    round_, base = version_and_base
    return round_, base.base_hash


def curve(summary: Summary) -> list[tuple]:
    """All of a run that does not hang on the clock."""
    rounds = [
        (row.round, row.base_version, row.committed, row.asked, row.answered, row.base_validation_score, row.train_loss)
        for row in summary.rounds
    ]
    devices = [(row.hardware.device_id, row.rounds_answered, row.scores and row.scores.base) for row in summary.devices]
    return [*rounds, *devices]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra fedtailor[ray] is not installed")
def test_in_process_and_ray_give_the_same_curve_for_equal_seeds(tmp_path, flower):
    fleet = small_fleet(tmp_path, dropout=0.3)
    simulate(fleet, tmp_path / "process", no_progress)
    prepare(fleet, tmp_path / "ray")
    flower.superlink("--insecure", "--simulation", connection="insecure = true")
    flower.run(app_folder(), tmp_path / "ray" / "config.toml", "--federation-config", ENGINE)
    with open_registry(tmp_path / "process") as ours, open_registry(tmp_path / "ray", create=False) as theirs:
        assert bases(ours) == bases(theirs)
        assert curve(summarise(ours)) == curve(summarise(theirs))
        assert any(row.answered < row.asked for row in summarise(ours).rounds)


def test_a_superlink_with_two_supernodes_completes_with_measured_variants(tmp_path, flower):
    rows = write_rows(tmp_path / "rows.npz", np.random.default_rng(2))
    job = tmp_path / "run" / "config.toml"
    job.parent.mkdir()
    job.write_text(JOB, encoding="utf-8")
    root, certificate, key = write_server_certificates(flower.home)
    tls = ("--ssl-ca-certfile", root, "--ssl-certfile", certificate, "--ssl-keyfile", key)
    flower.superlink(*tls, "--enable-supernode-auth", connection=f'root-certificates = "{root}"')
    for device in DEVICES[:2]:
        private, public = write_node_key(flower.home, device)
        flower.call("supernode", "register", public)
        link = ("--superlink", f"127.0.0.1:{flower.port}", "--root-certificates", root)
        config = f'device="{device}" data="{rows}" store="{tmp_path}/store"'
        identity = ("--auth-supernode-private-key", private, "--port", free_port(), "--node-config", config)
        flower.start("flower-supernode", *link, *identity)
    flower.run(app_folder(), job)
    with open_registry(job.parent, create=False) as registry:
        summary = summarise(registry)
        assert registry.check() == ()
    assert [row.hardware.device_id for row in summary.devices] == sorted(DEVICES[:2])
    assert [row.answered for row in summary.rounds] == [2]
    for row in summary.devices:
        assert row.variant is not None
        assert row.variant.rung.efficiency.latency_p50_us_measured > 0
        assert row.variant.rung.efficiency.latency_ms_modelled is None
        assert row.hardware.slowdown_modelled == 1


JOB = """
[job]
rounds = 1
minimum_devices = 2
recipes = [{ name = "int8", shrink = 1, precision = "int8" }]

[job.personal]
method = "finetune"
epochs = 2
"""
