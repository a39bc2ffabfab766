"""Where a run stands: the base that only the server knows, and what is public of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from fedtailor.protos.checkpoint import Checkpoint
from fedtailor.protos.errors import RegistryError
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats, Schema, State, schema_of
from fedtailor.strategies.codec.context import Steps
from fedtailor.strategies.codec.flat import flatten, unflatten
from fedtailor.strategies.codec.grid import state_of_steps, steps_of
from fedtailor.strategies.codec.public_base import PublicBase, first_public, hopped
from fedtailor.strategies.codec.ring import Link, Ring, extended
from fedtailor.strategies.codec.shared_only import shared_part, whole
from fedtailor.strategies.merge.optimizer import Moments, Optimizer, stepped
from fedtailor.strategies.merge.step import Step


@dataclass(frozen=True, eq=False, slots=True)
class Base:
    """`state` is private: what the devices' updates add up to. The ring holds what is public of it and of earlier ones.

    `moments` are what the optimizer remembers of the shared parameters; () before its first step.
    """

    state: State
    ring: Ring
    moments: Moments = ()

    @property
    def public(self) -> PublicBase:
        return self.ring.newest

    @property
    def version(self) -> int:
        """The round that committed it; 0 initially."""
        return self.ring.newest.version


def first_base(state: State) -> Base:
    """Version 0: everything is public.

    Raises:
        PlanError: a value is outside the public base's grid.
    """
    schema, steps = schema_of(state), steps_of(state)
    return Base(state_of_steps(steps, schema), Ring(first_public(schema, 0, steps)))


def stepped_base(base: Base, step: Step, optimizer: Optimizer, local_parameters: Sequence[str]) -> Base:
    """What is private after a round's step over the shared parameters; nothing of it is public yet."""
    shared = shared_part(base.state, local_parameters)
    moved, moments = stepped(optimizer, flatten(list(shared.values())), step, base.moments)
    tensors = dict(zip(shared, unflatten(moved, schema_of(shared)), strict=True))
    return replace(base, state=whole(tensors, base.state), moments=moments)


def next_base(base: Base, state: State, version: int, downlink: CodecSpec, seed: Sequence[int]) -> Base:
    """The base that a round committed, with the moments of `base`. `seed` is for codecs that round at random.

    Raises:
        PlanError: a value leaves the public base's grid.
    """
    ring = extended(base.ring, state, version, downlink, np.random.default_rng(seed))
    return Base(state, ring, base.moments)


def checkpoint_of(base: Base) -> Checkpoint:
    """What the registry keeps of it."""
    link = base.ring.links[-1] if base.ring.links else None
    return Checkpoint(
        base_version=base.version,
        base_hash=base.public.hash,
        public_steps=base.public.steps.astype("<i4").tobytes(),
        private_values=flatten(list(base.state.values())).astype("<f4").tobytes(),
        hop=link.hop if link else None,
        difference=link.difference if link else b"",
        moments=tuple(moment.astype("<f4").tobytes() for moment in base.moments),
    )


def base_from(checkpoints: Sequence[Checkpoint], schema: Schema, *, sender: str) -> Base:
    """The base of the last of the checkpoints, which follow each other.

    Raises:
        RegistryError: one is of another model, or does not come out as it was.
    """
    public = first_public(schema, checkpoints[0].base_version, _steps(checkpoints[0], schema, sender))
    links = []
    for before, after in pairwise(checkpoints):
        if after.hop is None:
            raise RegistryError(f"{sender}: base {after.base_version} has no broadcast; start the run anew elsewhere")
        public = hopped(public, after.base_version, _steps(after, schema, sender), marks=after.hop.marks)
        links.append(Link(before.base_version, after.hop, after.difference))
    if public.hash != (want := checkpoints[-1].base_hash):
        raise RegistryError(f"{sender}: base {public.version} has hash {public.hash}, expected {want}; restore it")
    last = checkpoints[-1]
    moments = tuple(_floats(moment) for moment in last.moments)
    private = dict(zip(schema.names, unflatten(_floats(last.private_values), schema), strict=True))
    return Base(private, Ring(public, tuple(links)), moments)


def _steps(checkpoint: Checkpoint, schema: Schema, sender: str) -> Steps:
    sizes = {len(checkpoint.public_steps), len(checkpoint.private_values)}
    if sizes != {4 * schema.size}:
        raise RegistryError(
            f"{sender}: base {checkpoint.base_version} has {sizes} bytes, the model has {schema.size} parameters; "
            "open it with the fedtailor that wrote it"
        )
    return np.frombuffer(checkpoint.public_steps, "<i4").astype(np.int32)


def _floats(data: bytes) -> Floats:
    return np.frombuffer(data, "<f4").astype(np.float32)
