from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import composite, integers, sampled_from

from fedtailor.protos.errors import PlanError
from fedtailor.strategies.planning import allocate as allocating
from fedtailor.strategies.planning.allocate import Factor, allocate, best_answer


@composite
def problems(draw):
    """Factors over any graph of up to five variables, some choices impossible, and limits that may bind."""
    rng = np.random.default_rng(draw(integers(0, 2**32 - 1)))
    sizes = {name: draw(integers(1, 4)) for name in "abcde"[: draw(integers(1, 5))]}
    metrics = draw(integers(1, 4))
    scopes = [(), *((name,) for name in sizes)]
    scopes += [pair for pair in combinations(sizes, 2) if rng.random() < 0.5]
    scopes += [three for three in combinations(sizes, 3) if rng.random() < 0.3]
    factors = []
    for scope in scopes:
        costs = rng.integers(0, 20, (*(sizes[name] for name in scope), metrics)).astype(float)
        costs[rng.random(costs.shape) < 0.03] = np.inf
        factors.append(Factor(scope, costs))
    share = draw(sampled_from([0.3, 0.5, 0.8, 1.5]))
    return factors, [10 * len(factors) * share] * (metrics - 1), sizes


def totals(factors, sizes):
    """Every assignment with its costs."""
    for choice in product(*(range(size) for size in sizes.values())):
        picked = dict(zip(sizes, choice, strict=True))
        yield picked, sum(factor.of(picked) for factor in factors)


def least(factors, limits, sizes):
    kept = [costs[0] for _, costs in totals(factors, sizes) if (costs[1:] <= limits).all() and np.isfinite(costs[0])]
    return min(kept, default=None)


@given(problem=problems())
def test_no_choice_that_keeps_the_limits_costs_less(problem):
    factors, limits, sizes = problem
    wanted, answer = least(factors, limits, sizes), best_answer(factors, limits)
    if wanted is None:
        assert answer is None
        return
    assert set(answer.choices) == set(sizes)
    assert answer.costs[0] == pytest.approx(wanted)
    assert answer.bound == pytest.approx(wanted)
    assert (answer.costs[1:] <= limits).all()
    np.testing.assert_allclose(answer.costs, sum(factor.of(answer.choices) for factor in factors))


@given(problem=problems())
def test_with_few_labels_the_optimum_lies_between_the_bound_and_the_answer(problem):
    factors, limits, sizes = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allocating, "LABELS", (1,))
        patch.setattr(allocating, "_CANDIDATES", 1)
        answer = best_answer(factors, limits)
    if answer is not None:
        wanted = least(factors, limits, sizes)
        assert answer.bound - 1e-6 <= wanted <= answer.costs[0] + 1e-6
        assert (answer.costs[1:] <= limits).all()


def residual(levels=3, codings=4):
    """Three layers around one residual group: stem → s, s → a, a → s, s → head; fewer channels or bits lose more."""
    rng = np.random.default_rng(0)
    factors = [Factor((name,), np.stack([np.arange(levels) ** 2.0, np.zeros(levels)], -1)) for name in "sa"]
    for name, scope in {"stem": ("s",), "in": ("s", "a"), "out": ("a", "s"), "head": ("s",)}.items():
        shape = (*[levels] * len(scope), codings)
        kept = sum(axis + 1 for axis in np.indices(shape)[:-1])
        bits = np.indices(shape)[-1]
        costs = np.stack([bits * rng.uniform(1, 3), 100.0 / kept / (bits + 1)], -1)
        factors.append(Factor((*scope, f"{name}.bits"), costs))
    return factors


@pytest.mark.parametrize("limit", [400.1, 150.1, 90.1])
def test_layers_that_share_a_residual_group_are_planned_together(limit):
    factors = residual()
    sizes = {"s": 3, "a": 3} | {f"{name}.bits": 4 for name in ("stem", "in", "out", "head")}
    answer = best_answer(factors, [limit])
    assert answer.costs[0] == pytest.approx(least(factors, [limit], sizes))


def test_a_limit_that_nothing_keeps_is_named_with_the_least_that_can_be_reached():
    factors = [Factor(("a",), np.array([[1.0, 5.0], [2.0, 3.0]])), Factor((), np.array([0.0, 4.0]))]
    with pytest.raises(PlanError, match=r"payload bytes: at most 6 was asked, the least that can be reached is 7"):
        allocate(factors, [6.0], names=["payload bytes"])


def test_limits_that_can_only_be_kept_one_at_a_time_are_named():
    factors = [Factor(("a",), np.array([[1.0, 0.0, 9.0], [1.0, 9.0, 0.0]]))]
    with pytest.raises(PlanError, match=r"limit 2: at most 3 was asked.*limits before it kept is 9"):
        allocate(factors, [3.0, 3.0])


def test_a_problem_without_any_possible_choice_says_so():
    with pytest.raises(PlanError, match="infinity"):
        allocate([Factor(("a",), np.full((2, 1), np.inf))], [])


def test_a_limit_of_zero_can_be_kept():
    factors = [Factor(("a",), np.array([[0.0, 3.0], [1.0, 0.0]]))]
    assert allocate(factors, [0.0]) == {"a": 1}


@pytest.mark.parametrize(
    ("factors", "says"),
    [
        ([], "at least one factor"),
        ([Factor(("a",), np.zeros((2, 1)))], "2 metrics are needed"),
        ([Factor(("a",), np.zeros((2, 2))), Factor(("a",), np.zeros((3, 2)))], "2 choices in one factor and 3"),
    ],
)
def test_factors_that_disagree_are_refused(factors, says):
    with pytest.raises(ValueError, match=says):
        allocate(factors, [1.0])


@pytest.mark.parametrize("costs", [np.zeros(2), np.array([[np.nan]]), np.array([[-1.0]]), np.zeros((0, 1))])
def test_a_factor_takes_costs_of_at_least_zero_for_each_choice(costs):
    with pytest.raises(ValueError, match="values of at least 0"):
        Factor(("a",), costs)
