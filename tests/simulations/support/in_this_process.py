"""A simulated fleet without worker processes: for tests of what a job comes to, not of how it is carried out."""

from concurrent.futures import Future
from pathlib import Path

from fedtailor.protos.summary import Summary
from fedtailor.server.coordinator import run_job
from fedtailor.server.registry import open_registry
from fedtailor.simulations import workers
from fedtailor.simulations.app import virtual_app
from fedtailor.simulations.fleet import Fleet
from fedtailor.simulations.grid import InProcessGrid
from fedtailor.simulations.simulate import CONFIG, prepare
from fedtailor.simulations.virtual_grid import VirtualGrid


class Here:
    """Carries out each message as it comes."""

    def submit(self, parcel: workers.Parcel) -> Future[workers.Parcel]:
        done: Future[workers.Parcel] = Future()
        done.set_result(workers._answer(virtual_app, parcel))
        return done


def run_here(fleet: Fleet, out: Path) -> Summary:
    """What `simulate` comes to, without a report."""
    settled = prepare(fleet, out)
    inner = InProcessGrid(Here(), nodes=len(settled.members), run_config={"config": str(out / CONFIG)})
    grid = VirtualGrid(inner)
    with open_registry(out) as registry:
        return run_job(grid, settled.job, registry, lambda *_: None, clock=grid.clock)
