"""The certificates of a run: every recipe that was tried, and the mix of them that runs now."""

from collections.abc import Sequence

from fedtailor.protos.certificate import DEPLOYED, Certificate, Certificates
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.summary import DeviceRow
from fedtailor.protos.variant import FALLBACK
from fedtailor.strategies.certificate import certify, certify_test
from fedtailor.strategies.gate import cohorts


def certify_fleet(devices: Sequence[DeviceRow], kind: str, gate: GatePlan, seed: int) -> Certificates:
    """Certificates by validation rows for recipes and for what is deployed, and by test rows for what is deployed.

    A device that keeps its fp32 model loses nothing and counts; where all do, there is nothing to certify.
    """
    tried = cohorts(row.ladder for row in devices if row.ladder)
    recipes = tuple(
        certify(recipe, verdicts, gate, seed)
        for recipe, verdicts in tried.items()
        if any(verdict.rows for verdict in verdicts)
    )
    running = [row for row in devices if row.variant]
    if all(row.variant.rung.recipe == FALLBACK for row in running if row.variant):
        return Certificates(recipes=recipes)
    return Certificates(
        deployed=_deployed(running, gate, seed), test=_on_test(running, kind, gate, seed), recipes=recipes
    )


def _deployed(running: Sequence[DeviceRow], gate: GatePlan, seed: int) -> Certificate | None:
    verdicts = [row.variant.rung.verdict for row in running if row.variant and row.variant.rung.verdict.rows]
    return certify(DEPLOYED, verdicts, gate, seed) if verdicts else None


def _on_test(running: Sequence[DeviceRow], kind: str, gate: GatePlan, seed: int) -> Certificate | None:
    scores = [row.scores for row in running if row.scores and row.scores.rows]
    return certify_test(scores, kind, gate, seed) if scores else None
