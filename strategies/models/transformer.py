"""Tokens [T]: two pre-norm blocks of causal attention and GELU, 66k parameters at 62 symbols; chosen by name.

Source: Vaswani et al. 2017, arXiv:1706.03762; the norm before each branch after Xiong et al. 2020, arXiv:2002.04745,
which is what lets it train without a warm-up.
"""

from collections import OrderedDict

from torch import nn

from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.strategies.models.exits import exit_head
from fedtailor.strategies.models.model import Layers, Model, register
from fedtailor.strategies.models.modules import CausalAttention, Positions, Residual

_WIDTH, _HEADS, _BLOCKS = 48, 4, 2


def _layers(spec: ModelSpec) -> Layers:
    (steps,) = spec.input_shape
    layers: Layers = OrderedDict(embed=nn.Embedding(spec.outputs, _WIDTH), positions=Positions(steps, _WIDTH))
    for block in range(1, _BLOCKS + 1):
        layers[f"attend{block}"] = Residual(nn.LayerNorm(_WIDTH), CausalAttention(_WIDTH, _HEADS))
        layers[f"mix{block}"] = Residual(
            nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, 4 * _WIDTH), nn.GELU(), nn.Linear(4 * _WIDTH, _WIDTH)
        )
    layers["norm"] = nn.LayerNorm(_WIDTH)
    layers["head"] = nn.Linear(_WIDTH, spec.outputs)
    return layers


def _exits(spec: ModelSpec) -> Layers:
    """After every block but the last."""
    return OrderedDict((f"mix{block}", exit_head(_WIDTH, spec, nn.LayerNorm(_WIDTH))) for block in range(1, _BLOCKS))


TRANSFORMER = register(
    Model(
        name="transformer",
        version=1,
        suits=lambda kind, shape: kind == NEXT_TOKEN and len(shape) == 1,
        layers=_layers,
        exits=_exits,
    )
)
