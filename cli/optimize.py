"""`fedtailor optimize`: one model, one device's rows, no federation."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedtailor.cli.fleet_options import fleet_of_rows
from fedtailor.cli.out_folder import make, refuse_used

if TYPE_CHECKING:
    from fedtailor.protos.budget import Budget
    from fedtailor.simulations.optimise import Task
    from fedtailor.simulations.optimised import Optimised


def optimize(
    data: Annotated[Path | None, typer.Argument(metavar="FLEET.npz")] = None,
    device: Annotated[str | None, typer.Option(metavar="ID", help="whose rows; default: the first")] = None,
    budget: Annotated[
        str, typer.Option(metavar="LIMITS", help="latency_ms=…,size_kb=…,memory_kb=…,energy_mj=…,margin=…")
    ] = "",
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="a built-in model, or module:function of your own")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="trained weights, .pt or .npz; default: trained here")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="passes over the other devices' rows for the base")] = 15,
    partition: Annotated[str | None, typer.Option(metavar="SPEC", help="deal the rows anew, as in simulate")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="how many devices to deal them to")] = None,
    seed: Annotated[int, typer.Option(min=0, help="equal seeds give equal models")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="default: runs/optimize-DEVICE-seedN")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the ladder as JSON on stdout, for programs")] = False,
) -> None:
    """Make the smallest and fastest variants of one model that one device's rows allow, and measure each.

    FLEET.npz holds rows by device; without it, they are ten people's smart-watches. Rows without an owner are one
    device's.
    """
    limits = budget_from(budget)
    if out is not None:
        refuse_used(out)

    from fedtailor.cli.simulate import free_folder
    from fedtailor.simulations.optimise import Wish, prepare
    from fedtailor.simulations.user_model import known_model

    job = {"seed": seed, **({} if model is None else {"model": known_model(model)})}
    fleet = fleet_of_rows(data, devices=devices, partition=partition, seed=seed, job=job)
    task = prepare(Wish(fleet=fleet, device=device, budget=limits, weights=weights, epochs=epochs))
    folder = out or free_folder(f"optimize-{task.data.device_id}", seed)
    make(folder)
    _print(_optimised(task, folder), folder, as_json=as_json)


def _optimised(task: "Task", folder: Path) -> "Optimised":
    """The work, with progress; what it gave lies in the folder."""
    import torch

    from fedtailor.cli.output import stderr
    from fedtailor.cli.progress import shown_progress
    from fedtailor.client.machine_store import machine_store
    from fedtailor.simulations.ladder_files import write_files
    from fedtailor.simulations.optimise import optimise

    torch.set_num_threads(1)
    with shown_progress(stderr()) as progress, machine_store() as store:
        found = optimise(task, store, progress)
    write_files(found, folder)
    return found


def _print(found: "Optimised", folder: Path, *, as_json: bool) -> None:
    from fedtailor.cli.output import print_json, stderr, stdout
    from fedtailor.simulations.ladder_files import PICTURE
    from fedtailor.simulations.ladder_table import ladder_table, remarks
    from fedtailor.simulations.optimised import as_dict

    if as_json:
        print_json(as_dict(found))
    else:
        console = stdout()
        console.print(ladder_table(found, console.width))
    for line in (*remarks(found), f"models, payloads and figures: {folder}", f"picture: {folder / PICTURE}"):
        stderr().print(line, markup=False, soft_wrap=True)


# a limit as it is typed: the field of a budget, and how many of its units one of these is
_LIMITS = {
    "latency_ms": ("latency_ms", 1),
    "size_kb": ("size_bytes", 1000),
    "memory_kb": ("peak_ram_bytes", 1000),
    "energy_mj": ("energy_mj", 1),
    "margin": ("accuracy_margin", 1),
}


def budget_from(text: str) -> "Budget":
    """`latency_ms=1.5,size_kb=20` as a budget; sizes in units of 1,000 bytes, the margin as a fraction.

    Raises:
        ConfigError: an unknown limit, or one that is no number above 0; a margin of 1 or more.
    """
    from fedtailor.protos.budget import Budget

    return Budget(**dict(_limit(part) for part in text.split(",") if part))


def _limit(part: str) -> tuple[str, Any]:
    """The field of a budget and what it may be."""
    from fedtailor.protos.errors import ConfigError

    name, _, value = (word.strip() for word in part.partition("="))
    if name not in _LIMITS:
        raise ConfigError(f"budget: expected limits of {', '.join(_LIMITS)}, each as NAME=NUMBER, got {part!r}")
    field, unit = _LIMITS[name]
    whole = field.endswith("_bytes")
    try:
        limit = int(float(value) * unit) if whole else float(value) * unit
    except (ValueError, OverflowError):
        limit = 0
    if not 0 < limit < (1 if name == "margin" else math.inf):
        expected = "a fraction between 0 and 1 (0.01 is one point)" if name == "margin" else "a number above 0"
        raise ConfigError(f"budget: {name}: expected {expected}, got {value!r}")
    return field, limit
