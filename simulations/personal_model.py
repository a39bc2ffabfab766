"""The fp32 model that is tailored: given, or a base from other devices' rows, fine-tuned on the device's own."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import count
from math import ceil

import torch
from torch import nn

from fedtailor.client.personalise import SHARED, STEPS, personalise
from fedtailor.client.train import cosine, fit
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import Plan, TrainPlan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.server.progress import Progress
from fedtailor.simulations.user_model import user_part
from fedtailor.strategies.answers import answers, mean_loss
from fedtailor.strategies.models.model import build, initial_state, load_state, read_state
from fedtailor.strategies.task import TASKS

BASE = TrainPlan(epochs=15, batch_size=32, learning_rate=0.05, clip_norm=2.0)  # tuned on validation rows
FINE_TUNED = "finetune"


@dataclass(frozen=True, eq=False, kw_only=True)
class PersonalModel:
    """In eval mode; `method` is how it came to be. Without a base of its own, `base_score` is None."""

    module: nn.Module
    method: str
    base_score: float | None


def personal_model(
    base_rows: Samples, data: DeviceData, plan: Plan, *, epochs: int, progress: Progress
) -> PersonalModel:
    """Train the plan's model on `base_rows`, then fine-tune it on the device's own; deterministic by the plan's seed.

    A built-in model is fine-tuned as a device of a fleet does it. A user's own may hold more than parameters (batch
    normalisation, dropout): it is fine-tuned as a whole, or left as it is where the plan says `shared`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)  # of a user's own first numbers, and of dropout
        module = _fresh(plan.model, plan.seed)
        long = replace(BASE, epochs=epochs)
        rows = _even(base_rows, long)
        told = _counted(progress, "train a base", rows, long)
        fit(module, rows, plan.model, long, seed=plan.seed, schedule=cosine, after_backward=told)
        progress("fine-tune", 0, 1, f"on {len(data.train)} rows")
        tuned = (_tuned if user_part(module) is None else _own_tuned)(module, data, plan)
        progress("fine-tune", 1, 1, "")
    return tuned


def _fresh(spec: ModelSpec, seed: int) -> nn.Module:
    module = build(spec)
    if user_part(module) is None:
        load_state(module, initial_state(spec, seed))
    return module.train()


def _counted(progress: Progress, stage: str, rows: Samples, plan: TrainPlan) -> Callable[[nn.Module], None]:
    """Called after every step of training."""
    done, steps = count(1), plan.epochs * ceil(len(rows) / plan.batch_size)
    return lambda _module: progress(stage, next(done), steps, f"{len(rows)} rows")


def _even(samples: Samples, plan: TrainPlan) -> Samples:
    """Without the last row where it would be a batch by itself, which batch normalisation cannot train on."""
    alone = len(samples) > 1 and len(samples) % plan.batch_size == 1
    return Samples(samples.x[:-1], samples.y[:-1]) if alone else samples


def _tuned(base: nn.Module, data: DeviceData, plan: Plan) -> PersonalModel:
    found = personalise(read_state(base), data, plan)
    load_state(base, found.state)
    return PersonalModel(module=base.eval(), method=found.method, base_score=found.base_validation_score)


def _own_tuned(base: nn.Module, data: DeviceData, plan: Plan) -> PersonalModel:
    """As far from the base as the validation split says, statistics included; see `client/personalise.py`."""
    base_score = TASKS[data.kind].score(answers(base, data.validation).numpy(), data.validation.y)
    if plan.personal.method == SHARED:
        return PersonalModel(module=base, method=SHARED, base_score=base_score)
    asked = plan.personal
    schedule = replace(plan.train, epochs=asked.epochs, batch_size=asked.batch_size, learning_rate=asked.learning_rate)
    tuned = deepcopy(base).train()
    fit(tuned, _even(data.train, schedule), plan.model, schedule, seed=plan.seed, schedule=cosine)
    between = {step: _between(base, tuned, step) for step in STEPS}
    step = min(STEPS, key=lambda share: mean_loss(between[share], data.validation, plan.model))
    return PersonalModel(module=between[step], method=FINE_TUNED if step else SHARED, base_score=base_score)


def _between(base: nn.Module, tuned: nn.Module, share: float) -> nn.Module:
    """The point on the line from one to the other; whole numbers are counts, and stay the base's."""
    ends, middle = tuned.state_dict(), deepcopy(base)
    middle.load_state_dict(
        {
            name: torch.lerp(value, ends[name], share) if value.is_floating_point() else value
            for name, value in base.state_dict().items()
        }
    )
    return middle.eval()
