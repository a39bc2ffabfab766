"""What every registered way of choosing devices holds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtailor.protos.errors import PlanError
from fedtailor.strategies.choice.choice import WAYS, Candidate, ChoiceSpec, choose_of

SAID = st.none() | st.floats(0, 100) | st.floats(allow_nan=False, allow_infinity=False)  # by a device: anything


def spec(name, **args):
    return ChoiceSpec(name=name, version=WAYS[name].version, args=args)


@st.composite
def fleets(draw):
    def candidate(device_id):
        asked = draw(st.integers(0, 20))
        return Candidate(
            device_id=device_id,
            rows=draw(st.integers(1, 10_000)),
            asked=asked,
            answered=draw(st.integers(0, asked)),
            last_loss=draw(SAID) if asked else None,
            last_round=draw(st.integers(1, 50)) if asked else None,
            seconds=draw(SAID) if asked else None,
        )

    ids = draw(st.lists(st.text("abcdef", min_size=1, max_size=4), max_size=12, unique=True))
    return [candidate(device_id) for device_id in ids]


def mixed_fleet():
    """Twelve devices of every kind: new, silent, slow, dull, worth asking."""
    new = [Candidate(device_id=f"new{i}", rows=10 + i) for i in range(3)]
    silent = [Candidate(device_id=f"silent{i}", rows=50, asked=6, answered=0, last_round=3 + i) for i in range(3)]
    known = [
        Candidate(
            device_id=f"known{i}",
            rows=20 * (i + 1),
            asked=8,
            answered=8 - i,
            last_loss=2.0 / (i + 1) ** 2,
            last_round=9 - i,
            seconds=1.0 + 10 * (i % 2),
        )
        for i in range(6)
    ]
    return [*new, *silent, *known]


@pytest.mark.parametrize("name", WAYS)
@given(fleet=fleets(), count=st.integers(0, 15), round_=st.integers(1, 200), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=60)
def test_it_chooses_just_so_many_candidates_once_each_sorted_with_a_probability(name, fleet, count, round_, seed):
    chosen = choose_of(spec(name))(fleet, count, round_, np.random.default_rng(seed))
    ids = [each.device_id for each in chosen]
    assert len(ids) == min(count, len(fleet))
    assert ids == sorted(set(ids))
    assert set(ids) <= {each.device_id for each in fleet}
    assert all(0 < each.inclusion <= 1 for each in chosen)


@pytest.mark.parametrize("name", WAYS)
@given(fleet=fleets(), count=st.integers(0, 15), seed=st.integers(0, 2**31 - 1), data=st.data())
@settings(max_examples=30)
def test_equal_seeds_choose_the_same_in_whatever_order_the_candidates_come(name, fleet, count, seed, data):
    shuffled = data.draw(st.permutations(fleet))
    one, other = (choose_of(spec(name))(each, count, 7, np.random.default_rng(seed)) for each in (fleet, shuffled))
    assert one == other


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("count", [1, 5, 11])
def test_over_many_draws_a_device_is_chosen_as_often_as_its_probability_says(name, count):
    choose, fleet, draws = choose_of(spec(name)), mixed_fleet(), 4000
    rng = np.random.default_rng(5)
    times = dict.fromkeys((each.device_id for each in fleet), 0)
    stated = {}
    for _ in range(draws):
        for each in choose(fleet, count, 10, rng):
            times[each.device_id] += 1
            assert stated.setdefault(each.device_id, each.inclusion) == each.inclusion
    assert sum(stated.values()) == pytest.approx(count)
    for device_id, inclusion in stated.items():
        sigma = (inclusion * (1 - inclusion) / draws) ** 0.5
        assert abs(times[device_id] / draws - inclusion) <= 5 * sigma + 1e-9, device_id


@pytest.mark.parametrize("name", WAYS)
def test_a_sum_weighed_by_the_inverse_probability_is_the_whole_fleets_on_average(name):
    choose, fleet, rng = choose_of(spec(name)), mixed_fleet(), np.random.default_rng(9)
    rows = {each.device_id: each.rows for each in fleet}
    sums = [sum(rows[each.device_id] / each.inclusion for each in choose(fleet, 4, 10, rng)) for _ in range(3000)]
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - sum(rows.values())) <= 5 * error + 1e-9


@pytest.mark.parametrize("name", WAYS)
def test_whoever_is_chosen_for_certain_is_chosen_with_probability_1(name):
    fleet = mixed_fleet()
    chosen = choose_of(spec(name))(fleet, 99, 10, np.random.default_rng(0))
    assert [each.inclusion for each in chosen] == [1.0] * len(fleet)


@pytest.mark.parametrize("name", WAYS)
def test_where_nobody_can_be_asked_nobody_is(name):
    assert choose_of(spec(name))([], 3, 1, np.random.default_rng(0)) == ()


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (ChoiceSpec(name="luck", version=1), "choice luck 1 is not known here; known: .*uniform 1"),
        (ChoiceSpec(name="uniform", version=2), "choice uniform 2 is not known here"),
        (spec("uniform", floor=1), "choice uniform 1: unknown parameter floor; it takes none"),
        (spec("available", flor=1), "unknown parameter flor; it takes floor"),
        (spec("available", floor=0), "floor must be from 0.001 to 1, got 0"),
        (spec("utility", floor=0), "floor must be from 0.001 to 1, got 0"),
        (spec("utility", explore=1.5), "explore must be from 0 to 1, got 1.5"),
        (spec("utility", power=-1), "power must be from 0 to 100, got -1"),
        (spec("utility", cut=float("nan")), "cut must be from 0 to 1, got nan"),
        (spec("utility", power=float("inf")), "power must be from 0 to 100, got inf"),
    ],
)
def test_what_is_not_known_or_out_of_range_is_one_line(asked, line):
    with pytest.raises(PlanError, match=f"^{line}" if line.startswith("choice") else line) as error:
        choose_of(asked)
    assert "\n" not in str(error.value)


def test_what_a_device_did_before_changes_nothing_for_uniform():
    fleet = mixed_fleet()
    blank = [replace(each, asked=0, answered=0, last_loss=None, last_round=None, seconds=None) for each in fleet]
    choose = choose_of(spec("uniform"))
    assert choose(fleet, 5, 3, np.random.default_rng(1)) == choose(blank, 5, 3, np.random.default_rng(1))
