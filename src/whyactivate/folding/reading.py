"""What one recorded operation does, as a structured map of the tensors that it reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.rules.rule import is_real
from whyactivate.affine.tape import Constant, Node, Value
from whyactivate.folding.lazy import Lazy
from whyactivate.folding.maps import CannotFold, Dense, Diagonal, Kernel, Map, Placement, Scale, Shift, Transposed

aten = torch.ops.aten

_MOST_PARTS = 64
"""Of how many parts a concatenation may be that is folded."""


@dataclass(frozen=True)
class Operand:
    """One tensor that an operation reads, with the map that it goes through.

    `axis` is where the features lie in the operand; None for a map that does not care.
    """

    value: Value
    map: Map
    axis: int | None = None


@dataclass(frozen=True)
class Reading:
    """The result is the sum of the operands' maps, plus a shift; `axis` is where the features lie in the result.

    `elementwise`: the result has the operands' shape, entry by entry.
    """

    operands: tuple[Operand, ...]
    shift: Shift = None
    axis: int | None = None
    elementwise: bool = True


def read(node: Node, stack: Node | None = None) -> Reading:
    """The map that the operation is; where it sums what `stack` stacks, with that.

    Raises:
        CannotFold: it is none of the kinds that are folded; the message says why.
    """
    source, reader = (node, _READERS.get(node.op)) if stack is None else (stack, _sum_of_stacked)
    output = node.outputs[0] if node.outputs else None
    if reader is None or output is None:
        raise CannotFold(f"{node.op} is not among the operations that are folded")
    if any(other is not None for other in node.outputs[1:]):
        raise CannotFold(f"{node.op} has a second result")
    dtypes = {value.geometry.dtype for value in (*source.values(), output)}
    dtypes |= {constant.tensor.dtype for constant in source.constants() if constant.tensor.ndim}
    if len(dtypes) != 1:
        raise CannotFold(f"numbers of several dtypes meet ({', '.join(sorted(map(str, dtypes)))})")
    if not is_real(output.geometry.dtype):
        raise CannotFold(f"its numbers are {output.geometry.dtype}")
    for constant in source.constants():
        if not bool(torch.isfinite(constant.tensor).all()):
            raise CannotFold("a weight is NaN or infinite")
    return reader(node, dict(source.arguments))


def _value(argument: Any) -> Value:
    if not isinstance(argument, Value):
        raise CannotFold("a weight depends on the input")
    return argument


def _numbers(argument: Any) -> Tensor:
    if not isinstance(argument, Constant):
        raise CannotFold("a weight depends on the input")
    return argument.read()


def _plain(argument: Any) -> float | None:
    """A plain number, or the one number of a tensor with one axis at most."""
    number: Any = argument
    if isinstance(argument, Constant) and argument.tensor.numel() == 1 and argument.tensor.ndim <= 1:
        number = argument.read().item()
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        return None
    return float(number) if math.isfinite(number) else None


def _along(constant: Any, shape: Sequence[int]) -> tuple[int, Lazy]:
    """The axis along which a constant, spread over `shape`, differs, and its numbers there."""
    tensor = _numbers(constant)
    if tensor.ndim > len(shape):
        raise CannotFold("it adds an axis")
    aligned = tensor.reshape((1,) * (len(shape) - tensor.ndim) + tuple(tensor.shape))
    axes = [i for i, n in enumerate(aligned.shape) if n != 1]
    if len(axes) > 1:
        raise CannotFold("its constant differs along several axes, not only from feature to feature")
    axis = axes[0] if axes else len(shape) - 1
    if aligned.shape[axis] not in (1, shape[axis]):
        raise CannotFold("its constant makes the result larger than what it reads")
    return axis, Lazy.of(aligned.reshape(-1).expand(shape[axis]))


def _multiplied(value: Value, factor: Any, by: Callable[[float], float] = lambda c: c) -> Reading:
    number = _plain(factor)
    if number is not None:
        return Reading((Operand(value, Scale(by(number))),))
    axis, entries = _along(factor, value.geometry.size)
    scaled = entries.then(lambda s: torch.tensor([by(x) for x in s.tolist()], dtype=torch.float64))
    return Reading((Operand(value, Diagonal(value.geometry.size[axis], scaled), axis),), None, axis)


def _mul(node: Node, args: dict[str, Any]) -> Reading:
    a, b = args["self"], args["other"]
    return _multiplied(a, b) if isinstance(a, Value) else _multiplied(_value(b), a)


def _div(node: Node, args: dict[str, Any]) -> Reading:
    if _plain(args["other"]) == 0 or (isinstance(args["other"], Constant) and not bool(args["other"].read().all())):
        raise CannotFold("it divides by zero")
    return _multiplied(_value(args["self"]), args["other"], lambda c: 1 / c)


def _sum(args: dict[str, Any], own: float, its: float) -> Reading:
    """own·self + its·other."""
    a, b = args["self"], args["other"]
    if isinstance(a, Value) and isinstance(b, Value):
        if a.geometry.size != b.geometry.size:
            raise CannotFold("the summands have different shapes")
        return Reading((Operand(a, Scale(own)), Operand(b, Scale(its))))
    value, constant = (_value(a), b) if isinstance(a, Value) else (_value(b), a)
    factor, weight = (own, its) if isinstance(a, Value) else (its, own)
    operand = Operand(value, Scale(factor))
    number = _plain(constant)
    if number is not None:
        return Reading((operand,), number * weight)
    axis, entries = _along(constant, value.geometry.size)
    return Reading((operand,), entries.then(lambda t: t * weight), axis)


def _add(node: Node, args: dict[str, Any]) -> Reading:
    return _sum(args, 1.0, _scalar(args["alpha"]))


def _sub(node: Node, args: dict[str, Any]) -> Reading:
    return _sum(args, 1.0, -_scalar(args["alpha"]))


def _rsub(node: Node, args: dict[str, Any]) -> Reading:
    return _sum(args, -_scalar(args["alpha"]), 1.0)


def _scalar(argument: Any) -> float:
    number = _plain(argument)
    if number is None:
        raise CannotFold("a factor is not a plain number")
    return number


def _same(node: Node, args: dict[str, Any]) -> Reading:
    return Reading((Operand(_value(args["self"]), Scale(1.0)),))


def _negated(node: Node, args: dict[str, Any]) -> Reading:
    return Reading((Operand(_value(args["self"]), Scale(-1.0)),))


def _batch_norm(node: Node, args: dict[str, Any]) -> Reading:
    value = _value(args["input"])
    if args.get("training") or not isinstance(args.get("running_mean"), Constant):
        raise CannotFold("batch normalisation is in training mode: it divides by the statistics of the batch")
    size = value.geometry.size[1]
    mean, variance = _numbers(args["running_mean"]).double(), _numbers(args["running_var"]).double()
    if not bool((variance + args["eps"] > 0).all()):
        raise CannotFold("batch normalisation has a stored variance that is not positive")
    weight = _numbers(args["weight"]).double() if args.get("weight") is not None else torch.ones_like(mean)
    bias = _numbers(args["bias"]).double() if args.get("bias") is not None else torch.zeros_like(mean)
    scale = weight / torch.sqrt(variance + args["eps"])
    shift = Lazy.of(bias - mean * scale)
    return Reading((Operand(value, Diagonal(size, Lazy.of(scale)), 1),), shift, 1)


def _product(value: Any, matrix: Any, bias: Any, beta: Any = 1, alpha: Any = 1, *, transposed: bool) -> Reading:
    """The product row @ matrix + bias, where the matrix is stored as `(out, in)` if transposed."""
    if not isinstance(value, Value):
        return _left_product(value, _value(matrix), bias)
    weight = Lazy.of(_numbers(matrix) if transposed else _numbers(matrix).transpose(-1, -2))
    if _numbers(matrix).ndim != 2:
        raise CannotFold("its matrix has a batch axis")
    out, into = matrix.tensor.shape if transposed else reversed(matrix.tensor.shape)
    scaled = weight.then(lambda w: w * _scalar(alpha)) if _scalar(alpha) != 1 else weight
    axis = len(value.geometry.size) - 1
    shift: Shift = None
    if isinstance(bias, Value):
        raise CannotFold("what is added to the product depends on the input, too")
    if bias is not None and _scalar(beta) != 0:
        shape = (*value.geometry.size[:-1], out)
        at, shift = _along(bias, shape)
        if at != axis:
            raise CannotFold("what is added differs along another axis than that of the features")
        shift = shift.then(lambda b: b * _scalar(beta))
    return Reading((Operand(value, Dense(int(out), int(into), (scaled,)), axis),), shift, axis, elementwise=False)


def _product_of_one(node: Node, args: dict[str, Any]) -> Reading:
    """A product of batches of one matrix each, as torch.einsum makes of one of two matrices."""
    value, matrix = _value(args["self"]), _numbers(args["mat2"])
    if matrix.shape[0] != 1:
        raise CannotFold("its matrix has a batch axis")
    _, into, out = matrix.shape
    weight = Lazy.of(matrix[0].t())
    return Reading((Operand(value, Dense(out, into, (weight,)), 2),), None, 2, elementwise=False)


def _cat(node: Node, args: dict[str, Any]) -> Reading:
    """The sum of its parts, each in its place among zeros."""
    values = _parts(args)
    sizes = [value.geometry.size for value in values]
    axis = args["dim"] % len(sizes[0])
    out, start, operands = sum(size[axis] for size in sizes), 0, list[Operand]()
    for value, size in zip(values, sizes, strict=True):
        operands.append(Operand(value, Placement(out, size[axis], (_place_of(start, size[axis], out),), start), axis))
        start += size[axis]
    return Reading(tuple(operands), None, axis, elementwise=False)


def _place_of(start: int, size: int, out: int) -> Lazy:
    return Lazy(lambda: torch.eye(out, dtype=torch.float64, device="cpu")[:, start : start + size])


def _sum_of_stacked(node: Node, args: dict[str, Any]) -> Reading:
    parts = _parts(args)
    factor = 1 / len(parts) if node.op is aten.mean.dim else 1.0
    return Reading(tuple(Operand(part, Scale(factor)) for part in parts))


def _parts(args: dict[str, Any]) -> list[Value]:
    if len(args["tensors"]) > _MOST_PARTS:
        raise CannotFold(f"it joins more than {_MOST_PARTS} parts")
    return [_value(part) for part in args["tensors"]]


def _left_product(matrix: Any, value: Value, bias: Any) -> Reading:
    weight = _numbers(matrix)
    if weight.ndim != 2 or bias is not None or len(value.geometry.size) != 2:
        raise CannotFold("it multiplies from the left")
    out, into = weight.shape
    return Reading((Operand(value, Dense(out, into, (Lazy.of(weight),)), 0),), None, 0, elementwise=False)


def _convolution(node: Node, args: dict[str, Any]) -> Reading:
    value, weight = _value(args["input"]), _numbers(args["weight"])
    axes = weight.ndim - 2
    if len(value.geometry.size) != weight.ndim:
        raise CannotFold("the convolution's input has no batch axis")
    if isinstance(args.get("bias"), Value):
        raise CannotFold("a bias depends on the input")
    spread = [tuple(args[name]) * (axes if len(args[name]) == 1 else 1) for name in ("stride", "padding", "dilation")]
    stride, padding, dilation = spread
    groups, into, size = int(args["groups"]), value.geometry.size[1], tuple(weight.shape[2:])
    transposed, numbers = bool(args["transposed"]), Lazy.of(weight)
    out = weight.shape[1] * groups if transposed else weight.shape[0]
    beyond = tuple(args["output_padding"])
    pointwise = all(n == 1 for n in size) and set(stride) == {1} and not any((*padding, *beyond))
    found: Map
    if pointwise and groups == 1:
        flat = numbers.then(lambda w: w.flatten(1).t() if transposed else w.flatten(1))
        found = Dense(out, into, (flat,))
    elif pointwise and groups == out == into:
        found = Diagonal(out, numbers.then(torch.flatten))
    elif transposed:
        found = Transposed(out, into, groups, size, stride, padding, dilation, numbers, beyond)
    else:
        found = Kernel(out, into, groups, size, stride, padding, dilation, numbers)
    shift = Lazy.of(_numbers(args["bias"])) if args.get("bias") is not None else None
    return Reading((Operand(value, found, 1),), shift, 1, elementwise=False)


def _average(node: Node, args: dict[str, Any]) -> Reading:
    """The mean of a window as a convolution of each channel by itself."""
    value, axes = _value(args["self"]), 2 if node.op is aten.avg_pool2d.default else 3
    if len(value.geometry.size) != axes + 2:
        raise CannotFold("what is averaged has no batch axis")
    given = (args["kernel_size"], args["stride"] or args["kernel_size"], args["padding"])
    size, stride, padding = (tuple(one) * (axes if len(one) == 1 else 1) for one in given)
    if args["ceil_mode"] or (any(padding) and not args["count_include_pad"]):
        raise CannotFold("it averages over fewer numbers at the border")
    channels, share = value.geometry.size[1], 1 / (args["divisor_override"] or math.prod(size))
    weight = Lazy(lambda: torch.full((channels, 1, *size), share, dtype=torch.float64))
    window = Kernel(channels, channels, channels, size, stride, padding, (1,) * axes, weight)
    return Reading((Operand(value, window, 1),), None, 1, elementwise=False)


_Reader = Callable[[Node, dict[str, Any]], Reading]
_READERS: dict[Any, _Reader] = {
    aten.mul.Tensor: _mul,
    aten.mul.Scalar: _mul,
    aten.div.Tensor: _div,
    aten.div.Scalar: _div,
    aten.add.Tensor: _add,
    aten.add.Scalar: _add,
    aten.sub.Tensor: _sub,
    aten.sub.Scalar: _sub,
    aten.rsub.Tensor: _rsub,
    aten.rsub.Scalar: _rsub,
    aten.neg.default: _negated,
    aten.clone.default: _same,
    aten.native_batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit_no_training.default: _batch_norm,
    aten.mm.default: lambda node, args: _product(args["self"], args["mat2"], None, transposed=False),
    aten.addmm.default: lambda node, args: _product(
        args["mat1"], args["mat2"], args["self"], args["beta"], args["alpha"], transposed=False
    ),
    aten.linear.default: lambda node, args: _product(args["input"], args["weight"], args["bias"], transposed=True),
    aten.bmm.default: _product_of_one,
    aten.cat.default: _cat,
    aten.convolution.default: _convolution,
    aten.avg_pool2d.default: _average,
    aten.avg_pool3d.default: _average,
}
