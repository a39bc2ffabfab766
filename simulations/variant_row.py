"""One method on one fleet file and seed: what its variant scores, weighs and costs. And several seeds as one line."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

REFERENCE = "fp32"
OURS = "fedtailor"
SMALL = "train small"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRow:
    """Figures are None where a method gave no model; `note` then says why.

    `share` is the score as a share of the fp32 model's on the same test rows (where lower is better, the inverse), and
    `payload_ratio` the fp32 payload over this one. `latency_ratio` is fp32 over this one, alternating, CPU time:
    above 1 is faster. `cpu_s` is the time of one core that the method took; each of our rungs carries its whole
    ladder's.
    """

    data: str
    model: str
    seed: int
    method: str
    metric: str
    test_score: float | None = None
    share: float | None = None
    payload_bytes: int | None = None
    payload_ratio: float | None = None
    file_bytes: int | None = None
    latency_ratio: float | None = None
    memory_bytes: int | None = None
    cpu_s: float | None = None
    verdict: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over seeds; one seed has deviation 0."""

    mean: float
    deviation: float


def spread(rows: Sequence[VariantRow], name: str) -> Spread | None:
    """Of one figure of the rows that have it; None without any."""
    values = [value for row in rows if (value := getattr(row, name)) is not None]
    return Spread(mean(values), stdev(values) if len(values) > 1 else 0.0) if values else None


def by_method(rows: Sequence[VariantRow]) -> dict[tuple[str, str, str], list[VariantRow]]:
    """Rows of the same data, model and method, in order of appearance."""
    found: dict[tuple[str, str, str], list[VariantRow]] = {}
    for row in rows:
        found.setdefault((row.data, row.model, row.method), []).append(row)
    return found
