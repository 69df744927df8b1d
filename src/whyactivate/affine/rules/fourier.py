"""Fourier transforms and complex quotients, as operations on real numbers: complex ones are pairs on a last axis.

The coefficients of a transform are kernel-defined: along each axis they are the numbers that PyTorch computes for unit
vectors, in the dtype in which it computes. In balls and enclosures they are, besides, all numbers up to the unrounded
coefficients, so what is refuted there is refuted for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import torch
from flint import arb, ctx
from torch import Tensor

from whyactivate.affine.rules.places import in_one_arithmetic
from whyactivate.affine.rules.reading import MOST_ENTRIES
from whyactivate.affine.rules.rule import UNBOUNDED, CannotEvaluate, Label, depends, shape_of
from whyactivate.affine.rules.table import affine
from whyactivate.affine.tape import Argument
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray

aten = torch.ops.aten

# -- the operations ---------------------------------------------------------------------------------------------------

_LIBRARY = torch.library.Library("whyactivate", "FRAGMENT")


def _defines(schema: str) -> Callable[[Callable[..., Tensor]], Any]:
    def enter(function: Callable[..., Tensor]) -> Any:
        name = schema.partition("(")[0]
        _LIBRARY.define(schema)
        _LIBRARY.impl(name, function, "CompositeExplicitAutograd")
        return getattr(torch.ops.whyactivate, name).default

    return enter


@_defines("fft_r2c(Tensor self, int[] dim, int normalization, bool onesided) -> Tensor")
def fft_r2c(self: Tensor, dim: list[int], normalization: int, onesided: bool) -> Tensor:
    """The transform of real numbers, as pairs."""
    return torch.view_as_real(aten._fft_r2c(self, dim, normalization, onesided))


@_defines("fft_c2c(Tensor self, int[] dim, int normalization, bool forward) -> Tensor")
def fft_c2c(self: Tensor, dim: list[int], normalization: int, forward: bool) -> Tensor:
    """The transform of pairs, as pairs."""
    return torch.view_as_real(aten._fft_c2c(torch.view_as_complex(self.contiguous()), dim, normalization, forward))


@_defines("fft_c2r(Tensor self, int[] dim, int normalization, int last_dim_size) -> Tensor")
def fft_c2r(self: Tensor, dim: list[int], normalization: int, last_dim_size: int) -> Tensor:
    """The real numbers of which the pairs are one half of the transform."""
    return aten._fft_c2r(torch.view_as_complex(self.contiguous()), dim, normalization, last_dim_size)


@_defines("quotient(Tensor self, Tensor other) -> Tensor")
def quotient(self: Tensor, other: Tensor) -> Tensor:
    """The quotients of complex numbers, all as pairs."""
    return torch.view_as_real(torch.view_as_complex(self.contiguous()) / torch.view_as_complex(other.contiguous()))


# -- the rules --------------------------------------------------------------------------------------------------------


def _divides(arguments: Mapping[str, Argument]) -> bool:
    return depends(arguments["other"])


@affine(quotient, form="self", roundings=UNBOUNDED, smooth_when=_divides)
def quotient_of_pairs(self: Any, other: Any) -> Any:
    z, w = in_one_arithmetic([self, other])
    (a, b), (c, d) = ((pairs[..., 0], pairs[..., 1]) for pairs in (z, w))
    squared = c * c + d * d
    return type(z).stack([(a * c + b * d) / squared, (b * c - a * d) / squared], -1)


def _terms(arguments: Mapping[str, Argument]) -> int:
    shape, dim = shape_of(arguments["self"]), arguments["dim"]
    assert isinstance(dim, (list, tuple))
    return 2 * sum(shape[axis] for axis in dim)


_TRANSFORM: dict[str, Any] = {
    "form": "self",
    "label": Label.KERNEL,
    "roundings": UNBOUNDED,
    "work": _terms,
    "widens": True,
    "note": "the coefficients of a Fourier transform along an axis are the numbers that PyTorch computes for unit "
    "vectors",
}  # fmt: skip


@affine(fft_r2c, **_TRANSFORM)
def transform_of_reals(self: Any, dim: Sequence[int], normalization: int, onesided: bool, call: Any) -> Any:
    dtype = call.dtype("self")
    last, size = dim[-1], self.shape[dim[-1]]
    alone = self.reshape(*self.shape, 1)
    result = _along(alone, last, _Transform("r2c", size, normalization, onesided, dtype))
    return _over(result, dim[:-1], normalization, True, dtype)


@affine(fft_c2c, **_TRANSFORM)
def transform_of_pairs(self: Any, dim: Sequence[int], normalization: int, forward: bool, call: Any) -> Any:
    return _over(self, dim, normalization, forward, call.dtype("self"))


@affine(fft_c2r, **_TRANSFORM)
def transform_to_reals(self: Any, dim: Sequence[int], normalization: int, last_dim_size: int, call: Any) -> Any:
    dtype = call.dtype("self")
    inner = _over(self, dim[:-1], normalization, False, dtype)
    result = _along(inner, dim[-1], _Transform("c2r", last_dim_size, normalization, True, dtype))
    return result.reshape(*result.shape[:-1])


def _over(pairs: Any, dim: Sequence[int], normalization: int, forward: bool, dtype: torch.dtype) -> Any:
    for axis in dim:
        pairs = _along(pairs, axis, _Transform("c2c", pairs.shape[axis], normalization, forward, dtype))
    return pairs


def _along(pairs: Any, axis: int, transform: _Transform) -> Any:
    """Shape `(…, k)` with k = 1 for reals and 2 for pairs: the vectors along one axis, transformed."""
    matrix = transform.matrix
    order = [*(a for a in range(pairs.ndim - 1) if a != axis), axis, pairs.ndim - 1]
    moved = pairs.transpose(*order)
    rows = moved.reshape(prod(moved.shape[:-2]), prod(moved.shape[-2:]))
    outputs = matrix.shape[1] // transform.parts
    found = rows @ matrix
    if isinstance(rows, (BallArray, EnclosureArray)):
        slack = abs(rows).sum(-1, True) * transform.error
        unit = BallArray.from_fraction(1).around_zero()
        found = found + slack * (unit if isinstance(rows, BallArray) else EnclosureArray.from_balls(unit))
    found = found.reshape(*moved.shape[:-2], outputs, transform.parts)
    return found.transpose(*np.argsort(order).tolist())


# -- coefficients -----------------------------------------------------------------------------------------------------

_BY_ROOT, _BY_COUNT = 1, 2


class _Transform:
    """A transform of one vector: "r2c" of n reals, "c2c" of n pairs, "c2r" to n reals.

    Attributes:
        matrix: what PyTorch computes for unit vectors, exactly; shape `(in, out)`, parts in turn.
        error: how far an entry of it is from the unrounded coefficient at most.
        parts: how many numbers stand for an entry of the result.
    """

    def __init__(self, kind: str, size: int, normalization: int, flag: bool, dtype: torch.dtype) -> None:
        bins = size // 2 + 1
        entries = {"r2c": size * 2 * size, "c2c": 4 * size * size, "c2r": 2 * bins * size}[kind]
        if entries > MOST_ENTRIES:
            raise CannotEvaluate(f"a Fourier transform of length {size} has more coefficients than can be read off")
        self.parts = 1 if kind == "c2r" else 2
        self.matrix, self.error = _coefficients(kind, size, normalization, flag, dtype)


@lru_cache(maxsize=32)
def _coefficients(kind: str, size: int, normalization: int, flag: bool, dtype: torch.dtype) -> tuple[ExactArray, float]:
    computed = _computed(kind, size, normalization, flag, dtype)
    unrounded, off = _unrounded(kind, size, normalization, flag)
    distance = float(np.abs(computed.double().numpy() - unrounded).max(initial=0.0))
    return ExactArray.from_tensor(computed), (distance + off) * (1 + 2.0**-40)


def find_coefficient_error(op: Any, arguments: Mapping[str, Argument]) -> float | None:
    """How far a coefficient of a transform along an axis may be from the unrounded one; None for other operations."""
    if op not in (fft_r2c, fft_c2c, fft_c2r):
        return None
    source: Any = arguments["self"]
    shape, dtype = shape_of(source), source.geometry.dtype
    dim, normalization, last = arguments["dim"], arguments["normalization"], arguments.get("last_dim_size")
    assert isinstance(dim, (list, tuple))
    assert isinstance(normalization, int)
    forward = bool(arguments.get("forward", op is fft_r2c))
    kinds = [("c2c", shape[axis], forward) for axis in dim]
    if op is fft_r2c:
        kinds[-1] = ("r2c", shape[dim[-1]], bool(arguments["onesided"]))
    elif isinstance(last, int):
        kinds[-1] = ("c2r", last, True)
    return max(_Transform(kind, size, normalization, flag, dtype).error for kind, size, flag in kinds)


def _computed(kind: str, size: int, normalization: int, flag: bool, dtype: torch.dtype) -> Tensor:
    """Row k: what PyTorch makes of the k-th unit vector."""
    with torch.no_grad():
        if kind == "r2c":
            units = torch.eye(size, dtype=dtype, device="cpu")
            return fft_r2c(units, [1], normalization, flag).reshape(size, -1)
        entries = size if kind == "c2c" else size // 2 + 1
        units = torch.eye(2 * entries, dtype=dtype, device="cpu").reshape(2 * entries, entries, 2)
        if kind == "c2c":
            return fft_c2c(units, [1], normalization, flag).reshape(2 * size, -1)
        return fft_c2r(units, [1], normalization, size)


def _unrounded(kind: str, size: int, normalization: int, flag: bool) -> tuple[np.ndarray, float]:
    """The coefficients by their definition, each within the second result."""
    with ctx.workprec(128):
        scale = {0: arb(1), _BY_ROOT: 1 / arb(size).sqrt(), _BY_COUNT: 1 / arb(size)}[normalization]
        angles = [arb(2 * k) / size for k in range(size)]
        cos = np.array([float((angle.cos_pi() * scale).mid()) for angle in angles])
        sin = np.array([float((angle.sin_pi() * scale).mid()) for angle in angles])
        off = float(scale.upper()) * 2.0**-51
    turns = np.outer(np.arange(size), np.arange(size)) % size
    c, s = cos[turns], sin[turns]
    if kind == "r2c":
        return np.stack([c, -s], -1)[:, : size // 2 + 1 if flag else size].reshape(size, -1), off
    if kind == "c2c":
        s = -s if flag else s  # forward: exp(-2πi·jk/n)
        block = np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], 1)
        return block.reshape(2 * size, 2 * size), off
    bins = size // 2 + 1
    weight = np.full((bins, 1), 2.0)  # each entry stands for its mirror image, too, but the first and the middle one
    weight[0] = 1.0
    if size % 2 == 0:
        weight[-1] = 1.0
    real, imaginary = c[:bins] * weight, -s[:bins] * weight
    imaginary[0] = 0.0
    if size % 2 == 0:
        imaginary[-1] = 0.0
    return np.stack([real, imaginary], 1).reshape(2 * bins, size), 2 * off
