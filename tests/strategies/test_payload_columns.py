import numpy as np
import pytest

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.net import Function
from fedtailor.protos.quantised_net import Grid, Int8s, Int32s
from fedtailor.protos.schema import Floats
from fedtailor.strategies.payload.number_code import NumberReader, NumberWriter
from fedtailor.strategies.payload.payload_bytes import FactReader, FactWriter
from fedtailor.strategies.payload.payload_columns import COLUMNS, Input, Output

GRIDS = [Grid(0.25, 3), None, Grid(float(np.float32(0.1)), 255)]


def written(kind, values):
    output = Output(FactWriter(), NumberWriter())
    COLUMNS[kind].write(output, values)
    return bytes(output.facts.body), output.numbers.finish()


def read(kind, facts, numbers, count):
    return list(COLUMNS[kind].read(Input(FactReader(facts), NumberReader(numbers)), count))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (int, [0, 127, 128, 2**34]),
        (bool, [True, False]),
        (str, ["head", "", "größe"]),
        (float, [1e-5, 1 / 3, 0.0]),
        (Function, ["relu", "tanh", "relu"]),
        (tuple[int, ...], [(), (3,), (1, 1000)]),
        (tuple[tuple[int, int], ...], [(), ((0, 4),), ((1, 2), (3, 4))]),
        (Grid, GRIDS),
    ],
)
def test_facts_of_every_type_come_back(kind, values):
    assert read(kind, *written(kind, values), len(values)) == values


def test_the_index_of_a_function_is_on_the_wire():
    names = ["relu", "relu6", "hardswish", "gelu", "silu", "sigmoid", "tanh"]
    assert written(Function, names)[0] == bytes(range(7))


def test_arrays_floats_integers_and_none_stand_in_one_column():
    arrays = [np.ones((2, 3), np.float32), None, np.array([[1, -2]])]
    back = read(Floats, *written(Floats, arrays), 3)
    assert back[1] is None
    for array, other in ((arrays[0], back[0]), (arrays[2], back[2])):
        assert (array.dtype, array.tobytes()) == (other.dtype, other.tobytes())


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Int8s, [np.array([128])], "int8 reaches from 128 to 128"),
        (Int8s, [np.ones(2, np.float32)], "int8, got no integers"),
        (Int32s, [None], "int32, got no integers"),
    ],
)
def test_an_array_of_another_type_is_a_decode_error(kind, values, message):
    with pytest.raises(DecodeError, match=message):
        read(kind, *written(kind, values), 1)


def test_padding_with_an_odd_number_of_sides_is_a_decode_error():
    with pytest.raises(DecodeError, match="got 3 sides"):
        read(tuple[tuple[int, int], ...], *written(tuple[int, ...], [(1, 2, 3)]), 1)
