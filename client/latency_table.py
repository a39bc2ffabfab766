"""What the layers of a net take on this device in its runtime, measured once for each shape and kept.

A layer is measured alone, with the activation and pool that follow it, less what an empty session takes: in float32 and
in int8, at a few numbers of channels. `planning/latency.py` interpolates in between. Its weights are coded in 6 bits:
the exact kernels that ONNX Runtime takes on x86 without VNNI are a quarter slower where a weight needs more than 7.
"""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from logging import getLogger
from math import ceil, prod

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fedtailor.client.export import to_onnx
from fedtailor.client.measure import alternating
from fedtailor.client.recall import recall
from fedtailor.client.runtime import open_session
from fedtailor.client.store import DeviceStore
from fedtailor.protos.errors import DecodeError, PlanError, StoreError
from fedtailor.protos.net import Activation, Conv, Layer, Linear, Net
from fedtailor.protos.quantised_net import Dequantise, Grid, Quantise, QuantisedNet
from fedtailor.protos.schema import Doubles, Floats
from fedtailor.strategies.graph.groups import is_depthwise
from fedtailor.strategies.graph.segments import Segment, segments
from fedtailor.strategies.graph.shapes import Shape, layer_shapes
from fedtailor.strategies.integer.quantise import quantise
from fedtailor.strategies.planning.latency import Latencies, LatencyGrid

Rows = NDArray[np.generic]

MEASURE_S = 0.015  # of wall time for one figure, after a warm-up of about as much
_ROWS = (0.25, 0.5, 1.0)  # of a layer's output channels, in whole blocks
_COLUMNS = (0.125, 0.5, 1.0)  # of its input channels
_BLOCKS = (8, 16)  # channels that a vector unit takes at once: AVX2 or NEON, AVX-512
_SAME_TIME = 1.1  # below this ratio of latencies two sizes take the same number of blocks
_PROBE = (32, 14)  # input channels and side of the picture on which the block is found
_CONVERTED = (256, 16_384)  # values turned into u8 and back: a line through both
_SEEN_ROWS = 4  # to quantise a layer for its speed alone
_TOP = 31  # the largest integer of a weight
log = getLogger(__name__)


