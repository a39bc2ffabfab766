"""What this device is: its hardware as the operating system grants it, and what a micro-benchmark measured on it."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import onnxruntime as ort
import psutil

from fedtailor.client.benchmark import benchmark
from fedtailor.client.cgroup import memory_limit_bytes, usable_cores
from fedtailor.client.processor import this_processor
from fedtailor.client.store import DeviceStore
from fedtailor.protos.device_profile import Benchmark, DeviceProfile
from fedtailor.protos.errors import StoreError

_CACHED = "hardware"


def probe(device_id: str, device_class: str = "this machine", *, store: DeviceStore | None = None) -> DeviceProfile:
    """The profile of the machine this runs on.

    The benchmark is measured once for each processor and version of ONNX Runtime and then kept in `store`; free
    storage (of the store's disk, else of the working folder's) and battery are read every time.
    """
    machine, isa = this_processor()
    return DeviceProfile(
        device_id=device_id,
        device_class=device_class,
        machine=machine,
        cores=usable_cores(),
        isa=isa,
        ram_bytes=_ram_bytes(),
        storage_free_bytes=shutil.disk_usage(Path() if store is None else store.folder).free,
        battery_fraction=_battery_fraction(),
        providers=tuple(ort.get_available_providers()),
        benchmark=benchmark() if store is None else _kept_benchmark(store, machine),
    )


def _ram_bytes() -> int:
    installed = int(psutil.virtual_memory().total)
    limit = memory_limit_bytes()
    return installed if limit is None else min(installed, limit)


def _battery_fraction() -> float | None:
    read = getattr(psutil, "sensors_battery", None)  # absent on some systems
    battery = read() if read else None
    return None if battery is None else float(battery.percent) / 100


def _kept_benchmark(store: DeviceStore, machine: str) -> Benchmark:
    key = {"machine": machine, "onnxruntime": ort.__version__}
    kept = _read_kept(store, key)
    if kept is not None:
        return kept
    measured = benchmark()
    store.put(_CACHED, json.dumps({**key, "benchmark": asdict(measured)}).encode())
    return measured


def _read_kept(store: DeviceStore, key: dict[str, str]) -> Benchmark | None:
    """What is kept under this key; None also where it is damaged or of an older form: measuring again mends it."""
    try:
        content = json.loads(store.get(_CACHED) or b"{}")
        same = all(content.get(name) == value for name, value in key.items())
        return Benchmark(**content["benchmark"]) if same else None
    except (StoreError, ValueError, TypeError, KeyError, AttributeError):
        return None
