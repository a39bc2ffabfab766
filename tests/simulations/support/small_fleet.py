"""Three devices with a few rows each: enough for a whole job in seconds."""

from pathlib import Path

import numpy as np

from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.simulations.fleet import Fleet, fleet_from

DEVICES = ("north", "east", "south")
ROWS = 120
JOB = {
    "rounds": 3,
    "minimum_fraction": 0.3,
    "train": {"epochs": 1, "batch_size": 16, "learning_rate": 0.05},
    "personal": {"method": "finetune", "epochs": 2, "batch_size": 16, "learning_rate": 0.02},
    "recipes": [{"name": "int8", "shrink": 1, "precision": "int8"}],
}


def write_rows(path: Path, rng: np.random.Generator) -> Path:
    """Three classes in six features, each device a little shifted."""
    y = rng.integers(0, 3, ROWS * len(DEVICES))
    device = np.repeat(DEVICES, ROWS)
    centres = rng.normal(size=(3, 6))
    shifts = np.repeat(rng.normal(size=(len(DEVICES), 6)) * 0.3, ROWS, axis=0)
    x = (2 * centres[y] + shifts + rng.normal(size=(len(y), 6))).astype(np.float32)
    write_fleet_file(path, FleetArrays(x=x, y=y, device=device))
    return path


def small_fleet(folder: Path, rows: Path | None = None, **settings: object) -> Fleet:
    """A fleet on rows in `folder`, written there unless they are given."""
    data = rows or write_rows(folder / "rows.npz", np.random.default_rng(1))
    return fleet_from({"data": str(data), "seed": 7, "workers": 2, "job": JOB, **settings})