class LatencyTable:
    """Figures by what was measured, in microseconds; those in a store are read at once and kept after measuring."""

    def __init__(self, store: DeviceStore | None = None) -> None:
        self._store = store
        self._figures = (recall(store, _stored_as(), _read) if store else None) or {}

    def latencies(self, net: Net, rows: Rows) -> Latencies:
        """Figures for every layer of a dense net, and for what lies between its layers.

        rows: Samples [N, *net.input_shape], to bring the whole net into int8.
        """
        known = len(self._figures)
        shapes = layer_shapes(net)
        block = self._block()
        grids = {piece.layer.name: self._grid(piece, shapes[piece.reads], block) for piece in segments(net)}
        rest_us = (self._rest_us(net, rows, grids, integer=False), self._rest_us(net, rows, grids, integer=True))
        if len(self._figures) > known:
            self._keep()
        return Latencies(grids, rest_us)

    def _keep(self) -> None:
        """A disk that is full costs the figures, never what they were measured for."""
        try:
            if self._store:
                self._store.put(_stored_as(), json.dumps(self._figures).encode())
        except StoreError as error:
            log.warning("%s; latencies are measured again the next time", error)

    def _figure(self, name: str, model: Callable[[], Net | QuantisedNet], sample: Rows) -> float:
        """The latency of a model under this name, measured where it is not known."""
        if name not in self._figures:
            session = open_session(to_onnx(model()))
            feed = {session.get_inputs()[0].name: sample}
            self._figures[name] = alternating([partial(session.run, None, feed)], seconds=MEASURE_S)[0]
        return self._figures[name]

    def _net_us(self, net: Net, rows: Rows, *, integer: bool) -> float:
        """A net as it is, or in int8."""
        name = f"{'int8' if integer else 'fp32'} {_described(net)}"
        return self._figure(name, lambda: quantise(net, rows) if integer else net, rows[:1])

    def _convert_us(self, values: int) -> float:
        """Turning so many values of float32 into u8, or back."""
        pair = (Quantise("q", Grid(0.0625, 128)), Dequantise("d"))
        empty, small, large = (
            self._figure(f"convert {count}", partial(QuantisedNet, (count,), False, pair), _noise((1, count)))
            for count in (1, *_CONVERTED)
        )
        slope = max(large - small, 0.0) / (_CONVERTED[1] - _CONVERTED[0])
        return max(small - empty + slope * (values - _CONVERTED[0]), 0.0) / 2

    def _block(self) -> int:
        """How many output channels the device computes at once: 16 where 8 of them take as long."""
        inputs, side = _PROBE
        sample = _noise((1, inputs, side, side))
        small, large = (self._net_us(_one_conv(outputs), sample, integer=False) for outputs in _BLOCKS)
        return _BLOCKS[large < small * _SAME_TIME]

    def _grid(self, piece: Segment, shape: Shape, block: int) -> LatencyGrid:
        """shape: of the value that the segment reads."""
        rows, columns = _measured_sizes(piece.layer, block)
        pairs = np.array([[self._alone_us(_alone(piece, shape, row, column)) for column in columns] for row in rows])
        return LatencyGrid(
            rows=np.array(rows, np.float64),
            columns=np.array(columns, np.float64),
            kernel=prod(piece.layer.weight.shape[2:]),
            block=block,
            float_us=_rising(pairs[..., 0]),
            integer_us=_rising(pairs[..., 1]),
            uneven_us=self._uneven_us(piece, shape, block),
        )

    def _uneven_us(self, piece: Segment, shape: Shape, block: int) -> float:
        """What one output channel adds in float32 where they are not whole blocks and another convolution follows."""
        rows, columns = piece.layer.weight.shape[:2]
        even = rows // block * block
        places = layer_shapes(_alone(piece, shape, rows, columns))[-1][1:]
        if not isinstance(piece.layer, Conv) or piece.layer.groups > 1 or not even or not places:
            return 0.0
        uneven = even - block // 4
        nets = (_followed(_alone(piece, shape, count, columns), count) for count in (even, uneven))
        even_us, uneven_us = (self._net_us(net, _noise((1, *net.input_shape)), integer=False) for net in nets)
        return max(uneven_us - even_us, 0.0) / float(uneven)

    def _alone_us(self, alone: Net) -> tuple[float, float]:
        """In float32, and in int8 without turning its input into u8 and its answer back."""
        seen = np.abs(_noise((_SEEN_ROWS, *alone.input_shape)))
        nothing = Net((1,), False, (Activation("nothing", "relu"),))
        floor = self._net_us(nothing, _noise((1, 1)), integer=False)
        turned = self._convert_us(prod(alone.input_shape)) + self._convert_us(prod(layer_shapes(alone)[-1]))
        floats, integers = (self._net_us(alone, seen, integer=integer) for integer in (False, True))
        return max(floats - floor, 0.0), max(integers - floor - turned, 0.0)

    def _rest_us(self, net: Net, rows: Rows, grids: dict[str, LatencyGrid], *, integer: bool) -> float:
        """What the whole net takes beyond its layers; infinite where it has no int8 form."""
        layers = [_sized(layer) if isinstance(layer, Conv | Linear) else layer for layer in net.layers]
        try:
            whole = self._net_us(replace(net, layers=tuple(layers)), rows, integer=integer)
        except PlanError:
            return np.inf
        alone = (grid.integer_us if integer else grid.float_us for grid in grids.values())
        return max(whole - sum(float(us[-1, -1]) for us in alone), 0.0)


def _stored_as() -> str:
    """Figures of another runtime are of no use."""
    return f"latencies-{ort.__version__}"


