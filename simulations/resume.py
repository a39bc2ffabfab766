"""Go on with a run that was broken off: killed, stopped, or out of disk."""

from pathlib import Path

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.summary import Summary
from fedtailor.server.database import FILE
from fedtailor.server.done import is_finished
from fedtailor.server.progress import Progress
from fedtailor.server.registry import open_registry
from fedtailor.server.run_lock import only_writer
from fedtailor.server.summarise import summarise
from fedtailor.simulations.device import host_profile
from fedtailor.simulations.fleet import Fleet, load_fleet
from fedtailor.simulations.simulate import CONFIG, carry_out, write_report


def resume(run: Path, progress: Progress) -> tuple[Summary, bool]:
    """The summary of a run folder's job, and whether it had finished before: then only its report is written again.

    An unfinished run goes on after its last recorded round. What follows is what an unbroken run would have come to,
    but for what was measured in seconds.

    Raises:
        ConfigError: the folder holds no run, or its config cannot be used.
        RegistryError: its registry is damaged, or another process is writing the run. Else as `simulate`.
    """
    if not (run / CONFIG).is_file():
        raise ConfigError(f"{run}: expected the folder of a run, found no {CONFIG} there; start one without --resume")
    with only_writer(run):
        fleet = _settled(run / CONFIG)
        if (summary := _finished(run)) is not None:
            write_report(summary, run)
            return summary, True
        host_profile(run)
        return carry_out(fleet, run, progress), False


def _settled(config: Path) -> Fleet:
    """Of a run of real devices, which has no rows and no members, only the job is in the config."""
    fleet = load_fleet(config)
    if fleet.data is None or not fleet.members:
        raise ConfigError(f"{config}: expected the fleet of a simulated run, found none; begin one with --config")
    return fleet


def _finished(run: Path) -> Summary | None:
    if not (run / FILE).exists():  # killed before its first commit
        return None
    with open_registry(run) as registry:
        return summarise(registry) if is_finished(registry) else None
