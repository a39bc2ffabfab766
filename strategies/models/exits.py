"""Early exits: small heads that hang off a model's layers and answer before its end.

Source: Teerapittayanon et al. 2016, arXiv:1709.01686 (BranchyNet), section III.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from fedtailor.protos.model_spec import REGRESSION, ModelSpec
from fedtailor.strategies.models.modules import Rescale


class WithExits(nn.Sequential):
    """Layers in a row that compute the main path alone; `exits` are by the layer whose answer each reads."""

    def __init__(self, layers: Mapping[str, nn.Module], exits: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.exits = nn.ModuleDict(exits)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(list(self.path().values()))

    def __len__(self) -> int:
        return len(self.path())

    def path(self) -> dict[str, nn.Module]:
        """The layers of the main path by name, in order."""
        return {name: layer for name, layer in self.named_children() if layer is not self.exits}


class Answers(nn.Module):
    """What a model answers at each of its exits up to `until`, or without one at all and at its end.

    [N, *input_shape] to the answers side by side along the last axis, from the first exit on; what comes after `until`
    is not computed.
    """

    def __init__(self, model: WithExits, until: str | None) -> None:
        super().__init__()
        names = list(model.path())
        read = names if until is None else names[: names.index(until) + 1]
        self.layers = nn.ModuleDict({name: layer for name, layer in model.path().items() if name in read})
        self.exits = nn.ModuleDict({name: head for name, head in model.exits.items() if name in read})
        self._ends = until is None

    def forward(self, x: Tensor) -> Tensor:
        answers = []
        for name, layer in self.layers.items():
            x = layer(x)
            if name in self.exits:
                answers.append(self.exits[name](x))
        answers += [x] if self._ends else []
        return torch.cat(answers, dim=-1) if len(answers) > 1 else answers[0]


def exit_head(width: int, spec: ModelSpec, *before: nn.Module) -> nn.Sequential:
    """`before`, then a linear layer of `width` inputs; a regression answers in the unit of y, as at the model's end."""
    after = (Rescale(spec.target_scale, spec.target_mean),) if spec.kind == REGRESSION else ()
    return nn.Sequential(*before, nn.Linear(width, spec.outputs), *after)
