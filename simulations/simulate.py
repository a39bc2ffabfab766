"""Run a fleet on this machine, from what is asked for to a run folder with a report."""

import json
from dataclasses import replace
from pathlib import Path

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.summary import Summary
from fedtailor.server.coordinator import run_job
from fedtailor.server.progress import Progress
from fedtailor.server.registry import open_registry
from fedtailor.server.report.page import to_html
from fedtailor.server.report.summary_json import summary_dict
from fedtailor.server.run import check_names
from fedtailor.simulations.app import simulated_app
from fedtailor.simulations.device import host_profile
from fedtailor.simulations.fleet import Fleet, write_fleet
from fedtailor.simulations.grid import InProcessGrid
from fedtailor.simulations.materialise import resolve
from fedtailor.simulations.workers import Workers

CONFIG, SUMMARY, REPORT = "config.toml", "summary.json", "report.html"
PATIENCE_S = 30.0 * 24 * 3600  # wall time; who is late is decided by the job's deadline on each device's virtual clock


def simulate(fleet: Fleet, out: Path, progress: Progress) -> Summary:
    """Run the fleet's job in worker processes; every one has ended when this returns or raises.

    `out` is the run folder: config.toml, registry.sqlite, artifacts/, devices/, summary.json, report.html.

    Raises:
        ConfigError: `out` is not an empty or new folder, cannot be written, or the fleet asks for what cannot be.
        DataError: the rows cannot be used. RoundError: the job could not be completed.
    """
    settled = prepare(fleet, out)
    nodes = len(settled.members)
    with Workers(simulated_app, min(settled.workers, nodes)) as workers, open_registry(out) as registry:
        grid = InProcessGrid(workers, nodes=nodes, run_config={"config": str(out.resolve() / CONFIG)})
        summary = run_job(grid, replace(settled.job, deadline_s=PATIENCE_S), registry, progress)
    write_report(summary, out)
    return summary


def prepare(fleet: Fleet, out: Path) -> Fleet:
    """The settled fleet, after a new run folder with its `config.toml`: what any of the three engines starts from.

    Raises as `simulate`.
    """
    _check_unused(out)
    check_names(fleet.job)
    try:
        settled = resolve(fleet, out)
        out.mkdir(parents=True, exist_ok=True)
        write_fleet(out / CONFIG, settled)
    except OSError as error:
        raise ConfigError(
            f"{out}: expected a folder that can be written, got: {error.strerror}; name another with --out"
        ) from error
    host_profile(out)  # now, before several workers would measure at once and disturb each other
    return settled


def write_report(summary: Summary, out: Path) -> None:
    """summary.json and report.html."""
    rows = json.dumps(summary_dict(summary), indent=2, allow_nan=False)
    (out / SUMMARY).write_text(rows + "\n", encoding="utf-8")
    (out / REPORT).write_text(to_html(summary), encoding="utf-8")


def _check_unused(out: Path) -> None:
    """Nothing that lies there is ever overwritten or deleted."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: expected a folder for the run, came a file; name another with --out")
    there = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    if CONFIG in there:
        raise ConfigError(
            f"{out}: holds an earlier run; name another folder with --out, or see it with: fedtailor report {out}"
        )
    if there:
        raise ConfigError(f"{out}: holds {there[0]}, expected an empty or new folder; name another with --out")
