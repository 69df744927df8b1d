"""What scales and shifts a concatenation goes into the layers whose results are put one behind the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from folding.blocks import ConvBN, Spoken, becomes, folded, layers, reasons, rows, settled
from whyactivate import plan_runs


def mix_conv(m: Spoken, x: Tensor) -> Tensor:
    """Tan and Le, MixConv, 2019: depthwise kernels of several sizes, each on a group of channels."""
    parts = zip(m.convs, x.split(2, 1), strict=True)
    return torch.relu(m.norm(torch.cat([conv(part) for conv, part in parts], 1)))


def depthwise(size: int) -> nn.Conv2d:
    return nn.Conv2d(2, 2, size, padding=size // 2, groups=2)


def joined(axis: int, **parts: nn.Module) -> Spoken:
    """Two parts of two different inputs, one behind the other, normalised."""
    return Spoken(lambda m, x: m.norm(torch.cat([m.a(x.relu()), m.b(x.tanh())], axis)).relu(), **parts)


NETWORKS = {
    "MixConv": (
        Spoken(mix_conv, convs=nn.ModuleList(map(depthwise, (3, 5, 7))), norm=nn.BatchNorm2d(6)),
        (6, 8, 9),
        "Conv2d(2, 2, 3×3, padding 1, groups 2) and Conv2d(2, 2, 5×5, padding 2, groups 2) and "
        "Conv2d(2, 2, 7×7, padding 3, groups 2)",
    ),
    "two convolutions": (
        joined(1, a=nn.Conv2d(4, 3, 1), b=nn.Conv2d(4, 2, 3, padding=1, bias=False), norm=nn.BatchNorm2d(5)),
        (4, 6, 5),
        "Conv2d(4, 3, 1×1) and Conv2d(4, 2, 3×3, padding 1)",
    ),
    "one that is transposed": (
        joined(1, a=nn.ConvTranspose2d(4, 3, 1), b=nn.ConvTranspose2d(4, 3, 3, padding=1), norm=nn.BatchNorm2d(6)),
        (4, 6, 5),
        "Conv2d(4, 3, 1×1) and ConvTranspose2d(4, 3, 3×3, padding 1)",
    ),
    "linear layers": (
        joined(1, a=nn.Linear(4, 3), b=nn.Linear(4, 2), norm=nn.BatchNorm1d(5)),
        (4,),
        "Linear(4, 3) and Linear(4, 2)",
    ),
    "blocks of branches": (
        joined(1, a=nn.Sequential(ConvBN(4, 4), ConvBN(4, 3)), b=ConvBN(4, 2, 3, 1, 1), norm=nn.BatchNorm2d(5)),
        (4, 6, 5),
        "Conv2d(4, 3, 1×1) and Conv2d(4, 2, 3×3, padding 1)",
    ),
    "kernels that are far from each other": (
        Spoken(
            lambda m, x: m.norm(torch.cat([m.a(x), m.b(x)], 1)).relu(),
            a=nn.Conv2d(4, 9, 1),
            b=nn.Conv2d(4, 2, 7, padding=3),
            norm=nn.BatchNorm2d(11),
        ),
        (4, 8, 9),
        "Conv2d(4, 9, 1×1) and Conv2d(4, 2, 7×7, padding 3)",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_normalisation_after_a_concatenation_goes_into_the_layers_before_it(name):
    net, shape, words = NETWORKS[name]
    x = rows(2, *shape)
    assert becomes(settled(net), x) == [words]
    copy = folded(net, x)
    assert not layers(copy, nn.BatchNorm2d) + layers(copy, nn.BatchNorm1d)
    before, after = plan_runs(net, x).before, plan_runs(net, x).after
    assert (after.multiply_adds, after.kernels) < (before.multiply_adds, before.kernels)


def test_factors_and_shifts_of_tokens_go_into_the_layers_before_a_concatenation():
    def forward(m: Spoken, x: Tensor) -> Tensor:
        return (torch.cat([m.a(x.relu()), m.b(x.tanh())], -1) * m.scale + m.shift).relu()

    numbers = {"scale": nn.Parameter(torch.rand(7)), "shift": nn.Parameter(torch.rand(7))}
    net = settled(Spoken(forward, a=nn.Linear(6, 3), b=nn.Linear(6, 4), **numbers))
    assert becomes(net, rows(2, 5, 6)) == ["Linear(6, 3) and Linear(6, 4)"]
    folded(net, rows(2, 5, 6))


def test_a_part_that_no_layer_gives_is_scaled_by_itself():
    net = settled(Spoken(lambda m, x: m.norm(torch.cat([x, m.a(x.relu())], 1)).tanh(), a=ConvBN(4, 3),
                         norm=nn.BatchNorm2d(7)))  # fmt: skip
    x = rows(2, 4, 5, 5)
    assert becomes(net, x) == ["scale(4) and Conv2d(4, 3, 1×1)"]
    folded(net, x)


@pytest.mark.parametrize("axis", [0, 2])
def test_parts_put_together_along_another_axis_stay(axis):
    net = settled(joined(axis, a=nn.Conv2d(4, 3, 1), b=nn.Conv2d(4, 3, 1), norm=nn.BatchNorm2d(3)))
    assert not becomes(net, rows(2, 4, 5, 5))
    assert "axis" in reasons(net, rows(2, 4, 5, 5))


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x, h: (h, m.norm(h).relu()),
        lambda m, x, h: m.norm(h).relu() + h.sin(),
        lambda m, x, h: (m.norm(h) + torch.cat([m.b(x.sigmoid()), m.a(x.cos())], 1)).relu(),
        lambda m, x, h: (m.norm(torch.cat([h[:, :3], m.a(x.cos())], 1)) + 1).relu(),
        lambda m, x, h: m.last((m.norm(h) * 2 + 1).flatten(1)).relu(),
        lambda m, x, h: (m.norm(h) + x[:, :1]).relu(),
    ],
)
def test_a_concatenation_that_is_used_otherwise_too_stays_right(forward):
    parts = {"a": nn.Conv2d(4, 3, 1), "b": nn.Conv2d(4, 3, 3, padding=1), "last": nn.Linear(150, 3)}
    net = Spoken(
        lambda m, x: forward(m, x, torch.cat([m.a(x.relu()), m.b(x.tanh())], 1)), norm=nn.BatchNorm2d(6), **parts
    )
    folded(settled(net), rows(2, 4, 5, 5))
