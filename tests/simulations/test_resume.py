"""A run that was broken off comes to what an unbroken one comes to."""

import os
import random
import signal
import time

import pytest
from broken_runs import assert_gone, assert_same, kill, recorded_rounds, start, tiny_fleet

from fedtailor.protos.errors import ConfigError, RegistryError
from fedtailor.server.run_lock import only_writer
from fedtailor.simulations.resume import resume
from fedtailor.simulations.simulate import CONFIG, REPORT, SUMMARY, prepare, simulate


def silent(*_):
    pass


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    simulate(tiny_fleet(folder), folder / "run", silent)
    return folder / "run"


def wait_for(process, stage):
    """Until it has told of `stage`, and a moment longer."""
    told = next((line for line in process.stderr if line.startswith(stage)), None)
    assert told, f"it ended before {stage}"
    time.sleep(random.Random(stage).uniform(0, 0.1))


def test_a_run_killed_in_every_stage_comes_to_what_an_unbroken_one_comes_to(unbroken, tmp_path):
    prepare(tiny_fleet(tmp_path), tmp_path / "run")
    (tmp_path / "run" / "registry.sqlite").touch()  # as if it had been killed with its first step
    for stage in (
        "train: 2",
        "tailor: 1",
        "evaluate: 0",
    ):  # the last: before its work begins
        process = start(tmp_path / "run")
        wait_for(process, stage)
        kill(process)
    summary, _ = resume(tmp_path / "run", silent)
    assert summary.seconds > 0
    assert_same(tmp_path / "run", unbroken)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_stops_a_run_reads_how_to_go_on_and_leaves_no_process(tmp_path, sent, code):
    tiny_fleet(tmp_path)
    process = start(tmp_path / "run")
    wait_for(process, "train: 1")
    os.killpg(process.pid, sent)  # the whole group, as a terminal or a service manager does
    said = process.communicate()[1]
    assert process.returncode == code
    assert said.splitlines()[-2:] == [
        f"go on with: fedtailor simulate --resume {tmp_path / 'run'}",
        "fedtailor: stopped",
    ]
    assert "Traceback" not in said
    assert_gone(process)
    assert recorded_rounds(tmp_path / "run") >= 1
    assert not list((tmp_path / "run").glob("registry.sqlite-*"))  # closed: nothing is left to be recovered


def test_of_a_finished_run_only_the_report_is_written_again(unbroken):
    before = (unbroken / SUMMARY).read_text(encoding="utf-8")
    (unbroken / SUMMARY).unlink()
    (unbroken / REPORT).unlink()
    _, finished = resume(unbroken, lambda *step: pytest.fail(f"it did {step}"))
    assert finished
    assert (unbroken / SUMMARY).read_text(encoding="utf-8") == before
    assert (unbroken / REPORT).exists()


def test_a_folder_without_a_run_is_refused_and_stays_as_it_was(tmp_path):
    with pytest.raises(ConfigError, match=r"expected the folder of a run, found no config\.toml there"):
        resume(tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_only_holds_a_job_is_no_simulated_run(tmp_path):
    (tmp_path / CONFIG).write_text("[job]\nrounds = 3\n")
    with pytest.raises(ConfigError, match=r"config\.toml: expected the fleet of a simulated run, found none"):
        resume(tmp_path, silent)


@pytest.mark.parametrize("text", ["rounds = = 3", "colour = 3"])
def test_a_damaged_config_is_one_line_that_names_it(tmp_path, text):
    (tmp_path / CONFIG).write_text(text)
    with pytest.raises(ConfigError, match=r"config\.toml: "):
        resume(tmp_path, silent)


def test_a_damaged_registry_is_one_line_that_names_it(tmp_path):
    prepare(tiny_fleet(tmp_path), tmp_path / "run")
    (tmp_path / "run" / "registry.sqlite").write_bytes(b"once upon a time " * 1000)
    with pytest.raises(RegistryError, match=r"registry\.sqlite: .*restore it from a backup"):
        resume(tmp_path / "run", silent)


def test_a_run_that_another_process_writes_is_refused(tmp_path):
    fleet = tiny_fleet(tmp_path)
    prepare(fleet, tmp_path / "run")
    with only_writer(tmp_path / "run"), pytest.raises(RegistryError, match="another process is writing this run"):
        resume(tmp_path / "run", silent)
    with only_writer(tmp_path / "new"), pytest.raises(RegistryError, match="another process is writing this run"):
        simulate(fleet, tmp_path / "new", silent)
