import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.activity import CLASSES, FEWEST, class_count, classes_of, expected

SCHEMA = Schema(("conv", "bias", "gate", "head"), ((20, 30, 3, 3), (20,), (0, 4), (10, 40)))
shapes = st.lists(st.lists(st.integers(0, 40), max_size=3).map(tuple), max_size=4)


def test_rows_and_columns_of_enough_coordinates_have_a_class():
    assert class_count(SCHEMA) == 20 + 30 + 1 + 10
    assert class_count(Schema(("few",), ((50, FEWEST - 1),))) == 1


@given(shapes=shapes, seed=st.integers(0, 99))
def test_every_coordinate_of_every_schema_gets_an_octave(shapes, seed):
    schema = Schema(tuple(map(str, range(len(shapes)))), tuple(shapes))
    magnitudes = np.random.default_rng(seed).integers(0, 256, schema.size).astype(np.uint8)
    classes = classes_of(magnitudes, schema)
    octaves = expected(classes, schema)
    assert classes.size == class_count(schema)
    assert octaves.size == schema.size
    assert octaves.max(initial=0) < CLASSES


def test_an_octave_is_that_of_the_row_times_that_of_the_column():
    schema = Schema(("w",), ((64, 66),))
    rows, columns = np.repeat([0.5, 2.0], 32), np.tile([2.0, 0.5, 0.5], 22)
    means = np.outer(rows, columns)
    magnitudes = np.random.default_rng(0).poisson(means).astype(np.uint8)
    octaves = expected(classes_of(magnitudes.ravel(), schema), schema).reshape(64, 66)
    assert np.mean(octaves == 8 + np.log2(means)) > 0.8


def test_tensors_of_one_mean_share_an_octave():
    schema = Schema(("a", "b"), ((64, 64), (100,)))
    octaves = expected(classes_of(np.ones(schema.size, np.uint8), schema), schema)
    assert set(octaves.tolist()) == {8}


def test_a_single_outlier_does_not_speak_for_its_row():
    schema, magnitudes = Schema(("w",), ((64, 256),)), np.zeros((64, 256), np.uint8)
    magnitudes[3, 5] = 255
    assert expected(classes_of(magnitudes.ravel(), schema), schema).reshape(64, 256)[3, 0] < 6


def test_an_unknown_class_is_refused():
    with pytest.raises(DecodeError, match="class 12 came, known are 0 to 11"):
        expected(np.full(class_count(SCHEMA), CLASSES, np.uint8), SCHEMA)
