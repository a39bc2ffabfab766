import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.model_spec import CLASSIFICATION, ModelSpec
from fedtailor.strategies.label_prior import FleetLabels, fleet_labels, label_prior, mean_skew, primed, told
from fedtailor.strategies.models.model import build, initial_state, load_state
from fedtailor.strategies.task import TASKS

SPEC = ModelSpec(
    name="mlp",
    version=1,
    kind=CLASSIFICATION,
    input_shape=(2,),
    outputs=3,
    feature_means=(0.0, 0.0),
    feature_scales=(1.0, 1.0),
)
SKEWED_FLEET = FleetLabels((50, 30, 20), 0.5)
counts_of_three = st.lists(st.integers(0, 500), min_size=3, max_size=3).filter(sum)


def test_labels_dealt_at_random_have_no_skew():
    dealt = np.random.default_rng(0).multinomial(15, [0.1] * 10, size=200).astype(np.float64)
    assert mean_skew(dealt) < 0.05
    raw = np.abs(dealt / 15 - 0.1).sum(1).mean() / 2
    assert raw > 0.25


def test_devices_with_classes_of_their_own_are_skewed():
    assert mean_skew(np.eye(4) * 100) == pytest.approx(0.75, abs=0.1)


def test_a_fleet_adds_up_the_labels_of_devices_that_have_some():
    fleet = fleet_labels([(3, 0), (0, 5), (0, 0)])
    assert fleet.counts == (3, 5)
    assert fleet == fleet_labels([(3, 0), (0, 5)])


def test_a_fleet_without_classes_has_no_labels():
    assert fleet_labels([(), ()]) == FleetLabels()


@given(counts=counts_of_three)
def test_the_prior_favours_what_the_device_has_more_of_than_the_fleet(counts):
    prior = np.array(label_prior(counts, SKEWED_FLEET))
    more = np.array(counts) / sum(counts) - np.array(SKEWED_FLEET.counts) / 100
    clear = np.abs(more) > 1e-3
    assert np.array_equal(prior[clear] > 0, more[clear] > 0)


@given(counts=counts_of_three)
def test_the_prior_is_a_distribution_once_the_fleet_is_added(counts):
    fleet = np.array(SKEWED_FLEET.counts) / 100
    assert (fleet * np.exp(label_prior(counts, SKEWED_FLEET))).sum() == pytest.approx(1, abs=1e-5)


def test_there_is_no_prior_without_skew_or_labels():
    assert label_prior((9, 0, 0), FleetLabels((50, 30, 20), 0.05)) == ()
    assert label_prior((0, 0, 0), SKEWED_FLEET) == ()
    assert label_prior((), FleetLabels()) == ()


def test_a_class_that_nobody_has_is_left_alone():
    prior = label_prior((5, 5, 0), FleetLabels((50, 50, 0), 0.5))
    assert prior[2] == 0
    assert np.isfinite(prior).all()


def test_training_with_the_prior_told_is_scoring_the_primed_model():
    state = initial_state(SPEC, 0)
    x, y = torch.randn(7, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    prior = (0.5, -1.0, 2.0)
    plain, shifted = build(SPEC), build(SPEC)
    load_state(plain, state)
    load_state(shifted, primed(state, SPEC, prior))
    loss = TASKS[CLASSIFICATION].loss
    with torch.no_grad():
        assert torch.allclose(told(prior, loss)(plain(x), y, SPEC), loss(shifted(x), y, SPEC))


def test_answers_side_by_side_are_told_alike():
    answers = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    heard = []
    told((1.0, 2.0, 3.0), lambda outputs, *_: heard.append(outputs) or outputs.sum())(answers, None, SPEC)
    assert torch.allclose(heard[0] - answers, torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 3.0]))


def test_an_empty_prior_changes_nothing():
    loss = TASKS[CLASSIFICATION].loss
    assert told((), loss) is loss
    state = initial_state(SPEC, 0)
    assert primed(state, SPEC, ()) is state
