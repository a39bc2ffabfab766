"""Which rung of its ladder a device runs."""

from fedtailor.protos.variant import Ladder, Rung
from fedtailor.protos.verdict import REJECTED


def choose(ladder: Ladder, withdrawn: tuple[str, ...]) -> tuple[Rung, str]:
    """The rung to deploy, and the reason in words.

    Candidates are not rejected by the gate, not withdrawn by the fleet, and not slower than the fp32 reference. Those
    that meet the budget come first, then the smallest payload. Without a candidate it is the reference itself.
    """
    candidates = [rung for rung in ladder.rungs if not _objection(rung, withdrawn)]
    if not candidates:
        objections = "; ".join(f"{rung.recipe} {_objection(rung, withdrawn)}" for rung in ladder.rungs)
        return ladder.reference, f"the fp32 reference: {objections or 'no recipe gave a variant'}"
    best = min(candidates, key=lambda rung: (bool(rung.unmet), rung.efficiency.payload_bytes))
    if best.unmet:
        return best, f"the smallest of {len(candidates)}, none of which meets the budget: {', '.join(best.unmet)}"
    return best, f"the smallest of {sum(not rung.unmet for rung in candidates)} that may run and meet the budget"


def _objection(rung: Rung, withdrawn: tuple[str, ...]) -> str:
    """Why a rung may not be deployed; empty if it may."""
    if rung.verdict.verdict == REJECTED:
        return "is rejected by the gate"
    if rung.recipe in withdrawn:
        return "is withdrawn by the fleet"
    return "is slower than fp32" if rung.latency_ratio < 1 else ""
