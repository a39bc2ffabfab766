from small_nets import built_in, graph

from fedtailor.strategies.graph.segments import segments


def names(net):
    return {piece.layer.name: [layer.name for layer in piece.after] for piece in segments(net)}


def test_a_layer_takes_its_activation_and_pool_along():
    net = built_in("conv2d")[1]
    assert names(net) == {
        "conv1": ["relu1", "pool1"],
        "conv2": ["relu2", "pool2"],
        "conv3": ["relu3", "average"],
        "head": [],
    }


def test_what_two_layers_read_ends_a_segment():
    net = graph("residual series")
    reads = [value for wires in net.wires for value in wires]
    for piece in segments(net):
        place = net.layers.index(piece.layer)
        assert net.wires[place][0] == piece.reads
        for layer in piece.after:
            at = net.layers.index(layer)
            assert all(reads.count(value) == 1 for value in net.wires[at])
