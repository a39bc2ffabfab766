from dataclasses import replace

import numpy as np
import pytest
from block_nets import BLOCKS, branches, convolution, linear, mobile, residual, transformer

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Add, ChannelsFirst, Concat, Conv, Flatten, GlobalAveragePool, Linear, MaxPool, Net
from fedtailor.strategies.graph.groups import channel_groups


def members(net):
    """By group, the layers that carry it and those that read it."""
    return {group.name: (set(group.rows), set(group.columns)) for group in channel_groups(net)}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_residual_add_ties_what_it_adds(rng):
    assert members(residual(rng)) == {
        "stem": ({"stem", "one.out"}, {"one.in", "two.in", "two.short"}),
        "one.in": ({"one.in"}, {"one.out"}),
        "two.in": ({"two.in"}, {"two.out"}),
        "two.out": ({"two.out", "two.short"}, {"head"}),
    }


def test_a_depthwise_convolution_follows_its_producer_with_all_outputs_of_a_channel(rng):
    wide, thin = channel_groups(mobile(rng))
    assert (wide.name, thin.name) == ("wide", "thin")
    assert wide.rows["deep"].tolist() == np.arange(12).reshape(6, 2).tolist()
    assert wide.columns["thin"].tolist() == np.arange(12).reshape(6, 2).tolist()


def test_an_affine_and_a_flattened_channel_follow_their_producer(rng):
    thin = channel_groups(mobile(rng))[1]
    assert set(thin.rows) == {"thin", "rescale"}
    assert thin.columns["head"].tolist() == np.arange(45).reshape(9, 5).T.tolist()


def test_a_flattened_picture_gives_each_channel_a_run_of_columns(rng):
    layers = (ChannelsFirst("first"), convolution(rng, "conv", 2, 4), Flatten("flat"), linear(rng, "head", 36, 2))
    (group,) = channel_groups(Net((3, 3, 2), False, layers))
    assert group.columns["head"].tolist() == np.arange(36).reshape(4, 9).tolist()


def test_a_concatenation_gives_groups_of_their_own_side_by_side(rng):
    layers = (
        ChannelsFirst("first"),
        convolution(rng, "a", 2, 3),
        convolution(rng, "b", 2, 4),
        Concat("side", 0),
        GlobalAveragePool("average"),
        linear(rng, "head", 7, 2),
    )
    a, b = channel_groups(Net((4, 4, 2), False, layers, ((0,), (1,), (1,), (2, 3), (4,), (5,))))
    assert a.columns["head"].ravel().tolist() == [0, 1, 2]
    assert b.columns["head"].ravel().tolist() == [3, 4, 5, 6]


def test_a_concatenation_that_is_added_ties_each_part_to_its_own_rows(rng):
    point, wide, mixed = channel_groups(branches(rng))
    assert point.rows["all"].ravel().tolist() == [2, 3, 4]  # the first two are added to the input's, and stay
    assert wide.rows["all"].ravel().tolist() == [5, 6, 7, 8]
    assert set(mixed.rows) == {"mixed"}


def test_a_value_read_twice_by_one_layer_owns_both_columns(rng):
    layers = (linear(rng, "fc", 3, 4), Concat("twice", 0), linear(rng, "head", 8, 2))
    (group,) = channel_groups(Net((3,), False, layers, ((0,), (1, 1), (2,))))
    assert group.columns["head"].tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_layer_norm_keeps_the_stream_whole_and_heads_go_as_one(rng):
    found = members(transformer(rng))
    assert found == {"q": ({"q", "k", "v", "attention"}, {"out"}), "up": ({"up"}, {"down"})}
    heads = channel_groups(transformer(rng))[0]
    assert heads.channels == 4
    assert heads.rows["k"].tolist() == np.arange(8).reshape(4, 2).tolist()
    assert heads.rows["attention"].tolist() == [[0], [1], [2], [3]]


def test_a_stream_without_layer_norm_is_one_group_with_its_embedding_and_positions(rng):
    stream = members(transformer(rng, normed=False))["embed"]
    assert stream == ({"embed", "positions", "out", "down"}, {"q", "k", "v", "up", "head"})


def test_the_answer_and_the_sample_keep_their_channels(rng):
    layers = (ChannelsFirst("first"), convolution(rng, "a", 2, 2), Add("add"), convolution(rng, "b", 2, 3))
    assert channel_groups(Net((4, 4, 2), False, layers, ((0,), (1,), (1, 2), (3,)))) == ()


def test_grouped_convolutions_keep_what_they_read_and_what_they_give(rng):
    layers = (
        ChannelsFirst("first"),
        convolution(rng, "before", 2, 4),
        convolution(rng, "grouped", 4, 4, groups=2),
        convolution(rng, "after", 4, 3),
        GlobalAveragePool("average"),
        linear(rng, "head", 3, 2),
    )
    assert set(members(Net((4, 4, 2), False, layers))) == {"after"}


def test_channels_along_another_axis_than_a_layer_reads_stay(rng):
    layers = (
        ChannelsFirst("first"),
        Conv("conv", np.ones((4, 2, 3), np.float32), np.zeros(4, np.float32), (1,), ((1, 1),), (1,), 1),
        linear(rng, "along time", 5, 2),
        Flatten("flat"),
        linear(rng, "head", 8, 2),
    )
    assert set(members(Net((5, 2), False, layers))) == {"along time"}


def test_nets_without_weights_or_with_one_channel_have_no_groups(rng):
    assert channel_groups(Net((4, 4, 2), False, (ChannelsFirst("first"), MaxPool("pool", (2, 2), (2, 2))))) == ()
    assert channel_groups(Net((3,), False, (linear(rng, "fc", 3, 1), linear(rng, "head", 1, 2)))) == ()


@pytest.mark.parametrize("name", BLOCKS)
def test_groups_share_no_row_and_no_column(rng, name):
    groups = channel_groups(BLOCKS[name](rng))
    for part in ("rows", "columns"):
        owned = [(layer, at) for group in groups for layer, ats in getattr(group, part).items() for at in ats.flat]
        assert len(owned) == len(set(owned))
    assert len({group.name for group in groups}) == len(groups)


def test_layers_that_do_not_fit_are_a_plan_error(rng):
    net = residual(rng)
    broken = replace(
        net, layers=(*net.layers[:-1], Linear("head", np.ones((3, 9), np.float32), np.zeros(3, np.float32)))
    )
    with pytest.raises(PlanError, match="head"):
        channel_groups(broken)
