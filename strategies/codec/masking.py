"""Updates over some coordinates only: which they are, and what the codec sees of them."""

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import KeptChannels, Mask
from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.flat import flatten, unflatten
from fedtailor.strategies.merge.sparse import Kept, Sparse


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
    return joined(kept.values())


def narrow(context: Context, kept: Kept) -> Context:
    """The context of the kept coordinates [schema.size] alone: a tensor in its shape where it is kept whole, flat where
    it is in part, none where nothing is.

    Raises:
        PlanError: nothing is kept, or the mask is for another number of coordinates.
    """
    schema = context.schema
    if kept.shape != (schema.size,) or not kept.any():
        raise PlanError(
            f"mask: keeps {int(kept.sum())} of {kept.size} coordinates, expected at least 1 of {schema.size}"
        )
    parts = zip(schema.names, by_tensor(kept, schema.shapes), strict=True)
    left = {name: part.shape if part.all() else (int(part.sum()),) for name, part in parts if part.any()}
    return Context(Schema(tuple(left), tuple(left.values())), context.base[kept], context.moved[kept])


def gather(tensors: Sequence[Floats], kept: Kept) -> list[Floats]:
    """The kept values, as the tensors of the narrow context."""
    parts = by_tensor(kept, (tensor.shape for tensor in tensors))
    pairs = zip(tensors, parts, strict=True)
    return [tensor if part.all() else tensor[part] for tensor, part in pairs if part.any()]


def scatter(narrowed: Sequence[Floats] | Sparse, kept: Kept, schema: Schema) -> list[Floats] | Sparse:
    """The inverse: what was sparse stays so; else dense tensors in schema order, zeros where nothing is kept."""
    if isinstance(narrowed, Sparse):
        return Sparse(np.flatnonzero(kept)[narrowed.positions], narrowed.values)
    dense = np.zeros(schema.size, np.float32)
    dense[kept] = flatten(narrowed)
    return unflatten(dense, schema)


def by_tensor(kept: Kept, shapes: Iterable[tuple[int, ...]]) -> list[Kept]:
    """The mask of each tensor, in its shape: what the merge takes."""
    shapes = tuple(shapes)
    ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(kept, ends), shapes, strict=True)]


def joined(parts: Iterable[Kept]) -> Kept:
    """The inverse of `by_tensor`."""
    return np.concatenate([np.zeros(0, np.bool_), *(part.ravel() for part in parts)])


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
