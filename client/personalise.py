"""The personal fp32 model: fine-tuned from the public base, taken only as far as validation follows.

Fine-tuning on few rows goes too far on some devices and astray on others. So the model kept is a point on the line from
the base, told how often the device has met each class, to fine-tuned parameters (Wortsman et al. 2022,
arXiv:2109.01903, section 3). That is the middle, unless another point, or the base as it came, loses less on the
validation split by more than a standard error: few rows choose badly among many points (Breiman et al. 1984,
Classification and Regression Trees, section 3.4.3). What loses more there than the base is never used. The test split
is not looked at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import torch
from torch import nn

from fedtailor.client.train import Penalty, cosine, fit, score_state, surprise_of_state
from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import Plan, TrainPlan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.schema import Doubles, State
from fedtailor.strategies.label_prior import primed
from fedtailor.strategies.models.model import build, load_state, read_state

SHARED, PRIOR, HEAD = "shared", "prior", "head"
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
    start = primed(base, plan.model, plan.label_prior)
    penalty = _penalty(plan, start)
    base_score = score_state(base, plan.model, data.validation)
    untold = plan.personal.method == PRIOR and not plan.label_prior
    if plan.personal.method == SHARED or untold or min(len(data.train), len(data.validation)) == 0:
        return Personal(base, SHARED, base_score, base_score)
    states = [base, *_candidates(start, data.train, plan, penalty)]
    at = chosen([surprise_of_state(state, plan.model, data.validation) for state in states])
    if at == 0:
        return Personal(base, SHARED, base_score, base_score)
    return Personal(states[at], plan.personal.method, base_score, score_state(states[at], plan.model, data.validation))


def chosen(losses: Sequence[Doubles]) -> int:
    """Which of the points to take, by what each loses on the same rows [rows]: the first is the base.

    The middle one of the others, unless the least loss is below its by more than the standard error of that
    difference; the base where it loses less than the one taken.
    """
    middle = 1 + len(losses[1:]) // 2
    best = min(range(len(losses)), key=lambda at: float(losses[at].mean()))
    gain = losses[middle] - losses[best]
    clear = len(gain) > 1 and float(gain.mean()) > float(gain.std(ddof=1)) / sqrt(len(gain))
    taken = best if clear else middle
    return taken if losses[taken].mean() <= losses[0].mean() else 0


def _candidates(start: State, samples: Samples, plan: Plan, penalty: Penalty | None) -> list[State]:
    """Where there is little to train on, the start alone; else points on the line from there."""
    if plan.personal.method == PRIOR:
        return [start]
    tuned = _tuned(start, samples, plan, penalty)
    return [_between(start, tuned, step) for step in STEPS]


def _between(base: State, tuned: State, share: float) -> State:
    return {name: (value + share * (tuned[name] - value)).astype(value.dtype) for name, value in base.items()}


def _tuned(start: State, samples: Samples, plan: Plan, penalty: Penalty | None) -> State:
    """`start` after training. A personal head (Collins et al. 2021, arXiv:2102.07078) learns alone: the layers below it
    hold nothing for a backward pass, so that it fits where the whole model does not.
    """
    module = build(plan.model)
    load_state(module, start)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(plan.personal.method != HEAD or name in plan.personal_parameters)
    fit(module, samples, plan.model, _tuning(plan), seed=plan.seed, schedule=cosine, after_backward=penalty)
    return read_state(module)


def _tuning(plan: Plan) -> TrainPlan:
    personal = plan.personal
    return replace(
        plan.train, epochs=personal.epochs, batch_size=personal.batch_size, learning_rate=personal.learning_rate
    )


def _penalty(plan: Plan, base: State) -> Penalty | None:
    methods: dict[str, Callable[[], Penalty | None]] = {
        SHARED: lambda: None,
        PRIOR: lambda: None,
        "finetune": lambda: None,
        "ditto": lambda: _towards(base, plan.personal.proximal),
        HEAD: lambda: None,
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
