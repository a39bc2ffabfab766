"""A method's row: bytes as ratios, scores against fp32 of the same seed."""

import pytest

from fedtailor.simulations.codec_rows import Run, delta_text, method_rows, points_text


def run(method="stc", seed=0, **figures):
    about = {"metric": "accuracy", "better": "higher", "parameters": 1000, "cpu_s": 1.0}
    bytes_ = {"uplink_bytes": 40.0, "downlink_bytes": 400.0, "broadcast_bytes": 80.0}
    scores = {"validation_score": 0.5, "test_score": 0.5}
    return Run(method=method, seed=seed, **{**about, **bytes_, **scores, **figures})


def test_ratios_are_four_bytes_a_parameter_over_the_mean_bytes():
    (row,) = method_rows([run(uplink_bytes=30.0), run(seed=1, uplink_bytes=50.0)])
    assert (row.ratio, row.downlink_ratio, row.broadcast_ratio) == (100.0, 10.0, 50.0)
    assert row.seeds == 2


def test_a_delta_is_the_mean_over_seeds_of_points_against_fp32_of_the_same_seed():
    runs = [
        run("fp32", 0, test_score=0.80, validation_score=0.7),
        run("fp32", 1, test_score=0.60, validation_score=0.7),
        run("stc", 0, test_score=0.79, validation_score=0.71),
        run("stc", 1, test_score=0.61, validation_score=0.73),
    ]
    reference, row = method_rows(runs)
    assert row.final_delta_points == pytest.approx(0.0)
    assert row.final_delta_deviation == pytest.approx(2**0.5)
    assert row.validation_delta_points == pytest.approx(2.0)
    assert (reference.final_delta_points, reference.final_delta_deviation) == (0, 0)


def test_where_lower_is_better_a_lower_score_is_a_gain_in_percent():
    runs = [
        run(method, metric="rmse", better="lower", test_score=score)
        for method, score in (("fp32", 20.0), ("stc", 19.0))
    ]
    assert method_rows(runs)[1].final_delta_points == pytest.approx(5.0)


def test_without_fp32_of_the_seed_there_is_no_delta():
    row = method_rows([run("fp32", 0), run("stc", 1)])[1]
    assert (row.final_delta_points, delta_text(row)) == (None, "–")


def test_words_have_sign_spread_and_unit():
    assert points_text(0.31, "accuracy").split() == ["+0.3", "points"]
    assert points_text(-1.26, "rmse", " ±0.4").split() == ["-1.3", "±0.4", "%"]
