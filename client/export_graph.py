"""An ONNX graph in the making: nodes, constants, and the values that run between them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from fedtailor.protos.quantised_net import Grid
from fedtailor.strategies.graph.shapes import Shape

CONTRIB = "com.microsoft"  # ONNX Runtime's own operators


@dataclass(frozen=True)
class Value:
    """What runs between two nodes: its name, one sample's shape, and its grid where it is u8.

    `lifted`: [C, time] is held as [C, 1, time]. `from_u8`: it is float32 that was computed from u8 by
    layers that ONNX Runtime has integer kernels for.
    """

    name: str
    shape: Shape
    grid: Grid | None = None
    lifted: bool = False
    from_u8: bool = False


class Graph:
    """Nodes and constants in the making. A value that several nodes read stays as it is for each of them: what a
    reader needs otherwise (lifted, lowered, in float32) is one more value, and ONNX Runtime makes equal ones once."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, values: NDArray[np.generic], name: str) -> str:
        """The name of a constant; one that is asked for again is stored once."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def node(self, operator: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> str:
        """Append a node; the name of its output."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def transpose(self, value: str, *axes: int) -> str:
        return self.node("Transpose", [value], perm=axes)

    def squeeze(self, value: str, *axes: int) -> str:
        return self.node("Squeeze", [value, self._axes(*axes)])

    def reshape(self, value: str, sample: Shape) -> str:
        """The value as samples of this shape."""
        return self.node("Reshape", [value, self.constant(np.array((-1, *sample), np.int64), f"shape:{sample}")])

    def zero_point(self, grid: Grid) -> str:
        return self.constant(np.array(grid.zero_point, np.uint8), f"zero:{grid.zero_point}")

    def grid(self, grid: Grid) -> list[str]:
        """Scale and zero point as constants."""
        return [self.constant(np.array(grid.scale, np.float32), f"scale:{grid.scale!r}"), self.zero_point(grid)]

    def quantise(self, value: str, grid: Grid) -> str:
        """In ONNX Runtime's own domain, as `dequantise`: there the operator is of one version, whatever the opset."""
        return self.node("QuantizeLinear", [value, *self.grid(grid)], domain=CONTRIB)

    def dequantise(self, value: Value) -> str:
        """The name of the value in float32."""
        if value.grid is None:
            return value.name
        return self.node("DequantizeLinear", [value.name, *self.grid(value.grid)], domain=CONTRIB)

    def lift(self, value: Value) -> Value:
        """Series as pictures of height 1: ORT has its fast blocked fp32 kernels for two axes only."""
        if value.lifted or len(value.shape) != 2:
            return value
        return replace(value, name=self.node("Unsqueeze", [value.name, self._axes(2)]), lifted=True)

    def lower(self, value: Value) -> Value:
        """Series as series again."""
        return replace(value, name=self.squeeze(value.name, 2), lifted=False) if value.lifted else value

    def alike(self, values: tuple[Value, ...]) -> tuple[Value, ...]:
        """Values of one rank held in one way: all lifted, or none."""
        return tuple(map(self.lift, values)) if any(value.lifted for value in values) else values

    def rows(self, value: Value) -> Value:
        """[N, ..., C] as [N · ..., C]."""
        if len(value.shape) == 1:
            return value
        return replace(value, name=self.reshape(value.name, value.shape[-1:]))

    def unrolled(self, rows: Value, around: Shape, width: int) -> Value:
        """[N · around, width] as [N, *around, width]."""
        return replace(rows, name=self.reshape(rows.name, (*around, width))) if around else rows

    def _axes(self, *axes: int) -> str:
        return self.constant(np.array(axes, np.int64), f"axes:{axes}")
