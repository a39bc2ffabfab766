"""One device of a resolved fleet, as its app opens it: its own rows, store, budget, tags and modelled hardware."""

from functools import lru_cache, partial
from pathlib import Path

from fedtailor.client.device import Device
from fedtailor.client.fleet_file import FleetFile, read_fleet_file
from fedtailor.client.probe import probe
from fedtailor.client.store import DeviceStore, folder_name
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.simulations.catalogue import device_class, simulated_profile
from fedtailor.simulations.fleet import Fleet, FleetDevice


def simulated_device(fleet: Fleet, index: int, run: Path, round_: int | None = None) -> Device:
    """Device number `index` of a resolved fleet, with its rows of a round (None: all), its store under `run/devices`.

    The fleet file is read once a process, the host's benchmark measured once a run.

    Raises:
        DataError: the fleet file cannot be used, or lacks the device. StoreError: the store cannot be made.
        ValueError: the fleet is not resolved, or has no such device.
    """
    if fleet.data is None or not 0 <= index < len(fleet.members):
        raise ValueError(f"device {index} is not in fleet {fleet.name!r} of {len(fleet.members)} resolved devices")
    member = fleet.members[index]
    return Device(
        data=_opened(fleet.data, _changed_ns(fleet.data)).device(member.device_id, round_),
        store=DeviceStore(run / "devices" / folder_name(member.device_id)),
        budget=member.budget,
        hardware=partial(_hardware, member, run),
        tags=member.tags,
    )


def host_profile(run: Path) -> DeviceProfile:
    """The machine that simulates; measured the first time, then kept under `run/host`."""
    return probe("host", store=DeviceStore(run / "host"))


def _hardware(member: FleetDevice, run: Path) -> DeviceProfile:
    return simulated_profile(host_profile(run), member.device_id, device_class(member.device_class))


def _changed_ns(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=1)
def _opened(path: Path, _changed_ns: int) -> FleetFile:
    """A worker serves many devices of one file; a file that changes is read again."""
    return read_fleet_file(path)
