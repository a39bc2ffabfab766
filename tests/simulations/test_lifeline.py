"""A child process ends with its parent."""

import signal
import subprocess
import sys

import psutil

PARENT = """
import multiprocessing, time
from fedtailor.simulations.lifeline import end_with_parent

def busy():
    end_with_parent()
    print(multiprocessing.current_process().pid, flush=True)
    while True:  # it listens to nobody
        pass

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=busy).start()
    time.sleep(600)
"""


def test_a_busy_child_ends_as_soon_as_its_parent_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        child.wait(60)
    assert not child.is_running()


def test_a_process_without_a_parent_of_its_own_kind_goes_on():
    code = "from fedtailor.simulations.lifeline import end_with_parent as e; e(); print('on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "on\n"
