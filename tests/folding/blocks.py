"""Blocks in the style of known architectures, and what their authors turn them into for deployment, written anew.

Each `deploy_*` function computes the re-parametrised layer from the formulas alone, without the library.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whyactivate import collapse_runs, plan_runs


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


class Spoken(nn.Module):
    """A module made of one function and parts."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args):
        return self.function(self, *args)


def settled(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in float64 and eval mode, with random statistics in every batch normalisation."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            if part.affine:
                nn.init.uniform_(part.weight, -1.5, 1.5)
                nn.init.normal_(part.bias)
    return module.double().eval()


def bits(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def folded(module: nn.Module, *inputs: Tensor) -> nn.Module:
    """`collapse_runs`, with a look at everything that it promises of the original and of the copy."""
    before, modules, modes = bits(module), dict(module.named_modules()), [part.training for part in module.modules()]
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    copied = collapse_runs(module, inputs)
    assert torch.equal(random, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    assert dict(module.named_modules()) == modules
    assert [part.training for part in module.modules()] == modes
    assert bits(module).keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(module).items())
    ours = {tensor.untyped_storage().data_ptr() for tensor in copied.state_dict().values() if tensor.numel()}
    assert not ours & {tensor.untyped_storage().data_ptr() for tensor in module.state_dict().values()}
    assert_same(module, copied, *inputs)
    return copied


def assert_same(module: nn.Module, other: nn.Module, *inputs: Tensor) -> None:
    """Equal to rounding on 1, 3 and 17 rows."""
    torch.manual_seed(7)
    for rows in (1, 3, 17):
        batch = [torch.randn(rows, *x.shape[1:], dtype=x.dtype) for x in inputs]
        close(other(*[x.clone() for x in batch]), module(*[x.clone() for x in batch]))


def close(found: object, expected: object) -> None:
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, (list, tuple)):
        assert isinstance(found, (list, tuple))
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            close(a, b)
        return
    assert isinstance(found, Tensor)
    assert isinstance(expected, Tensor)
    if not expected.numel():
        assert found.shape == expected.shape
        return
    tolerance = 2e-12 if expected.dtype == torch.float64 else 2e-5
    torch.testing.assert_close(
        found, expected, rtol=tolerance, atol=tolerance * max(1.0, float(expected.detach().abs().max()))
    )


def becomes(module: nn.Module, *inputs: Tensor) -> list[str]:
    """What the plan says that each run becomes."""
    return [words for run in plan_runs(module, inputs).runs for words in run.becomes]


def reasons(module: nn.Module, *inputs: Tensor) -> str:
    plan = plan_runs(module, inputs)
    return " / ".join(filter(None, [plan.reason, *(run.reason for run in plan.runs)]))


def layers(module: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [part for part in module.modules() if type(part) is kind]


# -- deploy forms, from the formulas ----------------------------------------------------------------------------


def fuse(weight: Tensor, norm: nn.modules.batchnorm._BatchNorm, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Kernel and bias of BN(conv(x)): Ding et al. 2021, equation 3."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    added = -norm.running_mean if bias is None else bias - norm.running_mean
    return weight * scale.reshape(-1, *(1,) * (weight.ndim - 1)), norm.bias + added * scale


def dirac(channels: int, groups: int, size: int) -> Tensor:
    kernel = torch.zeros(channels, channels // groups, size, size, dtype=torch.float64)
    for i in range(channels):
        kernel[i, i % (channels // groups), size // 2, size // 2] = 1
    return kernel


class RepVGGBlock(nn.Module):
    """Ding et al., RepVGG: making VGG-style ConvNets great again, 2021."""

    def __init__(self, into: int, out: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.rbr_dense = self.conv_bn(into, out, 3, stride, 1, groups)
        self.rbr_1x1 = self.conv_bn(into, out, 1, stride, 0, groups)
        self.rbr_identity = nn.BatchNorm2d(into) if into == out and stride == 1 else None
        self.nonlinearity = nn.ReLU()
        self.stride, self.groups = stride, groups

    @staticmethod
    def conv_bn(into: int, out: int, size: int, stride: int, padding: int, groups: int) -> nn.Sequential:
        result = nn.Sequential()
        result.add_module("conv", nn.Conv2d(into, out, size, stride, padding, groups=groups, bias=False))
        result.add_module("bn", nn.BatchNorm2d(out))
        return result

    def forward(self, x: Tensor) -> Tensor:
        same = 0 if self.rbr_identity is None else self.rbr_identity(x)
        return self.nonlinearity(self.rbr_dense(x) + self.rbr_1x1(x) + same)

    def deploy(self) -> tuple[Tensor, Tensor]:
        w3, b3 = fuse(self.rbr_dense.conv.weight, self.rbr_dense.bn)
        w1, b1 = fuse(self.rbr_1x1.conv.weight, self.rbr_1x1.bn)
        weight, bias = w3 + F.pad(w1, [1, 1, 1, 1]), b3 + b1
        if self.rbr_identity is not None:
            wi, bi = fuse(dirac(weight.shape[0], self.groups, 3), self.rbr_identity)
            weight, bias = weight + wi, bias + bi
        return weight, bias


class MobileOneBlock(nn.Module):
    """Vasu et al., MobileOne, 2023: k over-parametrised branches, a scale branch and a skip branch."""

    def __init__(self, into: int, out: int, size: int, stride: int, groups: int, branches: int) -> None:
        super().__init__()
        self.groups, self.size = groups, size
        self.rbr_skip = nn.BatchNorm2d(into) if into == out and stride == 1 else None
        pad = size // 2
        self.rbr_conv = nn.ModuleList(self.conv_bn(into, out, size, stride, pad, groups) for _ in range(branches))
        self.rbr_scale = self.conv_bn(into, out, 1, stride, 0, groups) if size > 1 else None
        self.activation = nn.GELU()

    conv_bn = staticmethod(RepVGGBlock.conv_bn)

    def forward(self, x: Tensor) -> Tensor:
        out = 0 if self.rbr_skip is None else self.rbr_skip(x)
        out = out + (0 if self.rbr_scale is None else self.rbr_scale(x))
        for branch in self.rbr_conv:
            out = out + branch(x)
        return self.activation(out)

    def deploy(self) -> tuple[Tensor, Tensor]:
        parts = [fuse(branch.conv.weight, branch.bn) for branch in self.rbr_conv]
        if self.rbr_scale is not None:
            w, b = fuse(self.rbr_scale.conv.weight, self.rbr_scale.bn)
            parts.append((F.pad(w, [self.size // 2] * 4), b))
        if self.rbr_skip is not None:
            parts.append(fuse(dirac(parts[0][0].shape[0], self.groups, self.size), self.rbr_skip))
        return sum(w for w, _ in parts), sum(b for _, b in parts)


class RepMixer(nn.Module):
    """Vasu et al., FastViT, 2023: x + gamma·(mixer(x) − norm(x)), depthwise; train-time form."""

    def __init__(self, channels: int, size: int = 3) -> None:
        super().__init__()
        self.norm = MobileOneBlock(channels, channels, size, 1, channels, 0)
        self.mixer = MobileOneBlock(channels, channels, size, 1, channels, 1)
        self.norm.rbr_scale = None
        self.norm.activation = self.mixer.activation = nn.Identity()
        self.layer_scale = nn.Parameter(torch.rand(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer_scale * (self.mixer(x) - self.norm(x))

    def deploy(self) -> tuple[Tensor, Tensor]:
        size, channels = self.mixer.size, self.layer_scale.shape[0]
        one = dirac(channels, channels, size)
        wm, bm = self.mixer.deploy()
        wn, bn = fuse(one, self.norm.rbr_skip)
        return one + self.layer_scale[..., None] * (wm - wn), self.layer_scale.flatten() * (bm - bn)


class LinearBN(nn.Module):
    """Graham et al., LeViT, 2021: Linear_BN, which flattens the tokens before it normalises."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.c = nn.Linear(into, out, bias=False)
        self.bn = nn.BatchNorm1d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c(x)
        return self.bn(x.flatten(0, 1)).reshape_as(x)

    def deploy(self) -> tuple[Tensor, Tensor]:
        return fuse(self.c.weight, self.bn)


class ConvBN(nn.Sequential):
    """LeViT's Conv2d_BN."""

    def __init__(self, into: int, out: int, size: int = 1, stride: int = 1, pad: int = 0) -> None:
        super().__init__()
        self.add_module("c", nn.Conv2d(into, out, size, stride, pad, bias=False))
        self.add_module("bn", nn.BatchNorm2d(out))

    def deploy(self) -> tuple[Tensor, Tensor]:
        return fuse(self.c.weight, self.bn)


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.m = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.m(x)


class LeViTAttention(nn.Module):
    """LeViT's attention: queries, keys and values out of one Linear_BN, an attention bias, a projection."""

    def __init__(self, dim: int, key: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.heads, self.key, self.value = heads, key, 2 * key
        self.qkv = LinearBN(dim, heads * (2 * key + self.value))
        self.proj = nn.Sequential(nn.Hardswish(), LinearBN(heads * self.value, dim))
        self.attention_bias = nn.Parameter(torch.randn(heads, tokens, tokens))

    def forward(self, x: Tensor) -> Tensor:
        rows, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(rows, tokens, self.heads, -1).split([self.key, self.key, self.value], dim=3)
        q, k, v = q.permute(0, 2, 1, 3), k.permute(0, 2, 1, 3), v.permute(0, 2, 1, 3)
        mixed = (q @ k.transpose(-2, -1) * self.key**-0.5 + self.attention_bias).softmax(dim=-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(rows, tokens, -1))


def only(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    (found,) = layers(module, kind)
    return copy.deepcopy(found)
