"""The teacher hears every model through its own end, in any order; the base comes nearer to what it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_exits import SMALL, module_of, rows_of
from small_nets import SPECS

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.plan import Submodel
from fedtailor.strategies.ensemble import Teacher, answers_apart, distilled
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.models.exits import Answers
from fedtailor.strategies.models.model import initial_state
from fedtailor.strategies.submodel.part import extract
from fedtailor.strategies.submodel.width import width_part

SOME = ("mlp", "conv1d regression", "next-token")


def rows(spec, count=40):
    return rows_of(spec, count).numpy()


def asked(spec, state, submodel=None):
    return Teacher(spec, rows(spec)).ask(state, submodel, sender="device a")


@pytest.mark.parametrize("name", SMALL)
def test_a_model_answers_through_the_end_of_what_was_trained_of_it(name):
    spec = SMALL[name]
    state, x = initial_state(spec, 0), rows_of(spec, 40)
    module = module_of(spec, state)
    with torch.no_grad():
        np.testing.assert_allclose(asked(spec, state), module(x), rtol=1e-4, atol=1e-5)
        for until in spec.exits:
            own = Answers(module, until)(x)[..., -spec.outputs :]
            np.testing.assert_allclose(
                asked(spec, state, Submodel(kind="depth", exit=until)), own, rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("name", SOME)
def test_a_model_by_width_answers_through_its_thinned_net(name):
    spec = SPECS[name]
    state = initial_state(spec, 0)
    thin = realise(extract(width_part(spec, 0.5, 3), state))
    with torch.no_grad():
        own = thin(torch.from_numpy(rows(spec)))
    np.testing.assert_allclose(asked(spec, state, Submodel(kind="width", share=0.5, offset=3)), own, atol=1e-5)


@settings(max_examples=30)
@given(order=st.permutations(range(6)), name=st.sampled_from(SOME))
def test_the_mean_is_the_same_bits_in_whatever_order_models_come(order, name):
    spec, rng = SPECS[name], np.random.default_rng(0)
    shape = asked(spec, initial_state(spec, 0)).shape
    said = [rng.normal(spec.target_mean, 3 * spec.target_scale, shape).astype(np.float32) for _ in range(6)]
    weights = rng.uniform(0.5, 900, 6)
    one, other = Teacher(spec, rows(spec)), Teacher(spec, rows(spec))
    for at, place in enumerate(order):
        one.fold(said[at], weights[at])
        other.fold(said[place], weights[place])
    assert one.answers().tobytes() == other.answers().tobytes()
    np.testing.assert_allclose(one.answers(), np.average(said, axis=0, weights=weights), rtol=1e-4, atol=1e-4)


def test_memory_does_not_grow_with_the_models():
    teacher = Teacher(SPECS["mlp"], rows(SPECS["mlp"]))
    state = initial_state(SPECS["mlp"], 0)
    held = []
    for _ in range(20):
        teacher.fold(teacher.ask(state, None, sender="device a"), 2.0)
        held.append(sum(value.nbytes for value in vars(teacher).values() if isinstance(value, np.ndarray)))
    assert set(held) == {held[0]}


def test_a_model_that_answers_no_number_is_refused():
    state = initial_state(SPECS["mlp"], 0)
    broken = {name: np.full_like(value, 1e30) for name, value in state.items()}
    with pytest.raises(DecodeError, match="device a: its model answers NaN or infinity to the proxy rows"):
        asked(SPECS["mlp"], broken)


def test_nobody_asked_has_no_mean():
    with pytest.raises(ValueError, match="no model has been asked"):
        Teacher(SPECS["mlp"], rows(SPECS["mlp"])).answers()


@pytest.mark.parametrize(
    ("name", "exits", "count"),
    [("mlp", False, 5), ("mlp", True, 150), ("conv1d regression", True, 40), ("next-token", True, 20)],
)
def test_the_base_and_its_exits_come_nearer_to_the_teacher_the_same_way_each_time(name, exits, count):
    spec = SMALL[name] if exits else replace(SMALL[name], exits=())
    teacher = Teacher(spec, rows(spec, count))
    for seed in (1, 2):
        teacher.fold(teacher.ask(initial_state(spec, seed), None, sender="device a"), 3.0)
    start = initial_state(spec, 0)

    def taught(steps, seed=0):
        return distilled(start, teacher, steps=steps, learning_rate=3e-3, rng=np.random.default_rng(seed))

    after, again, other = taught(30), taught(30), taught(30, seed=1)
    for until in (*spec.exits, None):
        before, now = (answer(spec, state, until, teacher.rows) for state in (start, after))
        wanted = torch.from_numpy(teacher.answers())
        assert answers_apart(now, wanted, spec) < answers_apart(before, wanted, spec)
    assert all(after[layer].tobytes() == again[layer].tobytes() for layer in start)
    assert any(after[layer].tobytes() != other[layer].tobytes() for layer in start)
    assert list(after) == list(start)
    assert all(np.array_equal(taught(0)[layer], start[layer]) for layer in start)


def answer(spec, state, until, x):
    module = module_of(spec, state)
    ask = Answers(module, until) if spec.exits else module
    with torch.no_grad():
        return ask(torch.from_numpy(x))[..., -spec.outputs :]
