"""Oort's behaviour: where the model still learns, fast devices, new ones, and nobody given up."""

from dataclasses import replace

import numpy as np
import pytest

from fedtailor.strategies.choice.choice import Candidate, ChoiceSpec, choose_of
from fedtailor.strategies.choice.utility import DEFAULTS, utilities


def known(device_id, *, rows=100, loss=1.0, last=5, seconds=None):
    return Candidate(
        device_id=device_id, rows=rows, asked=1, answered=1, last_loss=loss, last_round=last, seconds=seconds
    )


def probabilities(fleet, count=1, round_=10, **args):
    """By device, as stated over enough draws to see each."""
    choose = choose_of(ChoiceSpec(name="utility", version=1, args=args))
    rng = np.random.default_rng(0)
    found = {}
    while len(found) < len(fleet):
        found |= {each.device_id: each.inclusion for each in choose(fleet, count, round_, rng)}
    return found


def test_a_device_with_a_higher_loss_or_more_rows_is_asked_more_often():
    fleet = [known("dull", loss=0.1), known("plain"), known("lossy", loss=3.0), known("big", rows=300, loss=0.9)]
    found = probabilities(fleet, cut=1.0)
    assert found["dull"] < found["plain"] < found["big"] < found["lossy"]


def test_a_slower_device_is_asked_less_often_and_a_faster_one_no_more():
    fleet = [
        known("fast", seconds=1.0),
        *(known(f"usual{i}", seconds=10.0) for i in range(3)),
        known("slow", seconds=40.0),
    ]
    found = probabilities(fleet)
    assert found["slow"] < found["usual0"] == pytest.approx(found["fast"])
    assert utilities(fleet, 10, DEFAULTS)[-1] == pytest.approx(utilities(fleet, 10, DEFAULTS)[0] / 16)


def test_speed_is_neutral_where_it_is_not_known_or_does_not_count():
    fleet = [known("a", loss=1.0), known("b", loss=2.0)]
    timed = [replace(each, seconds=seconds) for each, seconds in zip(fleet, (1.0, 50.0), strict=True)]
    assert probabilities(timed, power=0.0) == probabilities(fleet)
    one_known = [fleet[0], replace(fleet[1], seconds=9.0)]
    assert probabilities(one_known) == probabilities(fleet)


def test_devices_never_asked_are_explored_first_and_less_later_but_never_less_than_the_least():
    fleet = [
        *(known(f"known{i}") for i in range(8)),
        Candidate(device_id="new1", rows=9),
        Candidate(device_id="new2", rows=9),
    ]
    shares = [
        sum(value for name, value in probabilities(fleet, round_=round_, floor=0.001).items() if name.startswith("new"))
        for round_ in (1, 20, 400)
    ]
    assert shares == pytest.approx([0.9, 0.9 * 0.98**19, 0.2], abs=0.002)


def test_who_was_not_asked_for_long_is_asked_more_often():
    fleet = [known("lately", last=99), known("once", last=1)]
    found = probabilities(fleet, round_=100)
    assert found["once"] > 1.4 * found["lately"]


def test_an_outlier_counts_no_more_than_the_cut():
    fleet = [known(f"d{i:02}", loss=1.0 + i / 100) for i in range(30)]
    worse = [*fleet, known("outlier", loss=1e6)]
    found = probabilities(worse)
    assert found["outlier"] <= 1.2 * found["d15"]
    assert probabilities(worse, cut=1.0)["outlier"] > 4 * found["d15"]


def test_nobody_falls_below_the_floor():
    fleet = [known("good", loss=9.0), known("learned", loss=0.0, last=10), known("slow", seconds=1e9, loss=1e-9)]
    silent = Candidate(device_id="silent", rows=10, asked=9, answered=0, last_round=9)
    found = probabilities([*fleet, silent], floor=0.2)
    assert min(found.values()) >= 0.2 / 4 * (1 - 1e-9)


def test_in_a_fleet_that_has_learned_all_or_never_been_asked_all_are_equal():
    learned = [known(name, loss=0.0, last=1) for name in "abcd"]
    new = [Candidate(device_id=name, rows=rows) for name, rows in zip("abcd", (1, 2, 3, 400), strict=True)]
    for fleet in (learned, new):
        assert list(probabilities(fleet, count=2, round_=1).values()) == pytest.approx([0.5] * 4)
