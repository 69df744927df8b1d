"""Interpolation: every axis times a matrix whose numbers are those that PyTorch itself computes.

The matrix of an axis is read off by running the operation on the basis vectors of that axis alone. Half
precision is read off in float32, in which PyTorch computes the coefficients; choices of a nearest place are
read off in the dtype itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import OpOverload
from whyactivate.affine.rules.places import along_axis, along_last
from whyactivate.affine.rules.rule import Call, CannotEvaluate, Label, depends, shape_of
from whyactivate.affine.rules.table import affine
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten

NOTE = "coefficients of {} are taken as the numbers that PyTorch computed"
MOST_ENTRIES = 1 << 24
"""How many numbers an operation may be run on to read its coefficients off."""
HALVES = (torch.float16, torch.bfloat16)


def _interpolated(self: Any, output_size: Sequence[int], scales: Sequence[float | None], call: Call, *how: Any) -> Any:
    axes, dtype = len(output_size), call.dtype("self")
    for axis, (count, scale) in enumerate(zip(output_size, scales, strict=True)):
        matrix = _axis_matrix(call.op, self.shape[2 + axis], count, scale, axis, axes, how, dtype)
        self = along_axis(self, 2 + axis, matrix)
    return self


@lru_cache(256)
def _axis_matrix(
    op: OpOverload, size: int, count: int, scale: float | None, axis: int, axes: int, how: tuple[Any, ...],
    dtype: torch.dtype,
) -> ExactArray:  # fmt: skip
    """The matrix of shape `(count, size)` by which the operation multiplies one axis."""
    if size * max(size, count) > MOST_ENTRIES:
        raise CannotEvaluate(f"{op} on an axis of {size} has more coefficients than can be read off")
    nearest = "nearest" in str(op)
    basis = torch.eye(size, dtype=torch.float32 if dtype in HALVES and not nearest else dtype, device="cpu")
    # The other axes have two equal entries: of a single one, antialiasing makes something else (PyTorch 2.13).
    scales: list[float | None] = [None] * axes
    line, wide, result = [1] * axes, [2] * axes, [2] * axes
    line[axis], wide[axis], result[axis], scales[axis] = size, size, count, scale
    vectors = basis.reshape(size, 1, *line).expand(size, 1, *wide).contiguous()
    rows = op(vectors, result, *how, *scales).movedim(2 + axis, 1).reshape(size, count, -1)
    return ExactArray.from_tensor(rows[..., 0].T)


def _taps(arguments: Mapping[str, Argument]) -> int:
    """A product and a sum per term and axis; antialiasing takes as many terms as an axis is long."""
    sizes = shape_of(arguments["self"])[2:]
    return sum(2 * min(size, 4) + 4 for size in sizes)


def _all_taps(arguments: Mapping[str, Argument]) -> int:
    return sum(size + 4 for size in shape_of(arguments["self"])[2:])


def _squares(call: Call) -> list[float | None]:
    named: Any = call.arguments
    found = [named.get(name) for name in ("scales_d", "scales_h", "scales_w", "scales")]
    return found[-1:] if "scales" in named else found[3 - (len(named["output_size"])) : 3]


@affine(
    aten.upsample_nearest1d.default, aten.upsample_nearest2d.default, aten.upsample_nearest3d.default,
    aten._upsample_nearest_exact1d.default, aten._upsample_nearest_exact2d.default,
    aten._upsample_nearest_exact3d.default, form="self",
)  # fmt: skip
def nearest(self: Any, output_size: Sequence[int], call: Call) -> Any:
    return _interpolated(self, output_size, _squares(call), call)


@affine(
    aten.upsample_linear1d.default, aten.upsample_bilinear2d.default, aten.upsample_trilinear3d.default,
    aten.upsample_bicubic2d.default, form="self", label=Label.KERNEL, roundings=_taps,
    note=NOTE.format("interpolation"),
)  # fmt: skip
@affine(
    aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.default, form="self", label=Label.KERNEL,
    roundings=_all_taps, note=NOTE.format("interpolation"),
)  # fmt: skip
def interpolate(self: Any, output_size: Sequence[int], align_corners: bool, call: Call) -> Any:
    return _interpolated(self, output_size, _squares(call), call, align_corners)


def _degree(arguments: Mapping[str, Argument]) -> int:
    """Where the grid depends on the input, as well, it is in one factor per axis."""
    return len(shape_of(arguments["input"])) - 1 if depends(arguments["grid"]) else 1


_LINEAR, _ZEROS, _BORDER = 0, 0, 1
"""Among the numbers by which grid sampling is told how."""


@affine(
    aten.grid_sampler_2d.default, aten.grid_sampler_3d.default, form="input", label=Label.KERNEL,
    selectors=frozenset({"grid"}), masks=frozenset({"grid"}), power=_degree, roundings=40,
    note=NOTE.format("grid sampling"),
)  # fmt: skip
def grid_sampler(
    input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool, call: Call
) -> Any:
    batch, channels, *size = input.shape
    places = prod(grid.shape[1:-1])
    if prod(size) * max(prod(size), places) > MOST_ENTRIES:
        raise CannotEvaluate(f"grid sampling of {prod(size)} places has more coefficients than can be read off")
    if not isinstance(grid, Tensor):
        if interpolation_mode != _LINEAR or padding_mode not in (_ZEROS, _BORDER):
            raise CannotEvaluate("only linear sampling, between zeros or the border, has a formula in its grid")
        return _sampled(input, grid, padding_mode == _BORDER, align_corners)
    dtype = torch.float32 if call.dtype("input") in HALVES else call.dtype("input")
    basis = torch.eye(prod(size), dtype=dtype, device="cpu").reshape(1, prod(size), *size)
    results: list[Any] = []
    for row in range(batch):
        at = call.op(basis, grid[row : row + 1].to(dtype), interpolation_mode, padding_mode, align_corners)
        results.append(along_last(input[row].reshape(channels, prod(size)), at.reshape(prod(size), places).T))
    return type(results[0]).stack(results).reshape(batch, channels, *grid.shape[1:-1])


def _sampled(input: Any, grid: Any, clamped: bool, align_corners: bool) -> Any:
    """Every place of the input, times how near the grid comes to it along each axis: 1 at the place, 0 at the next."""
    batch, channels, *size = input.shape
    points = grid.reshape(batch, prod(grid.shape[1:-1]), 1, len(size))
    weights: Any = None
    for axis, extent in enumerate(size):
        at = points[..., len(size) - 1 - axis] + 1  # the last axis comes first in a grid
        at = at * (extent - 1) / 2 if align_corners else (at * extent - 1) / 2
        if clamped:
            at = at.maximum(0).minimum(extent - 1)
        near = 1 - abs(at - ExactArray.from_tensor(torch.arange(extent, device="cpu")))
        near = near.maximum(0).reshape(batch, points.shape[1], *(1,) * axis, extent, *(1,) * (len(size) - 1 - axis))
        weights = near if weights is None else weights * near
    weights = weights.reshape(batch, points.shape[1], prod(size)).swap(-1, -2)
    return (input.reshape(batch, channels, prod(size)) @ weights).reshape(batch, channels, *grid.shape[1:-1])
