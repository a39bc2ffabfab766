"""`fedtailor bench merge`: what it costs to merge a cohort, against reading its replies once."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from fedtailor.simulations.merge_bench import MergeBench

PARAMETERS, REPLIES = 1_000_000, 1_000
QUICK_REPLIES = 200


def merge(
    parameters: Annotated[int, typer.Option(min=100, help="of the model")] = PARAMETERS,
    replies: Annotated[int | None, typer.Option(min=1, help=f"in the cohort; default: {REPLIES:,}")] = None,
    density: Annotated[float, typer.Option(min=1e-6, max=1, help="share of numbers in a sparse reply")] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="of the made-up replies")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK_REPLIES} replies: a first look")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one object as JSON, for programs")] = False,
) -> None:
    """CPU time and memory of merging many replies: dense, under masks and sparse, against reading them once."""
    from fedtailor.cli.output import print_json, print_rich, stderr
    from fedtailor.cli.progress import shown_progress
    from fedtailor.simulations.merge_bench import bench_merge

    count = replies or (QUICK_REPLIES if quick else REPLIES)
    with shown_progress(stderr()) as progress:
        found = bench_merge(parameters, count, density, seed, progress)
    if as_json:
        print_json(asdict(found))
    else:
        print_rich(_table(found))


def _table(found: "MergeBench") -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import bytes_text

    table = Table(
        *("replies", "ms each", "against"),
        box=None,
        pad_edge=False,
        caption=f"{found.replies:,} replies of {found.parameters:,} parameters, {found.density:.2%} of them if sparse. "
        f"CPU time of one thread, medians. At most {bytes_text(found.peak_bytes)} beside the replies "
        f"({bytes_text(found.peak_bytes_small_cohort)} for a tenth of them, {bytes_text(found.peak_bytes_masked)} with "
        "masks).",
        caption_justify="left",
    )
    rows = (
        ("read once, in float64", found.read_ms, ""),
        ("read once, in float32", found.read_float32_ms, ""),
        (
            "merged dense",
            found.dense_ms,
            f"{found.dense_over_read:.1f} and {found.dense_over_read_float32:.1f} times as long as read",
        ),
        ("merged under masks", found.masked_ms, f"{found.masked_over_dense:.1f} times as long as dense"),
        ("merged sparse", found.sparse_ms, f"{found.sparse_over_dense:.1f} times faster than dense"),
    )
    for name, ms, against in rows:
        table.add_row(name, f"{ms:.3f}", against)
    return table
