from pathlib import Path

import numpy as np
import pytest
from small_nets import GRAPHS, built_in, graph, rows_for

from fedtailor.client import latency_table
from fedtailor.client.latency_table import LatencyTable
from fedtailor.client.store import DeviceStore
from fedtailor.protos.net import Conv, Linear


@pytest.fixture
def runs(monkeypatch):
    """What was timed, an entry for each figure; every model runs once, and all take 5 µs."""
    taken = []

    def once(runs, *, seconds):
        for run in runs:
            run()
        taken.append(len(runs))
        return (5.0,) * len(runs)

    monkeypatch.setattr(latency_table, "alternating", once)
    return taken


def test_what_is_in_the_store_is_not_measured_again(tmp_path: Path, runs):
    net = built_in("conv2d")[1]
    store = DeviceStore(tmp_path)
    first = LatencyTable(store).latencies(net, rows_for(net, 8))
    measured = len(runs)
    again = LatencyTable(store).latencies(net, rows_for(net, 8))
    assert measured > 0
    assert len(runs) == measured
    assert again.layers.keys() == first.layers.keys()
    assert again.rest_us == first.rest_us


def test_layers_of_one_shape_are_measured_once(runs):
    table = LatencyTable()
    table.latencies(built_in("conv2d", seed=0)[1], rows_for(built_in("conv2d")[1], 8))
    measured = len(runs)
    table.latencies(built_in("conv2d", seed=1)[1], rows_for(built_in("conv2d")[1], 8))
    assert len(runs) == measured


@pytest.mark.parametrize("name", GRAPHS)
def test_every_layer_of_a_graph_has_its_grid(name, runs):
    net = graph(name)
    found = LatencyTable().latencies(net, rows_for(net, 8))
    weighted = {layer.name: layer for layer in net.layers if isinstance(layer, Conv | Linear)}
    assert found.layers.keys() == weighted.keys()
    for layer_name, grid in found.layers.items():
        shape = weighted[layer_name].weight.shape
        assert (grid.rows[-1], grid.columns[-1]) == shape[:2]
        assert grid.float_us.shape == grid.integer_us.shape == (len(grid.rows), len(grid.columns))


def test_no_layer_takes_less_than_a_smaller_one():
    net = built_in("conv2d")[1]
    found = LatencyTable().latencies(net, rows_for(net, 8))
    grid = found.layers["conv2"]
    for us in (grid.float_us, grid.integer_us):
        assert (np.diff(us, axis=0) >= 0).all()
        assert (np.diff(us, axis=1) >= 0).all()
        assert us[-1, -1] > 0
    assert min(found.rest_us) >= 0


@pytest.mark.parametrize(("ratio", "block"), [(1.0, 16), (1.6, 8)])
def test_the_block_is_the_most_channels_that_take_no_longer(monkeypatch, ratio, block):
    table = LatencyTable()
    monkeypatch.setattr(table, "_net_us", lambda net, rows, integer: ratio if len(net.layers[0].weight) == 16 else 1.0)
    assert table._block() == block
