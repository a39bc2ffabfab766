"""The first sentence a reviewer reads."""

from dataclasses import replace

from summaries import bare_row, empty_summary, fallback_row, regression_summary, watch_summary
from variants import verdict

from fedtailor.server.report.claim import claim, evidence
from fedtailor.server.report.figures import figures


def claimed(run):
    return claim(run, figures(run)).replace("\u00a0", " ")


def test_the_claim_names_scores_savings_and_verdicts():
    run = watch_summary()
    of = figures(run)
    text = claimed(run)
    assert text.startswith("10 devices run their own variants of one shared model: ")
    assert f"{100 * of.variant_score:.1f} % accuracy on test data" in text
    assert f"{of.payload_ratio_median:.1f}× smaller" in text
    assert f"{of.outcomes['proven']} proven no worse" in text
    assert text.endswith("none rejected.")


def test_one_device_is_told_in_the_singular():
    assert claimed(watch_summary(devices=1)).startswith("1 device runs its own variant of")


def test_devices_without_a_variant_are_not_counted_as_tailored():
    run = replace(watch_summary(), devices=(*watch_summary(devices=2).devices, fallback_row(), bare_row()))
    assert claimed(run).startswith("2 of 4 devices run their own variants")
    assert "1 kept in fp32, 1 without a variant" in claimed(run)


def test_a_fleet_that_kept_fp32_claims_no_savings():
    text = claimed(replace(watch_summary(), devices=(fallback_row(),)))
    assert text.startswith("None of 1 device runs a tailored variant")
    assert text.endswith("1 kept in fp32, none rejected.")
    assert "smaller" not in text


def test_slower_is_not_called_faster():
    row = watch_summary(devices=1).devices[0]
    slow = replace(row, variant=replace(row.variant, rung=replace(row.variant.rung, latency_ratio=0.8)))
    text = claimed(replace(watch_summary(), devices=(slow,)))
    assert "0.80× as fast" in text
    assert "faster" not in text


def test_an_empty_run_claims_nothing():
    assert claimed(empty_summary()) == "None of 0 devices runs a variant."


def test_a_run_without_test_rows_says_so():
    rows = tuple(replace(row, scores=None) for row in watch_summary().devices)
    assert "no test rows to score them on" in claimed(replace(watch_summary(), devices=rows))


def test_errors_are_in_their_own_unit():
    assert "% rmse" not in claimed(regression_summary())


def test_evidence_counts_rows_on_both_sides():
    text = evidence(verdict(rows=200, lost=3, won=1), "classification").replace("\u00a0", " ")
    assert "On 200 validation rows the fp32 reference alone is right on 3, the variant alone on 1" in text
    assert "a drop of 1.0 points" in text
    assert "1.0 points allowed" in text


def test_evidence_of_a_regression_speaks_of_squared_error():
    text = evidence(replace(verdict(), drop=0.004, bound=0.02), "regression").replace("\u00a0", " ")
    assert "the squared error changes by 0.4 %, at most 2.0 %" in text
