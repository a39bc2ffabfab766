from dataclasses import replace

import pytest
from small_variants import EFFICIENCY

from fedtailor.protos.budget import Budget
from fedtailor.strategies.budget_check import artefact_checks


@pytest.mark.parametrize(
    ("name", "takes"), [("latency_ms", 1.5), ("size_bytes", 2000), ("peak_ram_bytes", 300), ("energy_mj", None)]
)
def test_each_limit_is_inclusive_and_held_against_its_own_figure(name, takes):
    (check,) = artefact_checks(Budget(**{name: takes or 1.0}), EFFICIENCY)
    assert (check.name, check.actual, check.met) == (name, takes, None if takes is None else True)
    if takes is not None:
        assert artefact_checks(Budget(**{name: takes * 0.99}), EFFICIENCY)[0].met is False


def test_without_an_artefact_every_limit_is_open():
    checks = artefact_checks(Budget(latency_ms=1.0, energy_mj=1.0), None)
    assert [(check.name, check.met, check.how) for check in checks] == [
        ("latency_ms", None, "not measured"),
        ("energy_mj", None, "not measured"),
    ]


@pytest.mark.parametrize(
    ("modelled", "measured", "actual", "how"),
    [
        (None, None, None, "not measured"),
        (None, 2.0, 2.0, "measured"),
        (3.0, None, 3.0, "modelled"),
        (3.0, 2.0, 3.0, "modelled"),  # of a simulated class: the measured one is that of this machine
    ],
)
def test_energy_says_where_it_comes_from(modelled, measured, actual, how):
    takes = replace(EFFICIENCY, energy_mj_modelled=modelled, energy_mj_measured=measured)
    (check,) = artefact_checks(Budget(energy_mj=2.5), takes)
    assert (check.actual, check.how, check.met) == (actual, how, None if actual is None else actual <= 2.5)
