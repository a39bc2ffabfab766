import numpy as np
import pytest
import torch
from small_nets import GRAPHS, SPECS, built_in, graph, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Activation, Add, Linear, Net
from fedtailor.strategies.compression.students import shallower, students
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.train_memory import parameter_count


def net_named(name):
    return built_in(name)[1] if name in SPECS else graph(name)


@pytest.mark.parametrize("name", [*SPECS, *GRAPHS])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_students_are_small_enough_and_answer_in_the_same_shape(name, share):
    net = net_named(name)
    found = students(net, rows_for(net, 24), share)
    for student, mask in found:
        assert {entry.layer for entry in mask.layers if not entry.kept} == set(_weighted(net)) - set(_weighted(student))
        assert parameter_count(student) <= share * parameter_count(net)
        assert layer_shapes(student)[-1] == layer_shapes(net)[-1]
        assert set(_weighted(student)) <= set(_weighted(net))
    depths = [len(student.layers) for student, _ in found]
    assert depths == sorted(depths, reverse=True)
    assert len(set(depths)) == len(depths)


@pytest.mark.parametrize("name", [name for name in SPECS if name != "mlp"])
def test_there_is_one_of_a_tenth_that_uses_most_of_it(name):
    _, net = built_in(name)
    found = students(net, rows_for(net, 24), 0.1)
    assert max(parameter_count(student) for student, _ in found) > 0.08 * parameter_count(net)


def test_the_whole_net_is_its_own_widest_student():
    _, net = built_in("mlp")
    assert students(net, rows_for(net, 8), 1.0)[0] == (net, Mask())


def test_a_layer_of_one_shape_goes_with_its_activation():
    _, net = built_in("mlp")
    (fewer,) = shallower(net)
    assert _names(fewer) == ["standardise", "fc1", "relu1", "head"]


def test_a_residual_branch_goes_whole_and_what_it_read_takes_its_place():
    eye = np.eye(3, dtype=np.float32)
    branch = [Linear("wide", np.ones((5, 3), np.float32), np.zeros(5, np.float32)), Activation("act", "relu")]
    back = Linear("back", np.ones((3, 5), np.float32), np.zeros(3, np.float32))
    layers = (Linear("stem", 2 * eye, np.zeros(3, np.float32)), *branch, back, Add("add"), Activation("end", "relu"))
    net = Net((3,), False, layers, ((0,), (1,), (2,), (3,), (1, 4), (5,)))
    menus = {tuple(_names(fewer)): fewer for fewer in shallower(net)}
    assert ("stem", "end") in menus
    assert menus["stem", "end"].wires == ((0,), (1,))
    assert ("wide", "act", "back", "add", "end") in menus  # without the stem the sample itself is added


@pytest.mark.parametrize("name", GRAPHS)
def test_every_shallower_graph_can_be_computed(name):
    net = graph(name)
    x = torch.from_numpy(rows_for(net, 3))
    for fewer in shallower(net):
        assert len(fewer.layers) < len(net.layers)
        assert realise(fewer)(x).shape == realise(net)(x).shape


def test_what_cannot_be_is_said():
    _, net = built_in("mlp")
    x = rows_for(net, 8)
    with pytest.raises(ValueError, match="above 0 and at most 1, got 0"):
        students(net, x, 0)
    with pytest.raises(PlanError, match="samples to calibrate on are needed"):
        students(net, x[:0], 0.5)
    with pytest.raises(PlanError, match="no student of this model has at most 5 parameters"):
        students(net, x, 0.001)


def _names(net):
    return [layer.name for layer in net.layers]


def _weighted(net):
    return [layer.name for layer in net.layers if hasattr(layer, "weight")]
