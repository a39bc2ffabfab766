"""Whether a device keeps within its budget."""

from fedtailor.protos.summary import DeviceRow
from fedtailor.strategies.budget_check import Check, artefact_checks


def budget_checks(row: DeviceRow) -> tuple[Check, ...]:
    """Every limit the device's budget sets, in the budget's order; a limit of None is not listed."""
    checks = artefact_checks(row.budget, row.variant.rung.efficiency if row.variant else None)
    if row.budget.uplink_bytes is None:
        return checks
    uplink = row.uplink_bytes / row.rounds_answered if row.rounds_answered else None
    return (*checks, Check(name="uplink_bytes", limit=row.budget.uplink_bytes, actual=uplink, how="counted"))


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
