"""Where the original passes no gradients on, its folded copy passes none on either."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import whyactivate as wa
from folding.blocks import Spoken, becomes, reasons, rows
from folding.test_other_sizes import both, mixed


class Stopped(torch.autograd.Function):
    """An affine function with gradients of its own."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 0


def frozen_half(m, x):
    with torch.no_grad():
        h = m.a(x)
    return m.b(h)


def frozen(m, x):
    with torch.no_grad():
        h = m.b(m.a(x))
    return torch.relu(h) + x


def gradients(net: nn.Module, numbers: torch.Tensor) -> tuple[list[float], bool]:
    """The gradient in the input, and whether the layers get one."""
    net.zero_grad()
    x = numbers.clone().requires_grad_()
    result = net(x).sum()
    if result.requires_grad:
        result.backward()
    found = torch.zeros_like(x) if x.grad is None else x.grad
    return found.flatten().tolist(), any(parameter.grad is not None for parameter in net.parameters())


def check_gradients(net: nn.Module) -> None:
    numbers = rows(3, 4)
    (found, trained), (expected, were) = gradients(wa.collapse_runs(net, rows(2, 4)), numbers), gradients(net, numbers)
    assert found == pytest.approx(expected, abs=1e-12)
    assert trained == were


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        (lambda m, x: m.b(m.a(x).detach()), "gradients"),
        (lambda m, x: m.b(m.a(x).data), "gradients"),
        (frozen_half, "gradients"),
        (lambda m, x: m.b(Stopped.apply(m.a(x))), "gradients"),
    ],
)
def test_layers_between_which_gradients_end_are_left_alone(forward, why):
    net = mixed(forward)
    assert becomes(net, rows(2, 4)) == []
    assert why in reasons(net, rows(2, 4))
    check_gradients(net)


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: torch.relu(m.b(m.a(x)).detach()) + x,
        lambda m, x: m.b(m.a(torch.relu(x).detach())),
        lambda m, x: torch.relu(x.detach() + m.b(m.a(x))),
        lambda m, x: torch.relu(x + (m.b(m.a(x)) - x).detach()),
        lambda m, x: torch.relu(Stopped.apply(x) + m.b(m.a(x))),
        frozen,
        both,
    ],
)
def test_layers_fold_where_gradients_end_before_or_behind_them(forward):
    net = mixed(forward)
    assert becomes(net, rows(2, 4)) == ["Linear(4, 4)"]
    check_gradients(net)


def test_the_looked_up_rows_of_a_table_that_pass_no_gradients_on_do_not_fold():
    class Tokens(nn.Module):
        def __init__(self, detaching: bool) -> None:
            super().__init__()
            self.detaching, self.table, self.layer = detaching, nn.Embedding(50, 8), nn.Linear(8, 4)

        def forward(self, numbers):
            rows = self.table(numbers)
            return torch.relu(self.layer(rows.detach() if self.detaching else rows))

    numbers = torch.zeros(2, 3, dtype=torch.long)
    assert wa.plan_runs(Tokens(False).eval(), numbers).folds
    assert not wa.plan_runs(Tokens(True).eval(), numbers).folds


def louder(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.requires_grad:
        tensor.register_hook(lambda gradient: 3 * gradient)
    return tensor


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.b(louder(m.a(x))) + m.c(x),
        lambda m, x: louder(torch.relu(m.b(x) + m.c(x))),
        lambda m, x: m.b(louder(x)) + m.c(x),
        lambda m, x: m.b(louder(m.a(x))),
    ],
    ids=["between two layers", "behind them", "at the input", "in a chain"],
)
def test_a_hook_on_a_tensor_keeps_layers_as_they_are(forward):
    net = Spoken(forward, **{name: nn.Linear(4, 4) for name in "abc"}).double()
    assert "a hook" in reasons(net, rows(2, 4))
    check_gradients(net)
