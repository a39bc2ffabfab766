from dataclasses import replace
from itertools import combinations
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import floats, integers, sampled_from
from small_nets import SPECS, built_in, chains, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Conv, Embedding, Flatten, Linear, Net, Relu
from fedtailor.strategies import prune as pruning
from fedtailor.strategies.prune import best_weight, cheapest_channels, couplings, prune
from fedtailor.strategies.realise import realise
from fedtailor.strategies.shapes import layer_shapes


def answers(net, x):
    with torch.no_grad():
        return realise(net)(torch.from_numpy(x)).numpy()


def perceptron(rng, hidden=6, inputs=5, outputs=3):
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    layers = (
        Linear("fc", normal(hidden, inputs), normal(hidden)),
        Relu("relu"),
        Linear("head", normal(outputs, hidden), normal(outputs)),
    )
    return Net((inputs,), False, layers)


def fitted_error(inputs, wanted, kept):
    """Squared error left by the best weights and bias on these columns, by plain least squares."""
    a = np.c_[inputs[:, list(kept)], np.ones(len(inputs))].astype(np.float64)
    weight = np.linalg.lstsq(a, wanted.astype(np.float64), rcond=None)[0]
    return float(((a @ weight - wanted) ** 2).sum())


@pytest.fixture
def undamped(monkeypatch):
    monkeypatch.setattr(pruning, "DAMPING", 1e-9)


@pytest.mark.usefixtures("undamped")
@pytest.mark.parametrize("seed", range(12))
def test_one_removal_is_the_cheapest_of_all(seed):
    rng = np.random.default_rng(seed)
    net, x = perceptron(rng), rng.normal(size=(200, 5)).astype(np.float32)
    hidden = answers(Net(net.input_shape, False, net.layers[:2]), x)
    (kept,) = (entry.kept for entry in prune(net, x, 5 / 6)[1].layers)
    errors = {subset: fitted_error(hidden, answers(net, x), subset) for subset in combinations(range(6), 5)}
    assert kept == min(errors, key=errors.get)


@pytest.mark.usefixtures("undamped")
@pytest.mark.parametrize(("seed", "keep"), [(seed, keep) for seed in range(4) for keep in (2, 3, 4)])
def test_compensated_weights_leave_the_least_squared_error(seed, keep):
    rng = np.random.default_rng(seed)
    net, x = perceptron(rng), rng.normal(size=(200, 5)).astype(np.float32)
    hidden = answers(Net(net.input_shape, False, net.layers[:2]), x)
    pruned, mask = prune(net, x, keep / 6)
    got = float(((answers(pruned, x) - answers(net, x)) ** 2).sum())
    assert got == pytest.approx(fitted_error(hidden, answers(net, x), mask.layers[0].kept), rel=1e-3)
    errors = [fitted_error(hidden, answers(net, x), subset) for subset in combinations(range(6), keep)]
    assert got <= np.median(errors)


@given(seed=integers(0, 2**16), width=integers(1, 3), keep=integers(1, 5))
@settings(deadline=None)
def test_removal_one_by_one_equals_trying_every_channel_anew(seed, width, keep):
    rng = np.random.default_rng(seed)
    columns = rng.permutation(6 * width).reshape(6, width)
    a = rng.normal(size=(80, 6 * width + 1))
    hessian = torch.from_numpy(a.T @ a / 80)
    error = pruning.Quadratic(hessian, torch.from_numpy(rng.normal(size=(6 * width + 1, 2))))

    def left_over(channels):
        used = np.sort(columns[list(channels)].ravel())
        index = np.append(used, 6 * width)
        return -float((best_weight(error, used) * error.target[index]).sum())

    left = list(range(6))
    while len(left) > keep:
        left.remove(min(left, key=lambda gone: left_over([channel for channel in left if channel != gone])))
    assert cheapest_channels(error, columns, keep).tolist() == left


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("keep_fraction", [0.5, 0.01])
def test_every_built_in_model_is_narrowed_and_runs(name, keep_fraction):
    _, net = built_in(name)
    x = rows_for(net, 12)
    pruned, mask = prune(net, x, keep_fraction)
    narrow = [layer for layer in net.layers if isinstance(layer, Conv | Linear | Embedding)][:-1]
    assert [entry.layer for entry in mask.layers] == [layer.name for layer in narrow]
    for entry in mask.layers:
        assert len(entry.kept) == ceil(round(keep_fraction * entry.total, 6))
        assert list(entry.kept) == sorted(set(entry.kept))
    assert layer_shapes(pruned)[-1] == layer_shapes(net)[-1]
    assert np.isfinite(answers(pruned, x)).all()
    assert answers(pruned, x).shape == answers(net, x).shape


