"""Ours beside another method: gains by device over seeds, their bound, and cohorts from worst to best."""

import numpy as np
import pytest

from fedtailor.simulations.learning_paired import paired_rows
from fedtailor.simulations.learning_rows import Run


def run(method, scores, seed=0, better="higher", unseen=None):
    return Run(
        method=method,
        seed=seed,
        metric="accuracy" if better == "higher" else "rmse",
        better=better,
        scores=scores,
        rows=dict.fromkeys(scores, 10),
        finals={},
        unseen=unseen or {},
        newcomers={},
        uplink_bytes=None,
        downlink_bytes=None,
        cpu_s=0.0,
    )


def named(scores):
    return {f"d{at:02d}": float(score) for at, score in enumerate(scores)}


def test_a_device_counts_once_with_the_mean_of_its_seeds():
    runs = [
        run("FedAvg", {"a": 0.5, "b": 0.6}),
        run("FedAvg", {"a": 0.7}, seed=1),
        run("ours", {"a": 0.6, "b": 0.5}),
        run("ours", {"a": 0.9}, seed=1),
        run("ours", {"a": 0.1}, seed=2),  # nothing to compare it with
    ]
    (row,) = paired_rows(runs, "ours")
    assert (row.method, row.against, row.everyone.devices, row.worse) == ("ours", "FedAvg", 2, 1)
    assert row.everyone.mean == pytest.approx((0.15 - 0.1) / 2)
    assert row.everyone.at_least < row.everyone.mean
    assert row.quarters == ()


def test_where_lower_is_better_a_fall_is_a_gain():
    (row,) = paired_rows([run("FedAvg", {"a": 20.0}, better="lower"), run("ours", {"a": 18.0}, better="lower")], "ours")
    assert (row.everyone.mean, row.everyone.at_least, row.worse) == (2.0, None, 0)


def test_quarters_go_from_where_the_other_does_worst_to_where_it_does_best():
    theirs = np.linspace(0.1, 0.9, 9)
    gains = np.array([4, 4, 4, 3, 3, 2, 2, -1, -1]) / 100
    for sign, better in ((1, "higher"), (-1, "lower")):
        runs = [
            run("FedAvg", named(sign * theirs), better=better),
            run("ours", named(sign * (theirs + gains)), better=better),
        ]
        (row,) = paired_rows(runs, "ours")
        assert [cohort.devices for cohort in row.quarters] == [3, 2, 2, 2]
        assert [cohort.mean for cohort in row.quarters] == pytest.approx([0.04, 0.03, 0.02, -0.01])
        assert row.worse == 2


def test_the_bound_holds_in_nineteen_of_twenty_fleets():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        gains = rng.normal(0.02, 0.05, 12)
        (row,) = paired_rows([run("FedAvg", named(np.zeros(12))), run("ours", named(gains))], "ours")
        held += row.everyone.at_least <= 0.02
    assert held >= 0.93 * 400


def test_newcomers_are_compared_where_no_other_device_has_test_rows_and_others_are_left_out():
    runs = [
        run("Local", {}),
        run("FedAvg", {}, unseen={"n": 0.5, "m": 0.5}),
        run("ours", {}, unseen={"n": 0.6, "m": 0.8}),
    ]
    (row,) = paired_rows(runs, "ours")
    assert (row.against, row.everyone.mean) == ("FedAvg", pytest.approx(0.2))
    assert paired_rows(runs, "theirs") == []
