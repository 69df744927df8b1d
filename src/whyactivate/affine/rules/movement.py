"""Operations that move numbers about: views, copies in another order, paddings, joins, choices by index or mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.rules.places import chosen, in_one_arithmetic, moved
from whyactivate.affine.rules.rule import CannotEvaluate, Rule
from whyactivate.affine.rules.table import add_rule, affine
from whyactivate.affine.tape import Argument

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


@affine(aten.flip.default, form="self")
def flip(self: Any, dims: Sequence[int]) -> Any:
    return moved(aten.flip.default, self, dims)


@affine(aten.roll.default, form="self")
def roll(self: Any, shifts: Sequence[int], dims: Sequence[int]) -> Any:
    return moved(aten.roll.default, self, shifts, dims)


@affine(aten.repeat.default, form="self")
def repeat(self: Any, repeats: Sequence[int]) -> Any:
    return moved(aten.repeat.default, self, repeats)


@affine(aten.tril.default, form="self")
def tril(self: Any, diagonal: int) -> Any:
    return moved(aten.tril.default, self, diagonal)


@affine(aten.triu.default, form="self")
def triu(self: Any, diagonal: int) -> Any:
    return moved(aten.triu.default, self, diagonal)


@affine(aten.constant_pad_nd.default, form="self + value")
def pad(self: Any, pad: Sequence[int], value: Any) -> Any:
    def choose(at: list[Tensor]) -> Tensor:
        padded = aten.constant_pad_nd.default(at[0], pad, 0)
        return torch.where(padded == 0, at[1], padded)

    return chosen(choose, self, value)


@affine(aten.index_select.default, form="self", selectors=frozenset({"index"}))
def index_select(self: Any, dim: int, index: Tensor) -> Any:
    return moved(aten.index_select.default, self, dim, index)


@affine(aten.gather.default, form="self", selectors=frozenset({"index"}))
def gather(self: Any, dim: int, index: Tensor) -> Any:
    return moved(aten.gather.default, self, dim, index)


@affine(aten.index.Tensor, form="self", selectors=frozenset({"indices"}))
def index(self: Any, indices: list[Tensor | None]) -> Any:
    return moved(aten.index.Tensor, self, indices)


@affine(aten.where.self, form="self + other", selectors=frozenset({"condition"}), roundings=1)
def where(condition: Tensor, self: Any, other: Any) -> Any:
    return chosen(lambda at: torch.where(condition, at[0], at[1]), self, other)


@affine(
    aten.masked_fill.Scalar,
    aten.masked_fill.Tensor,
    form="self + value",
    selectors=frozenset({"mask"}),
    roundings=1,
)
def masked_fill(self: Any, mask: Tensor, value: Any) -> Any:
    return chosen(lambda at: at[0].masked_fill(mask, at[1]), self, value)


@affine(aten.slice_scatter.default, form="self + src")
def slice_scatter(self: Any, src: Any, dim: int, start: int | None, end: int | None, step: int) -> Any:
    return chosen(lambda at: aten.slice_scatter.default(at[0], at[1], dim, start, end, step), self, src)


@affine(aten.select_scatter.default, form="self + src")
def select_scatter(self: Any, src: Any, dim: int, index: int) -> Any:
    return chosen(lambda at: aten.select_scatter.default(at[0], at[1], dim, index), self, src)


def _puts_only(arguments: Mapping[str, Argument]) -> str | None:
    return "index_put adds to what is there" if arguments["accumulate"] else None


@affine(aten.index_put.default, form="self + values", selectors=frozenset({"indices"}), when=_puts_only)
def index_put(self: Any, indices: list[Tensor | None], values: Any) -> Any:
    def choose(at: list[Tensor]) -> Tensor:
        writes = aten.index_put.default(torch.zeros_like(at[0]), indices, torch.ones_like(at[1]), True)
        if bool((writes > 1).any()):
            raise CannotEvaluate("index_put writes to one place more than once, in an order that is not fixed")
        return aten.index_put.default(at[0], indices, at[1])

    return chosen(choose, self, values)


@affine(aten.cat.default, form="tensors")
def cat(tensors: Sequence[Any], dim: int) -> Any:
    alike = in_one_arithmetic([tensor for tensor in tensors if tensor.shape != (0,)])
    return type(alike[0]).concatenate(alike, dim)


@affine(aten.stack.default, form="tensors")
def stack(tensors: Sequence[Any], dim: int) -> Any:
    alike = in_one_arithmetic(tensors)
    return type(alike[0]).stack(alike, dim)
