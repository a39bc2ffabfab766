"""The tensors of a model as one vector, and the vector as tensors again."""

from collections.abc import Sequence

import numpy as np

from fedtailor.protos.schema import Floats, Schema


def flatten(tensors: Sequence[Floats]) -> Floats:
    """All values, in the order of the tensors. [schema.size]."""
    return np.concatenate([np.zeros(0, np.float32), *(tensor.ravel() for tensor in tensors)])


def unflatten(vector: Floats, schema: Schema) -> list[Floats]:
    """The inverse; the tensors are views of `vector` [schema.size]."""
    parts = np.split(vector, np.cumsum(schema.sizes)[:-1]) if schema.names else []
    return [part.reshape(shape) for part, shape in zip(parts, schema.shapes, strict=True)]
