from dataclasses import replace

import numpy as np
import pytest
import torch
from block_nets import BLOCKS, residual
from hypothesis import given, settings
from hypothesis.strategies import integers
from small_nets import GRAPHS, built_in, chains, graph, graphs, rows_for

from fedtailor.protos.mask import Mask
from fedtailor.strategies.graph.groups import channel_groups
from fedtailor.strategies.graph.narrow import narrowed
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.shapes import layer_shapes


def answers(net, x):
    with torch.no_grad():
        return realise(net)(torch.from_numpy(x)).numpy()


def silenced(net, kept):
    """The net, as wide as it was, whose layers no longer listen to the channels that were removed."""
    layers = {layer.name: layer for layer in net.layers}
    for group, channels in kept:
        for name, columns in group.columns.items():
            weight = layers[name].weight.copy()
            gone = np.setdiff1d(np.arange(group.channels), channels)
            weight.reshape(len(weight), -1)[:, columns[gone].ravel()] = 0
            layers[name] = replace(layers[name], weight=weight)
    return replace(net, layers=tuple(layers.values()))


def some_of_each(net, rng):
    return [(g, np.sort(rng.permutation(g.channels)[: rng.integers(1, g.channels + 1)])) for g in channel_groups(net)]


def assert_same_answers(net, rng):
    kept = some_of_each(net, rng)
    x = rows_for(net, 4)
    narrow, mask = narrowed(net, kept)
    assert layer_shapes(narrow)[-1] == layer_shapes(net)[-1]
    np.testing.assert_allclose(answers(narrow, x), answers(silenced(net, kept), x), rtol=1e-3, atol=1e-4)
    return narrow, mask


@given(net=graphs() | chains(), seed=integers(0, 2**16))
@settings(max_examples=60)
def test_removing_channels_equals_not_listening_to_them(net, seed):
    assert_same_answers(net, np.random.default_rng(seed))


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("seed", range(8))
def test_blocks_of_every_kind_lose_channels_and_answer_as_if_they_were_silent(name, seed):
    rng = np.random.default_rng(seed)
    assert_same_answers(BLOCKS[name](rng), rng)


@pytest.mark.parametrize("name", GRAPHS)
def test_traced_modules_lose_channels_and_answer_as_if_they_were_silent(name):
    net = graph(name)
    _, mask = assert_same_answers(net, np.random.default_rng(0))
    assert mask.layers


@pytest.mark.parametrize("name", ["conv1d", "conv2d strided", "next-token", "mlp"])
def test_built_in_models_lose_channels_and_answer_as_if_they_were_silent(name):
    assert_same_answers(built_in(name)[1], np.random.default_rng(0))


def test_attention_loses_whole_heads():
    rng = np.random.default_rng(0)
    net = BLOCKS["transformer"](rng)
    heads = channel_groups(net)[0]
    narrow, mask = narrowed(net, [(heads, np.array([1, 3]))])
    layers = {layer.name: layer for layer in narrow.layers}
    assert layers["attention"].heads == 2
    assert layers["v"].weight.shape == (4, 6)
    assert {entry.layer: entry.kept for entry in mask.layers}["k"] == (2, 3, 6, 7)


def test_the_mask_names_every_layer_that_gives_less():
    net = residual(np.random.default_rng(0))
    stem = channel_groups(net)[0]
    mask = narrowed(net, [(stem, np.array([0, 4]))])[1]
    assert [(entry.layer, entry.total, entry.kept) for entry in mask.layers] == [
        ("stem", 6, (0, 4)),
        ("one.out", 6, (0, 4)),
    ]


def test_a_depthwise_convolution_has_as_many_groups_as_channels():
    net = BLOCKS["mobile"](np.random.default_rng(0))
    wide = channel_groups(net)[0]
    narrow = narrowed(net, [(wide, np.array([2, 3, 5]))])[0]
    deep = next(layer for layer in narrow.layers if layer.name == "deep")
    assert (deep.groups, deep.weight.shape) == (3, (6, 1, 3, 3))


def test_scales_of_coded_rows_go_with_their_rows():
    net = residual(np.random.default_rng(0))
    stem = replace(net.layers[1], scales=np.arange(1, 7, dtype=np.float32))
    net = replace(net, layers=(net.layers[0], stem, *net.layers[2:]))
    narrow = narrowed(net, [(channel_groups(net)[0], np.array([1, 5]))])[0]
    assert narrow.layers[1].scales.tolist() == [2, 6]


def test_nothing_removed_is_the_same_net():
    net = residual(np.random.default_rng(0))
    narrow, mask = narrowed(net, [])
    assert mask == Mask()
    assert all(one is other for one, other in zip(narrow.layers, net.layers, strict=True))
