"""The public base that this device holds, durably: each message brings it on from there.

The base before it is kept too, as long as the server may not know that this device went on: then a reply that was lost,
or a message that comes twice, costs nothing.
"""

import io
import zipfile
from functools import partial

import numpy as np

from fedtailor.client.recall import recall
from fedtailor.client.store import DeviceStore
from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import Broadcast, Instruction
from fedtailor.protos.plan import Plan
from fedtailor.protos.schema import Schema, schema_of
from fedtailor.strategies.codec.broadcast import follow
from fedtailor.strategies.codec.public_base import Mark, PublicBase
from fedtailor.strategies.models.model import initial_state

BASE, BEFORE = "base", "base-before"


def receive_base(store: DeviceStore, instruction: Instruction) -> PublicBase:
    """The base of an instruction, which this device holds from now on.

    Raises:
        DecodeError: it is not the one the plan names or not of the plan's model, it starts from a base that this device
            does not hold, or it was damaged; what is held stays, and the server sends a snapshot next time.
        StoreError: it cannot be kept.
    """
    plan, broadcast = instruction.plan, instruction.base
    if plan.base_version != broadcast.base_version:
        raise DecodeError(
            f"server: the plan is for base {plan.base_version}, base {broadcast.base_version} came with it; "
            "send them together"
        )
    schema = model_schema(plan)
    newest = _kept(store, BASE, schema)
    if newest is not None and (newest.version, newest.hash) == (broadcast.base_version, broadcast.base_hash):
        return newest
    start = _start(store, newest, broadcast, schema)
    base = follow(start, broadcast, schema, plan.downlink)
    if start is not None and start is newest:
        store.put(BEFORE, held_to_bytes(start))
    store.put(BASE, held_to_bytes(base))
    return base


def model_schema(plan: Plan) -> Schema:
    """The schema of the plan's model."""
    return schema_of(initial_state(plan.model, seed=0))


def _start(store: DeviceStore, newest: PublicBase | None, broadcast: Broadcast, schema: Schema) -> PublicBase | None:
    """What the hops start from; None for zeros."""
    version = broadcast.held_version
    if version is None:
        return None
    if newest is not None and newest.version == version:
        return newest
    before = _kept(store, BEFORE, schema)
    if before is None or before.version != version:
        held = f"base {newest.version}" if newest else "none"
        raise DecodeError(
            f"server, base {broadcast.base_version}: it starts from base {version}, held here is {held}; resend it"
        )
    return before


def _kept(store: DeviceStore, name: str, schema: Schema) -> PublicBase | None:
    return recall(store, name, partial(held_from_bytes, schema=schema))


def held_to_bytes(base: PublicBase) -> bytes:
    """For the device's store."""
    versions = [base.version, *(mark.version for mark in base.marks)]
    steps = np.stack([base.steps, *(mark.steps for mark in base.marks)])
    buffer = io.BytesIO()
    np.savez(buffer, schema=np.array(base.schema.hash), versions=np.array(versions, np.int64), steps=steps)
    return buffer.getvalue()


def held_from_bytes(data: bytes, schema: Schema) -> PublicBase:
    """The inverse.

    Raises:
        DecodeError: the bytes are not a base of this schema.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            of, versions, steps = str(file["schema"]), file["versions"].tolist(), file["steps"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DecodeError(f"the base of this device cannot be read ({error}); the server sends it again") from error
    if of != schema.hash:
        raise DecodeError(f"the base of this device is of schema {of[:12]}, expected {schema.hash[:12]}; another job's")
    older, newer = (Mark(version, values) for version, values in zip(versions[1:], steps[1:], strict=True))
    return PublicBase(schema, versions[0], steps[0], (older, newer))
