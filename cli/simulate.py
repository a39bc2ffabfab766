"""`fedtailor simulate`: a whole fleet on this machine."""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
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
    as_json: Annotated[bool, typer.Option("--json", help="the summary as JSON on stdout, for programs")] = False,
) -> None:
    """Simulate a fleet: train a shared base, tailor it to every device, measure and report.

    FLEET.npz holds rows by device; without it, the fleet is ten people's smart-watches.
    """
    from fedtailor.cli.output import print_summary, stderr
    from fedtailor.cli.progress import shown_progress
    from fedtailor.simulations.simulate import REPORT
    from fedtailor.simulations.simulate import simulate as run

    options = {"data": data and str(data.absolute()), "devices": devices, "partition": partition, "seed": seed}
    fleet = _fleet(config, options, {"rounds": rounds, "model": model, "seed": seed})
    folder = free_folder(fleet.name, fleet.seed) if out is None else out
    console = stderr()
    with shown_progress(console) as progress:
        summary = run(fleet, folder, progress)
    print_summary(summary, as_json=as_json)
    page = folder / REPORT
    for line in (f"report: {page}", f"see it: python3 -m webbrowser {page.resolve().as_uri()}"):
        console.print(line, markup=False, soft_wrap=True)


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
