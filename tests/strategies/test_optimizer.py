"""What holds for every server optimizer: registering one tries it here."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fedtailor.strategies.merge as _merge  # noqa: F401 - registers them
from fedtailor.protos.errors import PlanError
from fedtailor.strategies.merge.optimizer import OPTIMIZERS, OptimizerSpec, optimizer_of, stepped
from fedtailor.strategies.merge.step import Step

SIZE = 24
every = pytest.mark.parametrize("name", OPTIMIZERS)
seeds = st.integers(0, 2**32 - 1)


def optimizer(name, **args):
    return optimizer_of(OptimizerSpec(name=name, version=OPTIMIZERS[name].version, args=args))


def a_base(rng):
    return rng.normal(0, 0.1, SIZE).astype(np.float32)


def rounds_of(name, rng, count, covered=lambda rng: None):
    """The base and moments after each of so many steps; what is not covered has the value 0, as from a merge."""
    kind, base, moments = optimizer(name), a_base(rng), ()
    yield base, kind.init(base), None
    for _ in range(count):
        cover = covered(rng)
        values = rng.normal(0, 0.01, SIZE) * (1 if cover is None else cover)
        base, moments = stepped(kind, base, Step(values, cover), moments)
        yield base, moments, cover


@every
@given(seed=seeds)
def test_a_coordinate_that_is_not_covered_keeps_its_value_and_its_moments(name, seed):
    rng = np.random.default_rng(seed)
    history = list(rounds_of(name, rng, 4, lambda rng: rng.random(SIZE) < 0.5))
    for (base, moments, _), (after, moved, covered) in pairwise(history):
        for old, new in ((base, after), *zip(moments, moved, strict=True)):
            assert old[~covered].tobytes() == new[~covered].tobytes()


@every
@given(seed=seeds)
def test_a_round_that_covers_nothing_leaves_no_trace(name, seed):
    rng = np.random.default_rng(seed)
    kind, base = optimizer(name), a_base(rng)
    nothing = Step(np.zeros(SIZE), np.zeros(SIZE, np.bool_))
    plain = broken = (base, ())
    for values in rng.normal(0, 0.01, (3, SIZE)):
        plain = stepped(kind, plain[0], Step(values), plain[1])
        broken = stepped(kind, broken[0], Step(values), broken[1])
        broken = stepped(kind, broken[0], nothing, broken[1])
    assert plain[0].tobytes() == broken[0].tobytes()
    assert [each.tobytes() for each in plain[1]] == [each.tobytes() for each in broken[1]]


@every
def test_the_base_moves_the_way_the_devices_say(name):
    kind, base = optimizer(name), np.zeros(SIZE, np.float32)
    moments = ()
    delta = np.linspace(-0.01, 0.01, SIZE)
    for _ in range(3):
        base, moments = stepped(kind, base, Step(delta), moments)
    assert np.array_equal(np.sign(base), np.sign(delta))


@every
def test_what_is_remembered_is_finite_float32_of_the_models_size(name):
    kind = optimizer(name)
    base, moments = stepped(kind, np.zeros(SIZE, np.float32), Step(np.full(SIZE, 1e30)), ())
    for each in (base, *moments, *kind.init(base)):
        assert each.dtype == np.float32
        assert each.shape == (SIZE,)
        assert np.isfinite(each).all()


@every
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_parameter_out_of_range_is_named(name, value):
    for parameter in OPTIMIZERS[name].defaults:
        with pytest.raises(PlanError, match=f"optimizer {name} 1: {parameter} must be"):
            optimizer(name, **{parameter: value})


def test_an_unknown_optimizer_is_one_line_that_names_the_known_ones():
    with pytest.raises(PlanError, match="optimizer lamb 1 is not known here; known: adagrad 1, adam 1, momentum 1"):
        optimizer_of(OptimizerSpec(name="lamb", version=1))
    with pytest.raises(PlanError, match="optimizer sgd 1: unknown parameter beta1; it takes learning_rate"):
        optimizer("sgd", beta1=0.9)


@given(seed=seeds, rate=st.floats(0.1, 2))
def test_sgd_adds_the_mean_delta(seed, rate):
    rng = np.random.default_rng(seed)
    base, values = a_base(rng), rng.normal(0, 0.01, SIZE)
    moved, moments = stepped(optimizer("sgd", learning_rate=rate), base, Step(values), ())
    assert moments == ()
    assert moved.tobytes() == (base + rate * values).astype(np.float32).tobytes()


@given(seed=seeds)
def test_momentum_carries_on_the_last_change_of_the_base(seed):
    """Heavy-ball, bit for bit as the base's own history has it."""
    rng = np.random.default_rng(seed)
    bases = [base for base, *_ in rounds_of("momentum", np.random.default_rng(seed), 5)]
    before = base = a_base(rng)
    for came in bases[1:]:
        values = rng.normal(0, 0.01, SIZE)
        base, before = (base + values + 0.7 * (base.astype(np.float64) - before)).astype(np.float32), base
        assert came.tobytes() == base.tobytes()


@pytest.mark.parametrize(
    ("name", "beta1", "squares"),
    [
        ("adam", 0.9, lambda v, d: 0.99 * v + 0.01 * d),
        ("yogi", 0.9, lambda v, d: v - 0.01 * d * np.sign(v - d)),
        ("adagrad", 0.0, lambda v, d: v + d),
    ],
)
def test_the_adaptive_ones_are_those_of_algorithm_2(name, beta1, squares):
    rng = np.random.default_rng(0)
    kind = optimizer(name, learning_rate=0.05)
    base, moments, m, v = a_base(rng), (), 0.0, 1e-6
    want = base.astype(np.float64)
    for _ in range(6):
        values = rng.normal(0, 0.01, SIZE)
        m, v = beta1 * m + (1 - beta1) * values, squares(v, values**2)
        want += 0.05 * m / (np.sqrt(v) + 1e-3)
        base, moments = stepped(kind, base, Step(values), moments)
        np.testing.assert_allclose(base, want, rtol=1e-5, atol=1e-6)
