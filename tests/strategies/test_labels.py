import numpy as np
from hypothesis import given
from hypothesis.strategies import integers

from fedtailor.strategies.planning.labels import Labels, all_choices, frontier, joined

SIZES = {"a": 3, "b": 2, "c": 2}


@given(seed=integers(0, 2**32 - 1), count=integers(0, 40), metrics=integers(1, 3))
def test_the_frontier_is_what_nothing_of_its_state_equals_or_undercuts(seed, count, metrics):
    rng = np.random.default_rng(seed)
    costs, state = rng.integers(0, 5, (count, metrics)).astype(float), rng.integers(0, 3, count)
    order = np.lexsort(costs.T)
    order = order[np.argsort(costs[order].sum(1), kind="stable")]
    costs, state = costs[order], state[order]
    kept = frontier(costs, state)
    beats = (costs[:, None] <= costs[None]).all(-1) & (state[:, None] == state[None])
    assert all(beats[kept, label].any() for label in range(count))  # whatever goes is beaten by what stays
    assert (beats[np.ix_(kept, kept)] == np.eye(len(kept), dtype=bool)).all()


def test_labels_join_where_they_agree():
    one = Labels({"a": np.array([0, 1, 2]), "b": np.array([0, 1, 1])}, np.array([[1.0], [2.0], [4.0]]))
    other = Labels({"b": np.array([1, 0, 1]), "c": np.array([0, 0, 1])}, np.array([[10.0], [20.0], [40.0]]))
    both = joined(one, other, ["b"], SIZES)
    found = sorted(zip(*(both.choices[name].tolist() for name in "abc"), both.costs[:, 0].tolist(), strict=True))
    assert found == [(0, 0, 0, 21.0), (1, 1, 0, 12.0), (1, 1, 1, 42.0), (2, 1, 0, 14.0), (2, 1, 1, 44.0)]


def test_choices_that_cost_infinity_are_no_labels():
    labels = all_choices(("a",), np.array([[1.0, 2.0], [np.inf, 0.0], [3.0, np.inf]]))
    assert labels.choices["a"].tolist() == [0]


def test_a_table_over_no_variable_is_one_label():
    assert len(all_choices((), np.array([1.0, 2.0])).costs) == 1
