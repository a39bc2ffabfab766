import numpy as np

from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.flat import flatten, unflatten


def test_tensors_come_back_in_their_shapes_from_one_vector():
    schema = Schema(("a", "none", "b"), ((2, 3), (0,), ()))
    vector = np.arange(7, dtype=np.float32)
    tensors = unflatten(vector, schema)
    assert [each.tolist() for each in tensors] == [[[0, 1, 2], [3, 4, 5]], [], 6]
    assert (flatten(tensors) == vector).all()


def test_no_tensors_are_an_empty_vector():
    assert unflatten(flatten([]), Schema((), ())) == []
    assert flatten([]).dtype == np.float32
