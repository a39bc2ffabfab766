"""From a fleet that is asked for to one that is settled: a file with its rows, and a class for every device."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.fleet_arrays import TRAIN, FleetArrays
from fedtailor.client.fleet_file import read_fleet_file, write_fleet_file
from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.catalogue import read_catalogue
from fedtailor.simulations.fleet import Fleet, FleetDevice
from fedtailor.simulations.partition import partition
from fedtailor.simulations.watch import watch_arrays

FILE_NAME = "fleet.npz"
Names = NDArray[np.str_]


def resolve(fleet: Fleet, out: Path) -> Fleet:
    """The same fleet with an absolute path to its rows and a class and budget for every device, in sorted order.

    The job is about what the file is about, unless it says otherwise.
    Classes are dealt evenly by the fleet's seed; those of `members` stay. A resolved fleet comes back equal.

    Raises:
        ConfigError: a member is not among the devices; and as `materialise`.
    """
    path = materialise(fleet, out)
    file = read_fleet_file(path)
    device_ids = file.device_ids
    given = {member.device_id: member for member in fleet.members}
    strangers = sorted(set(given) - set(device_ids))
    if strangers:
        owners = f"one of {len(device_ids)} devices, {device_ids[0]!r} to {device_ids[-1]!r}"
        raise ConfigError(f"fleet {fleet.name!r}: device: expected {owners}, got {strangers[0]!r}")
    members = (given.get(dealt.device_id, dealt) for dealt in _dealt(device_ids, fleet.seed))
    job = replace(fleet.job, about=fleet.job.about or file.about)
    return replace(fleet, data=path, partition=None, devices=None, members=tuple(members), job=job)


def materialise(fleet: Fleet, out: Path) -> Path:
    """The absolute path of the fleet's rows: its own file if nothing changes them, else `fleet.npz` in `out`.

    Raises:
        ConfigError: rows have no owner and no partition is given, or there are fewer devices than asked for.
        DataError: the file cannot be used. MissingExtra: the default data is not installed.
    """
    arrays = watch_arrays() if fleet.data is None else read_fleet_file(fleet.data).arrays
    wanted = _wanted(fleet, arrays)
    if wanted is arrays and fleet.data is not None:
        return fleet.data.resolve()
    out.mkdir(parents=True, exist_ok=True)
    write_fleet_file(out / FILE_NAME, wanted)
    return (out / FILE_NAME).resolve()


def _wanted(fleet: Fleet, arrays: FleetArrays) -> FleetArrays:
    if fleet.partition is None:
        return _limited(fleet, arrays)
    if fleet.devices is None:
        raise ConfigError(
            f"fleet {fleet.name!r}: devices: expected how many to deal the rows to (--devices 40), got none"
        )
    return partition(arrays, fleet.partition, fleet.devices, fleet.seed)


def _limited(fleet: Fleet, arrays: FleetArrays) -> FleetArrays:
    if arrays.device is None:
        ask = "--partition dirichlet:0.3 --devices 40, or iid, or shards:2"
        raise ConfigError(f"{fleet.data}: device: expected an owner for every row, got none; deal them: {ask}")
    trained = np.unique(arrays.device if arrays.split is None else arrays.device[arrays.split == TRAIN])
    untrained = np.setdiff1d(arrays.device, trained)
    total = len(trained) + len(untrained)
    if fleet.devices in (None, total):
        return arrays
    if fleet.devices > total:
        remedy = "ask for fewer, or deal the rows anew with a partition"
        raise ConfigError(f"fleet {fleet.name!r}: devices: expected at most {total}, got {fleet.devices}; {remedy}")
    keep = np.isin(arrays.device, _drawn(trained, untrained, fleet.devices, fleet.seed))
    return arrays.only(keep).noted(f"{fleet.devices} of {total} devices, seed {fleet.seed}")


def _drawn(trained: Names, untrained: Names, count: int, seed: int) -> Names:
    """As many devices that only test as their share asks for, so that a small draw still trains."""
    rng = np.random.default_rng(seed)
    share = len(trained) / (len(trained) + len(untrained))
    to_train = max(1, round(count * share))
    chosen = (rng.choice(trained, to_train, replace=False), rng.choice(untrained, count - to_train, replace=False))
    return np.concatenate(chosen)


def _dealt(device_ids: tuple[str, ...], seed: int) -> tuple[FleetDevice, ...]:
    catalogue = read_catalogue()
    names = np.random.default_rng(seed).permutation(np.resize(sorted(catalogue), len(device_ids)))
    return tuple(
        FleetDevice(device_id=device_id, device_class=str(name), budget=catalogue[str(name)].budget)
        for device_id, name in zip(device_ids, names, strict=True)
    )
