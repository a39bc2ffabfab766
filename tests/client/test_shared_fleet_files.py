"""Fleet files of every kind of task, where they lie beside this checkout."""

from pathlib import Path

import pytest

from fedtailor.client.fleet_file import read_fleet_file

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared fleet files are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "kind", "outputs", "devices", "shape"),
    [
        ("engines", "regression", 1, 200, (30, 15)),
        ("fashion", "classification", 10, 0, (14, 14, 1)),
        ("grocery", "classification", 43, 24, (48, 48, 3)),
        ("keywords", "classification", 11, 132, (49, 40, 1)),
        ("roles", "next-token", 62, 80, (80,)),
    ],
)
def test_the_shared_files_read_as_what_they_are(name, kind, outputs, devices, shape):
    fleet = read_fleet_file(DATA / f"{name}.npz")
    assert (fleet.kind, fleet.outputs, len(fleet.device_ids)) == (kind, outputs, devices)
    assert fleet.arrays.x.shape[1:] == shape
