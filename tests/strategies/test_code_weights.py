from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from
from small_nets import GRAPHS, SPECS, built_in, chains, graph, graphs, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Linear
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.code_weights import all_coded, code
from fedtailor.strategies.compression.round_rows import nearest_rows
from fedtailor.strategies.graph.realise import realise

NAMES = ("mlp", "conv1d", "next-token", *GRAPHS)


def net_called(name):
    return built_in(name)[1] if name in SPECS else graph(name)


def weighted(net):
    return [layer for layer in net.layers if isinstance(layer, Conv | Linear)]


def coded_in(net, x, bits, density=1.0):
    return code(net, x, {layer.name: Coding(bits, density) for layer in weighted(net)})


def answers(net, x):
    with torch.no_grad():
        return realise(net)(torch.from_numpy(x)).numpy()


def rounded_plainly(net, bits):
    """Every weight the nearest integer, nothing compensated."""
    layers = []
    for layer in net.layers:
        if isinstance(layer, Conv | Linear):
            whole, scales = nearest_rows(layer.weight.reshape(len(layer.weight), -1).astype(float), Coding(bits))
            weight = (whole * scales[:, None]).astype(np.float32).reshape(layer.weight.shape)
            layers.append(replace(layer, weight=weight))
        else:
            layers.append(layer)
    return replace(net, layers=tuple(layers))


@settings(max_examples=12)
@given(
    net=sampled_from([graphs, chains]).flatmap(lambda kind: kind()),
    bits=integers(1, 8),
    density=sampled_from([1.0, 0.5, 0.2]),
)
def test_weights_are_integers_of_so_many_bits_on_bfloat16_scales(net, bits, density):
    for before, layer in zip(weighted(net), weighted(coded_in(net, rows_for(net, 12), bits, density)), strict=True):
        assert layer.weight.shape == before.weight.shape
        assert layer.weight.dtype == layer.scales.dtype == layer.bias.dtype == np.float32
        assert not (layer.scales.view(np.uint32) & 0xFFFF).any()
        flat = layer.weight.reshape(len(layer.weight), -1)
        whole = np.rint(flat / layer.scales[:, None])
        assert np.array_equal((whole * layer.scales[:, None]).astype(np.float32), flat)
        assert np.abs(whole).max() <= Coding(bits).top
        if bits == 1 and density == 1:
            assert np.abs(whole).min() == 1


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("name", NAMES)
def test_answers_on_rows_not_seen_are_nearer_than_those_of_plain_rounding(name, bits):
    net = net_called(name)
    x = rows_for(net, 60, seed=1)
    want = answers(net, x)
    coded, plain = (answers(each, x) for each in (coded_in(net, rows_for(net, 60), bits), rounded_plainly(net, bits)))
    assert ((coded - want) ** 2).sum() < ((plain - want) ** 2).sum()


@pytest.mark.parametrize("name", ["conv1d", "mobile", "writer"])
def test_more_bits_lose_less(name):
    net = net_called(name)
    x = rows_for(net, 100, seed=1)
    want = answers(net, x)
    errors = [((answers(coded_in(net, rows_for(net, 100), bits), x) - want) ** 2).mean() for bits in (8, 4, 2, 1)]
    assert errors == sorted(errors)


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_answer_on_the_calibration_rows_is_kept(name):
    net = net_called(name)
    x = rows_for(net, 20)
    want, got = answers(net, x), answers(coded_in(net, x, 2), x)
    axes = tuple(range(want.ndim - 1))
    np.testing.assert_allclose(got.mean(axes), want.mean(axes), atol=2e-5 * np.abs(want).max())


def test_a_later_layer_makes_up_for_what_was_rounded_before_it():
    net = built_in("conv2d")[1]
    seen, x = rows_for(net, 200), rows_for(net, 100, seed=1)
    *early, last = [layer.name for layer in weighted(net)]
    first = dict.fromkeys(early, Coding(2))
    errors = [
        ((answers(code(net, seen, coding), x) - answers(net, x)) ** 2).mean()
        for coding in (first | {last: Coding(8)}, first)
    ]
    assert errors[0] < errors[1]


def test_layers_of_32_bits_and_those_not_named_stay_as_they_are():
    net = built_in("conv2d")[1]
    one, other = [layer.name for layer in weighted(net)][:2]
    coded = code(net, rows_for(net, 20), {one: Coding(4), other: Coding(32)})
    changed = [before.name for before, after in zip(net.layers, coded.layers, strict=True) if before is not after]
    assert changed == [one]
    assert code(net, rows_for(net, 0), {other: Coding(32)}) is net


def test_a_channel_of_zeros_stays_one():
    net = built_in("conv2d")[1]
    layers = list(net.layers)
    at = next(place for place, layer in enumerate(layers) if isinstance(layer, Conv))
    weight = layers[at].weight.copy()
    weight[3] = 0
    layers[at] = replace(layers[at], weight=weight)
    for bits in (8, 2, 1):
        coded = coded_in(replace(net, layers=tuple(layers)), rows_for(net, 20), bits).layers[at]
        assert not coded.weight[3].any()
        assert coded.scales[3] > 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_rows_are_enough(count):
    net = graph("mobile")
    assert np.isfinite(answers(coded_in(net, rows_for(net, count), 4), rows_for(net, 5))).all()


def test_what_is_not_coded_yet_is_rounded_to_8_bits():
    net = built_in("conv2d")[1]
    one, *others = [layer.name for layer in weighted(net)]
    coded = code(net, rows_for(net, 20), {one: Coding(2)})
    done = {layer.name: layer for layer in weighted(all_coded(coded, except_for=others[:1]))}
    assert done[one] is next(layer for layer in coded.layers if layer.name == one)
    assert done[others[0]].scales is None
    for before, after in ((layer, done[layer.name]) for layer in weighted(net) if layer.name in others[1:]):
        flat, scales = before.weight.reshape(len(before.weight), -1), after.scales[:, None]
        whole = np.rint(after.weight.reshape(flat.shape) / scales)
        assert np.array_equal(whole, np.clip(np.rint(flat / scales.astype(np.float64)), -127, 127))


def test_a_name_without_weights_is_refused():
    net = built_in("mlp")[1]
    with pytest.raises(ValueError, match=r"no layer with weights is called \['relu9'\]"):
        code(net, rows_for(net, 4), {"relu9": Coding(4)})


def test_no_rows_are_refused():
    net = built_in("mlp")[1]
    with pytest.raises(PlanError, match="samples to calibrate on"):
        coded_in(net, rows_for(net, 0), 4)
