"""One process at a time writes a run."""

import signal
import subprocess
import sys

import pytest

from fedtailor.protos.errors import RegistryError
from fedtailor.server.run_lock import LOCK, only_writer

HOLDER = """
import sys, time
from pathlib import Path
from fedtailor.server.run_lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_writer_is_refused_in_one_line_until_the_first_has_ended(tmp_path):
    run, line = tmp_path / "run", "run: another process is writing this run; wait until that one has ended"
    with only_writer(run), pytest.raises(RegistryError, match=line), only_writer(run):
        pass
    with only_writer(run):
        pass


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RegistryError, match="another process is writing"), only_writer(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
    with only_writer(tmp_path):
        pass


def test_a_folder_that_its_writer_gave_up_is_not_taken_over(tmp_path, monkeypatch):
    def given_up(*_):  # between the opening of the file and its locking
        (tmp_path / LOCK).unlink()

    monkeypatch.setattr("fedtailor.server.run_lock.fcntl.flock", given_up)
    with pytest.raises(RegistryError, match="another process is writing"), only_writer(tmp_path):
        pass


def test_a_disk_without_locks_is_one_line(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fedtailor.server.run_lock.fcntl.flock", no_locks)
    line = r"cannot be locked \(No locks available\); use a folder on another disk"
    with pytest.raises(RegistryError, match=line), only_writer(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="cannot be written"), only_writer(tmp_path / "file" / "run"):
        pass
