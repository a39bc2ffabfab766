"""`fedtailor prepare`: a run folder for Flower's own engine, made from the same fleet file as `simulate`."""

from pathlib import Path
from typing import Annotated

import typer


def prepare(
    config: Annotated[Path, typer.Argument(metavar="fleet.toml")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="the run folder to make")],
) -> None:
    """Settle a fleet for `flwr run`: who its devices are, what each may spend, and where its rows lie.

    fleet.toml is what simulate --config takes. The command that runs the fleet on a SuperLink is printed.
    """
    from fedtailor.simulations.fleet import load_fleet
    from fedtailor.simulations.flower_app import app_folder
    from fedtailor.simulations.simulate import CONFIG
    from fedtailor.simulations.simulate import prepare as settle

    nodes = len(settle(load_fleet(config), out).members)
    path = (out / CONFIG).resolve()
    typer.echo(
        f"flwr run {app_folder()} --stream --run-config 'config=\"{path}\"' "
        f"--federation-config 'num-supernodes={nodes} client-resources-num-cpus=1'"
    )
