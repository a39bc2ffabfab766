"""Figures read the same wherever they are shown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.server.report.wording import (
    UNKNOWN,
    bytes_text,
    counted,
    limit_text,
    milliseconds_text,
    number_text,
    points_text,
    ratio_text,
    score_text,
    seconds_text,
    short,
)


def plain(text):
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        (score_text(0.9712, "accuracy"), "97.1 %"),
        (score_text(20.83, "rmse"), "20.8"),
        (score_text(2.0, "bits per token"), "2.00"),
        (bytes_text(999), "999 B"),
        (bytes_text(118_556), "119 kB"),
        (bytes_text(8_250), "8.2 kB"),
        (bytes_text(999_600), "1.0 MB"),
        (bytes_text(3_900_000_000), "3.9 GB"),
        (ratio_text(14.37), "14.4×"),
        (ratio_text(288.9), "289×"),
        (ratio_text(0.81), "0.81×"),
        (milliseconds_text(0.0341), "34 µs"),
        (milliseconds_text(1.254), "1.25 ms"),
        (milliseconds_text(2_000), "2.0 s"),
        (seconds_text(41.2), "41 s"),
        (seconds_text(83.4), "1 min 23 s"),
        (seconds_text(7_500), "2 h 05 min"),
        (points_text(0.0071, "classification"), "0.7 points"),
        (points_text(-0.012, "classification"), "−1.2 points"),
        (points_text(-0.0001, "regression"), "0.0 %"),
        (points_text(1e6, "regression"), "without bound"),
        (limit_text("latency_ms", 0.35), "350 µs"),
        (limit_text("size_bytes", 16_000), "16.0 kB"),
        (limit_text("energy_mj", 0.0045), "4.5 µJ"),
        (number_text(1_234.5), "1,234"),
        (counted(1, "device"), "1 device"),
        (counted(2_000, "device"), "2,000 devices"),
        (short("a_and_c/CLEOPATRA-the-queen"), "a_and_c/C…he-queen"),
    ],
)
def test_a_figure_reads(shown, read):
    assert plain(shown) == read


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf])
def test_what_is_not_known_is_a_dash(unknown):
    shown = [score_text(unknown, "accuracy"), score_text(unknown, "rmse"), bytes_text(unknown), ratio_text(unknown)]
    shown += [milliseconds_text(unknown), seconds_text(unknown), number_text(unknown), limit_text("energy_mj", unknown)]
    assert set(shown) == {UNKNOWN}


@given(value=st.floats(min_value=0, max_value=1e15))
def test_a_figure_and_its_unit_are_never_parted(value):
    for shown in (bytes_text(value), milliseconds_text(value / 1e9), score_text(value, "accuracy")):
        assert " " not in shown


@given(name=st.text(min_size=1, max_size=60), most=st.integers(8, 30))
def test_a_shortened_name_fits_and_keeps_its_ends(name, most):
    shown = short(name, most)
    assert len(shown) <= most
    assert shown[0] == name[0]
    assert shown[-1] == name[-1]
