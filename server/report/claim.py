"""A run in one sentence, and the gate's evidence in one: what a reviewer reads first."""

from fedtailor.protos.summary import Summary
from fedtailor.protos.variant import FALLBACK
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED, Verdict
from fedtailor.server.report.figures import NO_VARIANT, Figures
from fedtailor.server.report.wording import counted, points_text, ratio_text, score_text, speed_text

OUTCOME_WORDS = {
    PROVEN: "proven no worse",
    NOT_SHOWN_WORSE: "not shown worse",
    REJECTED: "rejected",
    FALLBACK: "kept in fp32",
    NO_VARIANT: "without a variant",
}


def claim(summary: Summary, of: Figures) -> str:
    """How many devices run a variant, what score they keep, how much smaller and faster, by which verdicts.

    A device that keeps its fp32 model is not counted as tailored, but stays in every mean and median.
    """
    total = len(of.devices)
    running = total - of.outcomes[NO_VARIANT]
    tailored = running - of.outcomes[FALLBACK]
    if not running:
        return f"None of {counted(total, 'device')} runs a variant."
    if not tailored:
        return f"None of {counted(total, 'device')} runs a tailored variant: {_scores(summary, of)}{_verdicts(of)}."
    who = counted(tailored, "device runs its own variant", "devices run their own variants")
    if tailored < total:
        who = (
            f"{tailored:,} of {total:,} devices {'runs its own variant' if tailored == 1 else 'run their own variants'}"
        )
    return f"{who} of one shared model: {_scores(summary, of)}{_savings(of)}; {_verdicts(of)}."


def _scores(summary: Summary, of: Figures) -> str:
    if not of.scored:
        return "no test rows to score them on, "
    base, personal, variant = (
        score_text(score, summary.metric) for score in (of.base_score, of.personal_score, of.variant_score)
    )
    return (
        f"{variant} {summary.metric} on test data ({personal} before compression, {base} with the shared base alone), "
    )


def _savings(of: Figures) -> str:
    smaller, speed = ratio_text(of.payload_ratio_median), speed_text(of.latency_ratio_median)
    return f"at the median {smaller} smaller than fp32 and {speed}"


def _verdicts(of: Figures) -> str:
    named = [f"{count:,} {OUTCOME_WORDS[outcome]}" for outcome, count in of.outcomes.items() if count]
    return ", ".join(named) if of.outcomes[REJECTED] else f"{', '.join(named)}, none rejected"


def evidence(verdict: Verdict, kind: str) -> str:
    """What the gate saw on the validation rows."""
    bound = f"at most {points_text(verdict.bound, kind)} with {verdict.confidence:.0%} confidence"
    allowed = f"{points_text(verdict.margin, kind)} allowed"
    if kind == "regression":
        return (
            f"On {counted(verdict.rows, 'validation row')} the squared error changes by "
            f"{points_text(verdict.drop, kind)}, {bound}; {allowed}."
        )
    return (
        f"On {counted(verdict.rows, 'validation row')} the fp32 reference alone is right on "
        f"{verdict.reference_only:,}, the variant alone on {verdict.variant_only:,}: "
        f"a drop of {points_text(verdict.drop, kind)}, {bound}; {allowed}."
    )
