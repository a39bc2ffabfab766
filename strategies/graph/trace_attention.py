"""Self-attention: torch's own module, and its fused function."""

from math import isclose
from typing import Any

import torch
from torch import Tensor, nn

from fedtailor.protos.net import Attention
from fedtailor.strategies.graph.trace_builder import NetBuilder, Signal, Untraceable
from fedtailor.strategies.graph.trace_layers import linear, require


def multihead_attention(
    net: NetBuilder,
    layer: nn.MultiheadAttention,
    query: Signal,
    key: Signal,
    value: Signal,
    *,
    key_padding_mask: Tensor | None = None,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    **_: Any,
) -> tuple[Signal, None]:
    """Four linear layers and `Attention` between them; the attention's own weights are not answered."""
    usual = layer.bias_k is None and layer.bias_v is None and not layer.add_zero_attn and key_padding_mask is None
    require(usual, "it must have no padding mask and no added key or value")
    require(not is_causal or attn_mask is not None, "is_causal is a hint about a mask, which is missing")
    rows = layer.in_proj_weight
    weights = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight) if rows is None else rows.chunk(3)
    biases = (None,) * 3 if layer.in_proj_bias is None else layer.in_proj_bias.chunk(3)
    inputs = [x if layer.batch_first else _swapped(net, x) for x in (query, key, value)]
    parts = zip(("q", "k", "v"), inputs, weights, biases, strict=True)
    projected = [linear(net, x, weight, bias, part=part).value for part, x, weight, bias in parts]
    mask = attn_mask if attn_mask is None or attn_mask.dtype == torch.bool else _blocked(attn_mask)
    mixed = net.add(Attention(net.name(), layer.num_heads, _is_causal(mask)), *projected)
    answer = linear(net, mixed, layer.out_proj.weight, layer.out_proj.bias, part="out_proj")
    return (answer if layer.batch_first else _swapped(net, answer)), None


def fused_attention(
    net: NetBuilder,
    query: Signal,
    key: Signal,
    value: Signal,
    *,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Signal:
    """Of [N, T, width], or of [N, heads, T, width] made from [N, T, heads · width] by a view and a transpose."""
    width = query.shape[-1]
    usual = not dropout_p and (scale is None or isclose(scale, width**-0.5, rel_tol=1e-6))
    require(usual, "it must have no dropout and the scale 1 / √width")
    single = len(query.shape) == 3
    joined = [net.plain(x if single else _joined(net, x)) for x in (query, key, value)]
    mask = None if attn_mask is None else ~attn_mask if attn_mask.dtype == torch.bool else _blocked(attn_mask)
    heads = 1 if single else query.shape[1]
    mixed = net.add(Attention(net.name(), heads, is_causal or _is_causal(mask)), *joined)
    return mixed if single else net.relaid(mixed, net.places(mixed).unflatten(-1, (heads, width)).transpose(1, 2))


def _swapped(net: NetBuilder, x: Signal) -> Signal:
    """[T, N, C] to [N, T, C] and back."""
    return net.relaid(x, net.places(x).transpose(0, 1))


def _joined(net: NetBuilder, x: Signal) -> Signal:
    return net.relaid(x, net.places(x).transpose(1, 2).flatten(2))


def _blocked(added: Tensor) -> Tensor:
    """Where a mask that is added to the scores forbids to look."""
    blocked: Tensor = added == -torch.inf
    require(not added[~blocked].any(), "a mask that is added must hold 0 and −∞ alone")
    return blocked


def _is_causal(blocked: Tensor | None) -> bool:
    """Whether a mask forbids exactly what comes after a position; it may also forbid nothing."""
    if blocked is None or not blocked.any():
        return False
    steps = blocked.shape[-1]
    future = torch.ones(steps, steps, dtype=torch.bool).triu(1)
    if not (blocked.numel() == steps * steps and torch.equal(blocked.reshape(steps, steps), future)):
        raise Untraceable("its mask must be causal")
    return True
