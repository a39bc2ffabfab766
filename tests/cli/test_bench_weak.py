"""The command prints a row for every way, as a table or as JSON."""

import json

import pytest
from typer.testing import CliRunner

from fedtailor.cli import bench_weak
from fedtailor.cli.main import app
from fedtailor.simulations.weak_rows import Run, weak_rows
from fedtailor.simulations.weak_ways import WAYS


def run(way, seed):
    scores = {"a": 0.9 - seed / 10, "b": 0.7}
    return Run(
        way=way,
        seed=seed,
        metric="accuracy",
        better="higher",
        base=scores,
        tuned={name: score + 0.05 for name, score in scores.items()},
        validation=scores,
        weak=("b",),
        uplink_bytes=1234.0,
        weak_uplink_bytes=None,
        downlink_bytes=2345.0,
        cpu_s=1.0,
    )


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def bench(fleet, terms, progress):
        calls.append((fleet, terms))
        progress("rows, in two tiers", 1, 1, "")
        return weak_rows([run(way, seed) for seed in range(terms.seeds) for way in terms.ways])

    monkeypatch.setattr("fedtailor.simulations.weak_bench.bench_weak", bench)
    return calls


def test_rows_as_json_say_what_each_tier_gets(asked):
    done = CliRunner().invoke(app, ["bench", "weak", "--json", "--seeds", "2", "--rounds", "7", "--per-round", "3"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert [row["way"] for row in rows] == list(WAYS)
    first = rows[0]
    assert (first["strong"], first["weak"]) == pytest.approx((0.85, 0.7))
    assert (first["worst"], first["mean_tuned"]) == pytest.approx((0.7, 0.825))
    fleet, terms = asked[0]
    assert (fleet.job.rounds, terms.seeds, terms.per_round, terms.out) == (7, 2, 3, None)
    assert terms.proxy_devices == bench_weak.PROXY_DEVICES


def test_ways_may_be_chosen_and_so_may_the_devices_set_apart(asked):
    options = ["--only", "depth,leave out", "--only", "depth + ensemble", "--proxy", "2"]
    done = CliRunner().invoke(app, ["bench", "weak", "--json", *options])
    assert done.exit_code == 0, done.output
    assert [row["way"] for row in json.loads(done.stdout)["rows"]] == ["depth", "depth + ensemble", "leave out"]
    assert asked[0][1].proxy_devices == 2


def test_the_table_has_a_line_for_every_way_and_says_what_it_counts(asked):
    done = CliRunner().invoke(app, ["bench", "weak", "--quick"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    for word in (*WAYS, "worse tier", "1 seed", "tunes the head"):
        assert word in done.stdout
    fleet, terms = asked[0]
    assert (fleet.job.rounds, terms.seeds) == (bench_weak.QUICK_ROUNDS, bench_weak.QUICK_SEEDS)
