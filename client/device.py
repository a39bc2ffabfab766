"""What the device's side of fedtailor stands on: its rows, its store, its budget, its hardware, its tags."""

from collections.abc import Callable
from dataclasses import dataclass

from fedtailor.client.store import DeviceStore
from fedtailor.protos.budget import Budget
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.samples import DeviceData


@dataclass(frozen=True, eq=False)
class Device:
    """One device. `hardware` probes on demand: it costs up to 2 s the first time."""

    data: DeviceData
    store: DeviceStore
    budget: Budget
    hardware: Callable[[], DeviceProfile]
    tags: tuple[str, ...] = ()

    @property
    def device_id(self) -> str:
        return self.data.device_id
