"""A net as few bytes, for transport and for keeping: entropy-coded, self-describing, versioned, checked.

Envelope: magic "FT", version, CRC-32 of all that follows, the deflated facts, the numbers. Facts are the kind of net,
its input shape, the kinds of its layers, its wires, and then field after field what all layers hold in it, by
`payload_columns.py`; the numbers of arrays follow `number_code.py`. A weight with scales is kept as whole multiples.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos import net as plain
from fedtailor.protos import quantised_net as quantised
from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.net import Net, Wires
from fedtailor.protos.quantised_net import QuantisedNet
from fedtailor.protos.schema import Floats
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.payload.number_code import MOST_NUMBERS, NumberReader, NumberWriter
from fedtailor.strategies.payload.payload_bytes import FactReader, FactWriter
from fedtailor.strategies.payload.payload_columns import COLUMNS, Column, Input, Output
from fedtailor.strategies.payload.payload_words import WORDS

_HEADER = struct.Struct("<2sBI")
_MAGIC = b"FT"
_VERSION = 2
_MAX_BYTES = 1 << 27  # more than the most numbers take, and the facts
_MAX_FACT_BYTES = 1 << 20

_NETS: tuple[type[Net] | type[QuantisedNet], ...] = (Net, QuantisedNet)
_MEMBERS = (set(get_args(plain.Layer)), set(get_args(quantised.QuantisedLayer)))
_LAYERS: tuple[type, ...] = (  # the index is on the wire: append only
    plain.Affine,
    plain.ChannelsFirst,
    plain.ChannelsLast,
    plain.Conv,
    plain.Linear,
    plain.Activation,
    plain.MaxPool,
    plain.AveragePool,
    plain.GlobalAveragePool,
    plain.Flatten,
    plain.Embedding,
    plain.Add,
    plain.Concat,
    plain.LayerNorm,
    plain.Attention,
    plain.Positions,
    quantised.Quantise,
    quantised.Dequantise,
    quantised.QuantisedConv,
    quantised.QuantisedLinear,
    quantised.QuantisedAverage,
    quantised.QuantisedEmbedding,
    quantised.QuantisedAdd,
    quantised.QuantisedConcat,
    quantised.QuantisedActivation,
    quantised.QuantisedAveragePool,
    quantised.BlockLinear,
)
_FIELDS = {kind: get_type_hints(kind) for kind in _LAYERS}
_CODED = (plain.Conv, plain.Linear)  # layers whose weight may be whole multiples of its scales
_ORDER = list(COLUMNS)


def pack(net: Net | QuantisedNet) -> bytes:
    """The net as bytes; `unpack` gives it back bit for bit, but for a −0.0 in a weight with scales, which becomes 0.0.

    Raises:
        ValueError: the net is larger than a payload may be, or a weight is no whole multiple of its scales.
    """
    values = [_stored(layer) for layer in net.layers]
    numbers = sum(value.size for fields in values for value in fields.values() if isinstance(value, np.ndarray))
    if numbers > MOST_NUMBERS:
        raise ValueError(f"pack: a net may hold {MOST_NUMBERS} numbers, this one has {numbers}")
    output = Output(FactWriter(), NumberWriter())
    output.facts.byte(2 * _NETS.index(type(net)) + net.tokens)
    output.facts.counts(net.input_shape)
    output.facts.count(len(net.layers))
    output.facts.body += bytes(_LAYERS.index(type(layer)) for layer in net.layers)
    _write_wires(output.facts, net.wires)
    for name, column, places in _columns([type(layer) for layer in net.layers]):
        column.write(output, [values[place][name] for place in places])
    if len(output.facts.body) > _MAX_FACT_BYTES:
        raise ValueError(f"pack: a net is described in {_MAX_FACT_BYTES} bytes, this one in {len(output.facts.body)}")
    body = _deflate(bytes(output.facts.body)) + output.numbers.finish()
    return _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(body)) + body


def unpack(data: bytes) -> Net | QuantisedNet:
    """The net that was packed; its layers fit each other.

    Raises:
        DecodeError: the bytes are not a payload of this version, or not a whole and consistent one.
    """
    facts, numbers = _inflate(_checked(data))
    source = Input(FactReader(facts), NumberReader(numbers))
    try:
        net = _read_net(source)
        layer_shapes(net)
    except (ValueError, PlanError) as error:
        raise DecodeError(f"payload is not a net: {error}") from None
    if source.facts.left:
        raise DecodeError(f"payload must end after its last layer, {source.facts.left} bytes follow")
    source.numbers.finish()
    return net


def _read_net(source: Input) -> Net | QuantisedNet:
    flags = source.facts.byte(2 * len(_NETS) - 1, "kind of net")
    net, members, tokens = _NETS[flags // 2], _MEMBERS[flags // 2], bool(flags % 2)
    shape = source.facts.counts()
    kinds = [_LAYERS[source.facts.byte(len(_LAYERS) - 1, "kind of layer")] for _ in range(source.facts.count())]
    for kind in kinds:
        if kind not in members:
            raise DecodeError(f"payload has a {kind.__name__} in a {net.__name__}")
    wires = _read_wires(source.facts, len(kinds))
    values: list[dict[str, Any]] = [{} for _ in kinds]
    for name, column, places in _columns(kinds):
        for place, value in zip(places, column.read(source, len(places)), strict=True):
            values[place][name] = value
    return net(shape, tokens, tuple(map(_restored, kinds, values)), wires)


def _columns(kinds: Sequence[type]) -> list[tuple[str, Column, list[int]]]:
    """Name and column of every field that layers of these kinds hold, and the places of those that hold it."""
    places: dict[tuple[str, int], list[int]] = {}
    for place, kind in enumerate(kinds):
        for name, hint in _FIELDS[kind].items():
            places.setdefault((name, _ORDER.index(_required(hint))), []).append(place)
    return [(name, COLUMNS[_ORDER[at]], places[name, at]) for name, at in sorted(places)]


def _required(hint: Any) -> Any:
    """The type without "or None"."""
    return get_args(hint)[0] if type(None) in get_args(hint) else hint


def _stored(layer: Any) -> dict[str, Any]:
    """The fields of a layer, a coded weight as its whole multiples."""
    values = {name: getattr(layer, name) for name in _FIELDS[type(layer)]}
    if isinstance(layer, _CODED) and layer.scales is not None:
        values["weight"] = _multiples(layer)
    return values


def _multiples(layer: plain.Conv | plain.Linear) -> NDArray[np.int64]:
    scales = _by_row(layer.scales, layer.weight.ndim)
    with np.errstate(all="ignore"):  # what is not finite is not equal either
        whole = np.rint(np.divide(layer.weight, scales, out=np.zeros_like(layer.weight), where=scales != 0))
        if not np.array_equal(whole * scales, layer.weight):
            raise ValueError(f"pack: layer {layer.name!r}: a weight with scales must be whole multiples of them")
    return np.asarray(whole, np.int64)


def _restored(kind: type, values: dict[str, Any]) -> Any:
    """The layer of these fields."""
    for name, hint in _FIELDS[kind].items():
        value = values[name]
        if value is None and _required(hint) is hint:
            raise DecodeError(f"payload: a {kind.__name__} needs {name!r}, it has none")
        if _required(hint) == Floats and value is not None and value.dtype != np.float32:
            if name != "weight" or values["scales"] is None:
                raise DecodeError(f"payload: a {kind.__name__} has integers for {name!r}, floats are needed")
            with np.errstate(all="ignore"):  # scales of bad bytes need not be finite
                values[name] = value.astype(np.float32) * _by_row(values["scales"], value.ndim)
    return kind(**values)


def _by_row(scales: Any, rank: int) -> Any:
    return scales.reshape(-1, *[1] * (rank - 1))


def _write_wires(facts: FactWriter, wires: Wires) -> None:
    """Nothing for a chain, else how far before it each layer reads."""
    chain = wires == tuple((at,) for at in range(len(wires)))
    facts.byte(not chain)
    if not chain:
        for at, read in enumerate(wires):
            facts.counts([at - value for value in read])


def _read_wires(facts: FactReader, layers: int) -> Wires:
    if not facts.byte(1, "flag of wires"):
        return ()
    return tuple(tuple(at - back for back in facts.counts()) for at in range(layers))


def _deflate(facts: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, WORDS)
    return deflater.compress(facts) + deflater.flush()


def _inflate(body: bytes) -> tuple[bytes, bytes]:
    """Facts and numbers."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS, WORDS)
    try:
        facts = inflater.decompress(body, _MAX_FACT_BYTES)
    except zlib.error as error:
        raise DecodeError(f"payload cannot be inflated: {error}") from None
    if not inflater.eof:
        raise DecodeError(f"payload must describe its net in {_MAX_FACT_BYTES} bytes and end there")
    return facts, inflater.unused_data


def _checked(data: bytes) -> bytes:
    """What follows the header."""
    if not _HEADER.size <= len(data) <= _HEADER.size + _MAX_BYTES:
        raise DecodeError(f"payload must have {_HEADER.size} to {_HEADER.size + _MAX_BYTES} bytes, got {len(data)}")
    magic, version, crc = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise DecodeError(
            f"payload must be 'FT' version {_VERSION}, got {magic!r} version {version}; update the older side"
        )
    body = data[_HEADER.size :]
    if zlib.crc32(body) != crc:
        raise DecodeError(f"payload of {len(data)} bytes fails its checksum; send it again")
    return body
