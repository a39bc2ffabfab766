"""The public base as it crosses the wire and as it is kept: float32 values in schema order, with hash and checksum."""

from zlib import crc32

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import Snapshot
from fedtailor.protos.schema import Schema, State, schema_of, state_hash


def snapshot_of(state: State, base_version: int) -> Snapshot:
    """Seal a state, whose order is the schema's."""
    values = b"".join(np.ascontiguousarray(array, dtype="<f4").tobytes() for array in state.values())
    return Snapshot(
        base_version=base_version,
        base_hash=state_hash(state),
        schema_hash=schema_of(state).hash,
        values=values,
        crc32=crc32(values),
    )


def state_of(snapshot: Snapshot, schema: Schema, *, sender: str) -> State:
    """The state, writable.

    Raises:
        DecodeError: another schema, another length, or the values are not those the snapshot was sealed with.
    """
    where = f"{sender}, base {snapshot.base_version}"
    if snapshot.schema_hash != schema.hash:
        raise DecodeError(
            f"{where}: schema {snapshot.schema_hash[:12]} came, expected {schema.hash[:12]}; models differ"
        )
    if len(snapshot.values) != 4 * schema.size:
        raise DecodeError(
            f"{where}: {len(snapshot.values)} bytes came, {schema.size} parameters take {4 * schema.size}"
        )
    if crc32(snapshot.values) != snapshot.crc32:
        raise DecodeError(
            f"{where}: the checksum of its values is wrong; they were damaged on the way, send them again"
        )
    flat = np.frombuffer(snapshot.values, "<f4").astype(np.float32)
    parts = np.split(flat, np.cumsum(schema.sizes)[:-1])
    state = {name: part.reshape(shape) for name, part, shape in zip(schema.names, parts, schema.shapes, strict=True)}
    if state_hash(state) != snapshot.base_hash:
        raise DecodeError(f"{where}: its hash is {state_hash(state)[:12]}, it says {snapshot.base_hash[:12]}")
    return state
