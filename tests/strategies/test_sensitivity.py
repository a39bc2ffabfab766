from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import floats, lists
from small_nets import SPECS, built_in, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.net import Conv, Linear
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.graph.groups import channel_groups
from fedtailor.strategies.planning.sensitivity import calibrated, divergence, sensitivities

CODINGS = (Coding(6), Coding(3), Coding(2, 0.3))


@pytest.mark.parametrize("name", ["mlp", "conv1d regression", "next-token"])
def test_every_group_and_every_layer_has_its_losses(name):
    net = built_in(name)[1]
    found = sensitivities(net, rows_for(net, 30), SPECS[name], codings=CODINGS)
    groups = {group.name: group.channels for group in channel_groups(net)}
    assert {name: len(losses) - 1 for name, losses in found.keep.items()} == groups
    for losses in found.keep.values():
        assert losses[0] == np.inf
        assert losses[-1] == 0
        assert (np.diff(losses[1:]) <= 0).all()
    assert list(found.coding) == [layer.name for layer in net.layers if isinstance(layer, Conv | Linear)]
    for costs in found.coding.values():
        fine, coarse, sparse = (costs[coding] for coding in CODINGS)
        assert 0 <= fine.loss < coarse.loss
        assert 0 < sparse.bits < coarse.bits < fine.bits


def test_a_layer_that_says_nothing_costs_nothing():
    net = built_in("mlp")[1]
    last = net.layers[-1]
    silent = replace(net, layers=(*net.layers[:-1], replace(last, weight=np.zeros_like(last.weight))))
    found = sensitivities(silent, rows_for(net, 30), SPECS["mlp"], codings=CODINGS)
    first = next(iter(found.coding.values()))
    assert max(cost.loss for cost in first.values()) < 1e-9
    assert max(losses[1] for losses in found.keep.values()) < 1e-6


def test_sensitivities_need_two_samples():
    net = built_in("mlp")[1]
    with pytest.raises(PlanError, match="at least two samples are needed, got 1"):
        sensitivities(net, rows_for(net, 1), SPECS["mlp"])


@given(errors=lists(floats(1e-6, 1.0), min_size=4, max_size=12, unique=True))
def test_a_curve_goes_through_the_losses_that_were_measured(errors):
    errors = np.append(np.sort(errors)[::-1], 0.0)
    places = [len(errors) - 2, 1]
    losses = calibrated(errors, places, [0.01, 0.5])
    np.testing.assert_allclose(losses[places], [0.01, 0.5], rtol=1e-6)
    assert losses[-1] == 0
    assert (np.diff(losses) <= 1e-12).all()


def test_beyond_what_was_measured_loss_is_in_proportion_to_error():
    losses = calibrated(np.array([0.8, 0.4, 0.2, 0.1, 0.0]), [2], [0.05])
    np.testing.assert_allclose(losses, [0.2, 0.1, 0.05, 0.025, 0.0], rtol=1e-6)


def test_equal_answers_do_not_diverge_and_others_do():
    answers = torch.tensor([[1.0, 2.0, 3.0]])
    assert divergence(answers + 5, answers, SPECS["mlp"]) == pytest.approx(0, abs=1e-12)
    p, q = torch.softmax(answers, -1), torch.softmax(-answers, -1)
    assert divergence(-answers, answers, SPECS["mlp"]) == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-5)


def test_a_regression_diverges_by_squared_target_scales():
    spec = SPECS["conv1d regression"]
    assert spec.kind == REGRESSION
    away = torch.full((3, 1), 2 * spec.target_scale)
    assert divergence(away, torch.zeros(3, 1), spec) == pytest.approx(4)
