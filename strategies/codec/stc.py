"""Sparse ternary compression: the largest magnitudes of an update, all sent as their mean, with their signs.

Source: Sattler et al. 2019, arXiv:1903.02891, algorithms 1 (values) and 3 (positions: gaps in Golomb code).
"""

from collections.abc import Mapping

from fedtailor.strategies.codec.codec import Codec, Coder, register
from fedtailor.strategies.codec.topk import topk


def stc(args: Mapping[str, float]) -> Coder:
    """Keep a `share` (above 0, at most 1) of all coordinates, over all tensors together: top-k with a single level.

    Raises:
        ValueError: `share` is out of range.
    """
    return topk({"share": args["share"], "levels": 1})


STC = register(Codec(name="stc", version=1, defaults={"share": 0.01}, make=stc))
