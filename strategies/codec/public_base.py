"""The public base: what the server and every device hold alike, bit for bit.

Who holds a version also knows two bases before it, its marks. So the context of a coding is the same for all devices
that hold a version, whatever they missed on the way there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fedtailor.protos.schema import Schema, State
from fedtailor.strategies.codec.bits import Integers
from fedtailor.strategies.codec.context import Context, Steps
from fedtailor.strategies.codec.grid import state_of_steps, steps_hash

_LIMITS = np.iinfo(np.int32)


@dataclass(frozen=True, eq=False)
class Mark:
    """An earlier base that contexts look back to."""

    version: int
    steps: Steps


@dataclass(frozen=True, eq=False)
class PublicBase:
    """A version of the public base. `marks`: the older and the newer one; the context looks back to the older."""

    schema: Schema
    version: int
    steps: Steps
    marks: tuple[Mark, Mark]

    @cached_property
    def hash(self) -> str:
        return steps_hash(self.steps, self.schema)

    @cached_property
    def state(self) -> State:
        return state_of_steps(self.steps, self.schema)

    @cached_property
    def context(self) -> Context:
        """Of the next base's broadcast, and of every update from this one."""
        return Context(self.schema, self.steps, _within(self.difference_to(self.marks[0].steps)))

    @property
    def context_version(self) -> int:
        return self.marks[0].version

    def difference_to(self, earlier: Steps) -> Integers:
        """Steps from an earlier base to this one."""
        return self.steps.astype(np.int64) - earlier


def first_public(schema: Schema, version: int, steps: Steps) -> PublicBase:
    """A base before which nothing is known: it is its own mark."""
    mark = Mark(version, steps)
    return PublicBase(schema, version, steps, (mark, mark))


def shared_context(context: Context, local_parameters: Sequence[str]) -> Context:
    """The context of the tensors that are not local."""
    if not local_parameters:
        return context
    shared = [name not in local_parameters for name in context.schema.names]
    kept = np.repeat(shared, context.schema.sizes)
    pairs = zip(context.schema.names, context.schema.shapes, strict=True)
    names, shapes = zip(*(pair for pair, stays in zip(pairs, shared, strict=True) if stays), strict=True)
    return Context(Schema(names, shapes), context.base[kept], context.moved[kept])


def hopped(base: PublicBase, version: int, steps: Steps, *, marks: bool) -> PublicBase:
    """The next base on the way."""
    known = (base.marks[1], Mark(version, steps)) if marks else base.marks
    return replace(base, version=version, steps=steps, marks=known)


def _within(difference: Integers) -> Steps:
    """A difference as int32: bases further apart than that count as that far apart."""
    return np.clip(difference, -_LIMITS.max, _LIMITS.max).astype(np.int32)
