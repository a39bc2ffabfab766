"""`fedtailor simulate`: a whole fleet on this machine."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedtailor.protos.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from fedtailor.protos.summary import Summary
    from fedtailor.simulations.fleet import Fleet

RUNS = Path("runs")


def simulate(
    data: Annotated[Path | None, typer.Argument(metavar="FLEET.npz")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="how many devices; default: all in the file")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="rounds of federated training; default: 40")] = None,
    partition: Annotated[
        str | None, typer.Option(metavar="SPEC", help="deal the rows anew: dirichlet:0.3, iid or shards:2")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="default: by the shape of the data")] = None,
    config: Annotated[Path | None, typer.Option(metavar="fleet.toml", help="fleet and job; options override")] = None,
    out: Annotated[Path | None, typer.Option(metavar="RUN", help="run folder; default: runs/NAME-seedN")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="equal seeds give equal results; default: 0")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="go on with a run that was broken off")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as JSON on stdout, for programs")] = False,
) -> None:
    """Simulate a fleet: train a shared base, tailor it to every device, measure and report.

    FLEET.npz holds rows by device; without it, the fleet is ten people's smart-watches. With --resume RUN, a run that
    was stopped or killed goes on from its last round, to the same result.
    """
    from fedtailor.cli.output import print_summary, stderr
    from fedtailor.simulations.simulate import REPORT

    options = {"data": data and str(data.absolute()), "devices": devices, "partition": partition, "seed": seed}
    job = {"rounds": rounds, "model": model, "seed": seed}
    console = stderr()
    if resume is not None:
        _check_alone({**options, **job, "config": config, "out": out})
        folder, summary = resume, _gone_on(resume, console)
    else:
        fleet = _fleet(config, options, job)
        folder = free_folder(fleet.name, fleet.seed) if out is None else out
        summary = _begun(fleet, folder, console)
    print_summary(summary, as_json=as_json)
    page = folder / REPORT
    for line in (f"report: {page}", f"see it: python3 -m webbrowser {page.resolve().as_uri()}"):
        console.print(line, markup=False, soft_wrap=True)


def _begun(fleet: "Fleet", folder: Path, console: "Console") -> "Summary":
    from fedtailor.cli.progress import shown_progress
    from fedtailor.simulations.simulate import simulate as run

    with _resumable(folder, console), shown_progress(console) as progress:
        return run(fleet, folder, progress)


def _gone_on(folder: Path, console: "Console") -> "Summary":
    from fedtailor.cli.progress import shown_progress
    from fedtailor.simulations.resume import resume as run

    with _resumable(folder, console), shown_progress(console) as progress:
        summary, finished = run(folder, progress)
    if finished:
        console.print(f"{folder}: had finished; this is its report again", markup=False, soft_wrap=True)
    return summary


def _check_alone(options: dict[str, Any]) -> None:
    """A run goes on as it began."""
    given = next(iter(_given(options)), None)
    if given is not None:
        named = "FLEET.npz" if given == "data" else f"--{given}"
        raise ConfigError(f"--resume: goes on with the job of its run, {named} came with it; leave that out")


@contextmanager
def _resumable(folder: Path, console: "Console") -> Iterator[None]:
    """Say how to go on with a run that is stopped."""
    from fedtailor.simulations.simulate import CONFIG

    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if (folder / CONFIG).is_file():
            line = f"go on with: fedtailor simulate --resume {shlex.quote(str(folder))}"
            console.print(line, markup=False, soft_wrap=True)
        raise


def _fleet(config: Path | None, options: dict[str, Any], job: dict[str, Any]) -> "Fleet":
    """What the file asks for, with the command line's options in its place; None leaves a key as it is."""
    from fedtailor.simulations.fleet import fleet_from, read_fleet_table

    table = {} if config is None else read_fleet_table(config)
    table |= _given(options)
    asked = table.get("job", {})
    if _given(job) and isinstance(asked, dict):  # what is no table is refused below, by its name
        table["job"] = asked | _given(job)
    source = "command line" if config is None else str(config)
    return fleet_from(table, source=source, folder=Path() if config is None else config.parent)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def free_folder(name: str, seed: int, runs: Path = RUNS) -> Path:
    """runs/watch-seed0, or the first of runs/watch-seed0-2, -3 … that does not exist."""
    stem = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('.-') or 'run'}-seed{seed}"
    return next(runs / stem for stem in _numbered(stem) if not (runs / stem).exists())


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}-{number}" for number in count(2))
