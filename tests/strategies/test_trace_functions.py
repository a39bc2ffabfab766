import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, sampled_from
from small_modules import OUTPUTS, PICTURE, SERIES, Through, settled, spec_of
from small_nets import traced_alike
from torch import nn
from torch.nn import functional as F

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Attention
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models import modules


def kinds(net):
    return [type(layer).__name__ for layer in net.layers]


SERIES_STEPS = {
    "mean of an axis": lambda m, x: m.head(x.mean(1)),
    "mean with its axis kept": lambda m, x: m.head(torch.mean(x, dim=1, keepdim=True)[:, 0]),
    "mean of flat channels": lambda m, x: m.head(x.transpose(1, 2).flatten(2).mean(-1)),
    "pool to one": lambda m, x: m.head(F.adaptive_avg_pool1d(x.mT, 1).squeeze(-1)),
    "largest of all": lambda m, x: m.head(F.max_pool1d(x.permute(0, 2, 1), x.size(1)).squeeze(2)),
    "constants": lambda m, x: m.head(((1 - x / 4) * 2 - 0.5).mean(1)),
    "a constant per channel": lambda m, x: m.head((x * torch.arange(6.0) + 1).mean(1)),
    "a constant per channel, channels first": lambda m, x: m.head((x.mT * torch.arange(6.0)[:, None]).mean(-1)),
    "a table": lambda m, x: m.head((x + torch.arange(24.0 * 6).view(1, 24, 6) / 100).mean(1)),
    "a sum with itself in another layout": lambda m, x: m.head((x.mT + (2 * x).mT).mean(-1)),
    "shapes": lambda m, x: m.head(x.reshape(x.shape[0], x.shape[1], -1).mean(1) if x.dim() == 3 else x),
    "an assertion on a shape": lambda m, x: m.head(x.mean(x.ndim - 2)) if x.shape[1] == 24 else None,
    "hand-made heads": lambda m, x: m.head(
        x.view(x.size(0), 24, 2, 3).transpose(1, 2).transpose(2, 1).flatten(2).mean(1)
    ),
    "no change": lambda m, x: m.head(F.dropout(x.contiguous().clone().float(), 0.5, m.training).to(x.dtype).mean(1)),
    "limits": lambda m, x: m.head(x.clamp(0, 6).mean(1) + F.hardtanh(x, 0, 6).mean(1) + x.clamp(min=0).mean(1)),
    "functions": lambda m, x: m.head((x.relu() + F.gelu(x) + x.sigmoid() + torch.tanh(x) + F.hardswish(x)).mean(1)),
    "padding before a convolution": lambda m, x: m.head(m.conv(F.pad(x.mT, (3, 1))).mean(-1)),
    "a convolution by function": lambda m, x: m.head(F.conv1d(x.mT, m.conv.weight, None, 2, 1, 2).mean(-1)),
    "a layer by function": lambda m, x: F.linear(F.layer_norm(x, (6,)).mean(1), m.head.weight),
    "a layer used twice": lambda m, x: m.head(m.conv(m.conv(x.mT)).mean(-1)),
    "halves of a linear layer": lambda m, x: m.head(sum(m.wide(x).chunk(2, dim=-1)).mean(1)),
    "parts of a linear layer by index": lambda m, x: m.head((m.wide(x)[..., :6] + m.wide(x)[:, :, 6:]).mean(1)),
    "attention with one head": lambda m, x: m.head(F.scaled_dot_product_attention(x, x, x).mean(1)),
}


@pytest.mark.parametrize("step", SERIES_STEPS)
def test_ways_to_write_a_step(step):
    module = Through(SERIES_STEPS[step], head=nn.Linear(6, OUTPUTS), conv=nn.Conv1d(6, 6, 3), wide=nn.Linear(6, 12))
    traced_alike(settled(module), spec_of(SERIES))


def test_queries_keys_and_values_may_come_from_one_permuted_tensor():
    def attend(m, x):
        q, k, v = m.qkv(x).reshape(x.shape[0], x.shape[1], 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape[0], x.shape[1], 8)
        return m.head(mixed.mean(1))

    net = traced_alike(settled(Through(attend, qkv=nn.Linear(6, 24), head=nn.Linear(8, OUTPUTS))), spec_of(SERIES))
    assert kinds(net).count("Linear") == 4
    assert not any(layer.name == "qkv" for layer in net.layers)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_torchs_own_attention(batch_first, masked):
    def attend(m, x):
        x = m.embed(x) if batch_first else m.embed(x).transpose(0, 1)
        mask = nn.Transformer.generate_square_subsequent_mask(24) if masked else None
        mixed, _ = m.attention(x, x, x, attn_mask=mask)
        return m.head((mixed if batch_first else mixed.swapaxes(1, 0)).mean(1))

    attention = nn.MultiheadAttention(8, 4, batch_first=batch_first, dropout=0.1)
    module = Through(attend, embed=nn.Linear(6, 8), attention=attention, head=nn.Linear(8, OUTPUTS))
    net = traced_alike(settled(module), spec_of(SERIES))
    assert [layer.causal for layer in net.layers if isinstance(layer, Attention)] == [masked]


@pytest.mark.parametrize("mask", [torch.ones(24, 24).tril().bool(), torch.full((24, 24), -torch.inf).triu(1)])
def test_a_causal_mask_is_known_in_either_form(mask):
    module = Through(lambda m, x: m.head(F.scaled_dot_product_attention(x, x, x, mask).mean(1)), head=nn.Linear(6, 5))
    assert any(layer.causal for layer in traced_alike(module, spec_of(SERIES)).layers if isinstance(layer, Attention))


