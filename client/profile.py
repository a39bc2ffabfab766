"""What a device tells of itself before it is asked for anything: hardware, data in figures, budget, tags."""

from dataclasses import replace

from fedtailor.client.device import Device
from fedtailor.client.recall import recall
from fedtailor.client.record_data import record_data
from fedtailor.client.store import DeviceStore
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.data_record import DataRecord
from fedtailor.protos.messages import Profile
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.strategies.drift import drift_between

PLANNED, TOLD = "data-planned", "data-told"  # what the plan was made from, and what the server may plan from now


def profile_device(device: Device, round_: int) -> Profile:
    """Probe the hardware, profile the rows, and keep their record: the plan of a device that joins is made from it."""
    last = recall_record(device.store, TOLD) or recall_record(device.store, PLANNED)
    record = record_data(device.data, round_)
    data = replace(record.profile, drift=None if last is None else drift_between(last, record))
    device.store.put(PLANNED, to_bytes(record))
    device.store.delete(TOLD)
    return profile_of(device, data)


def profile_of(device: Device, data: DataProfile) -> Profile:
    """The data's profile with all else that a device tells."""
    return Profile(hardware=device.hardware(), data=data, budget=device.budget, tags=device.tags)


def recall_record(store: DeviceStore, name: str) -> DataRecord | None:
    """A record that this device has kept."""
    return recall(store, name, lambda kept: from_bytes(DataRecord, kept, sender="own store"))
