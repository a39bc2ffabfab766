"""A device as its operator sets it up: SuperNode's `--node-config` names the rows, the store and the budget.

--node-config 'device="till-1" data="/var/lib/shop/rows.npz" store="/var/lib/fedtailor" latency-ms=5.0 tags="till"'
"""

from dataclasses import fields
from math import isfinite
from pathlib import Path

from flwr.app import Context, UserConfig

from fedtailor.client.device import Device
from fedtailor.client.fleet_file import read_fleet_file
from fedtailor.client.probe import probe
from fedtailor.client.store import DeviceStore, folder_name
from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import ConfigError

REQUIRED = ("device", "data", "store")
OPTIONAL = ("class", "tags")
LIMITS = {field.name.replace("_", "-"): field.name for field in fields(Budget)}


def deployed_device(context: Context, round_: int | None = None) -> Device:
    """Open the device that this node's config describes, with the rows that its file gives it in a round.

    Raises:
        ConfigError: a key is missing, empty or unknown, tags are not text, or a limit is not a finite number above 0.
        DataError: the file cannot be read, or has no such device.
    """
    config = context.node_config
    missing = [key for key in REQUIRED if not isinstance(value := config.get(key), str) or not value.strip()]
    if missing:
        raise ConfigError(f"node config: {', '.join(missing)} must be given as text; see fedtailor's README, Deploy")
    device_id = str(config["device"])
    store = DeviceStore(Path(str(config["store"])) / folder_name(device_id))
    return Device(
        data=read_fleet_file(Path(str(config["data"]))).device(device_id, round_),
        store=store,
        budget=_budget(config),
        hardware=lambda: probe(device_id, str(config.get("class", "deployed")), store=store),
        tags=_tags(config.get("tags", "")),
    )


def _tags(value: object) -> tuple[str, ...]:
    if not isinstance(value, str):
        raise ConfigError(f"node config: tags must be text, separated by commas, got {value!r}")
    return tuple(tag for each in value.split(",") if (tag := each.strip()))


def _budget(config: UserConfig) -> Budget:
    limits: dict[str, int | float] = {}
    for key, value in config.items():
        if key in (*REQUIRED, *OPTIONAL):
            continue
        if key not in LIMITS:
            known = ", ".join((*REQUIRED, *OPTIONAL, *LIMITS))
            raise ConfigError(f"node config: unknown key {key!r}; known: {known}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise ConfigError(f"node config: {key} must be a finite number, got {value!r}")
        limits[LIMITS[key]] = int(value) if key.endswith("bytes") else float(value)
    try:
        return Budget(**limits)  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigError(f"node config: {error}") from error
