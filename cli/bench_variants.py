"""`fedtailor bench variants`: our ladder beside other tools, on the same trained base, rows and machine."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtailor.cli.fleet_options import fleet_of_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from fedtailor.simulations.variant_row import VariantRow
    from fedtailor.simulations.variants import Terms

SEEDS, EPOCHS = 3, 30
QUICK_SEEDS, QUICK_EPOCHS = 1, 3
CAPTION = (
    "Speed: CPU time of fp32 over this one's. CPU s: of one core; each rung of fedtailor carries the whole ladder's."
)


def variants(
    data: Annotated[list[Path] | None, typer.Argument(metavar="FLEET.npz…")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="a built-in model; default: by the data")] = None,
    peers: Annotated[str, typer.Option(metavar="NAMES", help="some of the peers, by comma; default: all")] = "",
    seeds: Annotated[int | None, typer.Option(min=1, help=f"runs, with seeds 0, 1, …; default: {SEEDS}")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help=f"passes over the train rows; default: {EPOCHS}")] = None,
    learning_rate: Annotated[float, typer.Option(min=1e-6, help="of the base; choose it on validation rows")] = 0.05,
    calibration: Annotated[int, typer.Option(min=1, help="train rows to compress with, at most")] = 500,
    partition: Annotated[str | None, typer.Option(metavar="SPEC", help="deal the rows anew, as in simulate")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="how many devices")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="one seed and a base of a few epochs: a first look")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="also draw score against size")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="rows as JSON, for programs")] = False,
) -> None:
    """Our ladder against ONNX Runtime, Neural Compressor, NNCF and Olive on the same trained base.

    FLEET.npz holds rows by device, which are pooled here; without it, they are those of ten people's smart-watches.
    """
    import torch

    from fedtailor.cli.output import print_json, print_rich, stderr
    from fedtailor.cli.progress import shown_progress
    from fedtailor.simulations.variants import Terms, bench_variants, peers_named
    from fedtailor.simulations.variants_plot import variants_svg

    terms = Terms(
        peers=peers_named([peers]),
        seeds=seeds or (QUICK_SEEDS if quick else SEEDS),
        epochs=epochs or (QUICK_EPOCHS if quick else EPOCHS),
        calibration=calibration,
        learning_rate=learning_rate,
    )
    paths: list[Path | None] = [*data] if data else [None]
    job = None if model is None else {"model": model}
    fleets = [fleet_of_rows(path, devices=devices, partition=partition, job=job) for path in paths]
    torch.set_num_threads(1)
    with shown_progress(stderr()) as progress:
        rows = [row for fleet in fleets for row in bench_variants(fleet, terms, progress)]
    if plot:
        plot.write_text(variants_svg(rows), encoding="utf-8")
    if as_json:
        print_json({"rows": [asdict(row) for row in rows]})
    else:
        print_rich(_table(rows, terms))


def _table(rows: "Sequence[VariantRow]", terms: "Terms") -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import counted
    from fedtailor.simulations.variant_row import by_method

    table = Table(
        *("data, model", "method", "test score", "of fp32", "payload", "smaller", "file"),
        *("speed", "session", "CPU s", "verdict"),
        box=None,
        pad_edge=False,
        caption=f"Means over {counted(terms.seeds, 'seed')}, ± the standard deviation. {CAPTION}",
        caption_justify="left",
    )
    before = ""
    for (data, model, method), of in by_method(rows).items():
        about = f"{data}, {model}"
        table.add_row("" if about == before else about, method, *_figures(of))
        before = about
    return table


def _figures(rows: "Sequence[VariantRow]") -> list[str]:
    """One cell for each figure; a method that never gave a model says why instead."""
    from fedtailor.server.report.wording import bytes_text, number_text, ratio_text, score_text
    from fedtailor.simulations.variant_row import spread

    if spread(rows, "test_score") is None:
        return [rows[0].note, *[""] * 8]

    def mean(name: str, words: "Callable[[float], str]") -> str:
        found = spread(rows, name)
        return "" if found is None else words(found.mean)

    def with_deviation(name: str, words: "Callable[[float], str]") -> str:
        found = spread(rows, name)
        return mean(name, words) + (f" ±{words(found.deviation)}" if found and found.deviation else "")

    return [
        with_deviation("test_score", lambda value: score_text(value, rows[0].metric)),
        with_deviation("share", lambda value: score_text(value, "accuracy")),
        mean("payload_bytes", bytes_text),
        mean("payload_ratio", ratio_text),
        mean("file_bytes", bytes_text),
        with_deviation("latency_ratio", ratio_text),
        mean("memory_bytes", bytes_text),
        mean("cpu_s", number_text),
        ", ".join(dict.fromkeys(row.verdict for row in rows if row.verdict)),
    ]
