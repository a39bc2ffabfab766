"""Small torch modules as a user would write them: they take rows as stored, [N, *input_shape], and answer [N, 5]."""

import torch
from torch import nn
from torch.nn import functional as F

from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, ModelSpec

SERIES, PICTURE, TOKENS = (24, 6), (16, 16, 3), (12,)
OUTPUTS = 5


def spec_of(shape, kind=CLASSIFICATION):
    """A spec for a module that is not built in; the built-in name in it is never looked up."""
    return ModelSpec(name="own", version=1, kind=kind, input_shape=shape, outputs=OUTPUTS)


class ResidualSeries(nn.Module):
    """Two residual blocks with batch norm over a series; one adds its input, one a 1×1 convolution of it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(6, 8, 5, padding="same")
        self.norm = nn.BatchNorm1d(8)
        self.block = nn.Sequential(
            nn.Conv1d(8, 8, 3, padding=1, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 3, padding=1)
        )
        self.down = nn.Conv1d(8, 12, 3, stride=2, padding=1)
        self.short = nn.Conv1d(8, 12, 1, stride=2)
        self.head = nn.Linear(12, OUTPUTS)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x.transpose(1, 2))))
        x = F.relu(x + self.block(x))
        x = torch.relu(torch.add(self.down(x), self.short(x)))
        return self.head(x.mean(-1))


class Mobile(nn.Module):
    """An inverted residual with a depthwise convolution, hard-swish and ReLU6 (MobileNetV2 and V3)."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.wide = nn.Sequential(nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU6())
        self.deep = nn.Sequential(
            nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False), nn.BatchNorm2d(24), nn.ReLU6(inplace=True)
        )
        self.thin = nn.Sequential(nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, OUTPUTS)

    def forward(self, x):
        x = self.stem(x.permute(0, 3, 1, 2))
        x = x + self.thin(self.deep(self.wide(x)))
        return self.head(self.drop(self.pool(x).flatten(1)))


class Branches(nn.Module):
    """Three branches side by side (Inception), then a layer that is concatenated with what it read (DenseNet)."""

    def __init__(self):
        super().__init__()
        self.point = nn.Conv2d(3, 4, 1)
        self.wide = nn.Conv2d(3, 6, 3, padding=1)
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.after = nn.Conv2d(3, 2, 1)
        self.dense = nn.Conv2d(12, 5, 3, padding=2, dilation=2)
        self.down = nn.AvgPool2d(2)
        self.head = nn.Linear(17 * 8 * 8, OUTPUTS)

    def forward(self, x):
        x = x.movedim(-1, 1)
        x = torch.cat([self.point(x), self.wide(x), self.after(self.pool(x))], dim=1).relu()
        x = torch.cat((x, F.silu(self.dense(x))), 1)
        x = self.down(x)
        return self.head(x.reshape(x.shape[0], -1))


class Encoder(nn.Module):
    """A transformer encoder of torch's own layers over a series, with learned positions, averaged over time."""

    def __init__(self, norm_first=True, activation="gelu"):
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.positions = nn.Parameter(0.1 * torch.randn(1, 24, 16))
        layer = nn.TransformerEncoderLayer(
            16, 2, dim_feedforward=20, batch_first=True, norm_first=norm_first, activation=activation
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, OUTPUTS)

    def forward(self, x):
        return self.head(self.layers(self.embed(x) + self.positions).mean(dim=1))


class CausalAttention(nn.Module):
    """One projection for queries, keys and values, the usual view and transpose, torch's fused attention."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x):
        n, steps, width = x.shape
        q, k, v = (
            part.view(n, steps, self.heads, width // self.heads).transpose(1, 2) for part in self.qkv(x).split(width, 2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).contiguous().view(n, steps, width))


class Writer(nn.Module):
    """The next token, by one pre-norm block with causal attention; positions are an embedding of their numbers."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(OUTPUTS, 16)
        self.positions = nn.Embedding(40, 16)
        self.norm1, self.norm2, self.last = nn.LayerNorm(16), nn.LayerNorm(16), nn.LayerNorm(16)
        self.attend = CausalAttention(16, 4)
        self.mix = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16), nn.Dropout(0.1))
        self.head = nn.Linear(16, OUTPUTS)

    def forward(self, tokens):
        _, steps = tokens.shape
        assert steps <= self.positions.num_embeddings, "too long"
        x = self.embed(tokens) + self.positions(torch.arange(steps, device=tokens.device))
        x = x + self.attend(self.norm1(x))
        x = x + self.mix(self.norm2(x))
        return self.head(self.last(x))


class Through(nn.Module):
    """A module that is nothing but `function`, which answers [N, OUTPUTS]."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


MODULES = {
    "residual series": (ResidualSeries, spec_of(SERIES)),
    "mobile": (Mobile, spec_of(PICTURE)),
    "branches": (Branches, spec_of(PICTURE)),
    "encoder": (Encoder, spec_of(SERIES)),
    "encoder, norm last": (lambda: Encoder(norm_first=False, activation="relu"), spec_of(SERIES)),
    "writer": (Writer, spec_of(TOKENS, NEXT_TOKEN)),
}


def settled(module, seed=0):
    """The module in eval mode, no number of it as it started: no bias 0, no factor 1, no two layers alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.3, 3.0, generator=generator)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 2.0, generator=generator)
    return module.eval()


def small_module(name, seed=0):
    """A module of `MODULES` with random numbers, and its spec."""
    make, spec = MODULES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return settled(make(), seed), spec
