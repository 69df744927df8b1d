"""The plan's figures are those of the operations that PyTorch runs, counted one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import whyactivate as wa
from folding.blocks import ConvBN, Spoken, becomes, folded, reasons, rows, settled

_FREE = {"view", "_unsafe_view", "reshape", "permute", "t", "transpose", "unsqueeze", "squeeze", "slice", "split"}
_FREE |= {"empty", "narrow", "expand", "split_with_sizes", "select", "detach"}
_EACH = {"add", "sub", "rsub", "neg", "mul", "div", "native_batch_norm", "addcmul"}


class Count(TorchDispatchMode):
    """Multiply-adds and kernels of all operations that run."""

    work = kernels = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.rstrip("_")
        if name not in _FREE:
            self.kernels += 1
        if name in ("mm", "addmm"):
            one, two = args[-2:]
            self.work += one.shape[0] * two.numel()
        elif name == "convolution":
            cells = args[0] if args[6] else result
            self.work += cells.numel() * args[1][0].numel()
        elif name in _EACH:
            self.work += (result if isinstance(result, Tensor) else result[0]).numel()
        return result


def cost(module: nn.Module, *inputs: Tensor) -> tuple[float, int]:
    with torch.no_grad(), Count() as count:
        module(*inputs)
    return count.work / inputs[0].shape[0], count.kernels


def linear(into: int = 4, out: int = 4) -> nn.Linear:
    return nn.Linear(into, out)


def shares(m: Spoken, x: Tensor) -> Tensor:
    h = m.i(x)
    return torch.cat([m.a(h), m.b(h)[:, :2]], 1).relu()


def slices(m: Spoken, x: Tensor) -> Tensor:
    one, two = m.i(x).split([1, 3], -1)
    return torch.cat([m.a(one), m.b(two)], 1).relu()


def narrow() -> dict[str, nn.Module]:
    return {"i": linear(8, 3), "a": linear(3, 4), "b": linear(3, 4)}


class Channels(nn.Sequential):
    """Layers on the channels of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1))


NETWORKS = {
    "subtracts": (lambda: Spoken(lambda m, x: (m.a(x) - m.a(-x)).relu(), a=nn.Sequential(linear(), linear())), (4,)),
    "multiplies by one": (lambda: Spoken(lambda m, x: m.b(m.a(x) * 1.0).relu(), a=linear(), b=linear()), (4,)),
    "copies first": (
        lambda: Spoken(lambda m, x: m.b(m.a(x.transpose(1, 2))).relu(), a=linear(4, 8), b=linear(8)),
        (4, 6),
    ),
    "copies for a convolution no more": (
        lambda: Spoken(lambda m, x: m.b(m.a(x.mT).mT).relu(), a=linear(), b=nn.Conv1d(4, 4, 1)),
        (4, 6),
    ),
    "copies in the middle": (
        lambda: Spoken(
            lambda m, x: m.a(m.n(x.sigmoid()).transpose(1, 2)).relu(),
            n=nn.BatchNorm1d(4),
            a=nn.Linear(4, 3, bias=False),
        ),
        (4, 6),
    ),
    "copies in the middle of an image": (
        lambda: nn.Sequential(nn.BatchNorm2d(4), Channels(linear(), linear()), nn.Tanh()),
        (4, 3, 5),
    ),
    "copies for each of two layers": (
        lambda: Spoken(lambda m, x: (m.a(x.mT) + m.b(x.mT)).relu(), a=linear(), b=linear(4, 4)),
        (4, 6),
    ),
    "cuts a tensor on several axes": (
        lambda: Spoken(lambda m, x: m.b(m.a(x.chunk(2, -1)[1])).relu(), a=linear(), b=linear()),
        (3, 8),
    ),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 4, 3, 2, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1)),
        (4, 5, 5),
    ),
    "computes once what two layers read": (
        lambda: Spoken(
            lambda m, x: (lambda h: (m.a(h).relu(), m.b(h).tanh()))(m.i(x)),
            i=nn.Sequential(linear(), nn.BatchNorm1d(4)),
            a=linear(),
            b=linear(),
        ),
        (4,),
    ),
    "scales once what two layers read": (
        lambda: Spoken(
            lambda m, x: (lambda h: (m.a(h).relu(), m.b(h).tanh()))(x.sigmoid() * m.s),
            s=nn.Parameter(torch.rand(4)),
            a=linear(),
            b=linear(),
        ),
        (3, 4),
    ),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), ConvBN(4, 8), nn.Conv2d(8, 4, 1, groups=4)),
        (4, 5, 5),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_plan_counts_what_runs(name):
    make, shape = NETWORKS[name]
    net, x = settled(make()), rows(2, *shape)
    plan = wa.plan_runs(net, x)
    before, after = cost(net, x), cost(folded(net, x), x)
    assert plan.folds
    assert plan.before.multiply_adds == before[0]
    assert before[0] - after[0] == plan.before.multiply_adds - plan.after.multiply_adds
    assert before[1] - after[1] == plan.before.kernels - plan.after.kernels


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Spoken(shares, **narrow()), (8,)),
        (lambda: Spoken(slices, i=linear(8, 4), a=linear(1, 4), b=linear(3, 4)), (8,)),
        (lambda: Spoken(lambda m, x: m.a(x.transpose(1, 2)).relu(), a=linear()), (4, 6)),
        (lambda: Spoken(lambda m, x: m.a(x.chunk(2, -1)[1]).relu(), a=linear()), (3, 8)),
    ],
    ids=["a tensor that two layers share", "its parts", "a layer on a transposed tensor", "a layer on a part of one"],
)
def test_what_would_cost_more_or_as_much_is_left_alone(make, shape):
    plan = wa.plan_runs(settled(make()), rows(2, *shape))
    assert not plan.folds
    assert plan.after == plan.before


def test_scales_that_cancel_each_other_go_into_the_layer_before_them():
    net = settled(Spoken(lambda m, x: (m.a(x) * 2.0 * 0.5).relu(), a=linear()))
    assert becomes(net, rows(2, 4)) == ["Linear(4, 4)"]
    folded(net, rows(2, 4))


def test_a_factor_per_channel_stored_as_a_convolution_takes_in_the_batch_norm_after_it():
    net = settled(nn.Sequential(nn.Conv2d(4, 4, 1, groups=4), nn.BatchNorm2d(4), nn.ReLU()))
    assert becomes(net, rows(2, 4, 5, 5)) == ["Conv2d(4, 4, 1×1, groups 4)"]
    assert isinstance(folded(net, rows(2, 4, 5, 5))[0], nn.Conv2d)


def test_batch_norms_without_a_layer_are_said_to_be_so():
    net = settled(nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.ReLU()))
    assert reasons(net, rows(2, 4)) == "it only scales and shifts, and there is no layer in it to take that in"
