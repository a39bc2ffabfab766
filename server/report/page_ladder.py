"""The ladder of one device: every rung with what it costs, what the gate found, and why it runs or not."""

from fedtailor.protos.summary import DeviceRow, Summary
from fedtailor.protos.variant import Rung
from fedtailor.protos.verdict import REJECTED
from fedtailor.server.report.budgets import over_budget
from fedtailor.server.report.markup import Child, Markup, tag
from fedtailor.server.report.page_parts import heading_row, outcome_badge, table_row
from fedtailor.server.report.wording import bytes_text, milliseconds_text, points_text, ratio_text, score_text
from fedtailor.strategies.budget_check import artefact_checks

COLUMNS = (
    "recipe", "precision", "channels kept", "payload", "faster", "on validation", "drop", "at most", "verdict",
    "outcome", "file", "p50 measured", "p99 measured", "p50 modelled", "memory",
)  # fmt: skip
NUMBERS = frozenset({2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14})


def ladder_table(summary: Summary, row: DeviceRow) -> Markup | None:
    """The fp32 reference first, then mild to extreme; None where the device tried nothing."""
    if row.ladder is None:
        return None
    ladder = row.ladder
    rungs = [_rung(summary, row, rung) for rung in (ladder.reference, *ladder.rungs)]
    table = tag("table", heading_row(COLUMNS, NUMBERS), tag("tbody", rungs))
    note = (
        f"After round {ladder.round}: base {score_text(ladder.base_validation_score, summary.metric)}, personal "
        f"({ladder.personal_method}) {score_text(ladder.personal_validation_score, summary.metric)} on validation rows."
    )
    return tag(
        "section", tag("h4", "Ladder"), tag("p", note, class_="note"), tag("div", table, class_="scroll", tabindex="0")
    )


def _rung(summary: Summary, row: DeviceRow, rung: Rung) -> Markup:
    cost, verdict = rung.efficiency, rung.verdict
    is_reference = row.ladder is not None and rung is row.ladder.reference
    cells: list[Child] = [
        rung.recipe,
        rung.precision,
        kept_text(rung),
        bytes_text(cost.payload_bytes),
        ratio_text(rung.latency_ratio),
        score_text(rung.validation_score, summary.metric),
        "" if is_reference else points_text(verdict.drop, summary.kind),
        "" if is_reference else points_text(verdict.bound, summary.kind),
        "reference" if is_reference else outcome_badge(verdict.verdict),
        rung_outcome(summary, row, rung),
        bytes_text(cost.file_bytes),
        milliseconds_text(cost.latency_p50_us_measured / 1000),
        milliseconds_text(cost.latency_p99_us_measured / 1000),
        milliseconds_text(cost.latency_ms_modelled),
        bytes_text(cost.memory_bytes_measured),
    ]
    return table_row(cells, NUMBERS, class_="deployed" if is_deployed(row, rung) else None)


def is_deployed(row: DeviceRow, rung: Rung) -> bool:
    """Whether this rung is what the device runs now."""
    if row.variant is None:
        return False
    runs = row.variant.rung
    return (runs.recipe, runs.precision, runs.payload_sha256) == (rung.recipe, rung.precision, rung.payload_sha256)


def rung_outcome(summary: Summary, row: DeviceRow, rung: Rung) -> str:
    """Deployed, or why not."""
    exceeded = over_budget(artefact_checks(row.budget, rung.efficiency))
    over = f"over budget: {', '.join(exceeded)}" if exceeded else ""
    if is_deployed(row, rung):
        return f"deployed, {over}" if over else "deployed"
    if row.ladder is not None and rung is row.ladder.reference:
        return "what others are judged against"
    if rung.recipe in summary.withdrawn:
        return "withdrawn by the fleet's evidence"
    if rung.note:
        return rung.note
    if rung.verdict.verdict == REJECTED:
        return "rejected by the gate"
    return over or rung.doubt or "passed, another was chosen"


def kept_text(rung: Rung) -> str:
    """Channels kept over all layers that the mask names."""
    total = sum(layer.total for layer in rung.mask.layers)
    kept = sum(len(layer.kept) for layer in rung.mask.layers)
    return f"{kept / total:.0%}" if total else "all"
