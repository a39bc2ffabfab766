"""What the evidence of a whole fleet says about devices like its own."""

from dataclasses import dataclass

DEPLOYED = "deployed"  # the mix of recipes that runs now
ON_TEST = "on test"  # the same on the rows that nothing was chosen by


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """How much is lost against the fp32 references, over devices weighted by their rows, with upper bounds.

    `recipe` is a recipe's name, `DEPLOYED` or `ON_TEST`. `drop` is a fraction of rows (of symbols for next-token),
    for regression the growth of the squared error; `ON_TEST` next-token it is bits per token. `rows_bound` is about
    exactly these devices, `bound` about devices like these; None where too little is known for a claim, and `method`
    says how they were found, or why not.
    """

    recipe: str
    devices: int
    rows: int
    drop: float
    rows_bound: float | None
    bound: float | None
    margin: float
    confidence: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """`deployed` and `test` are None where no device runs a tailored variant, or has rows to judge it on."""

    deployed: Certificate | None = None
    test: Certificate | None = None
    recipes: tuple[Certificate, ...] = ()
