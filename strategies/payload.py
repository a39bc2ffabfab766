"""A net as few bytes, for transport and for keeping: bit-packed, deflated, self-describing, versioned, checked.

Envelope: magic "FT", version, CRC-32 of what follows, length of the body, the deflated body. Body: kind, input shape,
layers; a layer is the index of its class in `_LAYERS` and its fields in order, each written by its type. Integers take
the fewest bits that hold the largest of an array; floats take 16 bits where all of an array are bfloat16 values.
"""

import struct
import zlib
from math import prod
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos import net as plain
from fedtailor.protos import quantised_net as quantised
from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.net import Net
from fedtailor.protos.quantised_net import Grid, Int8s, Int32s, QuantisedNet, UInt8s
from fedtailor.protos.schema import Floats
from fedtailor.strategies.shapes import layer_shapes

_HEADER = struct.Struct("<2sBII")
_MAGIC = b"FT"
_VERSION = 1
_MAX_BODY_BYTES = 1 << 26  # 16 million fp32 parameters; more than this is not for an edge device
_MAX_VALUES = 1 << 26  # integers in one array: a bit each would be eight times the body
_MAX_AXES = 16

_NETS: tuple[type[Net] | type[QuantisedNet], ...] = (Net, QuantisedNet)
_MEMBERS = (set(get_args(plain.Layer)), set(get_args(quantised.QuantisedLayer)))
_LAYERS: tuple[type, ...] = (  # the index is on the wire: append only
    plain.Affine,
    plain.ChannelsFirst,
    plain.ChannelsLast,
    plain.Conv,
    plain.Linear,
    plain.Relu,
    plain.MaxPool,
    plain.GlobalAveragePool,
    plain.Flatten,
    plain.Embedding,
    quantised.Quantise,
    quantised.QuantisedConv,
    quantised.QuantisedLinear,
    quantised.QuantisedAverage,
    quantised.QuantisedEmbedding,
)
_FIELDS = {kind: tuple(get_type_hints(kind).items()) for kind in _LAYERS}


def pack(net: Net | QuantisedNet) -> bytes:
    """The net as bytes; `unpack` gives it back bit for bit.

    Raises:
        ValueError: the net is larger than a payload may be.
    """
    body = bytearray((_NETS.index(type(net)), net.tokens))
    _write(body, tuple[int, ...], net.input_shape)
    _write(body, int, len(net.layers))
    for layer in net.layers:
        body.append(_LAYERS.index(type(layer)))
        for name, kind in _FIELDS[type(layer)]:
            _write(body, kind, getattr(layer, name))
    if len(body) > _MAX_BODY_BYTES:
        raise ValueError(f"pack: a net takes at most {_MAX_BODY_BYTES} bytes, this one {len(body)}")
    deflated = _deflate(bytes(body))
    return _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(deflated), len(body)) + deflated


def unpack(data: bytes) -> Net | QuantisedNet:
    """The net that was packed; its layers fit each other.

    Raises:
        DecodeError: the bytes are not a payload of this version, or not a whole and consistent one.
    """
    reader = _Reader(_inflate(data))
    try:
        net = _read_net(reader)
        layer_shapes(net)
    except (ValueError, PlanError) as error:
        raise DecodeError(f"payload is not a net: {error}") from None
    if reader.left:
        raise DecodeError(f"payload must end after its last layer, {reader.left} bytes follow")
    return net


def _read_net(reader: "_Reader") -> Net | QuantisedNet:
    kind = reader.at_most(len(_NETS) - 1, "kind of net")
    tokens = bool(reader.at_most(1, "token flag"))
    shape = reader.value(tuple[int, ...])
    layers = tuple(_read_layer(reader, kind) for _ in range(reader.varint()))
    return _NETS[kind](shape, tokens, layers)


def _read_layer(reader: "_Reader", kind: int) -> Any:
    layer = _LAYERS[reader.at_most(len(_LAYERS) - 1, "kind of layer")]
    if layer not in _MEMBERS[kind]:
        raise DecodeError(f"payload has a {layer.__name__} in a {_NETS[kind].__name__}")
    return layer(**{name: reader.value(field) for name, field in _FIELDS[layer]})


def _deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS, strategy=zlib.Z_FILTERED)
    return deflater.compress(body) + deflater.flush()


def _inflate(data: bytes) -> bytes:
    if len(data) < _HEADER.size:
        raise DecodeError(f"payload must have a header of {_HEADER.size} bytes, got {len(data)} bytes in all")
    magic, version, crc, size = _HEADER.unpack_from(data)
    deflated = data[_HEADER.size :]
    if magic != _MAGIC or version != _VERSION:
        raise DecodeError(
            f"payload must be 'FT' version {_VERSION}, got {magic!r} version {version}; update the older side"
        )
    if zlib.crc32(deflated) != crc:
        raise DecodeError(f"payload of {len(data)} bytes fails its checksum; send it again")
    if size > _MAX_BODY_BYTES:
        raise DecodeError(f"payload declares {size} bytes, the limit is {_MAX_BODY_BYTES}")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(deflated, size + 1)
    except zlib.error as error:
        raise DecodeError(f"payload cannot be inflated: {error}") from None
    if len(body) != size or not inflater.eof or inflater.unused_data:
        raise DecodeError(f"payload must inflate to {size} bytes and end there, got {len(body)}")
    return body


