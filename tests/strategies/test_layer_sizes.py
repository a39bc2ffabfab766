import numpy as np
import pytest
from small_nets import GRAPHS, SPECS, built_in, graph, rows_for

from fedtailor.protos.net import Conv, Embedding, Linear, Positions
from fedtailor.strategies.compression.prune import prune
from fedtailor.strategies.graph.groups import channel_groups
from fedtailor.strategies.graph.layer_sizes import layer_sizes, output_places
from fedtailor.strategies.graph.shapes import layer_shapes


def nets():
    return [*(pytest.param(graph(name), id=name) for name in GRAPHS), *(built_in(name)[1] for name in SPECS)]


@pytest.mark.parametrize("net", nets())
def test_sizes_are_those_of_the_net_that_is_pruned(net):
    groups = channel_groups(net)
    keep = {group.name: max(group.channels // 2, 1) for group in groups}
    pruned, _ = prune(net, rows_for(net, 12), keep)
    sizes = layer_sizes(net, groups)
    for layer in pruned.layers:
        if isinstance(layer, Conv | Linear):
            assert sizes[layer.name].rows.size(keep) == len(layer.weight)
            assert sizes[layer.name].columns.size(keep) == layer.weight[0].size
        elif isinstance(layer, Embedding | Positions):
            assert (sizes[layer.name].columns.size(keep), sizes[layer.name].rows.size(keep)) == layer.table.shape


def test_a_size_follows_arrays_of_channels():
    net = built_in("conv2d")[1]
    columns = layer_sizes(net, channel_groups(net))["conv2"].columns
    np.testing.assert_array_equal(columns.size({"conv1": np.array([32, 10, 1])}), [288, 90, 9])


def test_places_are_all_values_of_an_answer_beside_its_rows():
    net = built_in("next-token")[1]
    shapes = dict(zip((layer.name for layer in net.layers), layer_shapes(net)[1:], strict=True))
    for name, places in output_places(net).items():
        rows = layer_sizes(net, ())[name].rows.full
        assert rows * places == np.prod(shapes[name])
