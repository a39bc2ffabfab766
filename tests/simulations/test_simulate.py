"""The run folder: what it holds, and what it refuses to overwrite."""

import json

import psutil
import pytest
from small_fleet import small_fleet

from fedtailor.protos.errors import ConfigError, DataError, PlanError
from fedtailor.server.registry import open_registry
from fedtailor.server.summarise import summarise
from fedtailor.simulations.simulate import prepare, simulate


def no_progress(stage, done, total, note):
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulate")
    stages = []
    summary = simulate(small_fleet(folder), folder / "run", lambda *event: stages.append(event))
    return folder / "run", summary, stages


def test_a_run_leaves_its_config_registry_artefacts_figures_and_report(run):
    folder, summary, _ = run
    assert {"config.toml", "registry.sqlite", "artifacts", "summary.json", "report.html"} <= {
        path.name for path in folder.iterdir()
    }
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["devices"] == len(summary.devices) == 3
    assert summary.name in (folder / "report.html").read_text(encoding="utf-8")


def test_the_registry_tells_the_same_story_again(run):
    folder, summary, _ = run
    with open_registry(folder) as registry:
        assert summarise(registry) == summary


def test_progress_is_told_while_it_runs(run):
    _, _, stages = run
    assert stages
    assert all(0 <= done <= total for _, done, total, _ in stages)


def test_every_device_gets_a_variant_of_its_own(run):
    _, summary, _ = run
    assert all(device.variant is not None and device.scores is not None for device in summary.devices)


def test_an_interrupted_run_ends_its_workers_and_keeps_its_committed_rounds(tmp_path):
    def interrupt(stage, done, total, note):
        if (stage, done) == ("train", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(small_fleet(tmp_path), tmp_path / "run", interrupt)
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    with open_registry(tmp_path / "run", create=False) as registry:
        assert [row.committed for row in summarise(registry).rounds] == [True, True]


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"run: holds thesis\.tex, expected an empty or new folder"):
        prepare(small_fleet(tmp_path), tmp_path / "run")
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years of work"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigError, match="expected a folder for the run, came a file"):
        prepare(small_fleet(tmp_path), tmp_path / "run")


def test_an_earlier_run_is_refused_and_left_as_it_was(tmp_path):
    prepare(small_fleet(tmp_path), tmp_path / "run")
    config = (tmp_path / "run" / "config.toml").read_bytes()
    with pytest.raises(ConfigError, match=r"run: holds an earlier run; name another folder .* fedtailor report .*run$"):
        prepare(small_fleet(tmp_path, seed=8), tmp_path / "run")
    assert (tmp_path / "run" / "config.toml").read_bytes() == config


def test_rows_that_cannot_be_used_leave_no_folder_behind(tmp_path):
    (tmp_path / "rows.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"rows\.npz"):
        prepare(small_fleet(tmp_path, tmp_path / "rows.npz"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="expected a folder that can be written, got: Not a directory"):
        prepare(small_fleet(tmp_path), tmp_path / "file" / "run")


@pytest.mark.parametrize("job", [{"model": "resnot"}, {"codec": {"name": "morse", "version": 1}}])
def test_a_name_nobody_knows_is_said_before_a_folder_is_made(job, tmp_path):
    fleet = small_fleet(tmp_path, job=job)
    with pytest.raises(PlanError, match="is not known here; known: "):
        simulate(fleet, tmp_path / "run", no_progress)
    assert not (tmp_path / "run").exists()
