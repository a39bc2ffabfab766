from dataclasses import replace
from itertools import combinations
from math import ceil

import numpy as np
import pytest
import torch
from block_nets import BLOCKS, residual
from hypothesis import given
from hypothesis.strategies import integers, sampled_from
from small_nets import SPECS, built_in, graphs, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Activation, Conv, Embedding, Linear, Net
from fedtailor.strategies.compression import prune as pruning
from fedtailor.strategies.compression import removal
from fedtailor.strategies.compression.prune import prune, removals
from fedtailor.strategies.graph.groups import channel_groups
from fedtailor.strategies.graph.narrow import narrowed
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.shapes import layer_shapes


def answers(net, x):
    with torch.no_grad():
        return realise(net)(torch.from_numpy(x)).numpy()


def keeping(net, fraction):
    return {group.name: ceil(group.channels * fraction) for group in channel_groups(net)}


def perceptron(rng, hidden=6, inputs=5, outputs=3):
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    layers = (
        Linear("fc", normal(hidden, inputs), normal(hidden)),
        Activation("relu", "relu"),
        Linear("head", normal(outputs, hidden), normal(outputs)),
    )
    return Net((inputs,), False, layers)


def hidden_of(net, x):
    return answers(Net(net.input_shape, False, net.layers[:2]), x)


def fitted_error(inputs, wanted, kept):
    """Squared error left by the best weights and bias on these columns, by plain least squares."""
    a = np.c_[inputs[:, list(kept)], np.ones(len(inputs))].astype(np.float64)
    weight = np.linalg.lstsq(a, wanted.astype(np.float64), rcond=None)[0]
    return float(((a @ weight - wanted) ** 2).sum())


def by_magnitude(net, fraction):
    """Cut to the channels whose producer has the longest rows, nothing made up for."""
    weights = {layer.name: layer.weight for layer in net.layers if isinstance(layer, Conv | Linear)}
    kept = []
    for group in channel_groups(net):
        length = np.linalg.norm(weights[group.name].reshape(group.channels, -1), axis=1)
        kept.append((group, np.sort(np.argsort(-length)[: ceil(group.channels * fraction)])))
    return narrowed(net, kept)[0]


@pytest.fixture
def undamped(monkeypatch):
    monkeypatch.setattr(removal, "DAMPING", 1e-9)


@pytest.mark.usefixtures("undamped")
@pytest.mark.parametrize("seed", range(12))
def test_one_removal_is_the_cheapest_of_all(seed):
    rng = np.random.default_rng(seed)
    net, x = perceptron(rng), rng.normal(size=(200, 5)).astype(np.float32)
    (kept,) = (entry.kept for entry in prune(net, x, {"fc": 5})[1].layers)
    errors = {subset: fitted_error(hidden_of(net, x), answers(net, x), subset) for subset in combinations(range(6), 5)}
    assert kept == min(errors, key=errors.get)


@pytest.mark.usefixtures("undamped")
@pytest.mark.parametrize(("seed", "keep"), [(seed, keep) for seed in range(4) for keep in (2, 3, 4)])
def test_compensated_weights_leave_the_least_squared_error(seed, keep):
    rng = np.random.default_rng(seed)
    net, x = perceptron(rng), rng.normal(size=(200, 5)).astype(np.float32)
    pruned, mask = prune(net, x, {"fc": keep})
    got = float(((answers(pruned, x) - answers(net, x)) ** 2).sum())
    assert got == pytest.approx(fitted_error(hidden_of(net, x), answers(net, x), mask.layers[0].kept), rel=1e-3)
    errors = [fitted_error(hidden_of(net, x), answers(net, x), subset) for subset in combinations(range(6), keep)]
    assert got <= np.median(errors)


