"""Updates over some coordinates only: which they are, and what the codec sees of them."""

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import KeptChannels, Mask
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import flatten, unflatten
from fedtailor.strategies.merge import Kept


def coordinates(outputs: Mask, schema: Schema, *, inputs: Mask | None = None) -> Kept:
    """The coordinates [schema.size] of the channels that are kept.

    outputs: per layer, what stays along the first axis of every tensor named `layer.…`. inputs: the same along the
    second axis of those that have one, for layers that read a narrower one.

    Raises:
        PlanError: a layer has no such tensor in the schema, another number of channels, or a channel out of range.
    """
    kept = {name: np.ones(shape, np.bool_) for name, shape in zip(schema.names, schema.shapes, strict=True)}
    for axis, mask in enumerate((outputs, inputs or Mask())):
        for entry in mask.layers:
            owned = [each for name, each in kept.items() if name.rpartition(".")[0] == entry.layer and each.ndim > axis]
            _drop_channels(owned, entry, axis)
    return np.concatenate([np.zeros(0, np.bool_), *(each.ravel() for each in kept.values())])


def narrow(context: Context, kept: Kept) -> Context:
    """The context of the kept coordinates [schema.size] alone: one flat tensor a layer, none where nothing is kept.

    Raises:
        PlanError: nothing is kept, or the mask is for another number of coordinates.
    """
    schema = context.schema
    if kept.shape != (schema.size,) or not kept.any():
        raise PlanError(
            f"mask: keeps {int(kept.sum())} of {kept.size} coordinates, expected at least 1 of {schema.size}"
        )
    counts = {name: int(part.sum()) for name, part in zip(schema.names, by_tensor(kept, schema.shapes), strict=True)}
    left = {name: (count,) for name, count in counts.items() if count}
    return Context(Schema(tuple(left), tuple(left.values())), context.base[kept], context.moved[kept])


def gather(tensors: Sequence[Floats], kept: Kept) -> list[Floats]:
    """The kept values, as the tensors of the narrow context."""
    parts = by_tensor(kept, (tensor.shape for tensor in tensors))
    return [tensor[part] for tensor, part in zip(tensors, parts, strict=True) if part.any()]


def scatter(narrowed: Sequence[Floats], kept: Kept, schema: Schema) -> list[Floats]:
    """The inverse: dense tensors in schema order, zeros where nothing is kept."""
    dense = np.zeros(schema.size, np.float32)
    dense[kept] = flatten(narrowed)
    return unflatten(dense, schema)


def by_tensor(kept: Kept, shapes: Iterable[tuple[int, ...]]) -> list[Kept]:
    """The mask of each tensor, in its shape: what the merge takes."""
    shapes = tuple(shapes)
    ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(kept, ends), shapes, strict=True)]


def _drop_channels(tensors: Sequence[Kept], entry: KeptChannels, axis: int) -> None:
    widths = {tensor.shape[axis] for tensor in tensors}
    if widths != {entry.total}:
        raise PlanError(
            f"mask: layer {entry.layer!r} has {sorted(widths) or 'no'} channels along axis {axis} in this model, the "
            f"mask counts {entry.total}; make it from this model"
        )
    if not all(0 <= channel < entry.total for channel in entry.kept):
        raise PlanError(f"mask: layer {entry.layer!r} keeps a channel outside 0 to {entry.total - 1}")
    gone = np.setdiff1d(np.arange(entry.total), entry.kept)
    for tensor in tensors:
        np.moveaxis(tensor, axis, 0)[gone] = False
