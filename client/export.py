"""An ONNX artefact from a net, node by node: milliseconds, and full control of every scale.

A quantised net is written in QDQ form, which ONNX Runtime fuses to integer kernels: each convolution, linear layer,
sum, concatenation and average stands between DequantizeLinear and QuantizeLinear, and all that only moves or compares
values works on u8. The input is one sample as stored in a fleet file with a symbolic batch axis "N".
"""

from dataclasses import replace

import onnx
from onnx import TensorProto, helper

from fedtailor.client.export_float import EITHER_WAY, FLOAT_EMITTERS
from fedtailor.client.export_graph import CONTRIB, Graph, Value
from fedtailor.client.export_quantised import QUANTISED_EMITTERS
from fedtailor.protos.net import Attention, LayerNorm, Net
from fedtailor.protos.quantised_net import QuantisedNet
from fedtailor.strategies.graph.shapes import layer_shapes

_OPSET = 20  # Gelu's first; ONNX Runtime 1.23, the oldest we run on, fuses less of what is newer
_ATTENTION_OPSET = 23  # Attention's first: half the time of MatMul, Softmax, MatMul, and of MultiHeadAttention
_IR_VERSION = 10

_FLOAT_ALONE = (LayerNorm, Attention)  # without integer kernels: ONNX Runtime can draw nothing through them
_EMITTERS = FLOAT_EMITTERS | QUANTISED_EMITTERS


def to_onnx(net: Net | QuantisedNet) -> bytes:
    """The serialised model: input "x" [N, *input_shape] float32 or int64, output "y" [N, ...] float32.

    Raises:
        PlanError: the layers do not fit each other.
    """
    shapes = layer_shapes(net)
    graph = Graph()
    values = [Value("x", net.input_shape)]
    for layer, wires, shape in zip(net.layers, net.wires, shapes[1:], strict=True):
        read = [values[wire] for wire in wires]
        if not isinstance(layer, EITHER_WAY):
            read = [graph.lower(value) for value in read]
        from_u8 = not isinstance(layer, _FLOAT_ALONE) and any(value.from_u8 or value.grid for value in read)
        values.append(replace(_EMITTERS[type(layer)](graph, layer, *read), shape=shape, from_u8=from_u8))
    graph.nodes.append(helper.make_node("Identity", [graph.dequantise(graph.lower(values[-1]))], ["y"]))
    kind = TensorProto.INT64 if net.tokens else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", kind, ["N", *net.input_shape])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", *shapes[-1]])]
    body = helper.make_graph(graph.nodes, "net", inputs, outputs, list(graph.constants.values()))
    attends = any(isinstance(layer, Attention) for layer in net.layers)
    return serialised(body, _ATTENTION_OPSET if attends else _OPSET)


def serialised(graph: onnx.GraphProto, opset: int = _OPSET) -> bytes:
    """A graph as the model file that every device of a fleet can read."""
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(CONTRIB, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="fedtailor")
    return model.SerializeToString()
