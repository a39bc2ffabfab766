"""`fedtailor bench codec`: accuracy against bytes of every update codec, and how fast they are."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtailor.cli.fleet_options import fleet_of_rows
from fedtailor.cli.out_folder import make

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from fedtailor.simulations.codec_bench import Found
    from fedtailor.simulations.codec_rows import MethodRow, PeerRow, SpeedRow

SEEDS, ROUNDS, PER_ROUND = 3, 80, 10
QUICK_SEEDS, QUICK_ROUNDS = 1, 20


def codec(
    data: Annotated[Path | None, typer.Argument(metavar="FLEET.npz")] = None,
    partition: Annotated[str | None, typer.Option(metavar="SPEC", help="deal the rows anew, as in simulate")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="how many devices")] = None,
    per_round: Annotated[int, typer.Option(min=1, help="devices asked a round, or all")] = PER_ROUND,
    rounds: Annotated[int | None, typer.Option(min=1, help=f"default: {ROUNDS}")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help=f"runs, with seeds 0, 1, …; default: {SEEDS}")] = None,
    methods: Annotated[str, typer.Option(metavar="NAMES", help="some of the methods, by comma; default: all")] = "",
    model: Annotated[str | None, typer.Option(metavar="NAME", help="a built-in model; default: by the data")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="one seed and few rounds: a first look")] = False,
    accuracy: Annotated[bool, typer.Option("--accuracy", help="no speed")] = False,
    speed: Annotated[bool, typer.Option("--speed", help="no accuracy")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="keeps every run, so that none is repeated")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="also draw accuracy against bytes")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="rows as JSON, for programs")] = False,
) -> None:
    """Accuracy against bytes of every update codec in the same federations, and the codecs' speed.

    FLEET.npz holds rows by device; without it, they are those of ten people's smart-watches.
    """
    from fedtailor.cli.output import stderr
    from fedtailor.cli.progress import shown_progress
    from fedtailor.simulations.codec_accuracy import Terms
    from fedtailor.simulations.codec_bench import Halves, bench_codec
    from fedtailor.simulations.codec_methods import methods_named

    terms = Terms(
        methods=methods_named([methods]),
        seeds=seeds or (QUICK_SEEDS if quick else SEEDS),
        per_round=per_round,
        out=out,
    )
    job = {"rounds": rounds or (QUICK_ROUNDS if quick else ROUNDS), "model": model}
    fleet = fleet_of_rows(data, devices=devices, partition=partition, job=job)
    if out is not None:
        make(out)
    with shown_progress(stderr()) as progress:
        found = bench_codec(fleet, terms, Halves(accuracy=accuracy or not speed, speed=speed or not accuracy), progress)
    _show(found, per_round, plot=plot, as_json=as_json)


def _show(found: "Found", per_round: int, *, plot: Path | None, as_json: bool) -> None:
    from fedtailor.cli.output import print_json, print_rich
    from fedtailor.simulations.codec_plot import codec_svg

    if plot:
        plot.write_text(codec_svg(found.methods), encoding="utf-8")
    if as_json:
        print_json(asdict(found))
    else:
        for table in _tables(found, per_round):
            print_rich(table)


def _tables(found: "Found", per_round: int) -> "list[Table]":
    tables = []
    if found.methods:
        tables.append(_accuracy_table(found.methods, per_round))
    if found.peers:
        tables.append(_peer_table(found.peers))
    if found.speed:
        tables.append(_speed_table(found.speed))
    return tables


def _accuracy_table(rows: "Sequence[MethodRow]", per_round: int) -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import bytes_text, counted, ratio_text, score_text
    from fedtailor.simulations.codec_rows import delta_text, points_text

    table = Table(
        *("method", "bytes up", "fewer", "bytes down", "fewer", "broadcast", "test", "against fp32", "validation"),
        box=None,
        pad_edge=False,
        caption=f"Means over {counted(rows[0].seeds, 'seed')} of the last rounds' bases, ± the standard deviation; "
        f"{per_round} devices a round. Up: an update with its envelope. Down: what an asked device received, whatever "
        "it had missed. Broadcast: fewer bytes for one that missed nothing.",
        caption_justify="left",
    )
    for row in rows:
        table.add_row(
            row.name,
            bytes_text(row.uplink_bytes_per_client_round),
            ratio_text(row.ratio),
            bytes_text(row.downlink_bytes_per_client_round),
            ratio_text(row.downlink_ratio),
            ratio_text(row.broadcast_ratio),
            score_text(row.test_score, row.metric),
            delta_text(row),
            points_text(row.validation_delta_points, row.metric),
        )
    return table


def _peer_table(rows: "Sequence[PeerRow]") -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import bytes_text, ratio_text

    table = Table(
        *("peer", "update", "relative error", "its bytes", "our bytes", "fewer", "our error", "our codec"),
        box=None,
        pad_edge=False,
        caption="The fewest bytes of our codecs, envelope included, at no larger error.",
        caption_justify="left",
    )
    for row in rows:
        if row.error is None or row.peer_bytes is None or row.our_bytes is None or row.our_error is None:
            table.add_row(f"{row.peer} {row.setting}", row.update, *[""] * 5, row.note)
            continue
        table.add_row(
            f"{row.peer} {row.setting}",
            row.update,
            f"{row.error:.3f}",
            bytes_text(row.peer_bytes),
            bytes_text(row.our_bytes),
            ratio_text(row.peer_bytes / row.our_bytes),
            f"{row.our_error:.3f}",
            row.ours,
        )
    return table


def _speed_table(rows: "Sequence[SpeedRow]") -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import bytes_text, number_text

    table = Table(
        *("parameters", "codec", "bytes", "encode MB/s", "decode MB/s", "memcpy MB/s", "of memcpy"),
        box=None,
        pad_edge=False,
        caption="MB of fp32 input in a second of CPU time, one thread; medians of turns taken with memcpy.",
        caption_justify="left",
    )
    for row in rows:
        table.add_row(
            f"{row.parameters:,}",
            row.method,
            bytes_text(row.payload_bytes),
            number_text(row.encode_mb_s),
            number_text(row.decode_mb_s),
            number_text(row.memcpy_mb_s),
            f"{row.encode_of_memcpy:.2f} / {row.decode_of_memcpy:.2f}",
        )
    return table
