"""What an update weighs in buffered training: its device's rows, how old it is, and how often its device is merged."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from buffered_fleet import BUFFERED, merged, slow_fleet
from scripted import ScriptedDevice
from scripted_run import devices, last_base, run

from fedtailor.server.buffered import stale_weight
from fedtailor.server.training import Gathering


def test_a_late_update_is_merged_with_the_base_it_was_made_for_and_its_discount(tmp_path):
    a, b = ScriptedDevice("a", pull=1.0), ScriptedDevice("b", pull=9.0, rows=300)
    grid, time = slow_fleet((a, 2.0), (b, 5.0))
    run(tmp_path, grid, replace(BUFFERED, buffer=1, rounds=3), time)
    assert merged(tmp_path) == [("a", 1, 0), ("a", 2, 1), ("b", 3, 0)]
    start = a.held[0].state
    for name, value in last_base(tmp_path, a)[1].items():
        assert np.allclose(value, 1.0 + (9.0 - start[name]), atol=1e-5)


def test_an_update_counts_less_the_older_it_is_and_more_the_more_seldom_its_device_is_merged(tmp_path):
    a, b = ScriptedDevice("a", pull=1.0), ScriptedDevice("b", pull=9.0)
    c = ScriptedDevice("c", pull=1.0)
    grid, time = slow_fleet((a, 2.0), (b, 5.0), (c, 2.0))
    run(tmp_path, grid, replace(BUFFERED, buffer=2, rounds=3), time)
    assert merged(tmp_path) == [("a", 1, 0), ("c", 1, 0), ("a", 2, 1), ("c", 2, 1), ("a", 3, 2), ("b", 3, 0)]
    share = (3 / sqrt(3)) / (1 + 3 / sqrt(3))  # two commits behind, and the first in three
    start = a.held[0].state
    for name, value in last_base(tmp_path, a)[1].items():
        assert np.allclose(value, 1.0 + share * (9.0 - start[name]), atol=1e-5)


def test_over_many_commits_every_device_weighs_the_same_however_often_it_is_merged(tmp_path, monkeypatch):
    weights: dict[str, list[float]] = {}
    fold = Gathering.fold

    def noted(self, answer, weight):
        fresh = weight / stale_weight(1.0, self.number - answer.round, BUFFERED.staleness)
        weights.setdefault(answer.device_id, []).append(fresh)
        fold(self, answer, weight)

    monkeypatch.setattr(Gathering, "fold", noted)
    everyone = devices("abcd")
    grid, time = slow_fleet(*zip(everyone, (1.0, 1.0, 1.0, 5.5), strict=True))
    run(tmp_path, grid, replace(BUFFERED, rounds=60), time)
    assert len(weights["d"]) < len(weights["a"]) / 3
    assert [sum(each) for each in weights.values()] == pytest.approx([60 * 100] * 4, rel=0.2)


@pytest.mark.parametrize("behind", [0, 1, 7])
def test_a_discount_never_makes_a_weight_less_than_one(behind):
    assert stale_weight(1.0, behind, 7) >= 1
    assert stale_weight(5.0, behind, 7) / stale_weight(5.0, 0, 7) == pytest.approx(1 / sqrt(1 + behind))
