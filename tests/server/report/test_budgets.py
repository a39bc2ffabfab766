"""Budgets are held against what the deployed variant takes."""

from dataclasses import replace

import numpy as np
from summaries import bare_row, device_row

from fedtailor.protos.budget import Budget
from fedtailor.server.report.budgets import budget_checks, budget_met, over_budget


def row(**limits):
    return replace(device_row(0, np.random.default_rng(0)), budget=Budget(**limits))


def test_only_limits_that_are_set_are_listed():
    assert [check.name for check in budget_checks(row(size_bytes=10**9, latency_ms=10.0))] == [
        "latency_ms",
        "size_bytes",
    ]


def test_a_limit_is_inclusive():
    size = row().variant.rung.efficiency.file_bytes
    assert budget_met(budget_checks(row(size_bytes=size))) is True
    assert budget_met(budget_checks(row(size_bytes=size - 1))) is False


def test_what_is_over_is_named():
    assert over_budget(budget_checks(row(size_bytes=1, latency_ms=1000.0, uplink_bytes=1))) == ("size", "uplink")


def test_a_simulated_class_is_held_to_its_modelled_latency():
    slow = device_row(2, np.random.default_rng(0))
    check = budget_checks(replace(slow, budget=Budget(latency_ms=1.0)))[0]
    assert check.how == "modelled"
    assert check.actual == slow.variant.rung.efficiency.latency_ms_modelled


def test_a_real_device_is_held_to_its_measured_latency():
    check = budget_checks(row(latency_ms=1.0))[0]
    assert check.how == "measured"
    assert check.actual == row().variant.rung.efficiency.latency_p50_us_measured / 1000


def test_without_a_variant_nothing_is_met_or_exceeded():
    checks = budget_checks(replace(bare_row(), budget=Budget(latency_ms=1.0, uplink_bytes=5)))
    assert [check.met for check in checks] == [None, None]
    assert budget_met(checks) is None
    assert over_budget(checks) == ()


def test_no_limit_at_all_is_neither_met_nor_exceeded():
    assert budget_met(budget_checks(row())) is None
