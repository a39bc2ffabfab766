"""Drift in words, on the page, in remarks and as JSON."""

from dataclasses import replace

import pytest
from summaries import bare_row, summary_of, watch_summary

from fedtailor.protos.data_profile import Drift, Shift
from fedtailor.protos.model_spec import CLASSIFICATION, REGRESSION
from fedtailor.protos.summary import DriftRow
from fedtailor.server.report.drifted import drift_text, latest_text
from fedtailor.server.report.page import to_html
from fedtailor.server.report.remarks import remarks
from fedtailor.server.report.summary_json import summary_dict

DRIFT = Drift(
    label=Shift(size=0.62, level=1e-9), feature=Shift(size=0.3, level=0.2), confidence=Shift(size=1.34, level=1e-5)
)
PARTS = ("labels", "loss")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (CLASSIFICATION, "labels by 0.62 of all rows, loss by 1.34 nats"),
        (REGRESSION, "labels by 0.62 standard deviations, loss by 1.34 of the squared error"),
    ],
)
def test_what_has_moved_has_its_unit(kind, text):
    assert drift_text(DRIFT, PARTS, kind) == latest_text(DRIFT, kind) == text


def test_without_drift_it_says_whether_it_was_looked_for():
    assert latest_text(None, CLASSIFICATION) == "first profile"
    assert latest_text(Drift(label=DRIFT.feature), CLASSIFICATION) == "none beyond chance"


def test_remark_and_json_say_which_device_has_drifted_in_what_and_when():
    drifted = replace(bare_row("till-1"), problems=(), drifts=(DriftRow(round=6, parts=PARTS, drift=DRIFT),))
    summary = summary_of(drifted, replace(bare_row("till-2"), problems=()))
    line = "till-1: its data had moved before round 6 (labels by 0.62 of all rows, loss by 1.34 nats); planned anew"
    assert line in remarks(summary)
    assert line in to_html(summary)
    told, untold = summary_dict(summary)["rows"]
    assert untold["drifts"] == []
    (drift,) = told["drifts"]
    assert (drift["round"], drift["parts"]) == (6, ["labels", "loss"])
    assert drift["drift"]["confidence"] == {"size": 1.34, "level": 1e-5}


def test_the_page_says_how_the_data_of_a_device_has_moved():
    assert "none beyond chance" in to_html(watch_summary())
    assert "first profile" in to_html(summary_of(bare_row()))
