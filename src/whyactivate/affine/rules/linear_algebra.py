"""Matrix products: affine in one matrix at a time, and in whatever is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from whyactivate.affine.rules.rule import shape_of
from whyactivate.affine.rules.table import affine
from whyactivate.affine.tape import Argument

aten = torch.ops.aten


def _inner(left: str) -> Callable[[Mapping[str, Argument]], int]:
    """One product and one addition per term, one more for the bias, two scales, and a cast."""
    return lambda arguments: shape_of(arguments[left])[-1] + 4


@affine(
    aten.addmm.default,
    form="self + mat1*mat2",
    roundings=_inner("mat1"),
    wide=frozenset({"beta", "alpha"}),
    row_product=("mat1", "mat2", False),
)
def addmm(self: Any, mat1: Any, mat2: Any, beta: Any, alpha: Any) -> Any:
    return self * beta + (mat1 @ mat2) * alpha


@affine(
    aten.baddbmm.default,
    form="self + batch1*batch2",
    roundings=_inner("batch1"),
    wide=frozenset({"beta", "alpha"}),
)
def baddbmm(self: Any, batch1: Any, batch2: Any, beta: Any, alpha: Any) -> Any:
    return self * beta + (batch1 @ batch2) * alpha


@affine(aten.addmv.default, form="self + mat*vec", roundings=_inner("mat"))
def addmv(self: Any, mat: Any, vec: Any, beta: Any, alpha: Any) -> Any:
    return self * beta + (mat @ vec) * alpha


@affine(aten.bmm.default, form="self*mat2", roundings=_inner("self"))
@affine(aten.mm.default, form="self*mat2", roundings=_inner("self"), row_product=("self", "mat2", False))
def mm(self: Any, mat2: Any) -> Any:
    return self @ mat2


@affine(aten.mv.default, form="self*vec", roundings=_inner("self"))
def mv(self: Any, vec: Any) -> Any:
    return self @ vec


@affine(aten.dot.default, form="self*tensor", roundings=_inner("self"))
def dot(self: Any, tensor: Any) -> Any:
    return self @ tensor


@affine(
    aten.linear.default, form="bias + input*weight", roundings=_inner("input"), row_product=("input", "weight", True)
)
def linear(input: Any, weight: Any, bias: Any) -> Any:
    product = input @ weight.swap(-1, -2)
    return product if bias is None else product + bias
