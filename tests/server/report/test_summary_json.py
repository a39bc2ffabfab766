"""The summary that programs read."""

import json
import math
from dataclasses import replace

from summaries import bare_row, empty_summary, fallback_row, regression_summary, watch_summary

from fedtailor.server.report.figures import figures
from fedtailor.server.report.summary_json import summary_dict

PROMISED = [
    "devices",
    "rounds",
    "base_score",
    "personal_score",
    "variant_score",
    "worst_variant_score",
    "payload_ratio_median",
    "latency_ratio_median",
    "uplink_bytes_per_device_round",
    "uplink_ratio",
    "verdicts",
    "seconds",
]


def test_the_promised_keys_come_first_in_their_order():
    assert list(summary_dict(watch_summary()))[: len(PROMISED)] == PROMISED


def test_every_device_and_every_round_has_an_entry():
    result = summary_dict(watch_summary(devices=7, rounds=5))
    assert (result["devices"], len(result["rows"])) == (7, 7)
    assert (result["rounds"], [entry["round"] for entry in result["curve"]]) == (5, [1, 2, 3, 4, 5])


def test_json_holds_the_figures_themselves():
    run = watch_summary()
    result, of = json.loads(json.dumps(summary_dict(run))), figures(run)
    assert result["variant_score"] == of.variant_score
    assert result["verdicts"] == of.outcomes
    assert result["rows"][3]["variant"]["payload_bytes"] == run.devices[3].variant.rung.efficiency.payload_bytes
    assert result["rows"][3]["problems"] == list(run.devices[3].problems)


def test_certificates_are_whole():
    run = watch_summary()
    result = json.loads(json.dumps(summary_dict(run), allow_nan=False))["certificates"]
    assert [entry["recipe"] for entry in result["recipes"]] == [rung.recipe for rung in run.devices[0].ladder.rungs]
    assert result["deployed"]["bound"] == run.certificates.deployed.bound
    assert result["test"]["rows_bound"] is None
    assert summary_dict(empty_summary())["certificates"] == {"deployed": None, "test": None, "recipes": []}


def test_what_is_not_a_number_is_null():
    row = fallback_row()
    broken = replace(row, scores=replace(row.scores, variant=math.nan, base=math.inf))
    rounds = tuple(replace(entry, base_validation_score=math.nan) for entry in watch_summary().rounds)
    result = summary_dict(replace(watch_summary(), devices=(broken, bare_row()), rounds=rounds))
    text = json.dumps(result, allow_nan=False)
    assert json.loads(text)["variant_score"] is None
    assert json.loads(text)["rows"][0]["base_score"] is None
    assert json.loads(text)["curve"][0]["base_validation_score"] is None


def test_missing_parts_are_null_not_left_out():
    row = summary_dict(replace(watch_summary(), devices=(bare_row(),)))["rows"][0]
    assert row["variant"] is None
    assert row["payload_ratio"] is None
    assert row["budget_met"] is None
    assert row["verdict"] == "none"


def test_any_run_can_be_written():
    for run in (watch_summary(1, 1), regression_summary(), empty_summary()):
        json.dumps(summary_dict(run), allow_nan=False)
