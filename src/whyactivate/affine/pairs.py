"""Complex numbers as pairs of real ones: memory of complex numbers is memory of reals, real and imaginary part in turn.

A tape knows real numbers alone. A complex tensor of shape `(…)` stands on it as the real tensor of shape `(…, 2)` that
`torch.view_as_real` shows, over the same memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.tape import Geometry

Part = Tensor | float | None
"""A real or an imaginary part; None stands for zero."""

_REAL = {torch.complex32: torch.float16, torch.complex64: torch.float32, torch.complex128: torch.float64}


def real_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the parts of complex numbers; any other dtype is its own."""
    return _REAL.get(dtype, dtype)


def as_pairs(tensor: Tensor) -> Tensor:
    """A complex tensor as reals of shape `(…, 2)`, what is lazily conjugated or negated carried out; others as is."""
    return torch.view_as_real(tensor.resolve_conj().resolve_neg()) if tensor.is_complex() else tensor


def as_complex(tensor: Tensor) -> Tensor:
    """Reals of shape `(…, 2)` as the complex numbers that they stand for."""
    return torch.view_as_complex(tensor.contiguous())


def real_geometry(tensor: Tensor) -> Geometry:
    """Where the numbers of a tensor lie; for a complex one, those of its pairs. What is lazy about it does not show."""
    if not tensor.is_complex():
        return Geometry(int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride(), tensor.dtype)
    return Geometry(
        2 * int(tensor.storage_offset()),
        (*tensor.shape, 2),
        (*(2 * step for step in tensor.stride()), 1),
        real_dtype(tensor.dtype),
    )


def parts_of(operand: Any, dtype: torch.dtype) -> tuple[Part, Part]:
    """Real and imaginary part of a number or of a tensor, in a real dtype.

    The parts of a tensor are views of its memory wherever it has that dtype; a lazy sign is carried out.
    """
    if not isinstance(operand, Tensor):
        number = complex(operand)
        return number.real, number.imag or None
    plain = _without_sign(operand)
    conjugated = plain.is_conj()
    if conjugated:
        plain = torch.conj(plain)
    if not plain.is_complex():
        return (-plain if operand.is_neg() else plain).to(dtype), None
    pairs = torch.view_as_real(plain)
    re, im = pairs.select(-1, 0).to(dtype), pairs.select(-1, 1).to(dtype)
    if operand.is_neg():
        re = -re
    return re, -im if conjugated != operand.is_neg() else im


def _without_sign(tensor: Tensor) -> Tensor:
    """The same memory without a lazy minus sign."""
    return torch.ops.aten._neg_view.default(tensor) if tensor.is_neg() else tensor


def apart(lowered: Tensor, result: Tensor) -> tuple[Part, Part]:
    """The parts of what is real as `result` is, or pairs where that is complex."""
    return (lowered.select(-1, 0), lowered.select(-1, 1)) if result.is_complex() else (lowered, None)


def plus(a: Part, b: Part) -> Part:
    """The sum of two parts."""
    return b if a is None else a if b is None else a + b


def minus(a: Part, b: Part) -> Part:
    """The difference of two parts."""
    return a if b is None else -b if a is None else a - b


def times(a: Part, b: Part) -> Part:
    """The product of two parts."""
    return None if a is None or b is None else a * b


def as_tensor(part: Part, like: Tensor) -> Tensor:
    """A part as a tensor of the shape and dtype of another, which is a result of the same operation."""
    filled = like.new_zeros(()) if part is None else part if isinstance(part, Tensor) else like.new_full((), part)
    return filled.expand(like.shape)


def write_parts(target: Tensor, re: Part, im: Part) -> None:
    """Put numbers into a tensor, whatever lazy sign it has; a real one takes the real part."""
    plain = _without_sign(target)
    conjugated = plain.is_conj()
    if conjugated:
        plain = torch.conj(plain)
    real = torch.view_as_real(plain) if plain.is_complex() else plain
    like = real.select(-1, 0) if plain.is_complex() else real
    first, second = as_tensor(re, like), as_tensor(im, like)
    if target.is_neg():
        first = -first
    if conjugated != target.is_neg():
        second = -second
    real.copy_(torch.stack([first, second], -1) if plain.is_complex() else first)
