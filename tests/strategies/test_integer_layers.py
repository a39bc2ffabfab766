import numpy as np
import pytest

from fedtailor.protos.net import Activation, Add, Concat, Conv, Flatten, LayerNorm, Linear, MaxPool, Net
from fedtailor.strategies.integer.integer_layers import integer_layers


def conv(name):
    return Conv(name, np.ones((2, 2, 3), np.float32), np.zeros(2, np.float32), (1,), ((1, 1),), (1,), 1)


def linear(name, size=4):
    return Linear(name, np.eye(size, dtype=np.float32), np.zeros(size, np.float32))


def norm(name):
    return LayerNorm(name, np.ones(4, np.float32), np.zeros(4, np.float32), 1e-5)


def relu(name):
    return Activation(name, "relu")


def computed(layers, wires=(), floats=()):
    found = integer_layers(Net((2, 4), False, layers, wires), floats)
    return "".join("i" if each else "f" for each in found.integer), dict(found.clipped)


def test_a_relu_ends_the_grid_of_the_layer_before_it_also_through_a_pool():
    pool = MaxPool("p", (2,), (1,))
    assert computed((conv("a"), relu("r"), conv("b"))) == ("iii", {1: 0})
    assert computed((conv("a"), pool, relu("r"), conv("b"))) == ("iiii", {2: 0})
    assert computed((conv("a"), Activation("r", "relu6"), conv("b"))) == ("iii", {1: 0})
    assert computed((conv("a"), Activation("g", "gelu"), conv("b"))) == ("iii", {})


def test_of_several_relus_in_a_row_each_ends_the_grid():
    pool, relu6 = MaxPool("p", (2,), (1,)), Activation("six", "relu6")
    assert computed((conv("a"), relu("r"), pool, relu6, conv("b"))) == ("iiiii", {1: 0, 3: 0})
    assert computed((conv("a"), relu6, relu("r"), conv("b"))) == ("iiii", {1: 0, 2: 0})


def test_a_relu_beside_another_reader_is_a_layer_of_its_own():
    layers = (conv("a"), relu("r"), Add("s"), conv("b"))
    assert computed(layers, ((0,), (1,), (1, 2), (3,))) == ("iiii", {})


def test_the_last_linear_layer_and_what_follows_it_answer_in_float():
    found = integer_layers(Net((4,), False, (linear("a"), relu("r"), linear("b"), relu("s"))), ())
    assert found.integer == (True, True, True, False)
    assert found.u8 == (False, True, True, False, False)


def test_a_sum_that_only_float_layers_read_is_in_float():
    wires = ((0,), (1,), (2,), (0, 3), (4,), (5,))
    assert computed((norm("n"), linear("a"), linear("b"), Add("s"), norm("m"), linear("c")), wires)[0] == "fiiffi"


def test_a_sum_of_integer_layers_that_an_integer_layer_reads_is_in_integers():
    assert computed((conv("a"), conv("b"), Add("s"), conv("c")), ((0,), (0,), (1, 2), (3,)))[0] == "iiii"
    assert computed((conv("a"), Concat("s", 1), Flatten("f"), linear("l", 16)), ((0,), (0, 1), (2,), (3,)))[0] == "iiii"


def test_a_function_of_what_is_float_stays_float():
    assert computed((norm("n"), Activation("g", "gelu"), linear("a")))[0] == "ffi"
    assert computed((linear("a"), Activation("g", "gelu"), norm("n"), linear("b")))[0] == "iffi"


@pytest.mark.parametrize(("floats", "want"), [(("b",), "iifi"), (("a",), "fiii"), (("r",), "iiii")])
def test_a_named_layer_is_in_float_and_its_neighbours_are_not(floats, want):
    found, _ = computed((conv("a"), relu("r"), conv("b"), conv("c")), floats=floats)
    assert found == (want if floats != ("a",) else "ffii")
