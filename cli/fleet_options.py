"""From the options of a command to the fleet whose rows it works on."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedtailor.simulations.fleet import Fleet


def fleet_of_rows(data: Path | None, *, job: Mapping[str, object] | None = None, **options: object) -> "Fleet":
    """The fleet of these options and settings of its job, those that are None left out; without `data` it is the
    default one.

    Rows without an owner need none here: they are one device's, unless a partition deals them.
    """
    from fedtailor.simulations.fleet import fleet_from

    given = _given(options)
    if job is not None:
        given["job"] = _given(job)
    if data is not None:
        given["data"] = str(data.absolute())
        if "partition" not in given and not _has_owners(data):
            given = {"devices": 1, **given, "partition": "iid"}
    return fleet_from(given, source="command line")


def _given(options: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in options.items() if value is not None}


def _has_owners(data: Path) -> bool:
    try:
        with zipfile.ZipFile(data) as file:
            return "device.npy" in file.namelist()
    except (OSError, zipfile.BadZipFile):
        return True  # whoever reads it says what is wrong
