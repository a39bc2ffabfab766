from dataclasses import replace

import numpy as np
import pytest
from small_latencies import modelled_latencies
from small_nets import GRAPHS, SPECS, built_in, graph, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Linear, Net
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.compression.prune import prune
from fedtailor.strategies.graph.groups import channel_groups
from fedtailor.strategies.payload.payload import pack
from fedtailor.strategies.planning.cost_model import float_bytes
from fedtailor.strategies.planning.plan_layers import Limits, allot, choices_for, dense_us, modelled_us
from fedtailor.strategies.planning.sensitivity import CodingCost, Sensitivities, sensitivities

BITS = {Coding(6): 5.3, Coding(4): 3.5, Coding(2): 1.5, Coding(2, 0.3): 1.0}


def made_up(net, weight=1.0):
    """Sensitivities that nobody measured: channels cost quadratically, bits exponentially."""
    keep = {}
    for group in channel_groups(net):
        gone = 1 - np.arange(group.channels + 1) / group.channels
        keep[group.name] = np.append(np.inf, weight * gone[1:] ** 2)
    costs = {coding: CodingCost(loss=0.1 * 4**-bits, bits=bits) for coding, bits in BITS.items()}
    return Sensitivities(keep, {layer.name: costs for layer in net.layers if isinstance(layer, Conv | Linear)})


def choices(net, **latencies):
    return choices_for(net, made_up(net), modelled_latencies(net, **latencies))


def test_what_is_planned_can_be_carried_out_and_takes_as_many_bytes_as_were_asked():
    net = built_in("conv2d")[1]
    x = rows_for(net, 24)
    found = choices_for(net, sensitivities(net, x, SPECS["conv2d"]), modelled_latencies(net))
    for asked in (float_bytes(net) / 10, float_bytes(net) / 30):
        allotment = allot(found, Limits(asked))
        coded = code(prune(net, x, allotment.keep)[0], x, allotment.coding)
        assert 0.8 * asked < len(pack(coded)) <= 1.08 * asked


@pytest.mark.parametrize("name", GRAPHS)
def test_every_graph_is_planned(name):
    net = graph(name)
    found = choices(net)
    allotment = allot(found, Limits(0.2 * float_bytes(net)))
    groups = {group.name: group.channels for group in channel_groups(net)}
    assert allotment.keep.keys() == groups.keys()
    assert all(1 <= kept <= groups[name] for name, kept in allotment.keep.items())
    assert allotment.coding.keys() == {layer.name for layer in net.layers if isinstance(layer, Conv | Linear)}


def test_a_group_that_hurts_more_keeps_more():
    net = built_in("conv2d")[1]
    plain = made_up(net)
    tender = replace(plain, keep=plain.keep | {"conv3": 50 * plain.keep["conv3"]})
    limits = Limits(float_bytes(net) / 60)
    before, after = (allot(choices_for(net, each, modelled_latencies(net)), limits).keep for each in (plain, tender))
    assert after["conv3"] > before["conv3"]


def test_a_tighter_latency_takes_channels():
    net = built_in("conv2d")[1]
    found = choices(net)
    limit = 0.5 * dense_us(found)
    allotment = allot(found, Limits(float_bytes(net) / 10, latency_us=limit))
    assert modelled_us(found, allotment.keep, integer=not allotment.floats) <= limit
    assert allotment.keep != allot(found, Limits(float_bytes(net) / 10)).keep


@pytest.mark.parametrize(("integer_share", "integer"), [(0.8, True), (1.2, False)])
def test_the_faster_execution_is_taken(integer_share, integer):
    net = built_in("conv2d")[1]
    allotment = allot(choices(net, integer_share=integer_share), Limits(float_bytes(net) / 10))
    assert (allotment.floats == frozenset()) == integer
    assert integer or allotment.floats == allotment.coding.keys()


def test_int8_never_makes_a_variant_slower_than_the_dense_net():
    net = built_in("conv2d")[1]
    found = choices(net, integer_share=3.0)
    allotment = allot(found, Limits(float_bytes(net)))
    assert modelled_us(found, allotment.keep, integer=not allotment.floats) <= dense_us(found)


def test_a_limit_on_memory_brings_int8_where_float32_does_not_fit():
    net = built_in("mlp")[1]
    found = choices(net, integer_share=1.0)
    roomy, tight = (allot(found, Limits(float_bytes(net), memory_bytes=share * float_bytes(net))) for share in (2, 0.3))
    assert roomy.floats
    assert not tight.floats


def test_bytes_that_cannot_be_reached_are_said():
    net = built_in("mlp")[1]
    with pytest.raises(PlanError, match="payload bytes: at most 10 was asked, the least that can be reached"):
        allot(choices(net), Limits(10))


def test_a_group_has_its_channels_in_ten_steps_and_small_ones_in_fewer():
    net = graph("branches")
    for name, levels in choices(net).levels.items():
        channels = next(group.channels for group in channel_groups(net) if group.name == name)
        assert levels[0] == channels
        assert (np.diff(levels) < 0).all()
        assert levels[-1] >= 1
        assert len(levels) <= min(10, channels)


def test_a_net_without_an_int8_form_computes_in_float32():
    net = graph("encoder")
    latencies = replace(modelled_latencies(net, integer_share=0.1), rest_us=(1.0, np.inf))
    allotment = allot(choices_for(net, made_up(net), latencies), Limits(0.2 * float_bytes(net)))
    assert allotment.floats == allotment.coding.keys()


def test_a_single_layer_has_only_its_coding_to_choose():
    net = Net((4,), False, (Linear("one", np.ones((3, 4), np.float32), np.zeros(3, np.float32)),))
    found = choices(net)
    assert allot(found, Limits(1000)).coding["one"] == Coding(6)
    assert allot(found, Limits(121)).coding["one"] == Coding(2)
