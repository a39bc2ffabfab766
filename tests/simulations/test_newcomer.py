"""A person never trained on, from the default data: what fine-tuning gives, and what the guard keeps from harm."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from fedtailor.client.personalise import personalise
from fedtailor.client.profile_data import profile_data
from fedtailor.client.train import cosine, score_state, train
from fedtailor.protos.budget import Budget
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import CodecSpec, GatePlan, PersonalPlan, Plan, TrainPlan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.schema import State
from fedtailor.simulations import watch
from fedtailor.simulations.central import PLAN
from fedtailor.strategies.models.model import initial_state
from fedtailor.strategies.plan import choose_model_spec

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("seglearn") is None, reason="fedtailor[demo] is not installed"),
]
NEWCOMERS = (2, 5, 10)


def person(number: int, sides: tuple[int, ...] = (0, 1)) -> DeviceData:
    """One person's windows; the train split only from recordings of these sides."""
    recordings = watch._recordings()
    splits: dict[int, list[tuple[np.ndarray, int]]] = {0: [], 1: [], 2: []}
    columns = (recordings[key] for key in ("X", "y", "subject", "side"))
    for recording, exercise, subject, side in zip(*columns, strict=True):
        for split, window in watch._windows(recording):
            if subject == number and (split > 0 or side in sides):
                splits[split].append((window, exercise))
    samples = (
        Samples(np.stack([x for x, _ in rows]).astype(np.float32), np.array([y for _, y in rows], np.int64))
        for rows in splits.values()
    )
    return DeviceData(f"person-{number:02d}", "classification", 7, *samples)


@pytest.fixture(scope="module", params=NEWCOMERS)
def newcomer(request) -> tuple[int, ModelSpec, State]:
    """A person, and the base of the nine others."""
    others = [person(number) for number in range(1, 11) if number != request.param]
    spec = choose_model_spec([profile_data(device) for device in others])
    pooled = Samples(np.concatenate([d.train.x for d in others]), np.concatenate([d.train.y for d in others]))
    return request.param, spec, train(initial_state(spec, 0), pooled, spec, PLAN, seed=0).state


def plan(spec: ModelSpec) -> Plan:
    return Plan(
        device_id="newcomer",
        round=1,
        seed=0,
        base_version=0,
        model=spec,
        train=TrainPlan(epochs=1, batch_size=16, learning_rate=0.05, clip_norm=2.0),
        personal=PersonalPlan(method="finetune", epochs=30, batch_size=16, learning_rate=0.05),
        personal_parameters=(),
        recipes=(),
        codec=CodecSpec(name="uniform", version=1),
        feedback=True,
        gate=GatePlan(),
        downlink=CodecSpec(name="fp32", version=1),
        budget=Budget(),
    )


def test_a_newcomer_gains_from_its_own_rows(newcomer):
    number, spec, base = newcomer
    mine = person(number)
    before = score_state(base, spec, mine.test)
    after = score_state(personalise(base, mine, plan(spec)).state, spec, mine.test)
    assert after > before + 0.03


@pytest.mark.parametrize("side", [0, 1])
def test_the_guard_keeps_rows_of_one_side_from_harming_both(newcomer, side):
    """Without it a newcomer loses up to 10 points; validation, taken earlier in each recording, does not see all."""
    number, spec, base = newcomer
    mine, asked = person(number, sides=(side,)), plan(spec)
    tuning = replace(asked.train, epochs=30)
    unguarded = train(base, mine.train, spec, tuning, seed=asked.seed, schedule=cosine).state
    guarded = personalise(base, mine, asked).state
    before, with_guard, without = (score_state(state, spec, mine.test) for state in (base, guarded, unguarded))
    assert with_guard > without
    assert with_guard > before - 0.05
