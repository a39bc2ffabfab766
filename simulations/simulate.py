"""Run a fleet on this machine, from what is asked for to a run folder with a report."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.summary import Summary
from fedtailor.server.coordinator import run_job
from fedtailor.server.progress import Progress
from fedtailor.server.registry import open_registry
from fedtailor.server.report.page import to_html
from fedtailor.server.report.summary_json import summary_dict
from fedtailor.server.run import check_names
from fedtailor.server.run_lock import LOCK, only_writer
from fedtailor.simulations.app import virtual_app
from fedtailor.simulations.device import host_profile
from fedtailor.simulations.fleet import Fleet, write_fleet
from fedtailor.simulations.grid import InProcessGrid
from fedtailor.simulations.materialise import resolve
from fedtailor.simulations.virtual_grid import VirtualGrid
from fedtailor.simulations.workers import Workers

CONFIG, SUMMARY, REPORT = "config.toml", "summary.json", "report.html"


def simulate(fleet: Fleet, out: Path, progress: Progress) -> Summary:
    """Run the fleet's job in worker processes; every one has ended when this returns or raises.

    `out` is the run folder: config.toml, registry.sqlite, artifacts/, devices/, summary.json, report.html.

    Raises:
        ConfigError: `out` is not an empty or new folder, cannot be written, or the fleet asks for what cannot be.
        DataError: the rows cannot be used. RoundError: the job could not be completed.
        RegistryError: the disk is full, or another process writes into the folder.
    """
    with _begun(fleet, out) as settled:
        return carry_out(settled, out, progress)


def carry_out(settled: Fleet, out: Path, progress: Progress) -> Summary:
    """What is left of a settled fleet's job, in a run folder that only this process writes. Raises as `simulate`."""
    nodes = len(settled.members)
    with Workers(virtual_app, min(settled.workers, nodes)) as workers, open_registry(out) as registry:
        grid = VirtualGrid(InProcessGrid(workers, nodes=nodes, run_config={"config": str(out.resolve() / CONFIG)}))
        summary = run_job(grid, settled.job, registry, progress, clock=grid.clock)
    write_report(summary, out)
    return summary


def prepare(fleet: Fleet, out: Path) -> Fleet:
    """The settled fleet, after a new run folder with its `config.toml`: what any of the three engines starts from.

    Raises as `simulate`.
    """
    with _begun(fleet, out) as settled:
        return settled


@contextmanager
def _begun(fleet: Fleet, out: Path) -> Iterator[Fleet]:
    """The settled fleet of a new run, whose folder is locked; where it cannot be settled no folder is left."""
    _check_unused(out)
    check_names(fleet.job)
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    with only_writer(out):
        try:
            yield _settled(fleet, out)
        finally:
            if new and not (out / CONFIG).exists():
                (out / LOCK).unlink()
                with suppress(OSError):  # rows dealt anew lie there already
                    out.rmdir()


def _settled(fleet: Fleet, out: Path) -> Fleet:
    _check_unused(out)  # again: nobody else can begin here any more
    try:
        settled = resolve(fleet, out)
        write_fleet(out / CONFIG, settled)
    except OSError as error:
        raise _unwritable(out, error) from error
    host_profile(out)  # now, before several workers would measure at once and disturb each other
    return settled


def _unwritable(out: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{out}: expected a folder that can be written, got: {error.strerror}; name another with --out")


def write_report(summary: Summary, out: Path) -> None:
    """summary.json and report.html."""
    rows = json.dumps(summary_dict(summary), indent=2, allow_nan=False)
    (out / SUMMARY).write_text(rows + "\n", encoding="utf-8")
    (out / REPORT).write_text(to_html(summary), encoding="utf-8")


def _check_unused(out: Path) -> None:
    """Nothing that lies there is ever overwritten or deleted."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: expected a folder for the run, came a file; name another with --out")
    there = sorted(entry.name for entry in out.iterdir() if entry.name != LOCK) if out.is_dir() else []
    if CONFIG in there:
        raise ConfigError(
            f"{out}: holds an earlier run; name another folder with --out, see it with: fedtailor report {out}, "
            f"or go on with it: fedtailor simulate --resume {out}"
        )
    if there:
        raise ConfigError(f"{out}: holds {there[0]}, expected an empty or new folder; name another with --out")
