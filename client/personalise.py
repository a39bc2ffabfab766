"""The personal fp32 model: fine-tuned from the public base, taken only as far as validation follows.

Fine-tuning on few rows goes too far on some devices and astray on others. So the model kept is a point on the line
from base to fine-tuned parameters (Wortsman et al. 2022, arXiv:2109.01903, section 3): the one with the least loss on
the validation split, which the base itself may be. The test split is never looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from fedtailor.client.train import Penalty, cosine, loss_of_state, score_state, train
from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import Plan, TrainPlan
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.schema import State

SHARED = "shared"
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Personal:
    """The model a device tailors from; `method` is `shared` where the base was kept."""

    state: State
    method: str
    base_validation_score: float
    validation_score: float


def personalise(base: State, data: DeviceData, plan: Plan) -> Personal:
    """Fine-tune `base` by the plan's method on the train split, then go as far towards it as validation says.

    Raises:
        PlanError: the method is unknown.
    """
    penalty = _penalty(plan, base)
    base_score = score_state(base, plan.model, data.validation)
    if plan.personal.method == SHARED or len(data.train) == 0:
        return Personal(base, SHARED, base_score, base_score)
    tuned = train(
        base, data.train, plan.model, _tuning(plan), seed=plan.seed, schedule=cosine, after_backward=penalty
    ).state
    step = min(STEPS, key=lambda share: loss_of_state(_between(base, tuned, share), plan.model, data.validation))
    if step == 0.0:
        return Personal(base, SHARED, base_score, base_score)
    state = _between(base, tuned, step)
    return Personal(state, plan.personal.method, base_score, score_state(state, plan.model, data.validation))


def _between(base: State, tuned: State, share: float) -> State:
    return {name: (value + share * (tuned[name] - value)).astype(value.dtype) for name, value in base.items()}


def _tuning(plan: Plan) -> TrainPlan:
    personal = plan.personal
    return replace(
        plan.train, epochs=personal.epochs, batch_size=personal.batch_size, learning_rate=personal.learning_rate
    )


def _penalty(plan: Plan, base: State) -> Penalty | None:
    methods: dict[str, Callable[[], Penalty | None]] = {
        SHARED: lambda: None,
        "finetune": lambda: None,
        "ditto": lambda: _towards(base, plan.personal.proximal),
        "head": lambda: _only(plan.personal_parameters),
    }
    if plan.personal.method not in methods:
        raise PlanError(f"personal method {plan.personal.method!r} is not known here; known: {', '.join(methods)}")
    return methods[plan.personal.method]()


def _towards(base: State, proximal: float) -> Penalty:
    """Ditto (Li et al. 2021, arXiv:2012.04221, algorithm 1): add λ (v − base) to the gradient."""
    anchors = {name: torch.from_numpy(value) for name, value in base.items()}

    def add(module: nn.Module) -> None:
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchors[name], alpha=proximal)

    return add


def _only(names: tuple[str, ...]) -> Penalty:
    """A personal head (Collins et al. 2021, arXiv:2102.07078): every other layer stays the base's."""

    def freeze(module: nn.Module) -> None:
        for name, parameter in module.named_parameters():
            if name not in names:
                parameter.grad = None

    return freeze
