import numpy as np
import pytest

from fedtailor.strategies.choice.choice import Candidate, ChoiceSpec, choose_of


def probabilities(fleet, **args):
    choose, rng, found = choose_of(ChoiceSpec(name="available", version=1, args=args)), np.random.default_rng(0), {}
    while len(found) < len(fleet):
        found |= {each.device_id: each.inclusion for each in choose(fleet, 1, 5, rng)}
    return found


def device(device_id, asked, answered):
    return Candidate(device_id=device_id, rows=10, asked=asked, answered=answered)


def test_who_answered_more_of_what_it_was_asked_is_asked_more_often():
    found = probabilities([device("sure", 9, 9), device("half", 9, 4), device("new", 0, 0)])
    assert found == pytest.approx({"sure": 0.4, "half": 0.2, "new": 0.4})


def test_a_device_that_never_answers_keeps_the_floor():
    found = probabilities([device("sure", 20, 20), device("dead", 10**6, 0)], floor=0.25)
    assert found == pytest.approx({"sure": 0.8, "dead": 0.2})
