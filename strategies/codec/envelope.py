"""The envelope around one update: who, which round, which base, which codec, checked before anything is decoded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from zlib import crc32

import numpy as np

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.messages import Update
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats, Schema
from fedtailor.protos.wire import to_bytes
from fedtailor.strategies.codec.codec import CODECS, Encoded, coder_of, read_within
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import dense
from fedtailor.strategies.codec.masking import by_tensor, gather, narrow, scatter
from fedtailor.strategies.codec.sent_mask import NO_MASKS, KnownMasks, SentMask, mask_hash, read_mask, write_mask
from fedtailor.strategies.merge.aggregate import Aggregate
from fedtailor.strategies.merge.sparse import Kept, Sparse

MAX_EXAMPLES = 10**9
SCHEMA_HASH_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What an update must say of itself to be accepted."""

    device_id: str
    round: int
    base_version: int
    context_version: int
    codec: CodecSpec


@dataclass(frozen=True, eq=False)
class Decoded:
    """A delta in the order of `schema`, as its codec reads it, and the coordinates [schema.size] it covers; None: all.

    known_masks: what the server knows of this device's masks from now on.
    """

    schema: Schema
    said: Sparse | list[Floats]
    kept: Kept | None
    known_masks: KnownMasks

    @cached_property
    def deltas(self) -> list[Floats]:
        """Dense, zeros outside what is covered."""
        return dense(self.said, self.schema) if isinstance(self.said, Sparse) else self.said

    @property
    def masks(self) -> list[Kept] | None:
        """What is covered of each tensor."""
        return None if self.kept is None else by_tensor(self.kept, self.schema.shapes)

    def fold_into(self, aggregate: Aggregate, weight: float, *, sender: str) -> None:
        """Add it to a round's replies, at the cost of what was sent.

        Raises:
            ValueError, DecodeError: as `Aggregate.fold`.
        """
        if isinstance(self.said, Sparse):
            aggregate.fold_sparse(self.said, weight, sender=sender, mask=self.kept)
        else:
            aggregate.fold(self.said, weight, sender=sender, masks=self.masks)


def encode_update(
    delta: Sequence[Floats],
    context: Context,
    address: Address,
    *,
    num_examples: int,
    rng: np.random.Generator,
    mask: SentMask | None = None,
) -> Update:
    """Encode a delta (float32 tensors in the order of the context's schema) and seal it.

    With a mask only the kept coordinates are encoded; what lies outside it counts for nothing.

    Raises:
        PlanError: the codec is unknown, the delta holds NaN or infinity, or the mask keeps nothing.
    """
    _check_delta(delta, context.schema, address)
    coder = coder_of(address.codec)
    values, seen = (gather(delta, mask.kept), narrow(context, mask.kept)) if mask else (delta, context)
    encoded = coder.encode(values, seen, rng)
    update = Update(
        device_id=address.device_id,
        codec=_lean(address.codec),
        schema_hash=short_hash(context.schema),
        base_version=address.base_version,
        context_version=address.context_version,
        mask_hash=mask_hash(mask.kept) if mask else b"",
        mask=write_mask(mask) if mask else b"",
        round=address.round,
        num_examples=num_examples,
        scales=tuple(np.asarray(encoded.scales, np.float32).tolist()),
        payload=encoded.payload,
        crc32=0,
    )
    return replace(update, crc32=checksum(update))


def decode_update(
    update: Update, context: Context, *, expected: Address, known_masks: KnownMasks = NO_MASKS
) -> Decoded:
    """The delta that a device sent, checked against what was asked for before memory is taken for it.

    known_masks: those of this device, as its last `Decoded` left them.

    Raises:
        DecodeError: anything about the update is not what `expected` and `context` allow; one line with device and
            round.
    """
    coder = coder_of(expected.codec)
    try:
        _check_header(update, context.schema, expected)
        kept = _mask_of(update, context.schema, known_masks)
        seen = context if kept is None else narrow(context, kept)
        said = read_within(coder, Encoded(scales=update.scales, payload=update.payload), seen)
    except DecodeError as error:
        where = f"device {expected.device_id}, round {expected.round}"
        raise DecodeError(f"{where}: {error}; this update is skipped") from error
    if kept is None:
        return Decoded(context.schema, said, None, known_masks)
    return Decoded(context.schema, scatter(said, kept, context.schema), kept, known_masks.adding(kept))


def checksum(update: Update) -> int:
    """CRC-32 over every field of the update but itself."""
    return crc32(to_bytes(replace(update, crc32=0)))


def short_hash(schema: Schema) -> bytes:
    """The 4 bytes that stand for a schema on the wire."""
    return bytes.fromhex(schema.hash)[:SCHEMA_HASH_BYTES]


def _lean(spec: CodecSpec) -> CodecSpec:
    """The spec without parameters that are the codec's defaults, which both sides know."""
    defaults = CODECS[spec.name].defaults
    return replace(spec, args={name: value for name, value in spec.args.items() if value != defaults[name]})


def _check_delta(delta: Sequence[Floats], schema: Schema, address: Address) -> None:
    for name, tensor in zip(schema.names, delta, strict=True):
        if not np.isfinite(tensor).all():
            raise PlanError(
                f"device {address.device_id}, round {address.round}: layer {name!r} holds NaN or infinity after "
                "training; lower the learning rate or set a clip norm"
            )


def _check_header(update: Update, schema: Schema, expected: Address) -> None:
    fields = (
        ("device", update.device_id, expected.device_id),
        ("round", update.round, expected.round),
        ("base version", update.base_version, expected.base_version),
        ("context version", update.context_version, expected.context_version),
        ("schema hash", update.schema_hash.hex(), short_hash(schema).hex()),
        ("codec", update.codec, _lean(expected.codec)),
        ("checksum", update.crc32, checksum(update)),
    )
    for name, got, want in fields:
        if got != want:
            raise DecodeError(f"the update has {name} {got!r}, expected {want!r}")
    if not 0 < update.num_examples <= MAX_EXAMPLES:
        raise DecodeError(f"the update counts {update.num_examples} examples, expected 1 to {MAX_EXAMPLES}")


def _mask_of(update: Update, schema: Schema, known: KnownMasks) -> Kept | None:
    if not update.mask_hash:
        if update.mask:
            raise DecodeError(f"mask: {len(update.mask)} bytes came without the hash of a mask, expected none")
        return None
    kept = read_mask(update.mask_hash, update.mask, schema.size, known)
    if not kept.any():
        raise DecodeError(f"mask {update.mask_hash.hex()} keeps none of {schema.size} coordinates, expected 1 or more")
    return kept
