"""The fleet's certificates in words."""

from dataclasses import replace

from summaries import empty_summary, fallback_row, regression_summary, summary_of, watch_summary

from fedtailor.server.report.certified import certified


def plain(run):
    return [line.replace("\u00a0", " ") for line in certified(run)]


def test_what_is_deployed_is_bounded_on_these_devices_and_on_others_and_called_optimistic():
    run = watch_summary()
    deployed, _ = plain(run)
    of = run.certificates.deployed
    assert f"{100 * of.drop:.1f} points lost on {of.rows:,} rows of 10 devices" in deployed
    assert f"at most {100 * of.rows_bound:.1f} points on these" in deployed
    assert f"at most {100 * of.bound:.1f} points on devices like these (95% confidence)" in deployed
    assert "optimistic" in deployed


def test_on_test_stands_beside_it_and_is_not_called_optimistic():
    _, test = plain(watch_summary())
    assert test.startswith("the same on test rows, by which nothing was chosen")
    assert "points lost on 3,100 rows of 10 devices" in test
    assert "optimistic" not in test


def test_few_devices_say_that_there_is_no_claim():
    for line in plain(watch_summary(devices=2)):
        assert "on devices like these no claim: fewer than 5 devices" in line


def test_a_regression_speaks_of_squared_error():
    deployed, test = plain(regression_summary(devices=6))
    assert "% of squared error lost" in deployed
    assert "% of squared error lost" in test


def test_next_token_on_test_is_in_bits():
    run = replace(watch_summary(), kind="next-token")
    deployed, test = plain(run)
    assert "points lost" in deployed
    assert f"{run.certificates.test.drop:.3f} bits lost" in test


def test_where_nothing_is_certified_nothing_is_said():
    assert certified(empty_summary()) == []
    assert certified(summary_of(fallback_row())) == []