def test_channels_first_modules_go_behind_ours():
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 7)), nn.Flatten(), nn.Linear(56, OUTPUTS)
    )
    traced_alike(nn.Sequential(modules.ChannelsFirst(), body), spec_of(PICTURE))


def test_a_norm_behind_nothing_it_can_join_becomes_a_layer():
    body = [nn.BatchNorm1d(6), nn.Conv1d(6, 4, 3), nn.ReLU(), nn.BatchNorm1d(4), nn.AdaptiveMaxPool1d(1), nn.Flatten()]
    module = nn.Sequential(
        modules.ChannelsFirst(), *body, nn.Linear(4, 8), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 5)
    )
    net = traced_alike(settled(module), spec_of(SERIES))
    assert kinds(net).count("Conv") == 3
    assert kinds(net).count("Linear") == 2


def test_what_is_changed_in_place_is_changed_for_all_who_hold_it():
    def twice(m, x):
        y = z = m.conv(x.mT)
        y += 1
        nn.functional.relu(z, inplace=True)
        return m.head((y + z).mean(-1))

    traced_alike(settled(Through(twice, conv=nn.Conv1d(6, 6, 3), head=nn.Linear(6, OUTPUTS))), spec_of(SERIES))


def test_an_activation_in_place_reaches_the_shortcut():
    def block(m, x):
        x = m.conv(x.mT)
        return m.head((x + m.conv2(m.relu(x))).mean(-1))

    parts = {"conv": nn.Conv1d(6, 6, 3), "conv2": nn.Conv1d(6, 6, 3, padding=1), "relu": nn.ReLU(inplace=True)}
    traced_alike(settled(Through(block, **parts, head=nn.Linear(6, OUTPUTS))), spec_of(SERIES))


@given(
    kernel=integers(1, 5),
    stride=integers(1, 3),
    dilation=integers(1, 3),
    padding=sampled_from([0, 1, 3, "same", "valid"]),
    groups=sampled_from([1, 2, 6]),
    bias=booleans(),
)
@settings(deadline=None, max_examples=40)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_convolutions_of_all_kinds(kernel, stride, dilation, padding, groups, bias):
    stride = 1 if padding == "same" else stride
    conv = nn.Conv1d(6, 12, kernel, stride, padding, dilation, groups, bias)
    body = [nn.BatchNorm1d(12), nn.SiLU(), modules.GlobalAveragePool(), nn.Linear(12, OUTPUTS)]
    net = traced_alike(settled(nn.Sequential(modules.ChannelsFirst(), conv, *body)), spec_of(SERIES))
    assert kinds(net).count("Conv") == 1


@given(kernel=integers(1, 4), stride=integers(1, 4), padding=integers(0, 2), ceil=booleans())
@settings(deadline=None, max_examples=30)
def test_pools_that_can_be_written_compute_the_same(kernel, stride, padding, ceil):
    pool = nn.MaxPool2d(kernel, stride, min(padding, kernel // 2), ceil_mode=ceil)
    module = nn.Sequential(modules.ChannelsFirst(), pool, modules.GlobalAveragePool(), nn.Linear(3, OUTPUTS))
    if ceil and (16 + 2 * pool.padding - kernel) % stride:
        with pytest.raises(PlanError, match="another window"):
            trace(module, spec_of(PICTURE))
    else:
        traced_alike(module, spec_of(PICTURE))


ODD_STEPS = {
    "control flow": lambda m, x: m.head(x.mean(1)) if x.mean() > 0 else None,
    "multiply a tensor by a tensor": lambda m, x: m.head((x * x).mean(1)),
    "only works right after a linear layer": lambda m, x: m.head(x[:, -1]),
    "one tensor": lambda m, x: (m.head(x.mean(1)), x),
    "cannot lay out": lambda m, x: m.head(m.head(x.view(x.shape[0], 24, 2, 3).transpose(2, 3).flatten(2)).mean(1)),
    "leave the channels": lambda m, x: m.head(x.view(x.shape[0], 6, 24).mT.mean(1)),
    "mask must be causal": lambda m, x: m.head(F.scaled_dot_product_attention(x, x, x, torch.eye(24).bool()).mean(1)),
    "scale 1": lambda m, x: m.head(F.scaled_dot_product_attention(x, x, x, scale=1.0).mean(1)),
    "padding can only stand before a convolution": lambda m, x: m.head(F.pad(x.mT, (1, 1)).relu().mean(-1)),
    "expected .5. for classification": lambda m, x: m.head(x),
    "changed in place": lambda m, x: m.head((x.transpose(1, 2) + x.relu_().transpose(1, 2)).mean(-1)),
    "dropout": lambda m, x: m.head(F.dropout(x).mean(1)),
    "cumsum": lambda m, x: m.head(x.cumsum(1).mean(1)),
    "computed from the input": lambda m, x: F.linear(x.mean(1), m.head(x.mean(1))),
    "behind samples": lambda m, x: m.head(torch.cat([x, x]).mean(1)),
}


@pytest.mark.parametrize("reason", ODD_STEPS)
def test_a_step_that_cannot_be_traced_says_why(reason):
    with pytest.raises(PlanError, match=reason):
        trace(Through(ODD_STEPS[reason], head=nn.Linear(6, OUTPUTS)), spec_of(SERIES))
