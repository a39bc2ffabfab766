"""`fedtailor bench learning`: what devices end with, by every way to train a base and make it personal."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtailor.cli.fleet_options import fleet_of_rows
from fedtailor.cli.out_folder import make

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from fedtailor.simulations.learning_bench import Found
    from fedtailor.simulations.learning_paired import Gain, PairedRow
    from fedtailor.simulations.learning_rows import LearningRow, NewcomerRow

SEEDS, ROUNDS, PER_ROUND = 3, 40, 20
QUICK_SEEDS, QUICK_ROUNDS = 1, 10
NONE_TESTED = " None of the others has test rows, so mean and worst tenth are of the unseen devices too."


def learning(
    data: Annotated[Path | None, typer.Argument(metavar="FLEET.npz")] = None,
    partition: Annotated[str | None, typer.Option(metavar="SPEC", help="deal the rows anew, as in simulate")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="how many devices")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help=f"default: {ROUNDS}")] = None,
    per_round: Annotated[int, typer.Option(min=1, help="devices asked a round, or all")] = PER_ROUND,
    seeds: Annotated[int | None, typer.Option(min=1, help=f"runs, with seeds 0, 1, …; default: {SEEDS}")] = None,
    unseen: Annotated[
        float | None,
        typer.Option(min=0, max=0.9, help="share of devices held out; default: 0.2, 0 if some only test"),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="this method; may be given again")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="a built-in model; default: by the data")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="one seed and few rounds: a first look")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="keeps every run, so that none is repeated")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="also draw means and worst tenths")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="rows as JSON, for programs")] = False,
) -> None:
    """Ours beside local, pooled and federated baselines: mean, worst tenth and unseen devices, and bytes.

    FLEET.npz holds rows by device; without it, they are those of ten people's smart-watches.
    """
    from fedtailor.cli.output import stderr
    from fedtailor.cli.progress import shown_progress
    from fedtailor.simulations.learning_bench import Terms, bench_learning
    from fedtailor.simulations.learning_methods import METHODS
    from fedtailor.simulations.named import named

    terms = Terms(
        methods=named("only", only or (), METHODS),
        seeds=seeds or (QUICK_SEEDS if quick else SEEDS),
        per_round=per_round,
        unseen=unseen,
        out=out,
    )
    job = {"rounds": rounds or (QUICK_ROUNDS if quick else ROUNDS), "model": model}
    fleet = fleet_of_rows(data, devices=devices, partition=partition, job=job)
    if out is not None:
        make(out)
    with shown_progress(stderr()) as progress:
        found = bench_learning(fleet, terms, progress)
    _show(found, plot=plot, as_json=as_json)


def _show(found: "Found", *, plot: Path | None, as_json: bool) -> None:
    from fedtailor.cli.output import print_json, print_rich
    from fedtailor.simulations.learning_plot import learning_svg

    if plot:
        plot.write_text(learning_svg(found.rows), encoding="utf-8")
    if as_json:
        print_json(asdict(found))
        return
    print_rich(_table(found.rows))
    if found.paired:
        print_rich(_paired_table(found.paired))
    if found.newcomers:
        print_rich(_newcomer_table(found.newcomers))


def _table(rows: "Sequence[LearningRow]") -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import bytes_text, counted, number_text

    first, devices = rows[0], max(row.devices for row in rows)
    unseen = max(row.unseen_devices for row in rows)
    tested = any(run.scores for row in rows for run in row.runs)
    table = Table(
        *("method", "mean", "worst tenth", "unseen", "bytes up", "bytes down", "CPU s"),
        box=None,
        pad_edge=False,
        caption=f"{first.metric}, {first.better} is better; means over {counted(first.seeds, 'seed')}, ± the standard "
        f"deviation. Mean: over {counted(devices, 'device')}, each counting the same. Worst tenth: of these "
        f"devices. Unseen: {counted(unseen, 'device')} that took no part, with the shared model. "
        f"Bytes: of a device in a round.{'' if tested else NONE_TESTED}",
        caption_justify="left",
    )
    for row in rows:
        table.add_row(
            row.method,
            _score(row.mean, row.spread, row.metric),
            _score(row.worst_decile, row.worst_decile_spread, row.metric),
            _score(row.unseen, row.unseen_spread, row.metric),
            bytes_text(row.uplink_bytes),
            bytes_text(row.downlink_bytes),
            number_text(row.cpu_s),
        )
    return table


def _paired_table(rows: "Sequence[PairedRow]") -> "Table":
    from rich.table import Table

    from fedtailor.simulations.learning_paired import CONFIDENCE

    first = rows[0]
    unit = "points" if first.metric == "accuracy" else first.metric
    table = Table(
        *(f"{first.method} against", "all devices", "worst quarter", "best quarter", "worse"),
        box=None,
        pad_edge=False,
        caption=f"What a device gains, in {unit}, with {CONFIDENCE:.0%} confidence over devices at least (…). Quarters "
        "of the devices: where the other method does worst, and best. Worse: devices that lose.",
        caption_justify="left",
    )
    for row in rows:
        ends = (row.quarters[0], row.quarters[-1]) if row.quarters else (None, None)
        gains = [_gain(gain, row.metric) for gain in (row.everyone, *ends)]
        table.add_row(row.against, *gains, f"{row.worse} of {row.everyone.devices}")
    return table


def _gain(gain: "Gain | None", metric: str) -> str:
    from fedtailor.server.report.wording import UNKNOWN

    if gain is None:
        return UNKNOWN
    scale, digits = (100, 1) if metric == "accuracy" else (1, 2)
    least = "" if gain.at_least is None else f" ({scale * gain.at_least:+.{digits}f})"
    return f"{scale * gain.mean:+.{digits}f}{least}".replace("-", "\u2212")


def _newcomer_table(rows: "Sequence[NewcomerRow]") -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import number_text

    table = Table(
        *("unseen devices", "mean", "devices"),
        box=None,
        pad_edge=False,
        caption="What a device that took no part gets from ours; it can train where it has rows for that.",
        caption_justify="left",
    )
    for row in rows:
        table.add_row(f"{row.method}, {row.way}", _score(row.mean, row.spread, row.metric), number_text(row.devices))
    return table


def _score(value: float | None, deviation: float | None, metric: str) -> str:
    from fedtailor.server.report.wording import score_text

    return score_text(value, metric) + (f" ±{score_text(deviation, metric)}" if deviation else "")
