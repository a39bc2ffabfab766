import json

import pytest
from small_optimised import optimised, rung

from fedtailor.protos.budget import Budget
from fedtailor.simulations.optimised import as_dict

FOUND = optimised(rung("x8", 125), rung("x40", 25, lost=9), chosen="x8", budget=Budget(size_bytes=500))


def test_the_rows_hold_what_a_program_reads():
    rows = as_dict(FOUND)
    reference = {"validation_score", "test_score", "payload_bytes", "latency_p50_us"}
    rungs = {"recipe", "file_bytes", "latency_p99_us", "memory_bytes", "verdict", "chosen"} | reference
    assert reference <= set(rows["reference"])
    assert all(rungs <= set(row) for row in rows["rungs"])
    assert [(row["recipe"], row["payload_bytes"], row["chosen"]) for row in rows["rungs"]] == [
        ("x8", 125, True),
        ("x40", 25, False),
    ]
    assert rows["rows"] == {"train": 20, "validation": 20, "test": 20}
    assert rows["budget"] == {"size_bytes": 500}


@pytest.mark.parametrize("chosen", ["fp32", "x8"])
def test_what_runs_is_named_even_where_it_is_the_reference(chosen):
    rows = as_dict(optimised(rung("x8", 125), chosen=chosen))
    assert rows["chosen"] == chosen
    assert [row["recipe"] for row in (rows["reference"], *rows["rungs"]) if row["chosen"]] == [chosen]


def test_json_takes_it_as_it_is_with_or_without_test_rows():
    for found in (FOUND, optimised(rung("x8", 125), test_rows=0)):
        assert json.loads(json.dumps(as_dict(found), allow_nan=False))["device"] == "till-1"
    assert as_dict(optimised(test_rows=0))["reference"]["test_score"] is None
