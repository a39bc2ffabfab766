from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import composite, integers, lists, permutations, sampled_from

from fedtailor.protos.errors import PlanError
from fedtailor.strategies.planning.elimination import best_choices, elimination_tree, least_rests, least_totals

SIZES = {"a": 2, "b": 3, "c": 2, "d": 4}


@composite
def tables(draw):
    """Scopes that cover all variables, each in any order, and a table of numbers for each."""
    drawn = draw(lists(sampled_from([("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("a", "b", "c"), ()]), max_size=5))
    scopes = [tuple(draw(permutations(scope))) for scope in [*drawn, *((name,) for name in SIZES)]]
    rng = np.random.default_rng(draw(integers(0, 2**32 - 1)))
    return scopes, [rng.normal(size=[SIZES[name] for name in scope]) for scope in scopes]


def sums(scopes, numbers):
    for choice in product(*(range(size) for size in SIZES.values())):
        picked = dict(zip(SIZES, choice, strict=True))
        cells = [
            float(table[tuple(picked[name] for name in scope)]) for scope, table in zip(scopes, numbers, strict=True)
        ]
        yield picked, cells


@given(problem=tables())
def test_the_root_holds_the_least_sum_and_its_choices_reach_it(problem):
    scopes, numbers = problem
    tree = elimination_tree(scopes, SIZES)
    totals = least_totals(tree, numbers, SIZES)
    every = {tuple(picked.items()): sum(cells) for picked, cells in sums(scopes, numbers)}
    assert float(totals[-1]) == pytest.approx(min(every.values()))
    chosen = best_choices(tree, totals, SIZES)
    assert every[tuple((name, chosen[name]) for name in SIZES)] == pytest.approx(min(every.values()))


@given(problem=tables())
def test_a_table_and_its_rest_are_the_least_sum_of_each_of_its_choices(problem):
    scopes, numbers = problem
    tree = elimination_tree(scopes, SIZES)
    rests = least_rests(tree, least_totals(tree, numbers, SIZES), SIZES)
    for at, (scope, table) in enumerate(zip(scopes, numbers, strict=True)):
        wanted = np.full(table.shape, np.inf)
        for picked, cells in sums(scopes, numbers):
            place = tuple(picked[name] for name in scope)
            wanted[place] = min(wanted[place], sum(cells))
        np.testing.assert_allclose(table + rests[at], wanted)


def test_variables_that_all_hang_together_are_refused():
    names = tuple("abcdefgh")
    with pytest.raises(PlanError, match="offer fewer"):
        elimination_tree([names], dict.fromkeys(names, 10))
