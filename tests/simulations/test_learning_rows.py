"""From runs to rows: means over devices, the worst tenth, spreads over seeds, and what is not known."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists, sampled_from

from fedtailor.simulations.learning_rows import Run, Runs, learning_rows, newcomer_rows, runs_from, spread, worst_decile


def run(method="FedAvg", seed=0, scores=(0.5, 0.7), **others):
    named = {f"d{at}": score for at, score in enumerate(scores)}
    settled = {
        "rows": {**{name: 10 * (at + 1) for at, name in enumerate(named)}, "n": 5},
        "finals": {"shared": len(named)},
        "unseen": {"n": 0.4},
        "newcomers": {},
        "uplink_bytes": 100.0,
        "downlink_bytes": 300.0,
        **others,
    }
    return Run(method=method, seed=seed, metric="accuracy", better="higher", scores=named, cpu_s=2.0, **settled)


def test_a_row_has_the_mean_over_devices_over_rows_and_over_the_worst_tenth():
    (row,) = learning_rows([run()])
    assert (row.mean, row.worst_decile, row.unseen) == pytest.approx((0.6, 0.5, 0.4))
    assert row.mean_by_rows == pytest.approx((0.5 * 10 + 0.7 * 20) / 30)
    assert (row.bytes_per_device_round, row.uplink_bytes, row.downlink_bytes) == (400, 100, 300)
    assert (row.devices, row.unseen_devices, row.seeds, row.cpu_s) == (2, 1, 1, 2)
    assert (row.spread, row.worst_decile_spread, row.unseen_spread) == (0, 0, 0)


def test_seeds_are_averaged_and_their_deviation_told():
    rows = learning_rows([run(seed=0), run("Local", 0, unseen={}), run(seed=1, scores=(0.7, 0.9)), run("Local", 1)])
    assert [(row.method, row.seeds) for row in rows] == [("FedAvg", 2), ("Local", 2)]
    assert (rows[0].mean, rows[0].spread) == pytest.approx((0.7, 0.02**0.5))
    assert (rows[1].unseen, rows[1].unseen_spread) == (None, None)  # a seed has none


def test_where_nothing_is_known_nothing_is_told():
    (row,) = learning_rows([run(scores=(), unseen={}, rows={}, uplink_bytes=None, downlink_bytes=None)])
    figures = (row.mean, row.spread, row.mean_by_rows, row.worst_decile, row.unseen, row.bytes_per_device_round)
    assert set(figures) == {None}
    assert row.devices == 0


@given(lists(floats(0, 1), min_size=1, max_size=60), sampled_from(["higher", "lower"]))
def test_the_worst_tenth_is_no_better_than_the_mean_and_no_worse_than_the_worst(scores, better):
    worst = worst_decile(scores, better)
    sign = 1 if better == "higher" else -1
    assert sign * worst <= sign * sum(scores) / len(scores) + 1e-9
    assert sign * worst >= min(sign * score for score in scores) - 1e-9


def test_the_worst_tenth_of_more_than_ten_is_two():
    assert worst_decile([float(at) for at in range(11)], "higher") == 0.5
    assert worst_decile([float(at) for at in range(11)], "lower") == 9.5


def test_newcomers_have_a_row_for_each_way_that_one_could_go():
    ours = [run("ours", seed, newcomers={"base only": {"n": 0.4 + seed}, "later": {}}) for seed in (0, 1)]
    (row,) = newcomer_rows([run(), *ours])
    assert (row.method, row.way, row.devices, row.seeds) == ("ours", "base only", 1, 2)
    assert (row.mean, row.spread) == pytest.approx((0.9, 0.5**0.5))


def test_runs_come_back_from_json():
    runs = Runs(runs=(run(), run("ours", newcomers={"base only": {"n": 0.4}})))
    assert runs_from(json.loads(json.dumps(asdict(runs)))) == runs


def test_a_spread_of_one_is_nothing():
    assert (spread([3.0]).mean, spread([3.0]).deviation) == (3.0, 0.0)