def _read(kept: bytes) -> dict[str, float]:
    try:
        figures = {str(name): float(us) for name, us in json.loads(kept).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DecodeError(f"latencies kept here: expected figures by name, got {kept[:20]!r}") from error
    return figures


def _rising(us: Doubles) -> Doubles:
    """With each size at most what larger ones take: what disturbs a measurement only ever adds to it."""
    for axis in range(us.ndim):
        us = np.flip(np.minimum.accumulate(np.flip(us, axis), axis=axis), axis)
    return us


def _noise(shape: Shape) -> Floats:
    """Fixed values around 0: a kernel's time does not depend on them, but it does on denormals."""
    return np.cos(np.arange(prod(shape), dtype=np.float32)).reshape(shape)


def _described(net: Net) -> str:
    """All that a net's latency depends on: its layers without their names and numbers."""
    return json.dumps([net.input_shape, net.wires, [_facts(layer) for layer in net.layers]])


def _facts(layer: Layer) -> list[object]:
    values = (getattr(layer, field.name) for field in fields(layer) if field.name not in {"name", "scales"})
    return [type(layer).__name__, *(value.shape if isinstance(value, np.ndarray) else value for value in values)]


def _measured_sizes(layer: Conv | Linear, block: int) -> tuple[list[int], list[int]]:
    """The numbers of output channels, and of input channels of one group, at which a layer is measured."""
    outputs, inputs = layer.weight.shape[:2]
    if isinstance(layer, Conv) and layer.groups > 1 and not is_depthwise(layer):
        return [outputs], [inputs]  # no channel of it can be removed
    each = _outputs_of_an_input(layer)
    rows = {min(ceil(share * outputs / block / each) * block * each, outputs) for share in _ROWS}
    return sorted(rows), sorted({max(round(share * inputs), 1) for share in _COLUMNS})


def _outputs_of_an_input(layer: Conv | Linear) -> int:
    """Of a depthwise convolution; 1 of any other layer."""
    return len(layer.weight) // layer.groups if isinstance(layer, Conv) and is_depthwise(layer) else 1


def _alone(piece: Segment, shape: Shape, outputs: int, inputs: int) -> Net:
    """A segment with so many channels as a net of its own."""
    sized = _sized(piece.layer, outputs, inputs)
    read = (inputs * sized.groups, *shape[1:]) if isinstance(sized, Conv) else (*shape[:-1], inputs)
    return Net(read, False, (sized, *piece.after))


def _sized(layer: Conv | Linear, outputs: int | None = None, inputs: int | None = None) -> Conv | Linear:
    """The layer with so many channels (left out: as many as it has) and coded weights."""
    rows, columns, *kernel = layer.weight.shape
    shape = (outputs or rows, inputs or columns, *kernel)
    scale = np.float32(2.0 ** -np.ceil(np.log2(_TOP * prod(shape[1:]))))
    weight, scales, bias = np.rint(_noise(shape) * _TOP) * scale, np.full(shape[:1], scale), _noise(shape[:1])
    if not isinstance(layer, Conv):
        return replace(layer, weight=weight, scales=scales, bias=bias)
    groups = shape[0] // _outputs_of_an_input(layer) if is_depthwise(layer) else layer.groups
    return replace(layer, weight=weight, scales=scales, bias=bias, groups=groups)


def _followed(net: Net, channels: int) -> Net:
    """The net with a convolution of one place behind it."""
    rank = len(layer_shapes(net)[-1]) - 1
    weight, bias = _noise((channels, channels, *[1] * rank)), _noise((channels,))
    point = Conv("next", weight, bias, (1,) * rank, ((0, 0),) * rank, (1,) * rank, 1)
    return Net(net.input_shape, False, (*net.layers, point))


def _one_conv(outputs: int) -> Net:
    """3×3, on which the block of channels is found."""
    inputs, side = _PROBE
    weight, bias = _noise((outputs, inputs, 3, 3)), _noise((outputs,))
    layer = Conv("conv", weight, bias, stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)
    return Net((inputs, side, side), False, (layer,))
