"""`fedtailor bench pace`: how soon ways that wait for fewer devices reach what rounds that wait for all reach."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtailor.cli.fleet_options import fleet_of_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from fedtailor.simulations.pace import PaceRow

SEEDS, ROUNDS, DEVICES, PARTITION = 3, 40, 40, "dirichlet:0.3"
QUICK_SEEDS, QUICK_ROUNDS = 1, 6
CAPTION = (
    "Seconds are virtual: by device class, work and link, not by this machine. Scores are of validation rows. "
    "Reached: when a way had, at two checks in a row, the score with which the rounds that wait for all end, and as a "
    "share of their time."
)


def pace(
    data: Annotated[Path | None, typer.Argument(metavar="FLEET.npz")] = None,
    partition: Annotated[
        str | None, typer.Option(metavar="SPEC", help=f"deal the rows anew; default without FLEET.npz: {PARTITION}")
    ] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="how many devices, at least two")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="a built-in model; default: by the data")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help=f"synchronous rounds; default: {ROUNDS}")] = None,
    buffer: Annotated[int | None, typer.Option(min=1, help="updates a commit; default: a quarter of devices")] = None,
    dropout: Annotated[float, typer.Option(min=0, max=1, help="probability that a device misses a round")] = 0.2,
    slow_fraction: Annotated[float, typer.Option(min=0, max=1, help="share of devices that are slow")] = 0.3,
    slow_factor: Annotated[float, typer.Option(min=1, help="how many times as long their training takes")] = 10.0,
    seeds: Annotated[int | None, typer.Option(min=1, help=f"runs, with seeds 0, 1, …; default: {SEEDS}")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="one seed and few rounds: a first look")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="rows as JSON, for programs")] = False,
) -> None:
    """Buffered training and rounds of several kinds, in virtual time, where devices are slow or drop out.

    FLEET.npz holds rows by device; without it, those of ten people's smart-watches are dealt to 40 devices.
    """
    from fedtailor.cli.output import print_json, print_rich, stderr
    from fedtailor.cli.progress import shown_progress
    from fedtailor.simulations.pace import bench_pace

    if data is None and partition is None:
        partition, devices = PARTITION, devices or DEVICES
    job: dict[str, object] = {"rounds": rounds or (QUICK_ROUNDS if quick else ROUNDS)}
    fleet = fleet_of_rows(
        data,
        devices=devices,
        partition=partition,
        dropout=dropout,
        slow_fraction=slow_fraction,
        slow_factor=slow_factor,
        job=job if model is None else {**job, "model": model},
    )
    with shown_progress(stderr()) as progress:
        rows = bench_pace(fleet, seeds or (QUICK_SEEDS if quick else SEEDS), buffer or 0, progress)
    if as_json:
        print_json({"rows": [asdict(row) for row in rows]})
    else:
        print_rich(_table(rows))


def _table(rows: "Sequence[PaceRow]") -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import score_text, seconds_text

    table = Table(
        *("seed", "way", "slow", "deadline", "commits", "updates", "time", "score", "reached", "share"),
        box=None,
        pad_edge=False,
        caption=CAPTION,
        caption_justify="left",
    )
    for row in rows:
        reached = ("–", "–") if row.reached_s is None else (seconds_text(row.reached_s), f"{row.share:.0%}")
        table.add_row(
            *(str(row.seed), row.mode, f"{row.slow_devices} of {row.devices}", seconds_text(row.deadline_s)),
            *(str(row.commits), str(row.updates), seconds_text(row.virtual_s), score_text(row.score, row.metric)),
            *reached,
        )
    return table
