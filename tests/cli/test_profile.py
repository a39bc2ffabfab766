"""`fedtailor profile`: one profile as a table and as JSON."""

import json
from dataclasses import asdict

import pytest
from typer.testing import CliRunner
from variants import hardware

from fedtailor.cli.main import app


@pytest.fixture
def probed(monkeypatch):
    found = hardware("bench", "this machine", 1.0, None)
    monkeypatch.setattr("fedtailor.client.probe.probe", lambda device_id: found)
    return found


def invoke(*arguments):
    return CliRunner().invoke(app, ["profile", *arguments], catch_exceptions=False)


def test_json_holds_every_field(probed):
    assert json.loads(invoke("--json").stdout) == json.loads(json.dumps(asdict(probed)))


def test_the_table_holds_hardware_and_benchmark(probed):
    shown = invoke().stdout.replace("\u00a0", " ")
    for figure in (
        "bench",
        "x86_64 Linux",
        "avx512_vnni",
        "3.9 GB",
        "11.2 Gflop/s fp32",
        "182 Gop/s int8",
        "11.9 GB/s",
    ):
        assert figure in shown
