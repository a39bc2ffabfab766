import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, tuples

from fedtailor.strategies.payload.integer_model import ACTIVITIES, SIDES, Activity, IntegerModel, blocks, reach
from fedtailor.strategies.payload.rans import SLOTS


@given(
    top=integers(1, 255),
    usual=integers(1, 255),
    seen=lists(tuples(integers(-255, 255), integers(0, ACTIVITIES * SIDES - 1), integers(1, 50000)), max_size=6),
)
def test_every_symbol_has_a_slot_in_every_context_whatever_was_seen(top, usual, seen):
    model = IntegerModel(top, usual)
    for value, context, times in seen:
        symbols = model.symbols(np.full(times, max(min(value, top), -top)))
        model.learn(symbols, np.full(times, context))
    tables = model.tables()
    assert tables.shape == (ACTIVITIES * SIDES, 2 * top + 2)
    assert (tables[:, 0] == 0).all()
    assert (tables[:, -1] == SLOTS).all()
    assert (np.diff(tables) >= 1).all()


@given(top=integers(1, 255))
def test_symbols_stand_for_one_integer_each(top):
    model = IntegerModel(top, top)
    values = np.arange(-top, top + 1)
    assert sorted(model.symbols(values)) == list(range(2 * top + 1))
    assert (model.integers(model.symbols(values)) == values).all()


@pytest.mark.parametrize("top", [1, 3, 7, 127])
def test_before_anything_was_seen_integers_look_like_rounded_weights(top):
    model = IntegerModel(top, top)
    rng = np.random.default_rng(0)
    rounded = np.clip(np.rint(rng.normal(size=20000) * 3 * (top + 1) / 8), -top, top).astype(np.int64)
    widths = np.diff(model.tables()[0])[model.symbols(rounded)]
    shares = np.unique(rounded, return_counts=True)[1] / len(rounded)
    assert -np.log2(widths / SLOTS).mean() < 1.04 * -(shares * np.log2(shares)).sum()


def test_what_was_seen_is_expected():
    model = IntegerModel(3, 3)
    model.learn(np.full(5000, 2), np.full(5000, 4))  # only 2, in context 4
    widths = np.diff(model.tables()[4]) / SLOTS
    assert widths[2] > 0.95


def test_an_array_that_comes_is_given_room():
    used, fresh = IntegerModel(1, 1), IntegerModel(1, 1)
    for model in (used, fresh):
        if model is used:
            model.learn(np.zeros(100000, np.int64), np.zeros(100000, np.int64))
            model.start_array()
        model.learn(np.ones(64, np.int64), np.zeros(64, np.int64))
    assert np.diff(used.tables()[0])[1] > 0.6 * np.diff(fresh.tables()[0])[1]


def test_activity_sorts_channels_by_their_share_of_nonzeros():
    activity = Activity((50, 4, 3))
    rng = np.random.default_rng(0)
    chance = np.array([0.05, 0.25, 0.36, 0.74])  # of a mean of 0.35
    channels = activity.channels(0, 600)
    activity.learn(channels, (rng.random(600) < chance[channels]).astype(np.int64))
    assert activity.levels(np.arange(4)).tolist() == [0, 1, 2, 3]
    assert activity.channels(0, 14).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0]


@given(count=integers(0, 10**6), top=integers(1, 255))
def test_blocks_cover_everything_once_and_are_few(count, top):
    runs = list(blocks(count, top))
    assert [end for _, end in runs[:-1]] == [begin for begin, _ in runs[1:]]
    assert (runs[0][0], runs[-1][1]) == (0, count) if runs else count == 0
    assert len(runs) < 300


@pytest.mark.parametrize(
    ("shape", "places"),
    [
        ((8, 4, 3, 3), 3),
        ((8, 4, 1, 5), 5),
        ((8, 4, 1, 1), 2),
        ((8, 4, 5), 2),
        ((8, 4), 2),
        ((8,), 2),
        ((1, 1, 1, 99), 2),
    ],
)
def test_the_second_neighbour_lies_above_in_a_kernel_of_two_axes(shape, places):
    assert reach(shape) == places
