"""How a public base comes to a device: hops, each an encoded delta or a whole difference, and a hash at the end."""

import numpy as np

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.messages import Broadcast, Hop
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.bits import Integers
from fedtailor.strategies.codec.codec import Coder, Encoded, coder_of, decode_within
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.envelope import short_hash
from fedtailor.strategies.codec.exact import read_exact, write_exact
from fedtailor.strategies.codec.grid import moved_steps
from fedtailor.strategies.codec.public_base import PublicBase, first_public, hopped

_LIMITS = np.iinfo(np.int32)


def snapshot(base: PublicBase) -> Broadcast:
    """What leads to a base from nothing, by way of its marks."""
    places = {mark.version: mark.steps for mark in base.marks} | {base.version: base.steps}
    hops, before = [], np.zeros(base.schema.size, np.int64)
    for version, steps in places.items():
        hops.append(exact_hop(base, version, steps - before))
        before = steps.astype(np.int64)
    return broadcast_of(base, None, tuple(hops))


def exact_hop(base: PublicBase, version: int, difference: Integers) -> Hop:
    """A hop on the way to `base`, of a difference [schema.size]."""
    marks = version in [mark.version for mark in base.marks]
    return Hop(version=version, marks=marks, exact=True, scales=(), payload=write_exact(difference, base.schema))


def broadcast_of(base: PublicBase, held: int | None, hops: tuple[Hop, ...]) -> Broadcast:
    """The message that leads to `base` from version `held`, or from nothing."""
    return Broadcast(
        base_version=base.version,
        base_hash=base.hash,
        schema_hash=short_hash(base.schema),
        held_version=held,
        hops=hops,
    )


def follow(start: PublicBase | None, broadcast: Broadcast, schema: Schema, downlink: CodecSpec) -> PublicBase:
    """The base that a broadcast leads to from `start`; None starts from zeros.

    Raises:
        PlanError: the downlink codec is unknown.
        DecodeError: the broadcast is of another model, its bytes are damaged, or it leads to another base than it says.
    """
    where = f"server, base {broadcast.base_version}"
    if broadcast.schema_hash != (want := short_hash(schema)):
        raise DecodeError(f"{where}: schema {broadcast.schema_hash.hex()} came, expected {want.hex()}; models differ")
    coder, base = coder_of(downlink), start
    try:
        for hop in broadcast.hops:
            base = _hop(base, hop, schema, coder)
    except (DecodeError, PlanError) as error:
        raise DecodeError(f"{where}: {error}; this device needs a snapshot") from error
    if base is None or (base.version, base.hash) != (broadcast.base_version, broadcast.base_hash):
        got = f"base {base.version} with hash {base.hash}" if base else "nothing"
        raise DecodeError(
            f"{where}: expected hash {broadcast.base_hash[:16]}, what came leads to {got}; this device needs a snapshot"
        )
    return base


def _hop(base: PublicBase | None, hop: Hop, schema: Schema, coder: Coder) -> PublicBase:
    if hop.exact:
        steps = read_exact(hop.payload, schema) + (base.steps if base else 0)
        if steps.size and not (_LIMITS.min <= int(steps.min()) and int(steps.max()) <= _LIMITS.max):
            raise DecodeError("a value outside the grid of int32 came")
        here = steps.astype(np.int32)
    elif base is None:
        raise DecodeError("an encoded delta came where no base was before it")
    else:
        here = moved_steps(base.steps, decode_hop(hop, base.context, coder), schema)
    return hopped(base, hop.version, here, marks=hop.marks) if base else first_public(schema, hop.version, here)


def decode_hop(hop: Hop, context: Context, coder: Coder) -> list[Floats]:
    """The delta that an encoded hop adds.

    Raises:
        DecodeError: the codec's limits do not allow it, or its bytes are damaged.
    """
    return decode_within(coder, Encoded(scales=hop.scales, payload=hop.payload), context)
