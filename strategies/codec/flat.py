"""The tensors of a model as one vector, and the vector as tensors again."""

from collections.abc import Sequence

import numpy as np

from fedtailor.protos.schema import Floats, Schema
from fedtailor.strategies.merge.sparse import Sparse


def flatten(tensors: Sequence[Floats]) -> Floats:
    """All values, in the order of the tensors. [schema.size]."""
    return np.concatenate([np.zeros(0, np.float32), *(tensor.ravel() for tensor in tensors)])


def unflatten(vector: Floats, schema: Schema) -> list[Floats]:
    """The inverse; the tensors are views of `vector` [schema.size]."""
    parts = np.split(vector, np.cumsum(schema.sizes)[:-1]) if schema.names else []
    return [part.reshape(shape) for part, shape in zip(parts, schema.shapes, strict=True)]


def dense(update: Sparse, schema: Schema) -> list[Floats]:
    """A sparse delta as tensors in schema order, zeros where nothing was sent."""
    vector = np.zeros(schema.size, np.float32)
    vector[update.positions] = update.values
    return unflatten(vector, schema)
