"""What a budget allows an artefact, and what it takes."""

from dataclasses import dataclass

from fedtailor.protos.budget import Budget
from fedtailor.protos.efficiency import Efficiency


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One limit of a budget. `actual` is None where nothing was measured or modelled; `met` then is None too.

    `name` is the budget's field, unit included; `how` says where the figure comes from.
    """

    name: str
    limit: float
    actual: float | None
    how: str

    @property
    def met(self) -> bool | None:
        return None if self.actual is None else self.actual <= self.limit


def artefact_checks(budget: Budget, efficiency: Efficiency | None) -> tuple[Check, ...]:
    """The limits on what runs on the device; without an artefact nothing is known of any."""
    takes: dict[str, tuple[float | None, str]]
    if efficiency is None:
        takes = dict.fromkeys(("latency_ms", "size_bytes", "peak_ram_bytes", "energy_mj"), (None, "not measured"))
    else:
        takes = {
            "latency_ms": (efficiency.latency_ms, _how(efficiency.latency_ms, efficiency.latency_ms_modelled)),
            "size_bytes": (efficiency.file_bytes, "measured"),
            "peak_ram_bytes": (efficiency.memory_bytes_measured, "measured"),
            "energy_mj": (efficiency.energy_mj, _how(efficiency.energy_mj, efficiency.energy_mj_modelled)),
        }
    return tuple(
        Check(name=name, limit=limit, actual=actual, how=how)
        for name, (actual, how) in takes.items()
        if (limit := getattr(budget, name)) is not None
    )


def _how(figure: float | None, modelled: float | None) -> str:
    if figure is None:
        return "not measured"
    return "measured" if modelled is None else "modelled"
