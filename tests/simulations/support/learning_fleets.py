"""Small fleets of every kind of task: four devices that train, and one that only has rows to test on."""

from pathlib import Path

import numpy as np

from fedtailor.client.fleet_arrays import TEST, FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.simulations.fleet import Fleet, fleet_from

KINDS = ("classification", "regression", "next-token")
TRAINED, NEW = ("a", "b", "c", "d"), "new"
ROWS = 40
JOB = {
    "rounds": 2,
    "train": {"epochs": 1, "batch_size": 8, "learning_rate": 0.02, "clip_norm": 2.0},
    "personal": {"method": "finetune", "epochs": 2, "batch_size": 8, "learning_rate": 0.02},
}


def arrays_of(kind: str) -> FleetArrays:
    """40 rows a device; `new` has test rows alone."""
    rng = np.random.default_rng(0)
    device = np.repeat([*TRAINED, NEW], ROWS)
    split = np.tile(np.repeat(np.uint8([0, 1, 2]), (20, 8, 12)), len(TRAINED) + 1)
    split[device == NEW] = TEST
    if kind == "next-token":
        tokens = np.cumsum(rng.integers(0, 2, (len(device), 13)), 1) % 5
        return FleetArrays(x=tokens[:, :-1], y=tokens[:, 1:], device=device, split=split)
    x = rng.normal(size=(len(device), 6)).astype(np.float32)
    value = x[:, 0] - x[:, 1]
    y = value.astype(np.float32) if kind == "regression" else (value > 0).astype(np.int64)
    return FleetArrays(x=x, y=y, device=device, split=split)


def learning_fleet(folder: Path, kind: str = "classification", **job: object) -> Fleet:
    """A fleet file in `folder`, and a job of two rounds, a single process."""
    path = folder / f"{kind}.npz"
    write_fleet_file(path, arrays_of(kind))
    return fleet_from({"data": str(path), "workers": 1, "job": {**JOB, **job}})
