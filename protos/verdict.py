"""The gate's finding on one artefact, with its evidence."""

from dataclasses import dataclass

PROVEN = "proven"
NOT_SHOWN_WORSE = "not-shown-worse"
REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Paired comparison with the fp32 reference on the same rows.

    `reference_only` rows are right only in the reference (b), `variant_only` rows only in the variant (c), both 0 for
    regression; `drop` is the loss as a fraction (regression: relative growth of the squared error) and `bound` its
    one-sided upper confidence bound.
    """

    verdict: str
    rows: int
    reference_only: int
    variant_only: int
    drop: float
    bound: float
    margin: float
    confidence: float
