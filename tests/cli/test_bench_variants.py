"""`fedtailor bench variants`."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fedtailor.cli.main import app
from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.errors import ConfigError
from fedtailor.simulations import variants
from fedtailor.simulations.variant_row import VariantRow

FIGURES = {
    "share": 0.99,
    "payload_bytes": 12_000,
    "payload_ratio": 10.0,
    "file_bytes": 20_000,
    "latency_ratio": 2.5,
    "memory_bytes": 300_000,
    "cpu_s": 1.5,
    "verdict": "proven",
}


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Made-up rows instead of minutes of work; what was asked for is kept."""
    calls = []

    def bench(fleet, terms, _progress):
        calls.append((fleet, terms))
        about = {"data": fleet.name, "model": "mlp", "metric": "accuracy"}
        rows = [
            VariantRow(**about, **FIGURES, seed=seed, method="fedtailor x8", test_score=0.8 + seed / 10)
            for seed in range(terms.seeds)
        ]
        return [*rows, VariantRow(**about, seed=0, method="nncf-ptq", note="not installed: pip install nncf")]

    monkeypatch.setattr(variants, "bench_variants", bench)
    rng = np.random.default_rng(0)
    owned = FleetArrays(
        x=rng.normal(size=(90, 4)).astype(np.float32),
        y=rng.integers(0, 2, 90),
        device=np.repeat(["a", "b", "c"], 30),
    )
    write_fleet_file(tmp_path / "owned.npz", owned)
    write_fleet_file(tmp_path / "free.npz", FleetArrays(x=owned.x, y=owned.y))
    return calls


def run(*words):
    return CliRunner().invoke(app, ["bench", "variants", *map(str, words)])


def test_the_table_has_a_line_for_each_method_with_means_over_seeds_or_the_reason(asked, tmp_path):
    shown = run(tmp_path / "owned.npz", "--seeds", 2).stdout
    (line,) = [line for line in shown.splitlines() if "fedtailor x8" in line]
    assert all(figure in line for figure in ("owned, mlp", "85.0", "10.0×", "2.5×", "proven"))
    assert "not installed" in shown


def test_json_has_every_row(asked, tmp_path):
    done = run(tmp_path / "owned.npz", tmp_path / "free.npz", "--seeds", 3, "--json")
    rows = json.loads(done.stdout)["rows"]
    assert [row["seed"] for row in rows if row["method"] == "fedtailor x8"] == [0, 1, 2, 0, 1, 2]
    assert {row["data"] for row in rows} == {"owned", "free"}


def test_rows_without_owners_need_no_partition(asked, tmp_path):
    run(tmp_path / "free.npz")
    run(tmp_path / "free.npz", "--partition", "shards:2", "--devices", 4)
    run(tmp_path / "owned.npz", "--devices", 2)
    dealt = [(fleet.partition, fleet.devices) for fleet, _ in asked]
    assert dealt == [("iid", 1), ("shards:2", 4), (None, 2)]


def test_quick_is_one_seed_of_a_few_epochs_unless_asked_otherwise(asked, tmp_path):
    run(tmp_path / "owned.npz")
    run(tmp_path / "owned.npz", "--quick")
    run(tmp_path / "owned.npz", "--quick", "--epochs", 7, "--calibration", 50, "--model", "mlp")
    assert [(terms.seeds, terms.epochs, terms.calibration) for _, terms in asked] == [
        (3, 30, 500),
        (1, 3, 500),
        (1, 7, 50),
    ]
    assert asked[-1][0].job.model == "mlp"


def test_peers_are_chosen_by_comma_and_an_unknown_one_is_named(asked, tmp_path):
    run(tmp_path / "owned.npz", "--peers", "ort-static,nncf-ptq")
    assert [peer.name for peer in asked[0][1].peers] == ["nncf-ptq", "ort-static"]
    refused = run(tmp_path / "owned.npz", "--peers", "gzip")
    assert isinstance(refused.exception, ConfigError)


def test_a_plot_is_written_beside_the_table(asked, tmp_path):
    run(tmp_path / "owned.npz", "--plot", tmp_path / "sizes.svg")
    assert (tmp_path / "sizes.svg").read_text(encoding="utf-8").startswith("<svg")
