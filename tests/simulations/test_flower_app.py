"""The folder that `flwr run` takes."""

import os
import subprocess
import sys

from fedtailor.simulations.flower_app import app_folder

SHOW_THREADS = "import fedtailor_app.client, torch; print(torch.get_num_threads())"


def test_a_deployed_device_computes_on_one_thread():
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = str(app_folder())
    command = [sys.executable, "-W", "ignore", "-c", SHOW_THREADS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