@given(net=chains(), keep_fraction=sampled_from([0.9, 0.5, 0.2]))
@settings(deadline=None, max_examples=30)
def test_any_chain_is_narrowed_to_layers_that_fit(net, keep_fraction):
    x = rows_for(net, 6)
    pruned, mask = prune(net, x, keep_fraction)
    assert layer_shapes(pruned)[-1] == layer_shapes(net)[-1]
    assert answers(pruned, x).shape == answers(net, x).shape
    assert len(mask.layers) == len(couplings(net))
    grouped = {layer.name for layer in net.layers if isinstance(layer, Conv) and layer.groups > 1}
    assert not grouped & {entry.layer for entry in mask.layers}


@pytest.mark.usefixtures("undamped")
@pytest.mark.parametrize("seed", range(4))
def test_constant_channels_go_first_and_cost_nothing(seed):
    rng = np.random.default_rng(seed)
    net, x = perceptron(rng), rng.normal(size=(200, 5)).astype(np.float32)
    hidden, relu, head = net.layers
    weight, bias = hidden.weight.copy(), np.zeros(6, np.float32)
    weight[[0, 2, 5]], bias[[0, 2, 5]] = 0.0, 1.0  # the bias of the next layer can take them over
    net = Net(net.input_shape, False, (Linear("fc", weight, bias), relu, head))
    pruned, mask = prune(net, x, 0.5)
    assert mask.layers[0].kept == (1, 3, 4)
    np.testing.assert_allclose(answers(pruned, x), answers(net, x), atol=1e-3)


def test_compensation_beats_cutting_the_same_channels():
    _, net = built_in("conv1d")
    x = rows_for(net, 80)
    pruned, mask = prune(net, x, 0.5)
    kept = {entry.layer: list(entry.kept) for entry in mask.layers}
    layers, inputs = [], slice(None)
    for layer in net.layers:
        if isinstance(layer, Conv | Linear):
            outputs = kept.get(layer.name, slice(None))
            weight = np.ascontiguousarray(layer.weight[:, inputs][outputs])
            layers.append(replace(layer, weight=weight, bias=layer.bias[outputs]))
            inputs = outputs
        else:
            layers.append(layer)
    cut = Net(net.input_shape, net.tokens, tuple(layers))
    unseen = rows_for(net, 80, seed=1)
    error = [float(((answers(variant, unseen) - answers(net, unseen)) ** 2).mean()) for variant in (pruned, cut)]
    assert error[0] < error[1] / 2


def test_flattened_positions_belong_to_their_channel():
    rng = np.random.default_rng(0)
    layers = (
        Conv("conv", rng.normal(size=(4, 2, 3)).astype(np.float32), np.zeros(4, np.float32), (1,), ((1, 1),), (1,), 1),
        Flatten("flat"),
        Linear("head", rng.normal(size=(2, 20)).astype(np.float32), np.zeros(2, np.float32)),
    )
    (coupling,) = couplings(Net((2, 5), False, layers))
    assert coupling.columns.tolist() == np.arange(20).reshape(4, 5).tolist()


def test_a_linear_layer_along_time_leaves_the_channels_alone():
    rng = np.random.default_rng(0)
    layers = (
        Conv("conv", rng.normal(size=(4, 2, 3)).astype(np.float32), np.zeros(4, np.float32), (1,), ((1, 1),), (1,), 1),
        Linear("along time", rng.normal(size=(2, 5)).astype(np.float32), np.zeros(2, np.float32)),
    )
    assert couplings(Net((2, 5), False, layers)) == ()


def test_everything_kept_is_the_same_net():
    _, net = built_in("mlp")
    assert prune(net, rows_for(net, 5), 1.0) == (net, Mask())


@given(keep_fraction=floats().filter(lambda value: not 0 < value <= 1))
def test_a_fraction_out_of_range_is_refused(keep_fraction):
    _, net = built_in("mlp")
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        prune(net, rows_for(net, 5), keep_fraction)


def test_no_rows_to_calibrate_on_is_a_plan_error():
    _, net = built_in("mlp")
    with pytest.raises(PlanError, match="samples to calibrate on"):
        prune(net, rows_for(net, 0), 0.5)
