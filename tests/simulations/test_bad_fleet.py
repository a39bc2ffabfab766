"""Whole runs that something is wrong with: one clear line each, the run goes on or stops cleanly, nothing is lost."""

import json
import shutil
import sys
from functools import partial

import numpy as np
import pytest
from hostile_app import hostile_app, vanishing_app
from small_fleet import DEVICES, JOB, small_fleet, write_rows

from fedtailor.cli.main import main
from fedtailor.protos.errors import RoundError
from fedtailor.server.coordinator import run_job
from fedtailor.server.registry import open_registry
from fedtailor.server.summarise import summarise
from fedtailor.simulations import simulate as simulation
from fedtailor.simulations.app import simulated_app
from fedtailor.simulations.fleet import load_fleet
from fedtailor.simulations.grid import InProcessGrid
from fedtailor.simulations.simulate import simulate
from fedtailor.simulations.toml import to_toml
from fedtailor.simulations.workers import Workers

BEYOND_REACH = {"latency_ms": 1e-6, "size_bytes": 10, "peak_ram_bytes": 1, "energy_mj": 1e-12}


def no_progress(stage, done, total, note):
    pass


@pytest.fixture
def fedtailor(monkeypatch, capsys):
    """The command as a shell runs it: exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fedtailor", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            main()
        said = capsys.readouterr()
        return ending.value.code, said.out, said.err

    return call


def rows(path, **spoiled):
    """A fleet file of the small fleet's form, with some arrays replaced; None leaves one out."""
    write_rows(path, np.random.default_rng(1))
    with np.load(path) as file:
        arrays = {**file, **spoiled}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def nan_in(device: str):
    x = np.ones((len(DEVICES) * 120, 6), np.float32)
    x[120 * DEVICES.index(device) + 7, 2] = np.nan
    return x


