"""Updates that can be added without decoding any of them: what secure aggregation needs.

Every device sends the same coordinates, in the same fixed step of 2^-step_bits, clipped to the same range, as residues
modulo 2^bits; so a sum of residues is the residue of the sum, with masks that cancel as without. That is why neither a
device's own choice of coordinates nor its own scale can be used: the server could not line up, or weigh, what it must
not look at. The support comes from integers that both sides hold: the coordinates whose public base moved most, and a
share drawn afresh from each base, without which a coordinate that was left out once would never be chosen again.

What that costs: in the defaults a tenth of the coordinates at 12 bits each, 1.2 bits a parameter, where a sparse codec
takes a tenth of that or less; and, as every device speaks of coordinates that are not its own choice, slower learning.

Source of the modular sum: Bonawitz et al. 2017, CCS; of the fixed support: Beguier, Andreux and Tramel 2020,
arXiv:2007.14861.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.codec import Codec, Coder, Encoded, register
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import flatten, unflatten
from fedtailor.strategies.codec.integer_hash import integer_hash
from fedtailor.strategies.codec.largest import count_of, largest

MAX_BITS = 24  # sums are exact in float32


@dataclass(frozen=True, slots=True)
class Linear:
    """How all devices of a round write: what they must have in common for their sum to mean anything.

    share: of all coordinates that are sent, above 0. fresh: of those, how many are drawn afresh, 0 to 1. bits: of a
    residue, 2 to 24. step_bits: a step is 2^-step_bits, 0 to 24. devices: how many may be added.
    """

    share: float
    fresh: float
    bits: int
    step_bits: int
    devices: int

    def __post_init__(self) -> None:
        ranges = {"bits": (2, MAX_BITS), "step_bits": (0, MAX_BITS), "devices": (1, 1 << MAX_BITS - 2)}
        for name, (least, most) in ranges.items():
            if getattr(self, name) not in range(least, most + 1):
                raise ValueError(f"{name} must be a whole number from {least} to {most}, got {getattr(self, name)}")
        if not 0 < self.share <= 1 or not 0 <= self.fresh <= 1:
            got = f"{self.share} and {self.fresh}"
            raise ValueError(f"share must be above 0 and fresh at least 0, both at most 1, got {got}")
        if self.most_steps < 1:
            raise ValueError(f"bits must hold a sum over all devices, got {self.bits} for {self.devices}")

    @property
    def most_steps(self) -> int:
        """What one device's steps are clipped to, so that the sum over `devices` stays below 2^(bits − 1)."""
        return ((1 << self.bits - 1) - 1) // self.devices


def linear_of(args: Mapping[str, float]) -> Linear:
    """The parameters of a plan.

    Raises:
        ValueError: one is out of range.
    """
    share, fresh, *whole = (args[name] for name in ("share", "fresh", "bits", "step_bits", "devices"))
    bits, step_bits, devices = (int(each) if float(each).is_integer() else -1 for each in whole)
    return Linear(share, fresh, bits, step_bits, devices)


@lru_cache(maxsize=4)
def support(context: Context, linear: Linear) -> Integers:
    """The coordinates that are sent, ascending; the same on both sides."""
    count = count_of(linear.share, context.schema.size)
    drawn = int(linear.fresh * count)
    moved = largest(np.abs(context.moved.astype(np.int64)), count - drawn)
    seed = crc32(context.moved.astype("<i4").tobytes(), crc32(context.base.astype("<i4").tobytes()))
    tickets = (integer_hash(seed, context.schema.size) >> np.uint64(1)).astype(np.int64)
    tickets[moved] = -1
    return np.sort(np.concatenate((moved, largest(tickets, drawn))))


def add_modulo(payloads: Sequence[bytes], context: Context, linear: Linear) -> bytes:
    """The payload that stands for the sum of updates, of which none is decoded.

    Raises:
        ValueError: there are more than `linear.devices`.
        DecodeError: a payload has another length.
    """
    if len(payloads) > linear.devices:
        raise ValueError(f"linear: {len(payloads)} updates were to be added, the bits allow {linear.devices}")
    count = count_of(linear.share, context.schema.size)
    total = np.zeros(count, np.int64)
    for payload in payloads:
        total += _residues(payload, count, linear)
    return _packed(total, linear)


def decode_sum(payload: bytes, context: Context, linear: Linear, *, devices: int) -> list[Floats]:
    """The sum of the clipped and rounded updates of `devices`, exactly; one device's update is the sum of one.

    Raises:
        DecodeError: the payload has another length, or holds more than so many devices can have sent.
    """
    positions, half = support(context, linear), 1 << linear.bits - 1
    steps = (_residues(payload, positions.size, linear) + half) % (2 * half) - half
    largest_step, most = int(np.abs(steps).max(initial=0)), devices * linear.most_steps
    if largest_step > most:
        raise DecodeError(f"a sum of {largest_step} steps came, {devices} devices can reach {most}")
    vector = np.zeros(context.schema.size, np.float32)
    vector[positions] = np.ldexp(steps.astype(np.float32), -linear.step_bits)
    return unflatten(vector, context.schema)


def make_linear(args: Mapping[str, float]) -> Coder:
    """The coder of one device; ValueError where a parameter is out of range."""
    linear = linear_of(args)

    def encode(tensors: Sequence[Floats], context: Context, _: np.random.Generator) -> Encoded:
        values = flatten(tensors)[support(context, linear)].astype(np.float64)
        steps = np.clip(np.rint(np.ldexp(values, linear.step_bits)), -linear.most_steps, linear.most_steps)
        return Encoded(scales=(), payload=_packed(steps.astype(np.int64), linear))

    def decode(encoded: Encoded, context: Context) -> list[Floats]:
        return decode_sum(encoded.payload, context, linear, devices=1)

    def limits(schema: Schema) -> tuple[int, int, int]:
        size = -(-count_of(linear.share, schema.size) * linear.bits // 8)
        return 0, size, size

    return Coder(encode=encode, decode=decode, limits=limits)


def _packed(steps: Integers, linear: Linear) -> bytes:
    writer = BitWriter()
    writer.write_bits(steps % (1 << linear.bits), linear.bits)
    return writer.to_bytes()


def _residues(payload: bytes, count: int, linear: Linear) -> Integers:
    reader = BitReader(payload)
    residues = reader.read_bits(count, linear.bits)
    reader.close()
    return residues


LINEAR = register(
    Codec(
        name="linear",
        version=1,
        defaults={"share": 0.1, "fresh": 0.5, "bits": 12, "step_bits": 10, "devices": 16},
        make=make_linear,
    )
)
