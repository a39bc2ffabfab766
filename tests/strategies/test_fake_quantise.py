from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_nets import built_in, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.fake_quantise import FakeQuantised, realise_coded, trace_back_coded
from fedtailor.strategies.graph.realise import realise

BITS = st.sampled_from([1, 2, 3, 4, 8])


def integers(rng, bits, shape):
    return rng.choice([-1, 1], shape) if bits == 1 else rng.integers(-Coding(bits).top, Coding(bits).top + 1, shape)


def coded(net, coding, seed=0):
    """The net with random integers on bfloat16 scales in the layers of a coding."""
    rng = np.random.default_rng(seed)
    layers = []
    for layer in net.layers:
        changed = layer
        if layer.name in coding:
            scales = torch.rand(len(layer.bias)).add(0.01).bfloat16().float().numpy()
            kept = rng.random(layer.weight.shape) < coding[layer.name].density
            whole = integers(rng, coding[layer.name].bits, layer.weight.shape) * kept
            weight = whole * scales.reshape(-1, *[1] * (layer.weight.ndim - 1))
            changed = replace(layer, weight=weight.astype(np.float32), scales=scales)
        layers.append(changed)
    return replace(net, layers=tuple(layers))


@given(bits=BITS, seed=st.integers(0, 10**6), moved=st.floats(0, 3))
def test_whatever_it_learns_it_shows_integers_on_bfloat16_scales(bits, seed, moved):
    rng = np.random.default_rng(seed)
    scales = torch.from_numpy(rng.uniform(1e-4, 2, 5).astype(np.float32)).bfloat16().float()
    start = torch.from_numpy(integers(rng, bits, (5, 3, 2)).astype(np.float32)) * scales.reshape(5, 1, 1)
    quantised = FakeQuantised(start, scales, Coding(bits))
    assert torch.equal(quantised(start), start)
    with torch.no_grad():
        quantised.growth += torch.from_numpy(rng.normal(size=(5, 1, 1)).astype(np.float32)) * moved
    shown = quantised(start + moved * torch.from_numpy(rng.normal(size=start.shape).astype(np.float32)))
    now = quantised.scales()
    assert torch.equal(now.bfloat16().float(), now)
    whole = torch.round(shown / now)
    assert torch.equal(whole * now, shown)
    assert set(whole.abs().unique().tolist()) <= ({1.0} if bits == 1 else set(map(float, range(Coding(bits).top + 1))))


def test_zeros_of_a_sparse_layer_stay_zeros():
    weight, scales = torch.tensor([[0.0, 1.0, -1.0, 0.0]]), torch.ones(1)
    for bits in (1, 2, 4):
        shown = FakeQuantised(weight, scales, Coding(bits, density=0.5))(weight + 0.9)
        assert shown[0, 0] == shown[0, 3] == 0
        assert shown[0, 1] != 0


def test_a_row_of_zeros_may_have_scale_zero():
    weight = torch.zeros(1, 3)
    shown = FakeQuantised(weight, torch.zeros(1), Coding(4))(weight)
    assert torch.equal(shown, weight)


def test_gradients_pass_rounding_and_end_half_a_step_outside():
    weight = torch.tensor([[0.3, 7.4, 7.6]], requires_grad=True)
    FakeQuantised(torch.ones(1, 3), torch.ones(1), Coding(4))(weight).sum().backward()
    assert weight.grad.tolist() == [[1.0, 1.0, 0.0]]


def test_a_scale_learns_from_what_it_rounds():
    """LSQ, equation 3: round(v / s) − v / s inside the range, the end of the range outside of it; times ds."""
    quantised = FakeQuantised(torch.ones(1, 3), torch.full((1,), 0.5), Coding(3))
    quantised(torch.tensor([[0.35, -0.1, 9.0]])).sum().backward()
    by_hand = ((1 - 0.7) + (0 + 0.2) + 3) * 0.5
    assert quantised.growth.grad.item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("name", ["mlp", "conv1d", "conv2d"])
def test_a_coded_net_comes_back_as_it_went(name):
    _, net = built_in(name)
    weighted = [layer.name for layer in net.layers if hasattr(layer, "weight")]
    coding = dict(zip(weighted, [Coding(1), Coding(2, density=0.3), Coding(4), Coding(32)], strict=False))
    start = coded(net, {key: each for key, each in coding.items() if each.bits < 32})
    module = realise_coded(start, coding)
    x = torch.from_numpy(rows_for(net, 4))
    assert torch.equal(module(x), realise(start)(x))
    for before, after in zip(start.layers, trace_back_coded(module, start).layers, strict=True):
        if hasattr(before, "weight"):
            np.testing.assert_array_equal(before.weight, after.weight)
            np.testing.assert_array_equal(before.scales, after.scales)


def test_a_layer_that_is_not_coded_is_named():
    _, net = built_in("mlp")
    with pytest.raises(PlanError, match="layer 'fc1' has no scales"):
        realise_coded(net, {"fc1": Coding(4)})
