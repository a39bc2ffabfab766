"""What combines the replies of one round, and the registry of such.

To add one: one file that registers it at import, named in `merge/__init__.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.merge.sparse import Kept, Sparse
from fedtailor.strategies.merge.step import Step
from fedtailor.strategies.named import Named, made


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateSpec:
    """How replies are combined: a registered aggregate, its version and its parameters."""

    name: str
    version: int
    args: dict[str, float] = field(default_factory=dict)


class Aggregate(Protocol):
    """One round's replies, folded in as they arrive."""

    @property
    def folded(self) -> int:
        """How many."""

    def fold(
        self, deltas: Sequence[Floats], weight: float, *, sender: str, masks: Sequence[Kept | None] | None = None
    ) -> None:
        """Add one device's delta: float32 arrays in schema order, each with an optional mask of covered coordinates.

        A mask broadcasts to its array; None covers all. Values outside a mask must be finite and count for nothing.

        Raises:
            ValueError: `weight` is below 2^-10.
            DecodeError: shapes differ from the schema, or a value is NaN or infinite; all is as before.
        """

    def fold_sparse(self, update: Sparse, weight: float, *, sender: str, mask: Kept | None = None) -> None:
        """The same of a delta that is 0 at all other coordinates of the flattened schema; bit for bit as if dense.

        mask [schema.size]: what is covered, None for all.

        Raises:
            ValueError: `weight` is below 2^-10.
            DecodeError: positions are not ascending coordinates of the schema, or a value is NaN or infinite; all is
                as before.
        """

    def mean(self, kappa: float = 0.0) -> Step:
        """What all replies so far come to; the same bits in whatever order they came.

        kappa: 0 for no shrinkage, else the covered share of the total weight from which a coordinate takes its full
        step.

        Raises:
            RoundError: too few replies for what is promised of hostile ones.
            PlanError: the replies' masks cannot be combined this way.
        """


MakeAggregate = Callable[..., Aggregate]  # (schema, *, max_norm)
AGGREGATES: dict[str, Named[MakeAggregate]] = {}


def register(aggregate: Named[MakeAggregate]) -> Named[MakeAggregate]:
    """Make an aggregate known by its name."""
    AGGREGATES[aggregate.name] = aggregate
    return aggregate


def aggregate_of(spec: AggregateSpec, schema: Schema, *, max_norm: float = 0.0) -> Aggregate:
    """An empty aggregate, as a job asks for it. `max_norm` above 0 scales a larger update down to that L2 norm.

    Raises:
        PlanError: an unknown name, version or parameter, or a parameter out of range; the line names what is known.
    """
    return made("aggregate", spec, AGGREGATES)(schema, max_norm=max_norm)
