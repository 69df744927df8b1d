"""Reads answers: exact numbers, vectors and matrices of them, and modules; refuses the rest with a sentence."""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from typing import Any, cast

import torch
from torch import Tensor, nn

from whyactivate.exercises.exercise import Refused

Vector = list[Fraction]
Matrix = list[Vector]


def read_number(value: object, what: str = "the answer") -> Fraction:
    """A finite number, exactly as it is stored; one in brackets, as in [[2]], is one, too."""
    found = _plain(value)
    for _ in range(2):
        if isinstance(found, list) and len(cast("list[object]", found)) == 1:
            found = _plain(cast("list[object]", found)[0])
    # Through the methods of the plain types: a subclass may say of itself that it equals everything.
    if isinstance(found, float):
        if not math.isfinite(float.__float__(found)):
            raise Refused(f"{what} must be a finite number, but {tell(found)} came")
        return Fraction(float.__float__(found))
    if isinstance(found, int) and not isinstance(found, bool):
        return Fraction(int.__index__(found))
    if type(found) is Fraction:
        return found
    raise Refused(f"{what} must be a number, but {tell(value)} came")


def read_vector(value: object, length: int | None = None, what: str = "the answer") -> Vector:
    """A list of finite numbers."""
    value = _plain(value)
    wanted = "a list of numbers" if length is None else f"a list of {length} numbers"
    if not isinstance(value, (list, tuple)):
        raise Refused(f"{what} must be {wanted}, but {tell(value)} came")
    items = list(cast("list[object]", value))
    if length is not None and len(items) != length:
        raise Refused(f"{what} must be {wanted}, but a list of {len(items)} came")
    return [read_number(item, f"number {i} of {what}") for i, item in enumerate(items, 1)]


def read_matrix(value: object, rows: int | None, columns: int | None, what: str = "the answer") -> Matrix:
    """A list of rows, all of the same length."""
    value = _plain(value)
    shape = f"{'?' if rows is None else rows}×{'?' if columns is None else columns}"
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(row, (list, tuple)) for row in cast("list[object]", value)
    ):
        raise Refused(f"{what} must be a matrix of shape {shape}, as a list of rows, but {tell(value)} came")
    found = [read_vector(row, None, f"row {i} of {what}") for i, row in enumerate(cast("list[object]", value), 1)]
    widths = {len(row) for row in found}
    if not found or len(widths) != 1 or 0 in widths:
        raise Refused(f"{what} must be a matrix of shape {shape}; its rows have {sorted(widths)} numbers")
    if (rows is not None and len(found) != rows) or (columns is not None and widths != {columns}):
        raise Refused(f"{what} must be of shape {shape}, but it is {len(found)}×{len(found[0])}")
    return found


def read_parts(value: object, names: str, count: int) -> list[Any]:
    """An answer that is a list of so many things."""
    if not isinstance(value, (list, tuple)) or len(cast("list[object]", value)) != count:
        raise Refused(f"the answer must be a list of {count} things, [{names}], but {tell(value)} came")
    return list(cast("list[Any]", value))


def read_module(value: object, features: int, outputs: int) -> nn.Module:
    """A copy of a module, in evaluation mode, that takes (rows, features) and gives (rows, outputs)."""
    if isinstance(value, type) and issubclass(value, nn.Module):
        try:
            value = value()
        except Exception as error:
            raise Refused(f"making a {value.__name__} without arguments raised {_words(error)}") from error
    if not isinstance(value, nn.Module):
        raise Refused(f"the answer must be an nn.Module, but {tell(value)} came")
    try:
        own = cast(object, copy.deepcopy(value))
    except Exception as error:
        raise Refused(f"the module cannot be copied: {_words(error)}") from error
    if not isinstance(own, nn.Module):
        raise Refused(f"a copy of the module must be an nn.Module, but {tell(own)} came")
    own.eval()
    found = run(own, torch.zeros(3, features))
    if tuple(found.shape) != (3, outputs):
        raise Refused(
            f"from 3 rows of {features} numbers the module must give a tensor of shape (3, {outputs}), but one of "
            f"shape {tuple(found.shape)} came"
        )
    return own


def run(module: nn.Module, x: Tensor) -> Tensor:
    """What the module gives at a copy of these rows, in its own dtype."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            result: object = module(x.to(dtype_of(module), copy=True))
    except Exception as error:
        raise Refused(f"the module fails on x of shape {tuple(x.shape)}: {_words(error)}") from error
    return plain_tensor(result)


def plain_tensor(result: object) -> Tensor:
    """What a module gave, where it is a tensor of floating numbers and of no subclass, which could say anything."""
    if type(result) not in (Tensor, nn.Parameter) or not cast(Tensor, result).is_floating_point():
        raise Refused(f"the module must give a tensor of floating numbers, but {_kind(result)} came")
    return cast(Tensor, result)


def dtype_of(module: nn.Module) -> torch.dtype:
    """That of its parameters."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


def times(matrix: Matrix, x: Vector) -> Vector:
    """The matrix times x, exactly."""
    return [sum((a * b for a, b in zip(row, x, strict=True)), Fraction(0)) for row in matrix]


def affine(matrix: Matrix, bias: Vector, x: Vector) -> Vector:
    """Wx + b, exactly."""
    return [a + b for a, b in zip(times(matrix, x), bias, strict=True)]


def show(values: Vector) -> str:
    """As in (1, 2/3, 0.25)."""
    return f"({', '.join(show_number(value) for value in values)})"


def show_number(value: Fraction) -> str:
    """A short decimal or fraction where it is one, else rounded."""
    short = max(value.numerator.bit_length(), value.denominator.bit_length()) < 64
    text = str(value) if short else ""
    return text if 0 < len(text) <= 8 else f"{float(value):.6g}"


def _plain(value: object) -> object:
    """Tensors and arrays as lists of numbers; anything else as it is."""
    try:
        if isinstance(value, Tensor):
            return value.detach().cpu().tolist()
        if hasattr(value, "tolist"):
            return cast("Any", value).tolist()
    except Exception as error:
        raise Refused(f"a {type(value).__name__} came whose numbers cannot be read: {_words(error)}") from error
    return value


def tell(value: object) -> str:
    """What came, cut short, with its type."""
    try:
        text = repr(value)
    except Exception:  # what cannot even be written down is told by its type
        return f"a {type(value).__name__}"
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def _kind(value: object) -> str:
    kind = type(value).__name__
    return f"one of {str(value.dtype).removeprefix('torch.')}" if type(value) is Tensor else f"a {kind}"


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
