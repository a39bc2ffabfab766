"""A simulated fleet as data: whose rows, on what devices, how reliable, for which job. As a file: `fleet.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from fedtailor.client.cgroup import usable_cores
from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import ConfigError
from fedtailor.server.job import Job, anchored, job_from, job_table
from fedtailor.simulations.catalogue import device_class
from fedtailor.simulations.partition import parse_partition
from fedtailor.simulations.table_reader import TableReader
from fedtailor.simulations.toml import to_toml

HIGHEST_SEED = 2**31 - 1  # the job's
NO_LIMIT = "none"  # in a budget: lifts the limit of the device's class


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDevice:
    """One device whose class, budget and tags are settled."""

    device_id: str
    device_class: str
    budget: Budget
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What to simulate. A resolved fleet names every device in `members` and its rows in `data`.

    `data`: a fleet file; None for the smart-watch recordings. `partition`: how to deal its rows anew; None keeps their
    owners. `devices`: how many, None for all. `members`: devices whose class and budget are given, not dealt.
    `dropout`: probability that a device misses a round; `availability` adds its class's own. `slow_fraction` of the
    devices take `slow_factor` times as long. `workers`: processes.
    """

    name: str
    data: Path | None
    partition: str | None
    devices: int | None
    seed: int
    dropout: float
    availability: bool
    slow_fraction: float
    slow_factor: float
    workers: int
    members: tuple[FleetDevice, ...]
    job: Job


KEYS = (*(field.name for field in fields(Fleet) if field.name != "members"), "device")


def load_fleet(path: Path) -> Fleet:
    """The fleet a `fleet.toml` or a run's `config.toml` describes; relative paths start at its folder.

    Raises:
        ConfigError: one line that names the file, the key, what was expected and what was found.
    """
    return fleet_from(read_fleet_table(path), source=str(path), folder=path.parent)


def read_fleet_table(path: Path) -> dict[str, Any]:
    """The table of a TOML file, as it stands.

    Raises:
        ConfigError: the file is missing, or is not TOML (with the line).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: expected a fleet as TOML, got {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML, got: {error}") from None


def fleet_from(table: Mapping[str, object], *, source: str = "fleet", folder: Path = Path()) -> Fleet:
    """The fleet of a table; an empty one is the default fleet. The job's name and seed are the fleet's where it
    has none.

    Raises:
        ConfigError: names the source, the key, what was expected and what was found.
    """
    reader = TableReader(source, table)
    reader.known(*KEYS)
    data = _data(reader, folder)
    name = reader.text("name", data.stem if data else "watch")
    seed = reader.integer("seed", 0, least=0, most=HIGHEST_SEED)
    return Fleet(
        name=name,
        data=data,
        partition=_partition(reader),
        devices=reader.integer("devices", 1, least=1) if "devices" in table else None,
        seed=seed,
        dropout=reader.number("dropout", 0.0, least=0, most=1),
        availability=reader.flag("availability", False),
        slow_fraction=reader.number("slow_fraction", 0.0, least=0, most=1),
        slow_factor=reader.number("slow_factor", 4.0, least=1),
        workers=reader.integer("workers", usable_cores(), least=1),
        members=_members(reader),
        job=_job(reader, {"name": name, "seed": seed}, folder),
    )


def fleet_table(fleet: Fleet) -> dict[str, object]:
    """The inverse of `fleet_from`: every key, those without a value left out."""
    plain = {name: getattr(fleet, name) for name in KEYS if name not in ("data", "job", "device")}
    table = {name: value for name, value in plain.items() if value is not None}
    if fleet.data is not None:
        table["data"] = str(fleet.data)
    return {**table, "job": job_table(fleet.job), "device": [_member_table(member) for member in fleet.members]}


def write_fleet(path: Path, fleet: Fleet) -> None:
    """Write a file that `load_fleet` reads back as an equal fleet."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(to_toml(fleet_table(fleet)), encoding="utf-8")
    part.replace(path)  # a run that is killed here leaves no half of a file to resume from


def _data(reader: TableReader, folder: Path) -> Path | None:
    if "data" not in reader.table:
        return None
    path = (folder / reader.text("data")).resolve()
    if not path.is_file():
        raise reader.problem("data", "a fleet file (.npz)", str(path))
    return path


def _partition(reader: TableReader) -> str | None:
    if "partition" not in reader.table:
        return None
    spec = reader.text("partition")
    try:
        parse_partition(spec)
    except ConfigError as error:
        raise ConfigError(f"{reader.source}: {error}") from None
    return spec


def _members(reader: TableReader) -> tuple[FleetDevice, ...]:
    members = tuple(_member(row) for row in reader.rows("device"))
    names = [member.device_id for member in members]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise reader.problem("device", "each id once", twice)
    return members


def _member(reader: TableReader) -> FleetDevice:
    reader.known("id", "class", "budget", "tags")
    name = reader.text("class")
    try:
        budget = device_class(name).budget
    except ConfigError as error:
        raise ConfigError(f"{reader.source}: class: {error}") from None
    return FleetDevice(
        device_id=reader.text("id"),
        device_class=name,
        budget=_budget(reader.inner("budget"), budget),
        tags=reader.texts("tags"),
    )


def _budget(reader: TableReader, default: Budget) -> Budget:
    reader.known(*(field.name for field in fields(Budget)))
    changes: dict[str, Any] = {}
    for key, value in reader.table.items():
        if value == NO_LIMIT:
            changes[key] = None
        elif key.endswith("_bytes"):
            changes[key] = reader.integer(key, 1, least=1)
        else:
            changes[key] = reader.number(key, 1.0, least=0)
    try:
        return replace(default, **changes)
    except ValueError as error:
        raise ConfigError(f"{reader.source}: {error}") from None


def _member_table(member: FleetDevice) -> dict[str, object]:
    budget = {key: NO_LIMIT if value is None else value for key, value in asdict(member.budget).items()}
    table: dict[str, object] = {"id": member.device_id, "class": member.device_class, "budget": budget}
    return {**table, "tags": list(member.tags)} if member.tags else table


def _job(reader: TableReader, defaults: Mapping[str, object], folder: Path) -> Job:
    table = reader.inner("job").table
    try:
        job = anchored(job_from({**defaults, **table}), folder)
    except ConfigError as error:
        raise ConfigError(f"{reader.source}: {error}") from None
    proxy = job.ensemble.proxy
    if proxy and not Path(proxy).is_file():
        raise reader.problem("job.ensemble.proxy", "a fleet file (.npz)", proxy)
    return job
