"""`fedtailor bench merge`."""

import json

from typer.testing import CliRunner

from fedtailor.cli.main import app


def run(*words):
    done = CliRunner().invoke(app, ["bench", "merge", "--parameters", "2000", *words])
    assert done.exit_code == 0
    return done.stdout


def test_json_has_what_programs_are_promised():
    found = json.loads(run("--replies", "3", "--density", "0.05", "--seed", "4", "--json"))
    assert (found["parameters"], found["replies"], found["density"], found["seed"]) == (2000, 3, 0.05, 4)
    for name in ("dense_over_read", "sparse_over_dense", "masked_over_dense", "peak_bytes"):
        assert found[name] > 0


def test_the_table_says_of_what_its_figures_are():
    shown = " ".join(run("--quick").split())
    assert "200 replies of 2,000 parameters, 1.00% of them if sparse" in shown
    for row in ("read once, in float64", "merged dense", "merged under masks", "merged sparse"):
        assert row in shown
