"""`fedtailor bench pace`."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from fedtailor.cli.main import app
from fedtailor.protos.errors import ConfigError
from fedtailor.simulations import pace
from fedtailor.simulations.pace import PaceRow
from fedtailor.simulations.pace_course import EVERYONE

ROW = PaceRow(
    data="watch",
    model="conv1d",
    seed=0,
    mode=EVERYONE,
    devices=40,
    slow_devices=13,
    metric="accuracy",
    deadline_s=2.0,
    commits=40,
    updates=1280,
    virtual_s=80.0,
    score=0.91,
    reached_s=None,
    share=None,
)
ROWS = [ROW, replace(ROW, mode="buffered", commits=128, virtual_s=30.0, score=0.92, reached_s=24.0, share=0.3)]


@pytest.fixture
def benched(monkeypatch):
    """What `bench pace` prints, and what it asked for."""
    asked = []

    def bench(fleet, seeds, buffer, progress):
        asked.append((fleet, seeds, buffer))
        return ROWS

    monkeypatch.setattr(pace, "bench_pace", bench)

    def call(*options):
        found = CliRunner().invoke(app, ["bench", "pace", *options], catch_exceptions=False)
        assert found.exit_code == 0
        return found.stdout, asked[-1]

    return call


def test_without_a_file_the_default_rows_are_dealt_to_forty_devices(benched):
    _, (fleet, seeds, buffer) = benched()
    assert (fleet.data, fleet.partition, fleet.devices) == (None, "dirichlet:0.3", 40)
    assert (fleet.slow_fraction, fleet.slow_factor, fleet.dropout) == (0.3, 10.0, 0.2)
    assert (fleet.job.rounds, seeds, buffer) == (40, 3, 0)


def test_options_say_who_is_slow_and_how_long(benched):
    _, (fleet, seeds, buffer) = benched("--quick", "--slow-fraction", "0.5", "--devices", "10", "--buffer", "4")
    assert (fleet.slow_fraction, fleet.devices, fleet.job.rounds, seeds, buffer) == (0.5, 10, 6, 1, 4)


def test_a_table_says_when_a_way_had_reached_the_score_of_those_that_wait(benched):
    table, _ = benched()
    assert EVERYONE in table
    assert "13 of 40" in table
    assert "30%" in table


def test_rows_come_as_json(benched):
    out, _ = benched("--json")
    rows = json.loads(out)["rows"]
    assert [row["share"] for row in rows] == [None, 0.3]
    assert rows[0]["virtual_s"] == 80.0


def test_one_device_is_refused_with_how_many_are_needed():
    refused = CliRunner().invoke(app, ["bench", "pace", "--devices", "1"])
    assert isinstance(refused.exception, ConfigError)
    assert str(refused.exception).startswith("devices: expected at least 2, ")
