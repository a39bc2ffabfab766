"""The device catalogue: classes of devices as published figures, one TOML file each in `devices/`.

`slowdown` is against one reference core, a server x86-64 core with AVX2 at 3.0 GHz: 30.9 Gflop/s of HPL, estimated
from 229 Gflop/s of six AMD Ryzen 5 5600X cores at 3.7 GHz (github.com/geerlingguy/top500-benchmark, README) scaled by
the clock. HPL counts fp64; all these cores do twice as much fp32, so the ratio holds for fp32.
To add a class: one TOML file; every number needs its source there.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources

from fedtailor.protos.budget import Budget
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.errors import ConfigError

_FIGURES = (
    "cores",
    "ram_bytes",
    "storage_bytes",
    "slowdown",
    "network_up_bits_s",
    "network_down_bits_s",
    "availability",
    "energy_pj_per_mac",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClass:
    """One class of devices. Everything here is modelled: nothing was measured by us on such a device.

    `slowdown` is the reference core's single-thread fp32 throughput over this core's. `availability` is the share of
    rounds in which an asked device answers. `energy_pj_per_mac` is of the whole board under load. `budget` is what a
    variant of a 30k to 300k-parameter model may cost there unless a fleet says otherwise. `sources` says for `isa`
    and every figure where it was published, or what it was estimated from.
    """

    name: str
    description: str
    processor: str
    isa: tuple[str, ...]
    cores: int
    ram_bytes: int
    storage_bytes: int
    slowdown: float
    network_up_bits_s: float
    network_down_bits_s: float
    availability: float
    energy_pj_per_mac: float
    budget: Budget
    sources: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in _FIGURES:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name} must be a number above 0, got {value!r}")
        if self.availability > 1:
            raise ValueError(f"availability must be at most 1, got {self.availability!r}")
        missing = [name for name in ("isa", *_FIGURES) if not self.sources.get(name, "").strip()]
        if missing:
            raise ValueError(f"sources must name where {', '.join(missing)} came from")


def read_catalogue() -> dict[str, DeviceClass]:
    """All classes by name, in alphabetical order.

    Raises:
        ConfigError: a file of the catalogue cannot be read, with the file and what is wrong in it.
    """
    files = resources.files("fedtailor.simulations.devices").iterdir()
    texts = {file.name: file.read_text(encoding="utf-8") for file in files if file.name.endswith(".toml")}
    return {cls.name: cls for cls in (read_device_class(texts[name], name) for name in sorted(texts))}


def device_class(name: str) -> DeviceClass:
    """The class of this name.

    Raises:
        ConfigError: there is none; the line lists those there are.
    """
    catalogue = read_catalogue()
    if name not in catalogue:
        raise ConfigError(f"device class {name!r} is not in the catalogue; known: {', '.join(catalogue)}")
    return catalogue[name]


def read_device_class(text: str, file_name: str) -> DeviceClass:
    """One class from its TOML text; the file is named after the class.

    Raises:
        ConfigError: not TOML, a key missing or unknown, or a value out of range.
    """
    try:
        table = tomllib.loads(text)
        known = {field.name for field in fields(DeviceClass)}
        for problem, names in (("unknown", table.keys() - known), ("missing", known - table.keys())):
            if names:
                raise ValueError(f"{problem}: {', '.join(sorted(names))}")
        if file_name != f"{table['name']}.toml":
            raise ValueError(f"name must be the file's, got {table['name']!r}")
        return DeviceClass(**{**table, "isa": tuple(table["isa"]), "budget": Budget(**table["budget"])})
    except (ValueError, TypeError, AttributeError) as error:  # TOMLDecodeError is a ValueError
        raise ConfigError(f"device class file {file_name}: {error}") from error


def simulated_profile(measured: DeviceProfile, device_id: str, cls: DeviceClass) -> DeviceProfile:
    """A device of this class, modelled on the measured machine.

    Hardware, slowdown and energy are the class's; benchmark and providers stay those of the measured machine, which
    `machine` names, so nothing modelled passes for a measurement. The machine counts as one reference core.
    """
    return replace(
        measured,
        device_id=device_id,
        device_class=cls.name,
        machine=f"{cls.processor}, modelled on {measured.machine}",
        cores=cls.cores,
        isa=cls.isa,
        ram_bytes=cls.ram_bytes,
        storage_free_bytes=cls.storage_bytes,
        battery_fraction=None,
        slowdown_modelled=cls.slowdown,
        energy_pj_per_mac_modelled=cls.energy_pj_per_mac,
    )
