"""`fedtailor bench weak`: a fleet half of whose devices can train half of the model, treated in every way."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtailor.cli.fleet_options import fleet_of_rows
from fedtailor.cli.out_folder import make

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from fedtailor.simulations.weak_rows import WeakRow

SEEDS, ROUNDS, PER_ROUND, PROXY_DEVICES = 3, 40, 20, 4
QUICK_SEEDS, QUICK_ROUNDS = 1, 10


def weak(
    data: Annotated[Path | None, typer.Argument(metavar="FLEET.npz")] = None,
    partition: Annotated[str | None, typer.Option(metavar="SPEC", help="deal the rows anew, as in simulate")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="how many devices")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help=f"default: {ROUNDS}")] = None,
    per_round: Annotated[int, typer.Option(min=1, help="devices asked a round, or all")] = PER_ROUND,
    seeds: Annotated[int | None, typer.Option(min=1, help=f"runs, with seeds 0, 1, …; default: {SEEDS}")] = None,
    proxy: Annotated[
        int, typer.Option(min=1, help="devices that take no part: their rows, unlabelled, teach")
    ] = PROXY_DEVICES,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="this way; may be given again")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="a built-in model; default: by the data")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="one seed and few rounds: a first look")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="keeps every run, so that none is repeated")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="rows as JSON, for programs")] = False,
) -> None:
    """Half of the devices can train half of the model: by depth, by width, not at all, and as if they could all of it;
    by depth also with a server that distils all models of a round into the base.

    FLEET.npz holds rows by device; without it, they are those of ten people's smart-watches.
    """
    from fedtailor.cli.output import print_json, print_rich, stderr
    from fedtailor.cli.progress import shown_progress
    from fedtailor.simulations.named import named
    from fedtailor.simulations.weak_bench import Terms, bench_weak
    from fedtailor.simulations.weak_ways import WAYS

    terms = Terms(
        seeds=seeds or (QUICK_SEEDS if quick else SEEDS),
        per_round=per_round,
        proxy_devices=proxy,
        ways=named("only", only or (), {way: way for way in WAYS}),
        out=out,
    )
    job = {"rounds": rounds or (QUICK_ROUNDS if quick else ROUNDS), "model": model}
    fleet = fleet_of_rows(data, devices=devices, partition=partition, job=job)
    if out is not None:
        make(out)
    with shown_progress(stderr()) as progress:
        rows = bench_weak(fleet, terms, progress)
    if as_json:
        print_json({"rows": [asdict(row) for row in rows]})
    else:
        print_rich(_table(rows))


def _table(rows: "Sequence[WeakRow]") -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import bytes_text, counted, score_text

    first = rows[0]
    table = Table(
        *("weak devices", "mean", "strong", "weak", "worse tier", "tuned: mean", "strong", "weak", "bytes up", "down"),
        box=None,
        pad_edge=False,
        caption=f"{first.metric}, {first.better} is better; test rows, means over devices and "
        f"{counted(first.seeds, 'seed')}, of the worse tier ± the standard deviation. Base of the last rounds, then "
        "personal models; a weak device tunes the head alone. Bytes: of a device that is asked in a round.",
        caption_justify="left",
    )
    for row in rows:
        scores = (row.mean, row.strong, row.weak, row.worst, row.mean_tuned, row.strong_tuned, row.weak_tuned)
        shown = [score_text(score, row.metric) for score in scores]
        shown[3] += f" ±{score_text(row.worst_spread, row.metric)}" if row.worst_spread else ""
        table.add_row(row.way, *shown, bytes_text(row.uplink_bytes), bytes_text(row.downlink_bytes))
    return table
