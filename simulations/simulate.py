"""Run a fleet on this machine, from what is asked for to a run folder with a report."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.summary import Summary
from fedtailor.server.coordinator import run_job
from fedtailor.server.page import to_html
from fedtailor.server.progress import Progress
from fedtailor.server.registry import open_registry
from fedtailor.server.summary_json import summary_dict
from fedtailor.simulations.app import simulated_app
from fedtailor.simulations.device import host_profile
from fedtailor.simulations.fleet import Fleet, write_fleet
from fedtailor.simulations.grid import InProcessGrid
from fedtailor.simulations.materialise import FILE_NAME, resolve
from fedtailor.simulations.workers import Workers

CONFIG, SUMMARY, REPORT = "config.toml", "summary.json", "report.html"
DATABASE = ("registry.sqlite", "registry.sqlite-wal", "registry.sqlite-shm", "registry.sqlite-journal")
PATIENCE_S = 30.0 * 24 * 3600  # wall time; who is late is decided by the job's deadline on each device's virtual clock
OURS = frozenset({CONFIG, SUMMARY, REPORT, FILE_NAME, *DATABASE, "artifacts", "devices", "host"})


def simulate(fleet: Fleet, out: Path, progress: Progress) -> Summary:
    """Run the fleet's job in worker processes; every one has ended when this returns or raises.

    `out` is the run folder: config.toml, registry.sqlite, artifacts/, devices/, summary.json, report.html.
    An earlier run there is replaced.

    Raises:
        ConfigError: `out` holds something that is no run, or the fleet asks for what cannot be.
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
    """The settled fleet, after an empty run folder with its `config.toml`: what any of the three engines starts from.

    Raises as `simulate`.
    """
    if fleet.data is not None and fleet.data.resolve().parent == out.resolve():
        raise ConfigError(f"{out}: expected a folder apart from the rows, came the one {fleet.data.name} lies in")
    _make_room(out)
    settled = resolve(fleet, out)
    write_fleet(out / CONFIG, settled)
    host_profile(out)  # now, before several workers would measure at once and disturb each other
    return settled


def write_report(summary: Summary, out: Path) -> None:
    """summary.json and report.html."""
    rows = json.dumps(summary_dict(summary), indent=2, allow_nan=False)
    (out / SUMMARY).write_text(rows + "\n", encoding="utf-8")
    (out / REPORT).write_text(to_html(summary), encoding="utf-8")


def _make_room(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: expected a folder for the run, came a file; name another with --out")
    there = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    strangers = [name for name in there if name not in OURS]
    if strangers or (there and CONFIG not in there):
        came = strangers[0] if strangers else f"{there[0]} without {CONFIG}"
        raise ConfigError(f"{out}: expected an empty folder or an earlier run, came {came}; name another with --out")
    for name in there:
        path = out / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    out.mkdir(parents=True, exist_ok=True)
