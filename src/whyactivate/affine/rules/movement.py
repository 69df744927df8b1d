"""Operations that move numbers about: views, copies in another order, paddings, joins.

What such an operation moves where is read off by running it on the positions 1, 2, 3, …; a 0 in the
result is a place that nothing moves to.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from whyactivate.affine._torch_compat import OpOverload
from whyactivate.affine.rules.rule import Rule
from whyactivate.affine.rules.table import add_rule, affine
from whyactivate.arithmetic.balls import BallArray

aten = torch.ops.aten

for view in (
    aten.view.default, aten._unsafe_view.default, aten._reshape_alias.default, aten.alias.default,
    aten.detach.default, aten.lift_fresh.default, aten.t.default, aten.transpose.int, aten.permute.default,
    aten.expand.default, aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims,
    aten.slice.Tensor, aten.select.int, aten.narrow.default, aten.diagonal.default, aten.as_strided.default,
    aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int, aten.unfold.default, aten.movedim.intlist,
):  # fmt: skip
    add_rule(Rule(view, is_view=True))

for fresh in (
    aten.zeros_like.default, aten.ones_like.default, aten.full_like.default,
    aten.new_zeros.default, aten.new_ones.default, aten.new_full.default,
):  # fmt: skip
    add_rule(Rule(fresh, constant_result=True))

for unwritten in (aten.empty_like.default, aten.new_empty.default, aten.new_empty_strided.default):
    add_rule(Rule(unwritten, constant_result=True, uninitialised=True))


def _moved(op: OpOverload, self: Any, *args: Any) -> Any:
    positions = torch.arange(1, prod(self.shape) + 1).reshape(self.shape)
    return self.gather_flat(op(positions, *args).numpy() - 1)


@affine(aten.flip.default, form="self")
def flip(self: Any, dims: Sequence[int]) -> Any:
    return _moved(aten.flip.default, self, dims)


@affine(aten.roll.default, form="self")
def roll(self: Any, shifts: Sequence[int], dims: Sequence[int]) -> Any:
    return _moved(aten.roll.default, self, shifts, dims)


@affine(aten.repeat.default, form="self")
def repeat(self: Any, repeats: Sequence[int]) -> Any:
    return _moved(aten.repeat.default, self, repeats)


@affine(aten.tril.default, form="self")
def tril(self: Any, diagonal: int) -> Any:
    return _moved(aten.tril.default, self, diagonal)


@affine(aten.triu.default, form="self")
def triu(self: Any, diagonal: int) -> Any:
    return _moved(aten.triu.default, self, diagonal)


@affine(aten.cat.default, form="tensors")
def cat(tensors: Sequence[Any], dim: int) -> Any:
    alike = _in_one_arithmetic([tensor for tensor in tensors if tensor.shape != (0,)])
    return type(alike[0]).concatenate(alike, dim)


@affine(aten.stack.default, form="tensors")
def stack(tensors: Sequence[Any], dim: int) -> Any:
    alike = _in_one_arithmetic(tensors)
    return type(alike[0]).stack(alike, dim)


def _in_one_arithmetic(arrays: Sequence[Any]) -> list[Any]:
    if any(isinstance(array, BallArray) for array in arrays):
        return [array if isinstance(array, BallArray) else BallArray.from_exact(array) for array in arrays]
    return list(arrays)
