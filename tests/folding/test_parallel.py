"""Layers side by side whose results are put one behind the other are one layer, where that pays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa
from folding.blocks import Spoken, assert_same, becomes, close, folded, reasons, rows, settled


def spoken(forward, **parts) -> nn.Module:
    return settled(Spoken(forward, **parts))


def linears(**shapes) -> dict[str, nn.Module]:
    return {name: nn.Linear(*shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda m, x: torch.relu(torch.cat([m.a(x), m.b(x)], -1)), "Linear(4, 9)"),
        (lambda m, x: torch.relu(torch.cat([m.a(x), m.b(x)], 1)) * 2, "Linear(4, 9)"),
        (lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], -1)), "Linear(4, 2)"),
        (lambda m, x: m.d(torch.cat([x, x], 1)), "Linear(4, 2)"),
        (lambda m, x: m.d(torch.cat([x, m.e(x)], 1)), "Linear(4, 2)"),
        (lambda m, x: m.e(torch.cat([m.e(x)], 1)), "Linear(4, 4)"),
        (lambda m, x: torch.einsum("bi,oi->bo", m.a(x), m.weight), "Linear(4, 6)"),
    ],
)
def test_parts_put_one_behind_the_other_are_one_layer(forward, expected):
    net = spoken(forward, **linears(a=(4, 5), b=(4, 4), c=(9, 2), d=(8, 2), e=(4, 4)))
    net.weight = nn.Parameter(torch.randn(6, 5, dtype=torch.float64))
    assert becomes(net, rows(2, 4)) == [expected]
    folded(net, rows(2, 4))


def test_a_list_of_many_heads_is_one_layer():
    net = spoken(lambda m, x: torch.relu(torch.cat([head(x) for head in m.heads], -1)), heads=nn.ModuleList(
        nn.Linear(6, 2) for _ in range(16)
    ))  # fmt: skip
    assert becomes(net, rows(2, 3, 6)) == ["Linear(6, 32)"]
    copied = folded(net, rows(2, 3, 6))
    close(copied(x := rows(5, 3, 6)), net(x))


def test_parallel_convolutions_are_one_where_their_kernels_are_alike():
    def forward(m, x):
        return torch.relu(torch.cat([m.n(m.a(x)), m.b(x)], 1))

    net = spoken(
        forward, a=nn.Conv2d(3, 4, 3, padding=1), n=nn.BatchNorm2d(4), b=nn.Conv2d(3, 2, 3, padding=1, bias=False)
    )
    copied = folded(net, rows(2, 3, 6, 6))
    assert becomes(net, rows(2, 3, 6, 6)) == ["Conv2d(3, 6, 3×3, padding 1)"]
    close(copied(x := rows(3, 3, 6, 6)), net(x))


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: torch.relu(torch.cat([m.e(x), m.f(torch.tanh(x))], 1)),
        lambda m, x: torch.relu(torch.cat([m.e(x), m.f(x)], 0)),
        lambda m, x: torch.relu(torch.cat([m.e(x), x], 1)),
        lambda m, x: torch.relu(torch.cat([m.e(x)[:, :3], m.f(x), x[:, 1:3]], 1)),
        lambda m, x: torch.relu(torch.cat([m.e(x), torch.ones_like(x)], 1)),
        lambda m, x: torch.relu(torch.cat([m.e(x), m.g(m.f(torch.relu(x)))[:, :1].detach()], 1)),
        lambda m, x: torch.bmm(m.e(x)[:, None], m.batch[: 1].expand(x.shape[0], -1, -1)),
    ],
)  # fmt: skip
def test_parts_that_do_not_pay_together_stay_apart(forward):
    net = spoken(forward, **linears(e=(4, 4), f=(4, 4), g=(4, 4)))
    net.batch = nn.Parameter(torch.randn(2, 4, 3, dtype=torch.float64))
    assert "Linear(4, 8)" not in becomes(net, rows(2, 4))
    assert_same(net, wa.collapse_runs(net, rows(2, 4)), rows(2, 4))


def test_the_plan_says_that_parts_come_from_different_places():
    net = spoken(lambda m, x: torch.relu(torch.cat([m.e(x), m.f(torch.tanh(x))], 1)), **linears(e=(4, 4), f=(4, 4)))
    assert "puts tensors that come from different places one behind the other" in reasons(net, rows(2, 4))


def test_more_parts_than_are_tried_are_left_alone():
    net = spoken(lambda m, x: torch.relu(torch.cat([m.a(x)] * 65, 1)), a=nn.Linear(4, 2))
    assert "it joins more than 64 parts" in reasons(net, rows(2, 4))


def stacked(m: Spoken, x: Tensor, axis: int = 0) -> Tensor:
    return torch.stack([m.a(x), m.b(x), m.c(x)], axis)


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda m, x: stacked(m, x).sum(0).relu(), ["Linear(4, 4)"]),
        (lambda m, x: stacked(m, x, -1).mean(-1).relu(), ["Linear(4, 4)"]),
        (lambda m, x: m.b(torch.stack([m.a(x), x]).sum(0)), ["Linear(4, 4)"]),
        (lambda m, x: torch.stack([m.a(m.b(x)), x.tanh()]).sum(dim=0).relu(), ["Linear(4, 4) + identity"]),
        (lambda m, x: stacked(m, x).sum(1).relu(), []),
        (lambda m, x: stacked(m, x).sum((0, 1)).relu(), []),
        (lambda m, x: stacked(m, x).sum().relu() + x, []),
        (lambda m, x: stacked(m, x, 1).transpose(0, 1).sum(1).relu(), []),
        (lambda m, x: (y := stacked(m, x)).sum(0).relu() + y[0], []),
    ],
)
def test_a_sum_over_stacked_layers_is_their_sum(forward, expected):
    net = settled(Spoken(forward, **{name: nn.Linear(4, 4) for name in "abc"}))
    assert becomes(net, rows(2, 4)) == expected
    folded(net, rows(2, 4))


def test_nothing_is_summed_across_the_border_of_a_module_with_a_hook():
    inner = Spoken(stacked, **{name: nn.Linear(4, 4) for name in "abc"})
    inner.register_forward_hook(lambda module, given, result: 2 * result)
    net = settled(Spoken(lambda m, x: m.inner(x).sum(0).relu(), inner=inner))
    assert becomes(net, rows(2, 4)) == []
    folded(net, rows(2, 4))
