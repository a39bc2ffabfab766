"""Which devices may be asked at all: those with the tags that a job names."""

from collections.abc import Collection, Sequence

from fedtailor.strategies.choice.choice import Candidate


def tagged(candidates: Sequence[Candidate], tags: Collection[str]) -> list[Candidate]:
    """Those with at least one of the `tags`; all where there are none."""
    return [each for each in candidates if not tags or not set(tags).isdisjoint(each.tags)]
