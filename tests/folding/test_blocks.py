"""Blocks of known architectures fold to what their authors deploy, to float64 rounding."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from folding.blocks import (
    ConvBN,
    LeViTAttention,
    LinearBN,
    MobileOneBlock,
    RepMixer,
    RepVGGBlock,
    Residual,
    Spoken,
    becomes,
    folded,
    fuse,
    layers,
    only,
    settled,
)


def same(layer: nn.Module, weight: Tensor, bias: Tensor) -> None:
    torch.testing.assert_close(layer.weight.data, weight.data, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(layer.bias.data, bias.data, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "block",
    [
        RepVGGBlock(4, 4),
        RepVGGBlock(4, 6, stride=2),
        RepVGGBlock(4, 4, groups=2),
        MobileOneBlock(4, 4, 3, 1, 4, branches=4),
        MobileOneBlock(4, 6, 1, 1, 1, branches=3),
        MobileOneBlock(4, 8, 3, 2, 1, branches=2),
        MobileOneBlock(6, 6, 7, 1, 6, branches=1),
        RepMixer(4),
        RepMixer(3, size=5),
        ConvBN(3, 5, 3, 2, 1),
    ],
    ids=lambda block: type(block).__name__,
)
def test_a_convolutional_block_is_its_own_deploy_form(block):
    settled(block)
    x = torch.randn(2, next(iter(block.parameters())).shape[0] if isinstance(block, RepMixer) else 4, 8, 8).double()
    if isinstance(block, ConvBN):
        x = x[:, :3]
    if isinstance(block, MobileOneBlock) and block.size == 7:
        x = torch.randn(2, 6, 8, 8).double()
    copy = folded(block, x)
    (conv,) = layers(copy, nn.Conv2d)
    same(conv, *block.deploy())
    assert not layers(copy, nn.BatchNorm2d)


def test_the_dilated_branches_of_a_large_kernel_are_that_kernel():
    """Ding et al., UniRepLKNet, 2024: kernels spread by a transposed convolution with the identity."""
    forms = ((3, 1), (3, 2), (3, 3), (5, 1))
    norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(5))
    convs = nn.ModuleList(nn.Conv2d(4, 4, k, 1, d * (k // 2), d, 4, bias=False) for k, d in ((7, 1), *forms))

    def forward(m: Spoken, x: Tensor) -> Tensor:
        return torch.relu(sum(norm(conv(x)) for norm, conv in zip(m.norms, m.convs, strict=True)))

    block, x = settled(Spoken(forward, convs=convs, norms=norms)), torch.randn(2, 4, 9, 11).double()
    weight, bias = fuse(block.convs[0].weight, block.norms[0])
    for conv, norm in zip(block.convs[1:], block.norms[1:], strict=True):
        own, shift = fuse(conv.weight, norm)
        spread = F.conv_transpose2d(own, torch.ones(1, 1, 1, 1).double(), stride=conv.dilation)
        weight, bias = weight + F.pad(spread, [(7 - spread.shape[-1]) // 2] * 4), bias + shift
    same(only(folded(block, x), nn.Conv2d), weight, bias)


@pytest.mark.parametrize("order", ["abc", "bca", "cba"])
def test_crossed_kernels_are_the_square_one_in_whatever_order_they_are_added(order):
    """Ding et al., ACNet, 2019."""
    parts = {
        "a": ConvBN(4, 6, 3, 1, 1),
        "b": ConvBN(4, 6, (3, 1), 1, (1, 0)),
        "c": ConvBN(4, 6, (1, 3), 1, (0, 1)),
    }
    block = settled(Spoken(lambda m, x: torch.relu(sum(getattr(m, name)(x) for name in order)), **parts))
    (wa, ba), (wb, bb), (wc, bc) = (getattr(block, name).deploy() for name in "abc")
    layer = only(folded(block, torch.randn(2, 4, 9, 8).double()), nn.Conv2d)
    same(layer, wa + F.pad(wb, [1, 1, 0, 0]) + F.pad(wc, [0, 0, 1, 1]), ba + bb + bc)


def test_a_stack_of_blocks_folds_block_by_block_and_keeps_the_rest():
    stack = nn.Sequential(
        RepVGGBlock(3, 4, 2), RepVGGBlock(4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    copy = folded(settled(stack), torch.randn(2, 3, 8, 8).double())
    for before, after in zip(stack[:2], layers(copy, nn.Conv2d), strict=True):
        same(after, *before.deploy())
    assert torch.equal(copy.state_dict()["4.weight"], stack.state_dict()["4.weight"])


def test_a_fastvit_stage_folds_to_one_depthwise_convolution_per_mixer():
    ffn = nn.Sequential(ConvBN(4, 4, 7, 1, 3), nn.Conv2d(4, 8, 1), nn.GELU(), nn.Conv2d(8, 4, 1))
    stage = settled(nn.Sequential(RepMixer(4), Residual(ffn)))
    copy = folded(stage, torch.randn(2, 4, 7, 7).double())
    assert not layers(copy, nn.BatchNorm2d)
    assert "Conv2d(4, 4, 3×3, padding 1, groups 4)" in becomes(stage, torch.randn(2, 4, 7, 7).double())


def test_a_levit_linear_bn_is_one_linear_on_the_last_axis():
    block = settled(LinearBN(6, 8))
    copy = folded(block, torch.randn(2, 5, 6).double())
    assert isinstance(copy.c, nn.Linear)
    same(copy.c, *block.deploy())


def test_a_levit_block_folds_every_linear_bn_and_keeps_names():
    mlp = nn.Sequential(LinearBN(8, 16), nn.Hardswish(), LinearBN(16, 8))
    block = settled(nn.Sequential(Residual(LeViTAttention(8, 4, 2, 5)), Residual(mlp)))
    copy = folded(block, torch.randn(2, 5, 8).double())
    assert not layers(copy, nn.BatchNorm1d)
    same(copy[0].m.qkv.c, *block[0].m.qkv.deploy())
    same(copy[1].m[0].c, *block[1].m[0].deploy())
    assert "0.m.attention_bias" in copy.state_dict()
