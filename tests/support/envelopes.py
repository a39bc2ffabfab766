"""Sealed updates of every registered codec, and the server that they are meant for."""

from dataclasses import dataclass

import numpy as np
from codec_cases import context_of, spec_of, update_of

from fedtailor.protos.messages import Update
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.codec import CODECS
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.envelope import Address, Decoded, decode_update, encode_update
from fedtailor.strategies.codec.sent_mask import NO_MASKS, KnownMasks, SentMask

SCHEMA = Schema(("conv.weight", "conv.bias", "head.weight"), ((4, 3, 5), (4,), (10, 8)))
LARGER = Schema(SCHEMA.names, ((20, 6, 5), (20,), (10, 60)))


def address(name: str, **args: float) -> Address:
    return Address(device_id="till-1", round=1004, base_version=1003, context_version=1002, codec=spec_of(name, **args))


def sent(name: str, *, mask: SentMask | None = None, seed: int = 0, schema: Schema = SCHEMA, **args: float) -> Update:
    return encode_update(
        update_of(schema, seed),
        context_of(schema),
        address(name, **args),
        num_examples=312,
        rng=np.random.default_rng(seed),
        mask=mask,
    )


def some(seed: int, schema: Schema = SCHEMA) -> np.ndarray:
    """A mask that keeps about half."""
    return np.random.default_rng(seed).random(schema.size) < 0.5


@dataclass(frozen=True, eq=False)
class Case:
    """One envelope, and all that the server needs to decode it."""

    name: str
    update: Update
    context: Context
    known_masks: KnownMasks

    def decode(self, update: Update) -> Decoded:
        return decode_update(update, self.context, expected=address(self.name), known_masks=self.known_masks)


def cases_of(name: str) -> list[Case]:
    """Of the larger schema: without a mask, with one in full, with a change of one, and with one the server has."""
    kept, before = some(0, LARGER), some(0, LARGER)
    before[7] ^= True
    known, context = NO_MASKS.adding(before).adding(kept), context_of(LARGER)
    masks = (None, SentMask(kept), SentMask(kept, before), SentMask(kept, kept))
    updates = [sent(name, mask=mask, seed=seed, schema=LARGER) for seed, mask in enumerate(masks)]
    return [Case(name, update, context, known) for update in updates]


def all_cases() -> list[Case]:
    return [case for name in CODECS for case in cases_of(name)]
