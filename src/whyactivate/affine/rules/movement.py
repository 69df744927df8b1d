"""Operations that move numbers about: views, copies in another order, paddings, joins, choices by index or mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.rules.masks import select
from whyactivate.affine.rules.places import chosen, in_one_arithmetic, moved, moved_as_floats, moved_to_several
from whyactivate.affine.rules.rule import EVERY_OUTPUT, CannotEvaluate, Rule
from whyactivate.affine.rules.table import add_rule, affine

aten = torch.ops.aten

for view in (
    aten.view.default, aten._unsafe_view.default, aten._reshape_alias.default, aten.alias.default,
    aten.detach.default, aten.lift_fresh.default, aten.t.default, aten.transpose.int, aten.permute.default,
    aten.expand.default, aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims,
    aten.slice.Tensor, aten.select.int, aten.narrow.default, aten.diagonal.default, aten.as_strided.default,
    aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int, aten.unfold.default, aten.movedim.intlist,
    aten.view_as_real.default, aten.view_as_complex.default, aten._conj.default, aten._neg_view.default,
    aten.view.dtype,
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


@affine(aten.index.Tensor, aten._unsafe_index.Tensor, form="self", selectors=frozenset({"indices"}))
def index(self: Any, indices: list[Tensor | None]) -> Any:
    return moved(aten.index.Tensor, self, indices)


@affine(aten.masked_select.default, form="self", selectors=frozenset({"mask"}))
def masked_select(self: Any, mask: Tensor) -> Any:
    return moved(aten.masked_select.default, self, mask)


@affine(
    aten.where.self,
    form="self + other",
    selectors=frozenset({"condition"}),
    masks=frozenset({"condition"}),
    roundings=1,
)
def where(condition: Any, self: Any, other: Any) -> Any:
    if not isinstance(condition, Tensor):
        return select(condition, self, other)
    return chosen(lambda at: torch.where(condition, at[0], at[1]), self, other)


@affine(
    aten.masked_fill.Scalar,
    aten.masked_fill.Tensor,
    form="self + value",
    selectors=frozenset({"mask"}),
    masks=frozenset({"mask"}),
    roundings=1,
)
def masked_fill(self: Any, mask: Any, value: Any) -> Any:
    if not isinstance(mask, Tensor):
        return select(mask, value, self)
    return chosen(lambda at: at[0].masked_fill(mask, at[1]), self, value)


@affine(aten.slice_scatter.default, form="self + src")
def slice_scatter(self: Any, src: Any, dim: int, start: int | None, end: int | None, step: int) -> Any:
    return chosen(lambda at: aten.slice_scatter.default(at[0], at[1], dim, start, end, step), self, src)


@affine(aten.select_scatter.default, form="self + src")
def select_scatter(self: Any, src: Any, dim: int, index: int) -> Any:
    return chosen(lambda at: aten.select_scatter.default(at[0], at[1], dim, index), self, src)


@affine(aten.cat.default, form="tensors")
def cat(tensors: Sequence[Any], dim: int) -> Any:
    alike = in_one_arithmetic([tensor for tensor in tensors if tensor.shape != (0,)])
    return type(alike[0]).concatenate(alike, dim)


@affine(aten.stack.default, form="tensors")
def stack(tensors: Sequence[Any], dim: int) -> Any:
    alike = in_one_arithmetic(tensors)
    return type(alike[0]).stack(alike, dim)


@affine(aten.rot90.default, form="self")
def rot90(self: Any, k: int, dims: Sequence[int]) -> Any:
    return moved(aten.rot90.default, self, k, dims)


@affine(aten.pixel_shuffle.default, form="self")
def pixel_shuffle(self: Any, upscale_factor: int) -> Any:
    return moved(aten.pixel_shuffle.default, self, upscale_factor)


@affine(aten.pixel_unshuffle.default, form="self")
def pixel_unshuffle(self: Any, downscale_factor: int) -> Any:
    return moved(aten.pixel_unshuffle.default, self, downscale_factor)


@affine(aten.channel_shuffle.default, aten.native_channel_shuffle.default, form="self")
def channel_shuffle(self: Any, groups: int) -> Any:
    channels = self.shape[1]
    apart = self.reshape(self.shape[0], groups, channels // groups, *self.shape[2:])
    return apart.swap(1, 2).reshape(self.shape)


@affine(
    aten.reflection_pad1d.default, aten.reflection_pad2d.default, aten.reflection_pad3d.default,
    aten.replication_pad1d.default, aten.replication_pad2d.default, aten.replication_pad3d.default, form="self",
)  # fmt: skip
def pad_from_inside(self: Any, padding: Sequence[int], call: Any) -> Any:
    return moved_as_floats(call.op, self, padding)


@affine(aten.diag_embed.default, form="self")
def diag_embed(self: Any, offset: int, dim1: int, dim2: int) -> Any:
    return moved(aten.diag_embed.default, self, offset, dim1, dim2)


@affine(aten.resize_as.default, form="self", passive=frozenset({"the_template"}))
def resize_as(self: Any, the_template: Any, call: Any) -> Any:
    if self.size != the_template.size or not call.is_contiguous("self"):
        raise CannotEvaluate("resize_as to another number of entries, or of memory in another order, has no formula")
    return self.reshape(the_template.shape)


@affine(aten.block_diag.default, form="tensors")
def block_diag(tensors: Sequence[Any]) -> Any:
    return chosen(aten.block_diag.default, *tensors)


@affine(aten._chunk_cat.default, form="tensors")
def chunk_cat(tensors: Sequence[Any], dim: int, num_chunks: int) -> Any:
    return chosen(lambda at: aten._chunk_cat.default(at, dim, num_chunks), *tensors)


# -- copies of what is usually a view ---------------------------------------------------------------------------------


@affine(
    aten.alias_copy.default, aten.expand_copy.default, aten.permute_copy.default, aten.view_copy.default,
    aten.t_copy.default, aten.transpose_copy.int, aten.squeeze_copy.default, aten.squeeze_copy.dim,
    aten.squeeze_copy.dims, aten.unsqueeze_copy.default, aten.diagonal_copy.default, aten.unfold_copy.default,
    aten.narrow_copy.default, aten.slice_copy.Tensor, aten.select_copy.int, aten.detach_copy.default,
    aten._reshape_copy.default, form="self",
)  # fmt: skip
def copied(self: Any, call: Any) -> Any:
    return moved(call.op, self, *call.others("self"))


@affine(
    aten.unbind_copy.int, aten.split_copy.Tensor, aten.split_with_sizes_copy.default, aten.unsafe_split.Tensor,
    aten.unsafe_split_with_sizes.default, aten.unsafe_chunk.default, form="self", affine_outputs=EVERY_OUTPUT,
)  # fmt: skip
def copied_in_parts(self: Any, call: Any) -> Any:
    return moved_to_several(call.op, self, *call.others("self"))


@affine(aten.as_strided_copy.default, form="self")
def as_strided_copy(
    self: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None, call: Any
) -> Any:
    if not call.is_contiguous("self"):
        raise CannotEvaluate("as_strided_copy of memory that is not in row-major order")
    return self.flatten().strided(storage_offset or 0, size, stride)