@pytest.mark.parametrize(
    ("spoiled", "line"),
    [
        ({"y": None}, "y: expected an array under this key, got only"),
        ({"x": nan_in("east")}, "x: expected finite float32 numbers, got nan in row 127 of device 'east'"),
    ],
)
def test_rows_at_fault_are_one_line_and_leave_nothing_behind(fedtailor, tmp_path, spoiled, line):
    path = rows(tmp_path / "rows.npz", **spoiled)
    code, out, err = fedtailor("simulate", path, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert err.startswith(f"fedtailor: {path}: {line}")
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_unknown_device_class_is_one_line_that_names_those_there_are(fedtailor, tmp_path):
    config = tmp_path / "fleet.toml"
    config.write_text('[[device]]\nid = "north"\nclass = "toaster"\n', encoding="utf-8")
    code, out, err = fedtailor("simulate", "--config", config, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert err.startswith(f"fedtailor: {config}: device 1: class: device class 'toaster' is not in the catalogue; ")
    assert "known: iot-gateway, kiosk" in err
    assert err.count("\n") == 1


@pytest.fixture(scope="module")
def beyond_reach(tmp_path_factory):
    """A finished run whose devices may cost next to nothing."""
    folder = tmp_path_factory.mktemp("bad")
    devices = [{"id": name, "class": "smart-watch", "budget": BEYOND_REACH} for name in DEVICES]
    table = {"data": str(rows(folder / "rows.npz")), "workers": 2, "device": devices, "job": {**JOB, "rounds": 1}}
    (folder / "fleet.toml").write_text(to_toml(table), encoding="utf-8")
    return folder


@pytest.fixture
def finished(beyond_reach, fedtailor):
    """The run folder, written by the first test that asks for it."""
    run = beyond_reach / "run"
    if not run.exists():
        code, _, err = fedtailor("simulate", "--config", beyond_reach / "fleet.toml", "--out", run, "--json")
        assert code == 0, err
    return run


def test_a_budget_nobody_can_meet_is_a_complete_run_that_says_what_is_over(finished):
    with open_registry(finished, create=False) as registry:
        summary = summarise(registry)
    assert len(summary.devices) == 3
    for device in summary.devices:
        over = {line.split()[0]: line for line in device.variant.rung.unmet}
        assert {"latency_ms", "size_bytes", "energy_mj"} <= set(over)
        assert over["size_bytes"] == f"size_bytes {device.variant.rung.efficiency.file_bytes:.4g} of 10"
    told = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    assert told["devices"] == 3


def test_an_earlier_run_is_one_line_and_stays(fedtailor, finished):
    before = (finished / "registry.sqlite").read_bytes()
    code, out, err = fedtailor("simulate", "--config", finished.parent / "fleet.toml", "--out", finished)
    assert (code, out) == (2, "")
    assert err == (
        f"fedtailor: {finished}: holds an earlier run; name another folder with --out, "
        f"see it with: fedtailor report {finished}, or go on with it: fedtailor simulate --resume {finished}\n"
    )
    assert (finished / "registry.sqlite").read_bytes() == before


def test_a_truncated_registry_is_one_line(fedtailor, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    database = run / "registry.sqlite"
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])
    code, out, err = fedtailor("report", run)
    assert (code, out) == (2, "")
    assert err.startswith(f"fedtailor: {database}: ")
    assert "restore it from a backup, or start the run anew in another folder" in err
    assert err.count("\n") == 1


def test_a_corrupted_artefact_is_named_beside_the_report(fedtailor, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    with open_registry(run, create=False) as registry:
        sha256 = summarise(registry).devices[0].variant.rung.payload_sha256
        path = registry.artifacts.path(sha256)
    path.write_bytes(path.read_bytes()[::-1])
    code, out, err = fedtailor("report", run)
    assert code == 0
    assert "north" in out
    assert f"{path}: damaged" in err
    assert err.count("damaged") == 1
    _, _, before = fedtailor("report", finished)
    assert before == ""


def test_devices_that_fail_in_training_are_one_line_each_and_the_rounds_go_on(tmp_path, monkeypatch):
    app = partial(hostile_app, diverge=("north", 2), die=("east", 2), garble=("south", 3))
    monkeypatch.setattr(simulation, "virtual_app", app)
    summary = simulate(small_fleet(tmp_path), tmp_path / "run", no_progress)
    assert [(row.asked, row.answered) for row in summary.rounds] == [(3, 3), (3, 1), (3, 2)]
    assert all(row.committed for row in summary.rounds)
    first, second, third = (sorted(row.problems) for row in summary.rounds)
    assert first == []
    assert len(second) == 2
    assert second[0].startswith("PlanError: device north, round 2: layer ")
    assert second[1] == "device east, train: its worker process ended with exit code -9"
    assert second[0].endswith("holds NaN or infinity after training; lower the learning rate or set a clip norm")
    assert len(third) == 1
    assert third[0].startswith("device south, round 3: the update has checksum ")
    assert all(row.variant is not None for row in summary.devices)


def test_a_fleet_that_vanishes_ends_the_run_keeps_its_rounds_and_can_be_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "virtual_app", partial(vanishing_app, since=2))
    fleet = small_fleet(tmp_path, job={**JOB, "rounds": 6})
    with pytest.raises(RoundError, match=r"no device answered in rounds 2 to 4; first problem: .*; base 1 is kept"):
        simulate(fleet, tmp_path / "run", no_progress)
    with open_registry(tmp_path / "run", create=False) as registry:
        assert [row.committed for row in summarise(registry).rounds] == [True, False, False, False]
        assert registry.check() == ()
        summary = resumed(tmp_path / "run", registry)
    assert [row.committed for row in summary.rounds] == [True, False, False, False, True, True]
    assert all(row.variant is not None for row in summary.devices)


def resumed(run, registry):
    """The same job on the same registry, with devices that answer."""
    config = run / "config.toml"
    job = load_fleet(config).job
    with Workers(simulated_app, 2) as workers:
        grid = InProcessGrid(workers, nodes=len(DEVICES), run_config={"config": str(config)})
        return run_job(grid, job, registry, no_progress)
