"""Numbers put into, or added to, places that an index or a mask names: affine in the numbers, not in the places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whyactivate.affine.rules.places import chosen, in_one_arithmetic, joined, sum_into
from whyactivate.affine.rules.rule import CannotEvaluate, Label, depends, shape_of
from whyactivate.affine.rules.table import affine
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten

INDEX = frozenset({"index"})


def put_once(name: str, put: Callable[[Tensor, Tensor], Tensor], self: Any, values: Any) -> Any:
    """`values` put into `self` by `put(base, values)`, each place at most once.

    Raises:
        CannotEvaluate: a place is named twice, so that which number stays is not fixed.
    """

    def choose(at: list[Tensor]) -> Tensor:
        placed = put(torch.zeros_like(at[0]), at[1])
        if int((placed != 0).sum()) < at[1].numel():
            raise CannotEvaluate(f"{name} writes to one place more than once, in an order that is not fixed")
        return put(at[0], at[1])

    return chosen(choose, self, values)


def _along(index: Tensor, shape: Sequence[int], dim: int) -> Any:
    """Places in a flattened array of `shape` named by `index`, which counts along one axis only."""
    places = list(torch.meshgrid(*[torch.arange(n, device="cpu") for n in index.shape], indexing="ij"))
    places[dim] = index
    flat = torch.zeros_like(index)
    for place, extent in zip(places, shape, strict=True):
        flat = flat * extent + place
    return flat.numpy()


def _slices(index: Tensor, source: Any, dim: int) -> Tensor:
    """One index for every entry of `source`, whose slices along `dim` the given ones name."""
    shape = [1] * source.ndim
    shape[dim] = -1
    return index.reshape(shape).expand(source.shape)


def _added(self: Any, places: Any, values: Any) -> Any:
    return self + sum_into(self.size, places, values.flatten()).reshape(self.shape)


def _terms(arguments: Mapping[str, Argument]) -> int:
    """All that may meet in one place, where numbers are added."""
    if arguments.get("accumulate") is False:
        return 0
    found = [shape_of(arguments[name]) for name in ("src", "source", "values", "index") if name in arguments]
    return max(int(np.prod(shape)) for shape in found) + 3


@affine(aten.scatter.src, form="self + src", selectors=INDEX)
def scatter(self: Any, dim: int, index: Tensor, src: Any) -> Any:
    if not self.ndim:
        return src.reshape() if index.numel() else self
    part = src[tuple(slice(n) for n in index.shape)]
    return put_once("scatter", lambda base, values: base.scatter(dim, index, values), self, part)


@affine(aten.scatter.value, form="self + value", selectors=INDEX, roundings=1)
def scatter_value(self: Any, dim: int, index: Tensor, value: Any) -> Any:
    return chosen(lambda at: at[0].scatter(dim, index, at[1].expand(index.shape)), self, value)


@affine(aten.scatter_add.default, form="self + src", selectors=INDEX, roundings=_terms)
def scatter_add(self: Any, dim: int, index: Tensor, src: Any) -> Any:
    if not self.ndim:
        return self + src.reshape()
    part = src[tuple(slice(n) for n in index.shape)]
    return _added(self, _along(index, self.shape, dim), part)


def _adds(arguments: Mapping[str, Argument]) -> str | None:
    if arguments["reduce"] in ("sum", "mean"):
        return None
    return f"it takes the {arguments['reduce']} of what meets in one place"


def _factors(arguments: Mapping[str, Argument]) -> int:
    return max(1, _terms(arguments)) if arguments["reduce"] == "prod" else 1


_REDUCES: dict[str, Any] = {
    "selectors": INDEX, "roundings": _terms, "when": _adds, "always": True, "label": Label.PIECEWISE, "power": _factors,
}  # fmt: skip


@affine(aten.scatter_reduce.two, form="self + src", **_REDUCES)
def scatter_reduce(self: Any, dim: int, index: Tensor, src: Any, reduce: str, include_self: bool) -> Any:
    if not self.ndim:
        return scatter_reduce(
            self.reshape(1), 0, index.reshape(-1), src.reshape(src.size), reduce, include_self
        ).reshape()
    part = src[tuple(slice(n) for n in index.shape)]
    return _reduced(self, _along(index, self.shape, dim), part, reduce, include_self)


@affine(aten.index_reduce.default, form="self + source", **_REDUCES)
def index_reduce(self: Any, dim: int, index: Tensor, source: Any, reduce: str, include_self: bool) -> Any:
    if not self.ndim:
        return index_reduce(
            self.reshape(1), 0, index.reshape(-1), source.reshape(source.size), reduce, include_self
        ).reshape()
    return _reduced(self, _along(_slices(index, source, dim), self.shape, dim), source, reduce, include_self)


def _reduced(self: Any, places: Any, values: Any, reduce: str, include_self: bool) -> Any:
    """Sum, mean, product or extreme of what meets in each place: entries of `values`, and the one that is there."""
    flat = places.ravel()
    met = np.bincount(flat, minlength=self.size).reshape(self.shape)
    if reduce in ("sum", "mean"):
        kept = np.ones_like(met) if include_self else (met == 0).astype(met.dtype)
        summed = _added(self * ExactArray.from_tensor(torch.from_numpy(kept)), places, values)
        if reduce == "sum":
            return summed
        return summed / ExactArray.from_tensor(torch.from_numpy((met + int(include_self)).clip(min=1)))
    base, entries = in_one_arithmetic([self, values])
    row = joined([base, entries])
    meeting: list[list[int]] = [[] for _ in range(self.size)]
    for entry, place in enumerate(flat.tolist()):
        meeting[place].append(self.size + entry)
    for place, found in enumerate(meeting):
        if include_self or not found:
            found.append(place)
    combine = _COMBINATIONS.get(reduce)
    if combine is None:
        raise CannotEvaluate(f"{reduce} has no formula here")
    most = max(map(len, meeting), default=1)
    result = row.gather_flat(np.array([found[0] for found in meeting], dtype=np.int64))
    for turn in range(1, most):
        left = [place for place, found in enumerate(meeting) if len(found) > turn]
        added = row.gather_flat(np.array([meeting[place][turn] for place in left], dtype=np.int64))
        changed = combine(result[np.array(left)], added)
        at = np.arange(self.size)
        at[left] = self.size + np.arange(len(left))
        result = joined([result, changed]).gather_flat(at)
    return result.reshape(self.shape)


_COMBINATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "prod": lambda a, b: a * b,
    "amax": lambda a, b: a.maximum(b),
    "amin": lambda a, b: a.minimum(b),
}


@affine(aten.index_add.default, form="self + source", selectors=INDEX, roundings=_terms)
def index_add(self: Any, dim: int, index: Tensor, source: Any, alpha: Any) -> Any:
    if not self.ndim:
        return self + source.reshape() * alpha
    return _added(self, _along(_slices(index, source, dim), self.shape, dim), source * alpha)


@affine(aten.index_copy.default, form="self + source", selectors=INDEX)
def index_copy(self: Any, dim: int, index: Tensor, source: Any) -> Any:
    return put_once("index_copy", lambda base, values: base.index_copy(dim, index, values), self, source)


@affine(aten.index_fill.int_Scalar, aten.index_fill.int_Tensor, form="self + value", selectors=INDEX, roundings=1)
def index_fill(self: Any, dim: int, index: Tensor, value: Any) -> Any:
    return chosen(lambda at: at[0].index_fill(dim, index, at[1]), self, value)


@affine(aten.put.default, form="self + source", selectors=INDEX, roundings=_terms)
def put(self: Any, index: Tensor, source: Any, accumulate: bool) -> Any:
    if accumulate:
        return _added(self, (index % self.size).numpy(), source)
    return put_once("put", lambda base, values: base.put(index, values), self, source)


@affine(aten.index_put.default, form="self + values", selectors=frozenset({"indices"}), roundings=_terms)
@affine(aten._unsafe_index_put.default, form="self + values", selectors=frozenset({"indices"}), roundings=_terms)
def index_put(self: Any, indices: list[Tensor | None], values: Any, accumulate: bool) -> Any:
    places = torch.arange(self.size, device="cpu").reshape(self.shape)[_without_none(indices)]
    wide = values.expand(places.shape)
    if accumulate:
        return _added(self, places.numpy(), wide)
    return put_once("index_put", lambda base, new: base.put(places, new), self, wide)


@affine(aten._unsafe_masked_index.default, form="self + fill", selectors=frozenset({"mask", "indices"}), roundings=1)
def masked_index(self: Any, mask: Tensor, indices: list[Tensor | None], fill: Any) -> Any:
    def choose(at: list[Tensor]) -> Tensor:
        read = aten._unsafe_masked_index.default(at[0], mask, indices, 0)
        return torch.where(read == 0, at[1], read)

    return chosen(choose, self, fill)


@affine(
    aten._unsafe_masked_index_put_accumulate.default, form="self + values",
    selectors=frozenset({"mask", "indices"}), roundings=_terms,
)  # fmt: skip
def masked_index_put(self: Any, mask: Tensor, indices: list[Tensor | None], values: Any) -> Any:
    places = torch.arange(self.size, device="cpu").reshape(self.shape)
    read = aten._unsafe_masked_index.default(places, mask, indices, -1)
    inside = (read >= 0).numpy().ravel()
    wide = values.expand(tuple(read.shape)).flatten()[np.nonzero(inside)[0]]
    return _added(self, read.numpy().ravel()[inside], wide)


def _without_none(indices: list[Tensor | None]) -> tuple[Tensor | slice, ...]:
    return tuple(slice(None) if index is None else index for index in indices)


@affine(aten.masked_scatter.default, form="self + source", selectors=frozenset({"mask"}))
def masked_scatter(self: Any, mask: Tensor, source: Any) -> Any:
    return chosen(lambda at: at[0].masked_scatter(mask, at[1]), self, source)


@affine(aten.diagonal_scatter.default, form="self + src")
def diagonal_scatter(self: Any, src: Any, offset: int, dim1: int, dim2: int) -> Any:
    return chosen(lambda at: at[0].diagonal_scatter(at[1], offset, dim1, dim2), self, src)


@affine(aten.as_strided_scatter.default, form="self + src")
def as_strided_scatter(self: Any, src: Any, size: Any, stride: Any, storage_offset: int | None, call: Any) -> Any:
    if not call.is_contiguous("self"):
        raise CannotEvaluate("as_strided_scatter into memory that is not in row-major order")
    return chosen(lambda at: at[0].as_strided_scatter(at[1], size, stride, storage_offset), self, src)


def _windows_met(arguments: Mapping[str, Argument]) -> int:
    return prod(shape_of(arguments["grad_in"])) + 1


@affine(aten.unfold_backward.default, form="grad_in", roundings=_windows_met)
def unfold_backward(grad_in: Any, input_sizes: Sequence[int], dim: int, size: int, step: int) -> Any:
    """Every entry of a window is added where `unfold` would read it."""
    count = prod(input_sizes)
    places = torch.arange(count, device="cpu").reshape(list(input_sizes)).unfold(dim, size, step)
    return sum_into(count, places.numpy(), grad_in.flatten()).reshape(tuple(input_sizes))


@affine(aten.take.default, form="self", selectors=INDEX)
def take(self: Any, index: Tensor) -> Any:
    return self.flatten().gather_flat((index % max(self.size, 1)).numpy())


@affine(aten.embedding.default, form="weight", selectors=frozenset({"indices"}))
def embedding(weight: Any, indices: Tensor) -> Any:
    return weight[indices.numpy()]


_SUM, _MEAN = 0, 1


def _longest_bag(arguments: Mapping[str, Argument]) -> int:
    return int(np.prod(shape_of(arguments["indices"]))) + 3


def _sums_or_means(arguments: Mapping[str, Argument]) -> str | None:
    if arguments["mode"] not in (_SUM, _MEAN):
        return "embedding_bag takes the largest entry of each bag"
    both = depends(arguments["per_sample_weights"]) and arguments["mode"] == _MEAN
    return "embedding_bag takes weights only for sums" if both else None


@affine(
    aten._embedding_bag_forward_only.default, aten._embedding_bag.default, form="weight*per_sample_weights",
    selectors=frozenset({"indices", "offsets"}), when=_sums_or_means, roundings=_longest_bag,
    constant_outputs=frozenset({1, 2, 3}),
)  # fmt: skip
def embedding_bag(
    weight: Any, indices: Tensor, offsets: Tensor, mode: int, per_sample_weights: Any, include_last_offset: bool,
    padding_idx: int,
) -> Any:  # fmt: skip
    bags = len(offsets) - include_last_offset
    ends = torch.cat([offsets[1 : bags + 1], offsets.new_tensor([len(indices)])])[:bags]
    bag = torch.repeat_interleave(torch.arange(bags, device="cpu"), ends - offsets[:bags])
    used = (
        (indices != padding_idx).nonzero().flatten() if padding_idx >= 0 else torch.arange(len(indices), device="cpu")
    )
    rows = weight[indices[used].numpy()]
    if per_sample_weights is not None:
        rows = rows * per_sample_weights[used.numpy()].reshape(-1, 1)
    width = weight.shape[1]
    places = bag[used].numpy()[:, None] * width + np.arange(width)[None]
    sums = sum_into(bags * width, places, rows.flatten()).reshape(bags, width)
    if mode == _SUM:
        return sums
    counts = torch.bincount(bag[used], minlength=bags).clamp(min=1)
    return sums / ExactArray.from_tensor(counts.reshape(-1, 1))
