"""What a round says of each coordinate: the delta that its replies agree on."""

from dataclasses import dataclass

from fedtailor.protos.schema import Doubles
from fedtailor.strategies.merge.sparse import Kept


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """values: float64 [n], 0 where nothing is covered. covered: bool [n], None where every coordinate is."""

    values: Doubles
    covered: Kept | None = None