@pytest.mark.usefixtures("undamped")
def test_costs_are_the_error_that_is_left_as_a_part_of_the_variance():
    rng = np.random.default_rng(0)
    net, x = perceptron(rng), rng.normal(size=(200, 5)).astype(np.float32)
    found = removals(net, x, channel_groups(net))["fc"]
    wanted = answers(net, x)
    for keep in range(1, 6):
        kept = found.kept(keep)
        want = fitted_error(hidden_of(net, x), wanted, kept) / np.square(wanted - wanted.mean(0)).sum()
        assert found.costs[keep] == pytest.approx(want, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("fraction", [0.5, 0.01])
def test_every_built_in_model_is_narrowed_and_runs(name, fraction):
    _, net = built_in(name)
    x = rows_for(net, 12)
    pruned, mask = prune(net, x, keeping(net, fraction))
    narrow = [layer for layer in net.layers if isinstance(layer, Conv | Linear | Embedding)][:-1]
    assert {layer.name for layer in narrow} <= {entry.layer for entry in mask.layers}
    for entry in mask.layers:
        assert len(entry.kept) == ceil(round(fraction * entry.total, 6))
        assert list(entry.kept) == sorted(set(entry.kept))
    assert layer_shapes(pruned)[-1] == layer_shapes(net)[-1]
    assert np.isfinite(answers(pruned, x)).all()


@given(net=graphs(), fraction=sampled_from([0.9, 0.5, 0.2]), seed=integers(0, 9))
def test_any_graph_is_narrowed_to_layers_that_fit(net, fraction, seed):
    x = rows_for(net, 6, seed)
    pruned, _ = prune(net, x, keeping(net, fraction))
    assert [group.channels for group in channel_groups(pruned)] == [
        count for count in keeping(net, fraction).values() if count > 1
    ]
    assert np.isfinite(answers(pruned, x)).all()


@pytest.mark.parametrize("name", [*BLOCKS, "conv1d"])
def test_compensation_beats_cutting_by_magnitude(name):
    net = BLOCKS[name](np.random.default_rng(0)) if name in BLOCKS else built_in(name)[1]
    x, unseen = rows_for(net, 200), rows_for(net, 80, seed=1)
    wanted = answers(net, unseen)
    error = [
        float(((answers(variant, unseen) - wanted) ** 2).mean())
        for variant in (prune(net, x, keeping(net, 0.5))[0], by_magnitude(net, 0.5))
    ]
    assert error[0] < 0.6 * error[1]


@pytest.mark.usefixtures("undamped")
@pytest.mark.parametrize("seed", range(4))
def test_constant_channels_go_first_and_cost_nothing(seed):
    rng = np.random.default_rng(seed)
    net, x = perceptron(rng), rng.normal(size=(200, 5)).astype(np.float32)
    hidden, relu, head = net.layers
    weight, bias = hidden.weight.copy(), np.zeros(6, np.float32)
    weight[[0, 2, 5]], bias[[0, 2, 5]] = 0.0, 1.0  # the bias of the next layer can take them over
    net = Net(net.input_shape, False, (Linear("fc", weight, bias), relu, head))
    pruned, mask = prune(net, x, {"fc": 3})
    assert mask.layers[0].kept == (1, 3, 4)
    np.testing.assert_allclose(answers(pruned, x), answers(net, x), atol=1e-3)


def test_every_layer_behind_a_narrower_one_is_fitted_anew_and_no_other():
    net = residual(np.random.default_rng(0))
    pruned, mask = prune(net, rows_for(net, 60), {"two.in": 2})
    assert [entry.layer for entry in mask.layers] == ["two.in"]
    same = [layer.name for layer, before in zip(pruned.layers, net.layers, strict=True) if layer is before]
    weighted = [layer.name for layer in net.layers if isinstance(layer, Conv | Linear)]
    assert [name for name in weighted if name not in same] == ["two.in", "two.out", "head"]


def test_fitting_layer_after_layer_beats_fitting_the_reader_alone():
    _, net = built_in("conv1d")
    x, unseen = rows_for(net, 200), rows_for(net, 60, seed=1)
    first = channel_groups(net)[0]
    pruned, _ = prune(net, x, {first.name: first.channels // 8})
    near = {*first.rows, *first.columns}
    pairs = zip(pruned.layers, net.layers, strict=True)
    alone = replace(net, layers=tuple(ours if ours.name in near else dense for ours, dense in pairs))
    error = [float(np.square(answers(each, unseen) - answers(net, unseen)).sum()) for each in (pruned, alone)]
    assert error[0] < 0.5 * error[1]


def test_what_was_found_once_serves_every_number_of_channels():
    net = residual(np.random.default_rng(0))
    x = rows_for(net, 60)
    found = removals(net, x, channel_groups(net))
    for fraction in (0.7, 0.3):
        again, mask = prune(net, x, keeping(net, fraction), found=found)
        anew, same_mask = prune(net, x, keeping(net, fraction))
        assert mask == same_mask
        np.testing.assert_array_equal(answers(again, x), answers(anew, x))


def test_costs_are_told_for_every_group_and_number_of_channels():
    net = BLOCKS["transformer"](np.random.default_rng(0))
    found = removals(net, rows_for(net, 50), channel_groups(net))
    costs = {name: each.costs for name, each in found.items()}
    assert {name: len(each) for name, each in costs.items()} == {"q": 5, "up": 11}
    for each in costs.values():
        assert each[-1] == 0
        assert (np.diff(each) <= 0).all()


def test_a_layer_with_too_many_columns_is_compared_by_some_of_each_channel(monkeypatch):
    net = BLOCKS["mobile"](np.random.default_rng(0))
    x = rows_for(net, 40)
    sizes = []
    monkeypatch.setattr(
        pruning, "removal", lambda readers: sizes.append(len(readers[0].hessian)) or removal.removal(readers)
    )
    monkeypatch.setattr(pruning, "_MOST_COLUMNS", 20)
    pruned, _ = prune(net, x, {"thin": 3})
    assert sizes == [16]  # of the 9 places of each of 5 channels every third, and the bias
    assert np.isfinite(answers(pruned, x)).all()


def test_everything_kept_is_the_same_net():
    _, net = built_in("mlp")
    assert prune(net, rows_for(net, 5), {}) == (net, Mask())
    assert prune(net, rows_for(net, 5), keeping(net, 1)) == (net, Mask())


@pytest.mark.parametrize("keep", [{"fc": 0}, {"fc": 7}, {"head": 2}])
def test_an_unknown_group_or_number_is_refused_with_what_there_is(keep):
    with pytest.raises(ValueError, match=r"groups of this net: fc \(1 to 6\)"):
        prune(perceptron(np.random.default_rng(0)), np.zeros((5, 5), np.float32), keep)


def test_no_rows_to_calibrate_on_is_a_plan_error():
    _, net = built_in("mlp")
    with pytest.raises(PlanError, match="samples to calibrate on"):
        prune(net, rows_for(net, 0), keeping(net, 0.5))
