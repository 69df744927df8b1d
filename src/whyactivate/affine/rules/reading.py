"""Coefficients of an operation without a formula, read off by running it on basis vectors."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import OpOverload, place
from whyactivate.affine.rules.rule import Call, CannotEvaluate, Rule
from whyactivate.affine.tape import Argument, Constant, Value
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.points import PointsArray

MOST_ENTRIES = 1 << 22
"""How many numbers an operation may be run on to read its coefficients off."""


def reading_off(rule: Rule) -> Rule:
    """The rule with a formula that reads the coefficients off."""
    names = tuple(dict.fromkeys(name for term in rule.form or () for name in term))

    def formula(call: Call, **operands: Any) -> Any:
        return _evaluated(rule, operands, call)

    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in (*names, "call")])
    formula.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return dataclasses.replace(rule, formula=formula)


def _evaluated(rule: Rule, operands: Mapping[str, Any], call: Call) -> Any:
    """The matrix times what depends on the input, plus what the rest gives alone."""
    if (reason := rule.objection(call.arguments)) is not None:
        raise CannotEvaluate(reason)
    added = rule.constant_terms(call.arguments)
    addends = [operands[name] for name in added if isinstance(operands.get(name), PointsArray)]
    left_out = all(_is_zero(array) for array in addends)  # then f(0) = 0, or the linear part alone is wanted
    matrices, constant = _coefficients(rule, call.arguments)
    result: Any = None
    for name, matrix in matrices.items():
        part = matrix @ operands[name].flatten()
        result = part if result is None else result + part
    result = result.reshape(constant.shape)
    if left_out:
        return result
    in_balls = any(isinstance(array, BallArray) for array in addends)
    return result + (BallArray.from_exact(constant).around_zero() if in_balls else constant)


def _is_zero(array: Any) -> bool:
    return bool((array.to_float64() == 0).all())


_read: dict[tuple[Any, ...], tuple[dict[str, ExactArray], ExactArray, list[Constant]]] = {}
_MOST_REMEMBERED = 16


def _coefficients(rule: Rule, arguments: Mapping[str, Argument]) -> tuple[dict[str, ExactArray], ExactArray]:
    """For each operand that depends on the input its matrix of shape `(out, in)`; and the value where they are 0."""
    key = (rule.op, *((name, *_identity(argument)) for name, argument in arguments.items()))
    if key not in _read:
        while len(_read) >= _MOST_REMEMBERED:
            del _read[next(iter(_read))]
        kept = [argument for argument in arguments.values() if isinstance(argument, Constant)]
        _read[key] = (*_read_off(rule, arguments), kept)
    return _read[key][:2]


def _identity(argument: Argument) -> tuple[Any, ...]:
    if isinstance(argument, Value):
        return "value", argument.geometry.size, argument.geometry.dtype
    if isinstance(argument, Constant):
        return "constant", place(argument.tensor), argument.version
    return "plain", repr(argument)


def _read_off(rule: Rule, arguments: Mapping[str, Argument]) -> tuple[dict[str, ExactArray], ExactArray]:
    free = {name: argument for name, argument in arguments.items() if isinstance(argument, Value)}
    fixed: dict[str, Any] = {
        name: argument.read() if isinstance(argument, Constant) else argument for name, argument in arguments.items()
    }
    zeros = {
        name: torch.zeros(value.geometry.size, dtype=value.geometry.dtype, device="cpu") for name, value in free.items()
    }
    constant = call_op(rule.op, {**fixed, **zeros})
    size = sum(value.geometry.numel for value in free.values())
    if size * max(constant.numel(), size) > MOST_ENTRIES:
        raise CannotEvaluate(f"{rule.op} on {size} numbers has more coefficients than can be read off")
    addends = [name for name in rule.constant_terms(arguments) if isinstance(fixed.get(name), Tensor)]
    addends = [name for name in rule.constant_terms(arguments) if isinstance(fixed.get(name), Tensor)]
    without = {name: torch.zeros_like(fixed[name]) for name in addends}
    matrices: dict[str, ExactArray] = {}
    for name, value in free.items():
        columns: list[Tensor] = []
        for position in range(value.geometry.numel):
            basis = zeros[name].clone().flatten()
            basis[position] = 1
            columns.append(
                call_op(rule.op, {**fixed, **zeros, **without, name: basis.reshape(zeros[name].shape)}).flatten()
            )
        matrices[name] = ExactArray.from_tensor(torch.stack(columns, 1))
    return matrices, ExactArray.from_tensor(constant)


def call_op(op: OpOverload, operands: Mapping[str, Any]) -> Tensor:
    """What an operation gives for operands by name."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for argument in op._schema.arguments:  # pyright: ignore[reportPrivateUsage]
        if argument.kwarg_only:
            keywords[argument.name] = operands[argument.name]
        else:
            positional.append(operands[argument.name])
    with torch.no_grad():
        result = op(*positional, **keywords)
    return result.detach()
