"""What a device tells of itself before it is asked for anything: hardware, data in figures, budget."""

from fedtailor.client.device import Device
from fedtailor.client.profile_data import profile_data
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import Profile
from fedtailor.protos.wire import from_bytes, to_bytes

LAST = "data-profile"


def profile_device(device: Device) -> Profile:
    """Probe the hardware, profile the rows, and keep the data profile to compare the next one with."""
    data = profile_data(device.data, _last(device))
    device.store.put(LAST, to_bytes(data))
    return Profile(hardware=device.hardware(), data=data, budget=device.budget)


def _last(device: Device) -> DataProfile | None:
    kept = device.store.get(LAST)
    try:
        return from_bytes(DataProfile, kept, sender="own store") if kept is not None else None
    except DecodeError:
        return None  # written by another version: as if it were the first time
