"""The envelope around one update: who, which round, which base, which codec, checked before anything is decoded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.messages import Update
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats, Schema
from fedtailor.protos.wire import to_bytes
from fedtailor.strategies.codec.codec import Codec, Encoded, codec_named

MAX_EXAMPLES = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What an update must say of itself to be accepted."""

    device_id: str
    round: int
    base_version: int
    codec: CodecSpec


def encode_update(
    delta: Sequence[Floats], schema: Schema, address: Address, *, num_examples: int, rng: np.random.Generator
) -> Update:
    """Encode a delta (float32 tensors in schema order) and seal it.

    Raises:
        PlanError: the codec is unknown, or the delta holds NaN or infinity.
    """
    for name, tensor in zip(schema.names, delta, strict=True):
        if not np.isfinite(tensor).all():
            raise PlanError(
                f"device {address.device_id}, round {address.round}: layer {name!r} holds NaN or infinity after "
                "training; lower the learning rate or set a clip norm"
            )
    encoded = codec_named(address.codec).encode(delta, rng)
    update = Update(
        device_id=address.device_id,
        codec=address.codec,
        schema_hash=short_hash(schema),
        base_version=address.base_version,
        mask_hash=b"",
        round=address.round,
        num_examples=num_examples,
        scales=encoded.scales,
        payload=encoded.payload,
        crc32=0,
    )
    return replace(update, crc32=checksum(update))


def decode_update(update: Update, schema: Schema, *, expected: Address) -> list[Floats]:
    """The dense float32 delta in schema order.

    Raises:
        DecodeError: anything about the update is not what `expected` and `schema` allow; one line with device and
            round.
    """
    where = f"device {expected.device_id}, round {expected.round}"
    _check_header(update, schema, expected, where)
    codec = codec_named(update.codec)
    _check_limits(update, codec, schema, where)
    try:
        delta = codec.decode(Encoded(scales=update.scales, payload=update.payload), schema)
    except DecodeError as error:
        raise DecodeError(f"{where}: {error}; this update is skipped") from error
    for name, tensor in zip(schema.names, delta, strict=True):
        if not np.isfinite(tensor).all():
            raise DecodeError(f"{where}: layer {name!r} holds NaN or infinity; this update is skipped")
    return delta


def checksum(update: Update) -> int:
    """CRC-32 over every field of the update but itself."""
    return crc32(to_bytes(replace(update, crc32=0)))


def short_hash(schema: Schema) -> bytes:
    """The 8 bytes that stand for a schema on the wire."""
    return bytes.fromhex(schema.hash[:16])


def _check_header(update: Update, schema: Schema, expected: Address, where: str) -> None:
    fields = (
        ("device", update.device_id, expected.device_id),
        ("round", update.round, expected.round),
        ("base version", update.base_version, expected.base_version),
        ("schema hash", update.schema_hash.hex(), short_hash(schema).hex()),
        ("codec", update.codec, expected.codec),
        ("mask hash", update.mask_hash.hex(), ""),
        ("checksum", update.crc32, checksum(update)),
    )
    for name, got, want in fields:
        if got != want:
            raise DecodeError(f"{where}: the update has {name} {got!r}, expected {want!r}; this update is skipped")
    if not 0 < update.num_examples <= MAX_EXAMPLES:
        raise DecodeError(
            f"{where}: the update counts {update.num_examples} examples, expected 1 to {MAX_EXAMPLES}; "
            "this update is skipped"
        )


def _check_limits(update: Update, codec: Codec, schema: Schema, where: str) -> None:
    scales, least, most = codec.limits(schema)
    if len(update.scales) != scales:
        raise DecodeError(
            f"{where}: {len(update.scales)} scales came, {codec.name} has {scales}; this update is skipped"
        )
    if not all(math.isfinite(scale) and scale > 0 for scale in update.scales):
        raise DecodeError(f"{where}: a scale is not finite and above 0; this update is skipped")
    if not least <= len(update.payload) <= most:
        raise DecodeError(
            f"{where}: the payload has {len(update.payload)} bytes, {codec.name} takes {least} to {most} "
            f"for {schema.size} parameters; this update is skipped"
        )
