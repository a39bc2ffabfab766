"""How the server comes to know a device's mask: sent once, then as what is dropped and added.

On the wire a mask is the coordinates in which it differs from one that the server has, as runs. Against no mask at all
(everything kept) that is the mask in full.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter, Integers
from fedtailor.strategies.codec.rice import MAX_PARAMETER, read_gamma, read_rice, write_gamma, write_rice
from fedtailor.strategies.merge.sparse import Kept

HASH_BYTES = 8
MASKS_KNOWN = 2  # of one device: its last, and the one before for a device that was restored from a copy
_PARAMETER_BITS = 5


@dataclass(frozen=True, eq=False)
class SentMask:
    """The mask of an update, one flag a coordinate [schema.size], and the one that the server is sure to have.

    acknowledged: the mask of the update before, if just that one was acknowledged; None sends the mask in full. So one
    lost update is all it takes to mend a server that has forgotten the masks it knew.
    """

    kept: Kept
    acknowledged: Kept | None = None


@dataclass(frozen=True, slots=True)
class KnownMasks:
    """The last masks of one device that the server has decoded, by hash, a bit a coordinate; oldest first."""

    packed: tuple[tuple[bytes, bytes], ...] = ()

    def get(self, name: bytes, size: int) -> Kept:
        """The mask of this hash over `size` coordinates.

        Raises:
            DecodeError: it is not known; the device must send it in full.
        """
        bits = dict(self.packed).get(name)
        if bits is None or len(bits) != (size + 7) // 8:
            raise DecodeError(f"mask {name.hex()} of {size} coordinates is not known here; send it in full")
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=size, bitorder="little").astype(np.bool_)

    def adding(self, kept: Kept) -> "KnownMasks":
        """These and one more, as the newest; beyond `MASKS_KNOWN` the oldest is forgotten."""
        name = mask_hash(kept)
        others = tuple(entry for entry in self.packed if entry[0] != name)
        return KnownMasks((*others, (name, _pack(kept)))[-MASKS_KNOWN:])


NO_MASKS = KnownMasks()


def mask_hash(kept: Kept) -> bytes:
    """The 8 bytes that stand for a mask on the wire, equal on every platform."""
    return hashlib.sha256(f"{kept.size};".encode() + _pack(kept)).digest()[:HASH_BYTES]


def write_mask(sent: SentMask) -> bytes:
    """What the server does not know of a mask: nothing where it has this very one, else the shorter of two ways."""
    if sent.acknowledged is not None and np.array_equal(sent.kept, sent.acknowledged):
        return b""
    in_full = b"\0" + _write_runs(~sent.kept)
    if sent.acknowledged is None or sent.acknowledged.shape != sent.kept.shape:
        return in_full
    changes = bytes([HASH_BYTES]) + mask_hash(sent.acknowledged) + _write_runs(sent.kept != sent.acknowledged)
    return min(in_full, changes, key=len)


def read_mask(name: bytes, data: bytes, size: int, known: KnownMasks) -> Kept:
    """The mask [size] of hash `name`, from what `write_mask` made of it.

    Raises:
        DecodeError: the mask, or the one it is told against, is not known; or the bytes are not this mask's.
    """
    if not data:
        return known.get(name, size)
    start, most = 1 + data[0], _most_bytes(size)
    if data[0] not in (0, HASH_BYTES) or not start < len(data) <= start + most:
        raise DecodeError(
            f"mask: {len(data)} bytes came, {data[0]} of them to name another; expected 0 or {HASH_BYTES} to name it, "
            f"and 1 to {most} for {size} coordinates"
        )
    reference = known.get(data[1:start], size) if data[0] else np.ones(size, np.bool_)
    try:
        kept: Kept = reference ^ _read_runs(data[start:], size)
    except DecodeError as error:
        raise DecodeError(f"mask: {error}") from error
    if mask_hash(kept) != name:
        raise DecodeError(f"mask: what came has hash {mask_hash(kept).hex()}, expected {name.hex()}")
    return kept


def _pack(kept: Kept) -> bytes:
    return np.packbits(kept, bitorder="little").tobytes()


def _write_runs(flags: Kept) -> bytes:
    """The first flag, then the lengths of all runs of equal flags but the last; a Rice parameter for each flag."""
    ends = np.flatnonzero(flags[1:] != flags[:-1]) + 1
    above = np.diff(ends, prepend=0) - 1
    parameters = np.array([_best_parameter(above[0::2]), _best_parameter(above[1::2])])
    writer = BitWriter()
    writer.write_bits(flags[:1].astype(np.uint8), 1)
    write_gamma(writer, np.array([above.size]))
    writer.write_bits(parameters, _PARAMETER_BITS)
    write_rice(writer, above, np.resize(parameters, above.size))
    return writer.to_bytes()


def _read_runs(data: bytes, size: int) -> Kept:
    reader = BitReader(data)
    first = int(reader.read_bits(1, 1)[0])
    count = int(read_gamma(reader, 1)[0])
    parameters = reader.read_bits(2, _PARAMETER_BITS)
    if count >= size or int(parameters.max()) > MAX_PARAMETER:
        raise DecodeError(
            f"{count + 1} runs with Rice parameters {parameters.tolist()} came, expected at most {size} runs and "
            f"parameters up to {MAX_PARAMETER}"
        )
    ends = np.cumsum(read_rice(reader, count, np.resize(parameters, count)) + 1)
    reader.close()
    if count and int(ends[-1]) >= size:
        raise DecodeError(f"runs reach coordinate {int(ends[-1])}, expected less than {size}")
    turns = np.zeros(size, np.uint8)
    turns[0] = first
    turns[ends] = 1
    return np.bitwise_xor.accumulate(turns).astype(np.bool_)


def _best_parameter(values: Integers) -> int:
    """The Rice parameter that takes fewest bits."""
    wide = min(int(values.max(initial=0)).bit_length(), MAX_PARAMETER)
    costs = [int((values >> k).sum()) + values.size * (k + 1) for k in range(wide + 1)]
    return int(np.argmin(costs))


def _most_bytes(size: int) -> int:
    """The first flag, the count of runs in Elias' gamma code, two parameters; with both 0 a coordinate takes a bit."""
    return (1 + 2 * size.bit_length() + 2 * _PARAMETER_BITS + size + 7) // 8
