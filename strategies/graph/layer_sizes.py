"""How many rows and columns each weight matrix of a net has, by how many channels of each group are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from fedtailor.protos.net import Conv, Embedding, Linear, Net, Positions
from fedtailor.strategies.graph.groups import Group, Indices
from fedtailor.strategies.graph.shapes import layer_shapes

Kept = Mapping[str, Indices] | Mapping[str, int]


@dataclass(frozen=True)
class Extent:
    """`full` rows or columns of the dense layer: `fixed` ones, and `per_channel` for every channel of a group."""

    full: int
    fixed: int
    per_channel: Mapping[str, int]

    def size(self, kept: Kept) -> Indices | int:
        """Rows or columns where so many channels are kept, by group; arrays are broadcast."""
        return self.fixed + sum(per * kept[name] for name, per in self.per_channel.items())


@dataclass(frozen=True)
class LayerSize:
    """A weight matrix flattened to [rows, columns]; of a table of symbols or positions, rows are what is read."""

    rows: Extent
    columns: Extent

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that change its size."""
        return tuple(dict.fromkeys([*self.columns.per_channel, *self.rows.per_channel]))


def layer_sizes(net: Net, groups: Sequence[Group]) -> dict[str, LayerSize]:
    """By name of the layer; `groups` are those of `channel_groups`."""
    sizes = {}
    for layer in net.layers:
        shape = _shape(layer)
        if shape:
            rows = {group.name: group.rows[layer.name].shape for group in groups if layer.name in group.rows}
            columns = {group.name: group.columns[layer.name].shape for group in groups if layer.name in group.columns}
            sizes[layer.name] = LayerSize(_extent(shape[0], rows), _extent(shape[1], columns))
    return sizes


def _shape(layer: object) -> tuple[int, int] | None:
    if isinstance(layer, Conv | Linear):
        return len(layer.weight), layer.weight[0].size
    if isinstance(layer, Embedding | Positions):
        return layer.table.shape[1], layer.table.shape[0]
    return None


def _extent(size: int, shapes: Mapping[str, tuple[int, ...]]) -> Extent:
    owned = sum(channels * per for channels, per in shapes.values())
    return Extent(size, size - owned, {name: per for name, (_, per) in shapes.items()})


def output_places(net: Net) -> dict[str, int]:
    """How many values each row of a layer answers per sample: 1, the length of a series, or the area of a picture."""
    shapes = layer_shapes(net)[1:]
    named = [(layer, shape) for layer, shape in zip(net.layers, shapes, strict=True) if _shape(layer)]
    return {layer.name: prod(shape[1:] if isinstance(layer, Conv) else shape[:-1]) for layer, shape in named}
