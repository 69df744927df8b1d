"""Matrix products: affine in one matrix at a time, and in whatever is added."""

from __future__ import annotations

from typing import Any

import torch

from whyactivate.affine.rules.table import affine

aten = torch.ops.aten


@affine(aten.addmm.default, form="self + mat1*mat2", row_product=("mat1", "mat2", False))
def addmm(self: Any, mat1: Any, mat2: Any, beta: Any, alpha: Any) -> Any:
    return self * beta + (mat1 @ mat2) * alpha


@affine(aten.baddbmm.default, form="self + batch1*batch2")
def baddbmm(self: Any, batch1: Any, batch2: Any, beta: Any, alpha: Any) -> Any:
    return self * beta + (batch1 @ batch2) * alpha


@affine(aten.addmv.default, form="self + mat*vec")
def addmv(self: Any, mat: Any, vec: Any, beta: Any, alpha: Any) -> Any:
    return self * beta + (mat @ vec) * alpha


@affine(aten.bmm.default, form="self*mat2")
@affine(aten.mm.default, form="self*mat2", row_product=("self", "mat2", False))
def mm(self: Any, mat2: Any) -> Any:
    return self @ mat2


@affine(aten.mv.default, form="self*vec")
def mv(self: Any, vec: Any) -> Any:
    return self @ vec


@affine(aten.dot.default, form="self*tensor")
def dot(self: Any, tensor: Any) -> Any:
    return self @ tensor


@affine(aten.linear.default, form="bias + input*weight", row_product=("input", "weight", True))
def linear(input: Any, weight: Any, bias: Any) -> Any:
    product = input @ weight.swap(-1, -2)
    return product if bias is None else product + bias
