import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION
from fedtailor.protos.plan import GatePlan
from fedtailor.strategies.doubt import doubt

GATE = GatePlan()


def outputs(rows, *shape, kind):
    """Answers, and the labels that they get right."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(rows, *shape)).astype(np.float32)
    y = rng.normal(size=rows).astype(np.float32) if kind == REGRESSION else found.argmax(-1)
    return found, y


CASES = {CLASSIFICATION: (5,), NEXT_TOKEN: (7, 5), REGRESSION: (1,)}


@pytest.mark.parametrize(("kind", "shape"), CASES.items())
def test_nothing_speaks_against_the_reference_itself(kind, shape):
    found, y = outputs(30, *shape, kind=kind)
    assert doubt(found, found, y, kind=kind, gate=GATE) == ""


@pytest.mark.parametrize("kind", [CLASSIFICATION, NEXT_TOKEN])
def test_a_variant_that_is_as_often_right_but_less_sure_is_doubted(kind):
    found, y = outputs(30, *CASES[kind], kind=kind)
    less_sure = found / 2
    assert (less_sure.argmax(-1) == y).all()
    assert "its loss may have grown by" in doubt(found, less_sure, y, kind=kind, gate=GATE)
    assert doubt(found, less_sure, y, kind=kind, gate=GatePlan(loss_margin=5.0)) == ""


@pytest.mark.parametrize("kind", [CLASSIFICATION, NEXT_TOKEN])
def test_a_variant_that_is_surer_of_the_labels_is_not(kind):
    found, y = outputs(30, *CASES[kind], kind=kind)
    assert doubt(found / 2, found, y, kind=kind, gate=GATE) == ""


@given(scale=st.floats(1e-3, 1e3))
def test_the_doubt_about_a_regression_knows_no_unit(scale):
    found, y = outputs(40, 1, kind=REGRESSION)
    worse = found + np.float32(0.5) * np.sign(found - y[:, None])
    asked = {"kind": REGRESSION, "gate": GATE}
    factor = np.float32(scale)
    assert doubt(factor * found, factor * worse, factor * y, **asked)[:36] == doubt(found, worse, y, **asked)[:36]
    assert "of its squared error" in doubt(found, worse, y, **asked)


def test_few_rows_leave_more_doubt_than_many():
    rng = np.random.default_rng(1)
    found = rng.normal(size=(2000, 5)).astype(np.float32)
    y = rng.integers(0, 5, 2000)
    near = (found + rng.normal(0, 0.2, found.shape)).astype(np.float32)
    asked = {"kind": CLASSIFICATION, "gate": GatePlan(loss_margin=0.04)}
    assert doubt(found[:8], near[:8], y[:8], **asked)
    assert doubt(found, near, y, **asked) == ""
    assert doubt(found[:1], found[:1], y[:1], **asked) == "fewer than two rows"
