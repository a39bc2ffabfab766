"""What both sides know of an update's coordinates before a bit of it is decoded."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.buckets import Buckets, lay_out

Steps = NDArray[np.int32]  # whole steps of the public base's dyadic grid


@dataclass(frozen=True, eq=False)
class Context:
    """The coordinates that are sent, and integers about each: the same on every platform, whatever a device missed.

    schema: names and shapes of what is sent. base: the public base [schema.size]. moved: what it has changed over the
    last four to seven commits [schema.size] (`public_base.py`); zeros at the start.
    """

    schema: Schema
    base: Steps
    moved: Steps

    @cached_property
    def buckets(self) -> Buckets:
        """The order in which sparse updates are coded; derived once, for all of a round."""
        return lay_out(self.schema, self.moved)


def blank(schema: Schema) -> Context:
    """Where nothing is known beforehand."""
    return Context(schema, np.zeros(schema.size, np.int32), np.zeros(schema.size, np.int32))
