"""The fleet's evidence on each recipe: paired counts pooled over every device that tried it."""

from dataclasses import dataclass

from fedtailor.protos.summary import Summary
from fedtailor.protos.verdict import Verdict
from fedtailor.strategies.gate import pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """One recipe over the fleet; `verdict` is about exactly the devices that tried it."""

    recipe: str
    tried: int
    deployed: int
    withdrawn: bool
    verdict: Verdict


def cohorts(summary: Summary) -> tuple[Cohort, ...]:
    """One entry per recipe, in the order of the ladders."""
    tried: dict[str, list[Verdict]] = {}
    for row in summary.devices:
        for rung in row.ladder.rungs if row.ladder else ():
            tried.setdefault(rung.recipe, []).append(rung.verdict)
    chosen = [row.variant.rung.recipe for row in summary.devices if row.variant]
    return tuple(
        Cohort(
            recipe=recipe,
            tried=len(verdicts),
            deployed=chosen.count(recipe),
            withdrawn=recipe in summary.withdrawn,
            verdict=pool(verdicts),
        )
        for recipe, verdicts in tried.items()
    )
