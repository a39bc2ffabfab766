"""What a device tells of itself before it is asked for anything: hardware, data in figures, budget."""

from fedtailor.client.device import Device
from fedtailor.client.profile_data import profile_data
from fedtailor.client.recall import recall
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.messages import Profile
from fedtailor.protos.wire import from_bytes, to_bytes

LAST = "data-profile"


def profile_device(device: Device) -> Profile:
    """Probe the hardware, profile the rows, and keep the data profile to compare the next one with."""
    last = recall(device.store, LAST, lambda kept: from_bytes(DataProfile, kept, sender="own store"))
    data = profile_data(device.data, last)
    device.store.put(LAST, to_bytes(data))
    return Profile(hardware=device.hardware(), data=data, budget=device.budget)
