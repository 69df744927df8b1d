"""Matrix products: affine in one matrix at a time, and in whatever is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.rules.matrices import solution
from whyactivate.affine.rules.places import in_one_arithmetic
from whyactivate.affine.rules.rule import UNBOUNDED, Label, depends, shape_of
from whyactivate.affine.rules.table import affine
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.exact import ExactArray

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


@affine(aten.vdot.default, form="self*other", roundings=_inner("self"))
def vdot(self: Any, other: Any) -> Any:
    return self @ other


@affine(aten.addr.default, form="self + vec1*vec2", roundings=4, wide=frozenset({"beta", "alpha"}))
def addr(self: Any, vec1: Any, vec2: Any, beta: Any, alpha: Any) -> Any:
    return self * beta + vec1.reshape(-1, 1) * vec2 * alpha


def _batch_and_inner(arguments: Mapping[str, Argument]) -> int:
    batch, _, inner = shape_of(arguments["batch1"])
    return batch * (inner + 1) + 4


@affine(aten.addbmm.default, form="self + batch1*batch2", roundings=_batch_and_inner, wide=frozenset({"beta", "alpha"}))
def addbmm(self: Any, batch1: Any, batch2: Any, beta: Any, alpha: Any) -> Any:
    return self * beta + (batch1 @ batch2).sum(0) * alpha


@affine(aten.linalg_cross.default, form="self*other", roundings=3)
def cross(self: Any, other: Any, dim: int) -> Any:
    shape = torch.broadcast_shapes(self.shape, other.shape)
    a, b = (array.expand(shape).swap(dim, -1) for array in (self, other))
    after, before = [1, 2, 0], [2, 0, 1]
    return (a[..., after] * b[..., before] - a[..., before] * b[..., after]).swap(dim, -1)


def _all_summed(arguments: Mapping[str, Argument]) -> int:
    return prod(shape_of(arguments["i2"])) + 4


@affine(aten._trilinear.default, form="i1*i2*i3", roundings=_all_summed)
def trilinear(i1: Any, i2: Any, i3: Any, expand1: Any, expand2: Any, expand3: Any, sumdim: Sequence[int]) -> Any:
    def widened(array: Any, axes: Sequence[int]) -> Any:
        shape = list(array.shape)
        for axis in sorted(axes):
            shape.insert(axis, 1)
        return array.reshape(shape)

    product = widened(i1, expand1) * widened(i2, expand2) * widened(i3, expand3)
    return product.sum(tuple(sumdim))


# -- systems of equations: the inverse is taken as PyTorch computes it ------------------------------------------------

_SOLVED = "the coefficients of a system's solution are taken as the numbers that PyTorch computed"


def _solved(b: Any, solve: Any, axis: int, dtype: torch.dtype, batch: Sequence[int]) -> Any:
    """Every vector of `b` along an axis, times the matrix whose columns are the solutions for the basis vectors."""
    size = b.shape[axis]
    inverse = ExactArray.from_tensor(solve(torch.eye(size, dtype=dtype, device="cpu").expand(*batch, size, size)))
    return inverse @ b if axis == -2 else b @ inverse


def _is_vector(a: Any, b: Any) -> bool:
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape[:-1]))


def _matrix_depends(arguments: Mapping[str, Argument]) -> bool:
    return depends(arguments["A"])


@affine(
    aten._linalg_solve_ex.default, form="B", label=Label.KERNEL, selectors=frozenset({"A"}), masks=frozenset({"A"}),
    smooth_when=_matrix_depends, roundings=UNBOUNDED,
    constant_outputs=frozenset({1, 2, 3}), note=_SOLVED,
)  # fmt: skip
def solve(A: Any, B: Any, left: bool) -> Any:
    if not isinstance(A, Tensor):
        matrix, right = in_one_arithmetic([A, B])
        return _solved_by_elimination(matrix, right, left)

    def solutions(basis: Tensor) -> Tensor:
        return torch.linalg.solve(A, basis, left=left)

    if _is_vector(A, B):
        return _solved(B.reshape(*B.shape, 1), solutions, -2, A.dtype, A.shape[:-2]).reshape(*A.shape[:-2], B.shape[-1])
    return _solved(B, solutions, -2 if left else -1, A.dtype, A.shape[:-2])


def _solved_by_elimination(A: Any, B: Any, left: bool) -> Any:
    if _is_vector(A, B):
        return solution(A, B.reshape(*B.shape, 1))[..., 0]
    return solution(A, B) if left else solution(A.swap(-1, -2), B.swap(-1, -2)).swap(-1, -2)


@affine(
    aten.linalg_solve_triangular.default, form="B", label=Label.KERNEL, selectors=frozenset({"self"}),
    roundings=UNBOUNDED, note=_SOLVED,
)  # fmt: skip
def solve_triangular(self: Tensor, B: Any, upper: bool, left: bool, unitriangular: bool) -> Any:
    def solutions(basis: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self, basis, upper=upper, left=left, unitriangular=unitriangular)

    return _solved(B, solutions, -2 if left else -1, self.dtype, self.shape[:-2])


@affine(
    aten.triangular_solve.default, form="self", label=Label.KERNEL, selectors=frozenset({"A"}), roundings=UNBOUNDED,
    constant_outputs=frozenset({1}), note=_SOLVED,
)  # fmt: skip
def triangular_solve(self: Any, A: Tensor, upper: bool, transpose: bool, unitriangular: bool) -> Any:
    def solutions(basis: Tensor) -> Tensor:
        return torch.triangular_solve(basis, A, upper, transpose, unitriangular)[0]

    return _solved(self, solutions, -2, A.dtype, A.shape[:-2])


@affine(
    aten.cholesky_solve.default, form="self", label=Label.KERNEL, selectors=frozenset({"input2"}),
    roundings=UNBOUNDED, note=_SOLVED,
)  # fmt: skip
def cholesky_solve(self: Any, input2: Tensor, upper: bool) -> Any:
    def solutions(basis: Tensor) -> Tensor:
        return torch.cholesky_solve(basis, input2, upper)

    return _solved(self, solutions, -2, input2.dtype, input2.shape[:-2])


@affine(
    aten.linalg_lu_solve.default, form="B", label=Label.KERNEL, selectors=frozenset({"LU", "pivots"}),
    roundings=UNBOUNDED, note=_SOLVED,
)  # fmt: skip
def lu_solve(LU: Tensor, pivots: Tensor, B: Any, left: bool, adjoint: bool) -> Any:
    def solutions(basis: Tensor) -> Tensor:
        return torch.linalg.lu_solve(LU, pivots, basis, left=left, adjoint=adjoint)

    return _solved(B, solutions, -2 if left else -1, LU.dtype, LU.shape[:-2])


@affine(
    aten.affine_grid_generator.default, form="theta", label=Label.KERNEL, roundings=8,
    note="coefficients of an affine grid are taken as the numbers that PyTorch computed",
)  # fmt: skip
def affine_grid(theta: Any, size: Sequence[int], align_corners: bool, call: Any) -> Any:
    entries = prod(theta.shape[1:])
    basis = torch.eye(entries, dtype=call.dtype("theta"), device="cpu").reshape(entries, *theta.shape[1:])
    grid = call.op(basis, [entries, *size[1:]], align_corners)
    matrix = ExactArray.from_tensor(grid.reshape(entries, -1))
    return (theta.reshape(-1, entries) @ matrix).reshape(theta.shape[0], *grid.shape[1:])
