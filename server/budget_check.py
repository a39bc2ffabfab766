"""What a device's budget allowed, and what its deployed variant takes."""

from dataclasses import dataclass

from fedtailor.protos.budget import Budget
from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.summary import DeviceRow


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


def budget_checks(row: DeviceRow) -> tuple[Check, ...]:
    """Every limit the device's budget sets, in the budget's order; a limit of None is not listed."""
    checks = artefact_checks(row.budget, row.variant.rung.efficiency if row.variant else None)
    if row.budget.uplink_bytes is None:
        return checks
    uplink = row.uplink_bytes / row.rounds_answered if row.rounds_answered else None
    return (*checks, Check(name="uplink_bytes", limit=row.budget.uplink_bytes, actual=uplink, how="counted"))


def artefact_checks(budget: Budget, efficiency: Efficiency | None) -> tuple[Check, ...]:
    """The limits on what runs on the device; without an artefact nothing is known of any."""
    takes: dict[str, tuple[float | None, str]]
    if efficiency is None:
        takes = dict.fromkeys(("latency_ms", "size_bytes", "peak_ram_bytes", "energy_mj"), (None, "not measured"))
    else:
        takes = {
            "latency_ms": (efficiency.latency_ms, "measured" if efficiency.latency_ms_modelled is None else "modelled"),
            "size_bytes": (efficiency.file_bytes, "measured"),
            "peak_ram_bytes": (efficiency.memory_bytes_measured, "measured"),
            "energy_mj": (efficiency.energy_mj_modelled, "modelled"),
        }
    return tuple(
        Check(name=name, limit=limit, actual=actual, how=how)
        for name, (actual, how) in takes.items()
        if (limit := getattr(budget, name)) is not None
    )


def budget_met(checks: tuple[Check, ...]) -> bool | None:
    """Whether every limit with a figure is met; None where no limit has one."""
    known = [check.met for check in checks if check.met is not None]
    return all(known) if known else None


WORDS = {
    "latency_ms": "latency",
    "size_bytes": "size",
    "peak_ram_bytes": "memory",
    "energy_mj": "energy",
    "uplink_bytes": "uplink",
}


def over_budget(checks: tuple[Check, ...]) -> tuple[str, ...]:
    """The limits that are exceeded, in a word each."""
    return tuple(WORDS[check.name] for check in checks if check.met is False)