def _write(body: bytearray, kind: Any, value: Any) -> None:
    if kind is int:
        body += _varint(value)
    elif kind is str:
        text = value.encode()
        body += _varint(len(text)) + text
    elif kind == tuple[int, ...]:
        body += _varint(len(value)) + b"".join(map(_varint, value))
    elif kind == tuple[tuple[int, int], ...]:
        _write(body, tuple[int, ...], [size for pair in value for size in pair])
    elif kind in (Grid, Grid | None):
        body += b"\0\0\0\0\0" if value is None else struct.pack("<fB", value.scale, value.zero_point)
    else:
        _write(body, tuple[int, ...], value.shape)
        body += _pack_floats(value) if kind == Floats else _pack_integers(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _pack_floats(values: Floats) -> bytes:
    bits = np.ascontiguousarray(values, "<f4").view("<u4")
    short = not (bits & 0xFFFF).any()
    return b"\x10" + (bits >> 16).astype("<u2").tobytes() if short else b"\x20" + bits.tobytes()


def _pack_integers(values: NDArray[np.integer]) -> bytes:
    """Width in bits, then the values' low bits, least significant bit first, zero-padded to a byte."""
    signed = values.dtype.kind == "i"
    wide = values.astype(np.int64).ravel()
    width = (
        max((int(end if end >= 0 else ~end).bit_length() + signed for end in (wide.min(), wide.max())), default=1) or 1
    )
    bits = np.empty((wide.size, width), np.uint8)
    for place in range(width):
        bits[:, place] = wide >> place & 1
    return bytes((width,)) + np.packbits(bits, bitorder="little").tobytes()


class _Reader:
    """A cursor over a body; every read checks what is left before it allocates."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise DecodeError(f"payload ends early: {count} more bytes expected, {self.left} left")
        self._at += count
        return self._body[self._at - count : self._at]

    def at_most(self, limit: int, what: str) -> int:
        value = self.take(1)[0]
        if value > limit:
            raise DecodeError(f"payload: {what} must be at most {limit}, got {value}")
        return value

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise DecodeError("payload holds an integer of more than 35 bits")

    def value(self, kind: Any) -> Any:
        if kind is int:
            return self.varint()
        if kind is str:
            return self.take(self.varint()).decode()
        if kind == tuple[int, ...]:
            return tuple(self.varint() for _ in range(self.at_most(_MAX_AXES, "number of axes")))
        if kind == tuple[tuple[int, int], ...]:
            sizes = self.value(tuple[int, ...])
            return tuple(zip(sizes[::2], sizes[1::2], strict=True))
        if kind in (Grid, Grid | None):
            scale, zero_point = struct.unpack("<fB", self.take(5))
            return None if kind != Grid and (scale, zero_point) == (0.0, 0) else Grid(scale, zero_point)
        shape = self.value(tuple[int, ...])
        return self._floats(shape) if kind == Floats else self._integers(shape, _INTEGERS[kind])

    def _floats(self, shape: tuple[int, ...]) -> Floats:
        width = self.take(1)[0]
        if width not in (0x10, 0x20):
            raise DecodeError(f"payload: floats take 16 or 32 bits, got {width}")
        stored = np.frombuffer(self.take(prod(shape) * width // 8), f"<u{width // 8}")
        return (stored.astype(np.uint32) << (32 - width)).view(np.float32).reshape(shape)

    def _integers(self, shape: tuple[int, ...], dtype: type[np.integer]) -> NDArray[np.integer]:
        width = self.at_most(np.iinfo(dtype).bits, "bits of an integer")
        count = prod(shape)
        if width == 0 or count > _MAX_VALUES:
            raise DecodeError(f"payload: at most {_MAX_VALUES} integers of 1 bit or more, got {count} of {width}")
        packed = np.frombuffer(self.take(-(-count * width // 8)), np.uint8)
        bits = np.unpackbits(packed, count=count * width, bitorder="little").reshape(count, width)
        values = np.zeros(count, np.int64)
        for place in range(width):
            values |= bits[:, place].astype(np.int64) << place
        if np.iinfo(dtype).min < 0:
            values -= bits[:, -1].astype(np.int64) << width
        return values.astype(dtype).reshape(shape)


_INTEGERS: dict[Any, type[np.integer]] = {Int8s: np.int8, Int32s: np.int32, UInt8s: np.uint8}
