"""`fedtailor bench`: references and comparisons, one command each."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtailor.cli.bench_codec import codec
from fedtailor.cli.bench_learning import learning
from fedtailor.cli.bench_merge import merge
from fedtailor.cli.bench_pace import pace
from fedtailor.cli.bench_variants import variants
from fedtailor.cli.bench_weak import weak

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from fedtailor.simulations.central import Central

bench = typer.Typer(help="References and comparisons.", no_args_is_help=True)
bench.command()(variants)
bench.command()(codec)
bench.command()(learning)
bench.command()(weak)
bench.command()(pace)
bench.command()(merge)


@bench.callback()
def _group() -> None:
    """References and comparisons."""


@bench.command()
def central(
    data: Annotated[Path | None, typer.Argument(metavar="FLEET.npz")] = None,
    partition: Annotated[str | None, typer.Option(metavar="SPEC", help="deal the rows anew, as in simulate")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="how many devices")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="passes over the pooled rows")] = 15,
    seeds: Annotated[int, typer.Option(min=1, help="how many runs, with seeds 0, 1, …")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="rows as JSON, for programs")] = False,
) -> None:
    """Train the fleet's model centrally on all rows: what pooling the data would give.

    FLEET.npz holds rows by device; without it, the fleet is ten people's smart-watches.
    """
    import torch

    from fedtailor.cli.output import print_json, print_rich, stderr
    from fedtailor.simulations.central import train_centrally
    from fedtailor.simulations.fleet import fleet_from

    options = {"data": data and str(data.absolute()), "devices": devices, "partition": partition}
    fleet = fleet_from({key: value for key, value in options.items() if value is not None}, source="command line")
    torch.set_num_threads(1)
    with stderr().status("training") as status:
        rows = train_centrally(fleet, range(seeds), epochs, lambda done: status.update(f"training: {done} of {seeds}"))
    if as_json:
        print_json({"rows": [asdict(row) for row in rows]})
    else:
        print_rich(_table(rows))


def _table(rows: "Sequence[Central]") -> "Table":
    from rich.table import Table

    from fedtailor.server.report.wording import score_text

    table = Table("seed", "metric", "mean of devices", "worst device", "devices", box=None, pad_edge=False)
    for row in rows:
        shown = (score_text(value, row.metric) for value in (row.mean, row.worst))
        table.add_row(str(row.seed), row.metric, *shown, str(row.devices))
    return table
