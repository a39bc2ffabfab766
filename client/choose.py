"""Which rung of its ladder a device runs."""

from fedtailor.protos.variant import Ladder, Rung
from fedtailor.protos.verdict import REJECTED

DAMAGED = "is damaged on this device"


def choose(ladder: Ladder, withdrawn: tuple[str, ...], damaged: tuple[str, ...] = ()) -> tuple[Rung, str]:
    """The rung to deploy, and the reason in words, which names the recipes left out only for being `damaged`.

    Candidates are not rejected by the gate, not withdrawn by the fleet, not slower than the fp32 reference, and whole.
    Those that meet the budget come first, then those without a doubt, then the smallest payload. Without a candidate it
    is the reference itself.
    """
    objections = [_objection(rung, withdrawn, damaged) for rung in ladder.rungs]
    named = [f"{rung.recipe} {why}" for rung, why in zip(ladder.rungs, objections, strict=True)]
    candidates = [rung for rung, why in zip(ladder.rungs, objections, strict=True) if not why]
    if not candidates:
        return ladder.reference, f"the fp32 reference: {'; '.join(named) or 'no recipe gave a variant'}"
    best = min(candidates, key=lambda rung: (bool(rung.unmet), bool(rung.doubt), rung.efficiency.payload_bytes))
    alike = sum((bool(rung.unmet), bool(rung.doubt)) == (bool(best.unmet), bool(best.doubt)) for rung in candidates)
    if best.unmet:
        reason = f"the smallest of {alike}, none of which meets the budget: {', '.join(best.unmet)}"
    else:
        reason = f"the smallest of {alike} that may run and meet the budget"
    if best.doubt:
        reason += f", though {best.doubt}"
    return best, "; ".join([reason, *(line for line in named if line.endswith(DAMAGED))])


def _objection(rung: Rung, withdrawn: tuple[str, ...], damaged: tuple[str, ...]) -> str:
    """Why a rung may not be deployed; empty if it may."""
    if rung.verdict.verdict == REJECTED:
        return "is rejected by the gate"
    if rung.recipe in withdrawn:
        return "is withdrawn by the fleet"
    if rung.latency_ratio < 1:
        return "is slower than fp32"
    return DAMAGED if rung.recipe in damaged else ""
