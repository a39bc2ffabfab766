"""The ClientApp of a simulated fleet: partition i is the i-th device of the run's resolved fleet, in every engine."""

from functools import cache
from pathlib import Path

import torch
from flwr.app import Context
from flwr.clientapp import ClientApp

from fedtailor.client.app import client_app
from fedtailor.client.device import Device
from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.catalogue import device_class
from fedtailor.simulations.device import simulated_device
from fedtailor.simulations.fleet import Fleet, load_fleet
from fedtailor.simulations.reliability import Conditions, reliability, virtual_time

BITS_PER_BYTE = 8


@cache
def simulated_app() -> ClientApp:
    """For one process, which serves one device at a time on one thread: equal seeds give equal bits in every engine."""
    torch.set_num_threads(1)
    return client_app(open_device, mods=(reliability(conditions),))


@cache
def virtual_app() -> ClientApp:
    """The same behind a `VirtualGrid`."""
    torch.set_num_threads(1)
    return client_app(open_device, mods=(virtual_time(conditions),))


def open_device(context: Context, round_: int | None = None) -> Device:
    """The device this node stands for, as it is in a round; its store is in the run folder: `run`, or beside `config`.

    Raises:
        ConfigError: the run has no config, it cannot be read, or it has another number of devices than there are nodes.
    """
    config = _config(context)
    run = context.run_config.get("run")
    folder = Path(str(run)) if run else config.parent
    return simulated_device(_fleet(config), _index(context), folder, round_)


def conditions(context: Context) -> Conditions:
    """How reliable this node's device is; raises as `open_device`."""
    return _conditions(_config(context), _index(context))


@cache
def _conditions(config: Path, index: int) -> Conditions:
    return conditions_of(_fleet(config), index)


def conditions_of(fleet: Fleet, index: int) -> Conditions:
    """How reliable device number `index` of a resolved fleet is."""
    cls = device_class(fleet.members[index].device_class)
    answers = (1 - fleet.dropout) * (cls.availability if fleet.availability else 1)
    return Conditions(
        seed=fleet.seed,
        dropout=1 - answers,
        slow_fraction=fleet.slow_fraction,
        slow_factor=fleet.slow_factor,
        slowdown=cls.slowdown,
        downlink_bytes_per_s=cls.network_down_bits_s / BITS_PER_BYTE,
        uplink_bytes_per_s=cls.network_up_bits_s / BITS_PER_BYTE,
        deadline_s=fleet.job.deadline_s,
    )


@cache
def _fleet(config: Path) -> Fleet:
    return load_fleet(config)


def _config(context: Context) -> Path:
    config = context.run_config.get("config")
    if not config:
        raise ConfigError("run config: config: expected the path of a run's config.toml, came none")
    return Path(str(config))


def _index(context: Context) -> int:
    devices = len(_fleet(_config(context)).members)
    nodes = context.node_config.get("num-partitions")
    if nodes != devices:
        raise ConfigError(f"{_config(context)}: expected {devices} nodes (num-supernodes={devices}), came {nodes}")
    return int(context.node_config["partition-id"])
