"""Training of what a plan's device trains: the whole model, with its exits if it has any, or a submodel."""

import time

from fedtailor.client.train import Trained, fit, train
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import Samples
from fedtailor.protos.schema import State
from fedtailor.strategies.graph.realise import realise, trace_back
from fedtailor.strategies.label_prior import told
from fedtailor.strategies.submodel.choose import part_of
from fedtailor.strategies.submodel.depth import answers_loss
from fedtailor.strategies.submodel.part import extract, put_back
from fedtailor.strategies.task import TASKS


def train_part(start: State, samples: Samples, plan: Plan) -> Trained:
    """Train a copy of `start` for one round of the plan; what its submodel does not cover comes back as it was.

    Raises:
        PlanError: the model has no such submodel, or the plan cannot be carried out.
    """
    part = part_of(plan.model, plan.submodel)
    if part is None:
        alone = told(plan.label_prior, TASKS[plan.model.kind].loss)
        return train(start, samples, plan.model, plan.train, seed=plan.seed, loss=alone)
    began = time.thread_time()
    net = extract(part, start)
    module, together = realise(net), told(plan.label_prior, answers_loss)
    loss = fit(module, samples, plan.model, plan.train, seed=plan.seed, loss=together)
    return Trained(put_back(part, trace_back(module, net), start), loss, time.thread_time() - began)
