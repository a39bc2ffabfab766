"""What a module answers to many rows, a batch at a time, and how far from their labels that is."""

import torch
from torch import Tensor, nn

from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.samples import Samples
from fedtailor.strategies.task import TASKS

_BATCH_ROWS = 256


def answers(module: nn.Module, samples: Samples) -> Tensor:
    """float32 outputs [N, ...] in eval mode, without gradients; at least one row."""
    x = torch.from_numpy(samples.x)
    module.eval()
    with torch.no_grad():
        return torch.cat([module(part) for part in x.split(_BATCH_ROWS)])


def mean_loss(module: nn.Module, samples: Samples, spec: ModelSpec) -> float:
    """The mean training loss on `samples`; 0 without rows, so that nothing is preferred."""
    if len(samples) == 0:
        return 0.0
    return float(TASKS[spec.kind].loss(answers(module, samples), torch.from_numpy(samples.y), spec))
