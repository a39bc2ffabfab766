"""How devices train in a round, method by method; what is not said here is the same for all.

That is the model, the local epochs, batches, clipping and learning rate with its cooldown, all as the job has them.
"""

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import nn

from fedtailor.client.train import Penalty, Schedule, constant, fit, train
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.schema import State
from fedtailor.simulations.federation import Learner, Taken, Turn, train_all
from fedtailor.simulations.learning_ala import WEIGHTS, adapted
from fedtailor.simulations.learning_outcome import LOCAL, OWN
from fedtailor.strategies.models.model import build, head_of, load_state, read_state

HEAD_EPOCHS = 10  # FedRep, arXiv:2102.07078, section 5
PROXIMAL = (0.1, 1.0)  # Ditto's λ, of which the better on validation rows is taken


def fitted(
    start: State, data: DeviceData, plan: Plan, *, only: Collection[str], schedule: Schedule = constant
) -> State:
    """`start` with the parameters in `only` trained on the device's train rows, as the plan says."""
    module = build(plan.model)
    load_state(module, start)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in only)
    fit(module, data.train, plan.model, plan.train, seed=plan.seed, schedule=schedule)
    return read_state(module)


def for_head(plan: Plan) -> Plan:
    """The same for `HEAD_EPOCHS`."""
    return replace(plan, train=replace(plan.train, epochs=HEAD_EPOCHS))


def _per(turn: Turn) -> Taken:
    """All at once."""
    start = {**turn.start, **turn.kept.get(LOCAL, {})}
    trained = train(start, turn.data.train, turn.plan.model, turn.plan.train, seed=turn.plan.seed).state
    return Taken(trained, {LOCAL: _part(trained, head_of(turn.plan.model))})


def _rep(turn: Turn) -> Taken:
    """The head for `HEAD_EPOCHS` on the body that came, then the body under that head."""
    spec, plan = turn.plan.model, turn.plan
    head = head_of(spec)
    start = {**turn.start, **turn.kept.get(LOCAL, {})}
    with_head = fitted(start, turn.data, for_head(plan), only=head)
    body = [name for name in start if name not in head]
    trained = fitted(with_head, turn.data, plan, only=body)
    return Taken(trained, {LOCAL: _part(trained, head)})


def _babu(turn: Turn) -> Taken:
    """The body alone, under a head that stays as it began on every device."""
    head = head_of(turn.plan.model)
    body = [name for name in turn.start if name not in head]
    return Taken(fitted(turn.start, turn.data, turn.plan, only=body))


def _ditto(turn: Turn) -> Taken:
    """As FedAvg; beside it a model of its own for each λ, drawn to the base that came."""
    plan, rows = turn.plan, turn.data.train
    own = {
        str(proximal): train(
            turn.kept.get(str(proximal), turn.start),
            rows,
            plan.model,
            plan.train,
            seed=plan.seed,
            after_backward=_towards(turn.start, proximal),
        ).state
        for proximal in PROXIMAL
    }
    return Taken(train_all(turn).state, own)


def _ala(turn: Turn) -> Taken:
    """From a mixture of its own last model and the base that came; the trained model is sent, and kept."""
    start, weights = adapted(turn.start, turn.kept, turn.data, turn.plan, head_of(turn.plan.model))
    trained = train(start, turn.data.train, turn.plan.model, turn.plan.train, seed=turn.plan.seed).state
    return Taken(trained, {OWN: trained, WEIGHTS: weights})


def _part(state: State, names: Collection[str]) -> State:
    return {name: state[name] for name in names}


def _towards(base: State, proximal: float) -> Penalty:
    """Add λ (v − base) to the gradient."""
    anchors = {name: torch.from_numpy(value) for name, value in base.items()}

    def add(module: nn.Module) -> None:
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchors[name], alpha=proximal)

    return add


FEDPER = Learner(turn=_per, local=head_of)
FEDREP = Learner(turn=_rep, local=head_of)
FEDBABU = Learner(turn=_babu, local=head_of)
DITTO = Learner(turn=_ditto)
FEDALA = Learner(turn=_ala)
