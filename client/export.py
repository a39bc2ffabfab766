"""An ONNX artefact from a net, node by node: milliseconds, and full control of every scale.

A quantised net is written in QDQ form, which ONNX Runtime fuses to integer kernels: each convolution, linear layer and
average stands between DequantizeLinear and QuantizeLinear, and all that only moves or compares values works on u8. The
input is one sample as stored in a fleet file with a symbolic batch axis "N".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fedtailor.protos.net import (
    Affine,
    ChannelsFirst,
    ChannelsLast,
    Conv,
    Embedding,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Net,
    Relu,
)
from fedtailor.protos.quantised_net import (
    Grid,
    Quantise,
    QuantisedAverage,
    QuantisedConv,
    QuantisedEmbedding,
    QuantisedLinear,
    QuantisedNet,
)
from fedtailor.strategies.shapes import Shape, layer_shapes

_OPSET = 17
_IR_VERSION = 8  # what opset 17 came with; every later runtime reads it


@dataclass(frozen=True)
class _Wire:
    """What runs between two nodes: its name, one sample's shape, and its grid where it is u8.

    `lifted`: [C, time] is held as [C, 1, time].
    """

    name: str
    shape: Shape
    grid: Grid | None = None
    lifted: bool = False


class _Graph:
    """Nodes and constants in the making."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, values: NDArray[np.generic], name: str) -> str:
        """The name of a constant; one that is asked for again is stored once."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node; the name of its output."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def axes(self, *axes: int) -> str:
        """The axes of a Squeeze or Unsqueeze as a constant."""
        return self.constant(np.array(axes, np.int64), f"axes:{axes}")

    def grid(self, grid: Grid) -> list[str]:
        """Scale and zero point as constants."""
        scale = self.constant(np.array(grid.scale, np.float32), f"scale:{grid.scale!r}")
        return [scale, self.constant(np.array(grid.zero_point, np.uint8), f"zero:{grid.zero_point}")]

    def quantise(self, value: str, grid: Grid) -> str:
        return self.node("QuantizeLinear", [value, *self.grid(grid)])

    def dequantise(self, wire: _Wire) -> str:
        return wire.name if wire.grid is None else self.node("DequantizeLinear", [wire.name, *self.grid(wire.grid)])


def to_onnx(net: Net | QuantisedNet) -> bytes:
    """The serialised model: input "x" [N, *input_shape] float32 or int64, output "y" [N, ...] float32.

    Raises:
        PlanError: the layers do not fit each other.
    """
    shapes = layer_shapes(net)
    graph = _Graph()
    wire = _Wire("x", net.input_shape)
    for layer, shape in zip(net.layers, shapes[1:], strict=True):
        wire = replace(_EMITTERS[type(layer)](graph, layer, wire), shape=shape)
    wire = _lower(graph, wire)
    graph.nodes.append(helper.make_node("Identity", [graph.dequantise(wire)], ["y"]))
    kind = TensorProto.INT64 if net.tokens else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", kind, ["N", *net.input_shape])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", *shapes[-1]])]
    body = helper.make_graph(graph.nodes, "net", inputs, outputs, list(graph.constants.values()))
    return serialised(body)


def serialised(graph: onnx.GraphProto) -> bytes:
    """A graph as the model file that every device of a fleet can read."""
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="fedtailor")
    return model.SerializeToString()


def _affine(graph: _Graph, layer: Affine, wire: _Wire) -> _Wire:
    scale = graph.constant(layer.scale, f"{layer.name}.scale")
    shift = graph.constant(layer.shift, f"{layer.name}.shift")
    return replace(wire, name=graph.node("Add", [graph.node("Mul", [wire.name, scale]), shift]))


def _lift(graph: _Graph, wire: _Wire) -> _Wire:
    """Series as pictures of height 1: ORT has its fast blocked fp32 kernels for two axes only."""
    if wire.lifted or len(wire.shape) != 2:
        return wire
    return replace(wire, name=graph.node("Unsqueeze", [wire.name, graph.axes(2)]), lifted=True)


def _lower(graph: _Graph, wire: _Wire) -> _Wire:
    return replace(wire, name=graph.node("Squeeze", [wire.name, graph.axes(2)]), lifted=False) if wire.lifted else wire


def _channels_first(graph: _Graph, _: ChannelsFirst, wire: _Wire) -> _Wire:
    wire = _lower(graph, wire)
    rank = len(wire.shape)
    return replace(wire, name=graph.node("Transpose", [wire.name], perm=[0, rank, *range(1, rank)]))


def _channels_last(graph: _Graph, _: ChannelsLast, wire: _Wire) -> _Wire:
    wire = _lower(graph, wire)
    return replace(wire, name=graph.node("Transpose", [wire.name], perm=[0, *range(2, len(wire.shape) + 1), 1]))


def _relu(graph: _Graph, _: Relu, wire: _Wire) -> _Wire:
    if wire.grid is None:
        return replace(wire, name=graph.node("Relu", [wire.name]))
    zero = graph.constant(np.array(wire.grid.zero_point, np.uint8), f"zero:{wire.grid.zero_point}")
    return replace(wire, name=graph.node("Max", [wire.name, zero]))


def _max_pool(graph: _Graph, layer: MaxPool, wire: _Wire) -> _Wire:
    ahead = (1,) * wire.lifted
    kernel, stride = ahead + layer.kernel, ahead + layer.stride
    return replace(wire, name=graph.node("MaxPool", [wire.name], kernel_shape=kernel, strides=stride))


def _flatten(graph: _Graph, _: Flatten, wire: _Wire) -> _Wire:
    return replace(wire, name=graph.node("Flatten", [wire.name], axis=1), lifted=False)


def _conv(graph: _Graph, layer: Conv, wire: _Wire) -> _Wire:
    wire = _lift(graph, wire)
    return _any_conv(graph, _lifted(layer) if wire.lifted else layer, wire)


def _lifted(layer: Conv) -> Conv:
    return replace(
        layer,
        weight=layer.weight[:, :, None],
        stride=(1, *layer.stride),
        padding=((0, 0), *layer.padding),
        dilation=(1, *layer.dilation),
    )


def _any_conv(graph: _Graph, layer: Conv | QuantisedConv, wire: _Wire) -> _Wire:
    weight, bias = _weight_and_bias(graph, layer, wire)
    befores, afters = zip(*layer.padding, strict=True)
    value = graph.node(
        "Conv",
        [graph.dequantise(wire), weight, bias],
        kernel_shape=layer.weight.shape[2:],
        strides=layer.stride,
        pads=befores + afters,
        dilations=layer.dilation,
        group=layer.groups,
    )
    return _on_output_grid(graph, layer, replace(wire, name=value))


def _linear(graph: _Graph, layer: Linear | QuantisedLinear, wire: _Wire) -> _Wire:
    """Gemm takes two axes: what has more is flattened to rows for it."""
    wire = _lower(graph, wire)
    rows = len(wire.shape) > 1
    inputs, outputs = layer.weight.shape[1], layer.weight.shape[0]
    flat = replace(wire, name=_reshape(graph, wire.name, (inputs,))) if rows else wire
    weight, bias = _weight_and_bias(graph, layer, wire)
    value = graph.node("Gemm", [graph.dequantise(flat), weight, bias], transB=1)
    after = _on_output_grid(graph, layer, replace(wire, name=value))
    return replace(after, name=_reshape(graph, after.name, (*wire.shape[:-1], outputs))) if rows else after


def _reshape(graph: _Graph, value: str, sample: Shape) -> str:
    shape = graph.constant(np.array((-1, *sample), np.int64), f"shape:{sample}")
    return graph.node("Reshape", [value, shape])


def _weight_and_bias(
    graph: _Graph, layer: Conv | Linear | QuantisedConv | QuantisedLinear, wire: _Wire
) -> tuple[str, str]:
    weight = graph.constant(layer.weight, f"{layer.name}.weight")
    bias = graph.constant(layer.bias, f"{layer.name}.bias")
    if isinstance(layer, Conv | Linear) or wire.grid is None:
        return weight, bias
    scales = graph.constant(layer.scales, f"{layer.name}.scales")
    bias_scales = graph.constant(np.float32(wire.grid.scale) * layer.scales, f"{layer.name}.bias_scales")
    # ORT's passes want a zero point, and one of each layer's own: they fail on an absent and on a shared one.
    weight_zero = graph.constant(np.zeros(len(layer.bias), np.int8), f"{layer.name}.weight_zero")
    bias_zero = graph.constant(np.zeros(len(layer.bias), np.int32), f"{layer.name}.bias_zero")
    return (
        graph.node("DequantizeLinear", [weight, scales, weight_zero], axis=0),
        graph.node("DequantizeLinear", [bias, bias_scales, bias_zero], axis=0),
    )


def _on_output_grid(graph: _Graph, layer: Conv | Linear | QuantisedConv | QuantisedLinear, wire: _Wire) -> _Wire:
    grid = None if isinstance(layer, Conv | Linear) else layer.output
    return replace(wire, name=wire.name if grid is None else graph.quantise(wire.name, grid), grid=grid)


def _average(graph: _Graph, _: GlobalAveragePool, wire: _Wire) -> _Wire:
    value = graph.node("GlobalAveragePool", [wire.name])
    axes = range(2, 1 + len(wire.shape) + wire.lifted)
    return replace(wire, name=graph.node("Squeeze", [value, graph.axes(*axes)]), lifted=False)


def _quantised_average(graph: _Graph, layer: QuantisedAverage, wire: _Wire) -> _Wire:
    """The integer kernel works channels last: asked for in that order, its answer is not transposed once more."""
    rank = len(wire.shape)
    value = graph.quantise(graph.node("GlobalAveragePool", [graph.dequantise(wire)]), layer.output)
    last = graph.node("Transpose", [value], perm=[0, *range(2, rank + 1), 1])
    return replace(wire, name=graph.node("Squeeze", [last, graph.axes(*range(1, rank))]), grid=layer.output)


def _embedding(graph: _Graph, layer: Embedding | QuantisedEmbedding, wire: _Wire) -> _Wire:
    table = graph.constant(layer.table, f"{layer.name}.table")
    grid = layer.output if isinstance(layer, QuantisedEmbedding) else None
    return replace(wire, name=graph.node("Gather", [table, wire.name], axis=0), grid=grid)


def _quantise(graph: _Graph, layer: Quantise, wire: _Wire) -> _Wire:
    return replace(wire, name=graph.quantise(wire.name, layer.output), grid=layer.output)


_EMITTERS: dict[type, Callable[[_Graph, Any, _Wire], _Wire]] = {
    Affine: _affine,
    ChannelsFirst: _channels_first,
    ChannelsLast: _channels_last,
    Conv: _conv,
    Linear: _linear,
    Relu: _relu,
    MaxPool: _max_pool,
    GlobalAveragePool: _average,
    Flatten: _flatten,
    Embedding: _embedding,
    Quantise: _quantise,
    QuantisedConv: _any_conv,
    QuantisedLinear: _linear,
    QuantisedAverage: _quantised_average,
    QuantisedEmbedding: _embedding,
}
