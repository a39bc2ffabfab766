import math
from dataclasses import replace

import numpy as np
import pytest
from small_latencies import modelled_latencies
from small_nets import GRAPHS, SPECS, built_in, graph, rows_for

from fedtailor.protos.net import Conv, Linear
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
    assert fastest_us(found, allotment) <= limit
    assert allotment.keep != allot(found, Limits(float_bytes(net) / 10)).keep


@pytest.mark.parametrize("latency_us", [math.inf, 1e9])
def test_no_variant_is_planned_slower_than_the_dense_net(latency_us):
    net = built_in("conv2d")[1]
    found = choices(net, integer_share=3.0)
    allotment = allot(found, Limits(float_bytes(net), latency_us=latency_us))
    assert fastest_us(found, allotment) <= dense_us(found)


def test_a_limit_on_memory_that_only_int8_keeps_can_be_kept():
    net = built_in("mlp")[1]
    found = choices(net, integer_share=1.0)
    dense = sum(size.rows.full * size.columns.full for size in found.sizes.values())
    assert (
        allot(found, Limits(float_bytes(net), memory_bytes=2 * dense)).keep
        == allot(found, Limits(float_bytes(net))).keep
    )


def fastest_us(found, allotment):
    """In the faster of the two executions."""
    return min(modelled_us(found, allotment.keep, integer=integer) for integer in (False, True))
