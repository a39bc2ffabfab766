"""`fedtailor bench codec`."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fedtailor.cli.main import app
from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.errors import ConfigError
from fedtailor.server.report.wording import NBSP
from fedtailor.simulations import codec_bench
from fedtailor.simulations.codec_rows import PeerRow, Run, SpeedRow

PEER = PeerRow(
    peer="nncodec",
    setting="qp -20",
    update="fresh 0",
    error=0.5,
    peer_bytes=1600,
    our_error=0.48,
    our_bytes=800,
    ours="topk share 0.03",
)
SPEED = SpeedRow(
    method="ours",
    parameters=100_000,
    payload_bytes=900,
    encode_mb_s=2500.0,
    decode_mb_s=1250.0,
    memcpy_mb_s=10_000.0,
    encode_of_memcpy=0.25,
    decode_of_memcpy=0.125,
)


def run_of(method, seed):
    return Run(
        method=method,
        seed=seed,
        metric="accuracy",
        better="higher",
        parameters=1000,
        uplink_bytes=4000.0 if method == "fp32" else 16.0,
        downlink_bytes=400.0,
        broadcast_bytes=40.0,
        validation_score=0.7,
        test_score=0.7 if method == "fp32" else 0.69,
        cpu_s=1.0,
    )


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Made-up figures instead of minutes of work; what was asked for is kept."""
    calls = []

    def accuracy(fleet, terms, _progress):
        calls.append((fleet, terms))
        return [run_of(method.name, seed) for seed in range(terms.seeds) for method in terms.methods]

    monkeypatch.setattr(codec_bench, "bench_accuracy", accuracy)
    monkeypatch.setattr(
        codec_bench, "match_peers", lambda match: [PEER, PeerRow(peer="other", note="not installed: get")]
    )
    monkeypatch.setattr(codec_bench, "bench_speed", lambda *_: [SPEED])
    x = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    arrays = FleetArrays(x=x, y=(x[:, 0] > 0).astype(np.int64), device=np.repeat(["a", "b", "c"], 30))
    write_fleet_file(tmp_path / "owned.npz", arrays)
    return calls


def run(*words):
    return CliRunner().invoke(app, ["bench", "codec", *map(str, words)])


def test_the_tables_have_bytes_deltas_the_peer_and_speed(asked, tmp_path):
    shown = run(tmp_path / "owned.npz", "--seeds", 2, "--methods", "stc").stdout.replace(NBSP, " ")
    (line,) = [line for line in shown.splitlines() if line.startswith("stc")]
    assert all(figure in line for figure in ("16 B", "250×", "10.0×", "100×", "69.0", "-1.0"))
    (line,) = [line for line in shown.splitlines() if line.startswith("nncodec")]
    assert all(figure in line for figure in ("0.500", "1.6 kB", "800 B", "2.0×"))
    assert "not installed: get" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("100,000")]
    assert all(figure in line for figure in ("2,500", "1,250", "10,000", "0.25 / 0.12"))


def test_json_has_what_programs_are_promised(asked, tmp_path):
    found = json.loads(run(tmp_path / "owned.npz", "--seeds", 2, "--methods", "stc", "--json").stdout)
    row = found["methods"][1]
    assert (row["name"], row["uplink_bytes_per_client_round"], row["ratio"], row["seeds"]) == ("stc", 16, 250, 2)
    assert row["final_delta_points"] == pytest.approx(-1)
    speed = found["speed"][0]
    assert (speed["parameters"], speed["encode_mb_s"], speed["decode_mb_s"], speed["memcpy_mb_s"]) == (
        100_000,
        2500,
        1250,
        10_000,
    )


def test_each_half_can_be_asked_for_alone(asked, tmp_path):
    halves = [
        json.loads(run(tmp_path / "owned.npz", "--quick", "--json", *words).stdout)
        for words in (["--accuracy"], ["--speed"], ["--accuracy", "--speed"])
    ]
    assert [(bool(each["methods"]), bool(each["speed"])) for each in halves] == [
        (True, False),
        (False, True),
        (True, True),
    ]
    assert len(asked) == 2


def test_quick_is_one_seed_of_few_rounds_unless_asked_otherwise(asked, tmp_path):
    run(tmp_path / "owned.npz", "--accuracy")
    run(tmp_path / "owned.npz", "--accuracy", "--quick")
    run(
        tmp_path / "owned.npz", "--accuracy", "--quick", "--rounds", 7, "--seeds", 2, "--per-round", 4, "--model", "mlp"
    )
    assert [(terms.seeds, fleet.job.rounds, terms.per_round) for fleet, terms in asked] == [
        (3, 80, 10),
        (1, 20, 10),
        (2, 7, 4),
    ]
    assert asked[-1][0].job.model == "mlp"


def test_rows_can_be_dealt_anew(asked, tmp_path):
    run(tmp_path / "owned.npz", "--accuracy", "--partition", "dirichlet:0.3", "--devices", 4)
    assert (asked[0][0].partition, asked[0][0].devices) == ("dirichlet:0.3", 4)


def test_an_unknown_method_is_named(asked, tmp_path):
    refused = run(tmp_path / "owned.npz", "--methods", "zip")
    assert isinstance(refused.exception, ConfigError)
    assert "got 'zip'" in str(refused.exception)


def test_a_folder_is_made_for_the_runs_and_a_plot_is_written(asked, tmp_path):
    run(tmp_path / "owned.npz", "--accuracy", "--out", tmp_path / "kept", "--plot", tmp_path / "codecs.svg")
    assert asked[0][1].out == tmp_path / "kept"
    assert (tmp_path / "kept").is_dir()
    assert (tmp_path / "codecs.svg").read_text(encoding="utf-8").startswith("<svg")
