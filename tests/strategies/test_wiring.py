from fedtailor.protos.net import Activation, Add, Net
from fedtailor.strategies.graph.wiring import readers


def test_readers_of_each_value_are_in_order_and_named_once():
    layers = (Activation("a", "relu"), Add("b"), Add("c"))
    assert readers(Net((3,), False, layers, ((0,), (0, 1), (1, 1)))) == ((0, 1), (1, 2), (), ())


def test_a_chain_is_what_no_wires_mean():
    net = Net((3,), False, (Activation("a", "relu"), Activation("b", "relu")))
    assert readers(net) == ((0,), (1,), ())
