"""`fedtailor bench`."""

import json

import numpy as np
from typer.testing import CliRunner

from fedtailor.cli.main import app
from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file


def test_central_scores_every_device_once_per_seed(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 5)).astype(np.float32)
    arrays = FleetArrays(x=x, y=(x[:, 0] > 0).astype(np.int64), device=np.repeat(["a", "b", "c"], 80))
    write_fleet_file(tmp_path / "rows.npz", arrays)
    options = ["bench", "central", str(tmp_path / "rows.npz"), "--seeds", "2", "--epochs", "5"]
    rows = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)["rows"]
    assert [(row["seed"], row["devices"], row["metric"]) for row in rows] == [(0, 3, "accuracy"), (1, 3, "accuracy")]
    assert all(row["worst"] <= row["mean"] and row["mean"] > 0.8 for row in rows)
    assert "mean of devices" in CliRunner().invoke(app, options).stdout
