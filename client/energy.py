"""What a run costs in energy, by a counter of the platform: the processor's own (RAPL), else the battery's gauge.

Source: the Linux kernel's documentation, power/powercap/powercap.rst and ABI/testing/sysfs-class-power.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_SYSFS = Path("/sys/class")
_MICRO = 1e-6


class EnergyCounter(Protocol):
    """What this machine has used, all of it: work and what it takes idle."""

    @property
    def name(self) -> str:
        """Where the figure comes from."""

    @property
    def window_s(self) -> float:
        """How long a piece of work must last for the counter to resolve it."""

    def read(self) -> Sequence[float]:
        """Its state now."""

    def joules(self, before: Sequence[float], after: Sequence[float]) -> float:
        """Used between two readings."""


@dataclass(frozen=True)
class Rapl:
    """Processor packages, each a counter in microjoules that starts again at 0 after its range."""

    packages: tuple[Path, ...]
    name: str = "RAPL"
    window_s: float = 0.05  # the counters move every millisecond

    def read(self) -> tuple[int, ...]:
        return tuple(_number(package / "energy_uj") for package in self.packages)

    def joules(self, before: Sequence[float], after: Sequence[float]) -> float:
        ranges = [_number(package / "max_energy_range_uj") for package in self.packages]
        used = ((new - old) % (top + 1) for old, new, top in zip(before, after, ranges, strict=True))
        return sum(used) * _MICRO


@dataclass(frozen=True)
class Battery:
    """A battery's gauge, which tells the power that is drawn just now; the mean of both ends counts."""

    folder: Path
    clock: Callable[[], float] = time.perf_counter
    name: str = "battery"
    window_s: float = 5.0  # gauges refresh about once a second

    def read(self) -> tuple[float, float]:
        """Seconds and watts."""
        return self.clock(), _watts(self.folder)

    def joules(self, before: Sequence[float], after: Sequence[float]) -> float:
        (start_s, start_w), (end_s, end_w) = before, after
        return (end_s - start_s) * (start_w + end_w) / 2


def energy_counter(sysfs: Path = _SYSFS) -> EnergyCounter | None:
    """The counter that this process may read, the processor's first; None where there is none.

    A battery counts only while it alone feeds the machine.
    """
    packages = tuple(zone for zone in sorted(sysfs.glob("powercap/intel-rapl:*")) if _is_readable_package(zone))
    if packages:
        return Rapl(packages)
    return next(map(Battery, filter(_is_discharging, sorted(sysfs.glob("power_supply/*")))), None)


def energy_mj(
    counter: EnergyCounter,
    run: Callable[[], object],
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> float | None:
    """Millijoules of one run beyond what the machine takes idle, over runs that fill the counter's window.

    What other processes do meanwhile counts as well. None where the run drowns in what the machine takes idle, or the
    counter can no longer be read.
    """
    try:
        idle_j, idle_s, _ = _spent(counter, lambda: sleep(counter.window_s), 0.0, clock)
        busy_j, busy_s, runs = _spent(counter, run, counter.window_s, clock)
    except (OSError, ValueError):
        return None
    extra_j = busy_j - idle_j / idle_s * busy_s
    return extra_j / runs * 1e3 if extra_j > 0 else None


def _spent(
    counter: EnergyCounter, run: Callable[[], object], seconds: float, clock: Callable[[], float]
) -> tuple[float, float, int]:
    """Joules, seconds and runs; at least one run, and no more than `seconds` need."""
    runs, start, before = 0, clock(), counter.read()
    while runs == 0 or clock() - start < seconds:
        run()
        runs += 1
    return counter.joules(before, counter.read()), clock() - start, runs


def _is_readable_package(zone: Path) -> bool:
    """Of the zones only whole packages: cores and memory lie inside them, and the platform's own around them."""
    try:
        readable = _number(zone / "energy_uj") >= 0 and _number(zone / "max_energy_range_uj") > 0
        return readable and (zone / "name").read_text().startswith("package")
    except (OSError, ValueError):  # often only root may read it
        return False


def _is_discharging(folder: Path) -> bool:
    try:
        feeds = (folder / "type").read_text().strip() == "Battery"
        return feeds and (folder / "status").read_text().strip() == "Discharging" and _watts(folder) > 0
    except (OSError, ValueError):
        return False


def _watts(folder: Path) -> float:
    """Drivers tell the power, or current and voltage; some of them with a sign."""
    if (folder / "power_now").exists():
        return abs(_number(folder / "power_now")) * _MICRO
    return abs(_number(folder / "current_now") * _MICRO * _number(folder / "voltage_now") * _MICRO)


def _number(path: Path) -> int:
    return int(path.read_text())
