"""Evidence on a recipe is pooled over the fleet."""

from dataclasses import replace

from summaries import bare_row, empty_summary, watch_summary

from fedtailor.server.cohort import cohorts


def test_rows_and_counts_of_all_devices_are_pooled():
    run = watch_summary()
    found = next(entry for entry in cohorts(run) if entry.recipe == "w50-int8")
    verdicts = [rung.verdict for row in run.devices for rung in row.ladder.rungs if rung.recipe == "w50-int8"]
    assert found.tried == len(verdicts) == 10
    assert found.verdict.rows == sum(entry.rows for entry in verdicts)
    assert found.verdict.reference_only == sum(entry.reference_only for entry in verdicts)


def test_deployments_and_withdrawals_are_counted_by_recipe():
    run = watch_summary()
    found = cohorts(run)
    assert sum(entry.deployed for entry in found) == 10
    assert [entry.recipe for entry in found if entry.withdrawn] == ["w25-fp32"]


def test_devices_without_a_ladder_add_nothing():
    assert cohorts(replace(watch_summary(), devices=(bare_row(),))) == ()
    assert cohorts(empty_summary()) == ()
