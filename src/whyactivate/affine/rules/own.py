"""Rules for one's own operations: the user's word, checked against the operation before it counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import OpOverload, argument_names, bind, version, written_names
from whyactivate.affine.rules.reading import call_op, reading_off
from whyactivate.affine.rules.rule import UNBOUNDED, Form, Label, Rule
from whyactivate.affine.rules.table import RULES, add_rule, parse_form
from whyactivate.affine.tape import Argument, Constant, Geometry, Value
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import InputError, UnknownNameError

_OWN: set[OpOverload] = set()
_MIXES = ((0.375, 0.625), (2.0, -1.0), (-1.5, 2.5))
_SCALES = (1.0, 1024.0, 2.0**-20)
_TOLERANCE = 2.0**-36
_NOTE = "{op} is taken to be affine on the word of register_rule; its coefficients are the numbers that it computed"


def register_rule(
    op: OpOverload | Any,
    form: str,
    *,
    samples: Sequence[tuple[Any, ...]],
    formula: Callable[..., Any] | None = None,
    note: str | None = None,
) -> None:
    """Tell the analysis in which operands an operation of one's own is affine.

    The word given is checked by superposition in float64 on every sample, for every set of operands that the form
    lets depend on the input; a form that does not hold is refused together with the operand that shows it. That is
    a test, not a proof: every verdict that rests on the rule says so among its notes.

    Args:
        op: the operation, as in `torch.ops.mylib.scale.default` (or `torch.ops.mylib.scale`, or what
            `torch.library.custom_op` returns). It must be a function of its operands: no writing into them, one
            tensor as result.
        form: a sum of products of operand names, as in "input*weight + bias": affine in `bias`, and in `input` or
            `weight` while the other one is constant. An operand that is not named must not depend on the input.
        samples: arguments of some calls, each a tuple; floating tensors among them are taken in float64.
        formula: the operation on exact arrays, a function of the operands that it names, made of +, -, *, @, `sum`,
            indexing and the like (see `whyactivate.arithmetic`); checked on the samples. Without one, coefficients are
            read off by running the operation on basis vectors.
        note: words for `Analysis.notes`, in place of the standing ones.

    Raises:
        InputError: the operation has a rule already, writes into an operand, has several results, there are no
            samples, the form cannot be read, or the form or the formula is false.
        UnknownNameError: the form names an operand that the operation does not have.

    Example:
        ```python
        scale = torch.ops.mylib.scale.default
        wa.register_rule(scale, "input*weight + bias", samples=[(x, w, b)])
        ```
    """
    found = _overload(op)
    parsed = _parsed(form, found)
    if found in RULES:
        raise InputError(f"{found} has a rule already; unregister_rule takes back one that register_rule gave")
    schema = found._schema  # pyright: ignore[reportPrivateUsage]
    if written_names(found) or len(schema.returns) != 1 or str(schema.returns[0].type) != "Tensor":
        raise InputError(f"{found} must write into none of its operands and return one tensor; its schema is {schema}")
    rule = Rule(found, parsed, formula, Label.KERNEL, roundings=UNBOUNDED, note=note or _NOTE.format(op=found))
    if formula is None:
        rule = reading_off(rule)
    calls = [bind(found, tuple(map(_in_float64, sample)), {}) for sample in samples]
    if not calls:
        raise InputError(f"samples is empty; pass the arguments of at least one call of {found} on which to check it")
    _check(rule, calls)
    add_rule(rule)
    _OWN.add(found)


def unregister_rule(op: OpOverload | Any) -> None:
    """Take a rule back that `register_rule` gave.

    Raises:
        InputError: there is no such rule.
    """
    found = _overload(op)
    if found not in _OWN:
        raise InputError(f"{found} has no rule that register_rule gave")
    _OWN.remove(found)
    del RULES[found]


def _overload(op: Any) -> OpOverload:
    op = getattr(op, "_opoverload", op)  # what torch.library.custom_op returns
    if isinstance(op, OpOverload):
        return op
    overloads = op.overloads() if callable(getattr(op, "overloads", None)) else []
    if len(overloads) == 1:
        return getattr(op, overloads[0])
    if overloads:
        raise InputError(f"{op} has the overloads {', '.join(overloads)}; pass one of them, as in {op}.{overloads[0]}")
    raise InputError(
        f"expected an operation such as torch.ops.mylib.scale.default, got {op!r}; a Python function becomes an "
        "operation by torch.library.custom_op"
    )


def _parsed(form: str, op: OpOverload) -> Form:
    parsed = parse_form(form)
    for name in itertools.chain(*parsed):
        if not name.isidentifier():
            raise InputError(f'cannot read the form {form!r}: expected a sum of products, as in "input*weight + bias"')
        if name not in argument_names(op):
            raise UnknownNameError(f"operand of {op}", name, argument_names(op))
    for term in parsed:
        if len(set(term)) < len(term):
            raise InputError(f"the form {form!r} multiplies an operand by itself, which is not affine")
    return parsed


def _in_float64(operand: Any) -> Any:
    if isinstance(operand, Tensor) and operand.is_floating_point():
        return operand.detach().double()
    return operand


# -- checking ---------------------------------------------------------------------------------------------------------


def _check(rule: Rule, calls: Sequence[Mapping[str, Any]]) -> None:
    """Compare the form with the operation itself, for every set of operands that may depend on the input."""
    generator = torch.Generator("cpu").manual_seed(0)
    named = {name for term in rule.form or () for name in term}
    seen: set[str] = set()
    for number, call in enumerate(calls):
        try:
            value, again = call_op(rule.op, call), call_op(rule.op, call)
        except Exception as error:
            raise InputError(f"{rule.op} does not run in float64 on sample {number}: {error}") from error
        if not torch.equal(value, again) or not bool(torch.isfinite(value).all()):
            raise InputError(f"{rule.op} gives numbers that are not finite, or not twice the same, on sample {number}")
        for free in _admissible(rule, call, named):
            seen |= free
            _check_superposition(rule, call, free, number, generator)
            _check_formula(rule, call, free, number, value)
    if named - seen:
        raise InputError(
            f"no sample lets {sorted(named - seen)[0]!r} depend on the input, so this part of the form cannot be "
            "checked; add a sample with a floating tensor there"
        )


def _admissible(rule: Rule, call: Mapping[str, Any], named: set[str]) -> Iterator[frozenset[str]]:
    floating = [name for name in sorted(named) if isinstance(call[name], Tensor) and call[name].is_floating_point()]
    for count in range(1, len(floating) + 1):
        for chosen in itertools.combinations(floating, count):
            if rule.objection(_arguments(call, frozenset(chosen))) is None:
                yield frozenset(chosen)


def _arguments(call: Mapping[str, Any], free: frozenset[str]) -> dict[str, Argument]:
    def argument(name: str, operand: Any) -> Argument:
        if not isinstance(operand, Tensor):
            return operand
        if name not in free:
            return Constant(operand, version(operand))
        geometry = Geometry(0, tuple(operand.shape), operand.contiguous().stride(), operand.dtype)
        return Value(0, 0, geometry, frozenset({0}))

    return {name: argument(name, operand) for name, operand in call.items()}


def _check_superposition(
    rule: Rule, call: Mapping[str, Any], free: frozenset[str], number: int, generator: torch.Generator
) -> None:
    words = f"{rule.op} is not affine in {' and '.join(map(repr, sorted(free)))}"
    constant = {
        name: torch.zeros_like(call[name])
        for name in rule.constant_terms(_arguments(call, free))
        if isinstance(call[name], Tensor)
    }
    at_zero = call_op(rule.op, {**call, **{name: torch.zeros_like(call[name]) for name in free}})
    for scale, (first, second) in itertools.product(_SCALES, _MIXES):
        a, b = ({name: _drawn(call[name], generator) * scale for name in sorted(free)} for _ in range(2))
        mix = {name: first * a[name] + second * b[name] for name in a}
        at_a, at_b, at_mix = (call_op(rule.op, {**call, **point}) for point in (a, b, mix))
        gap, size = _gap(at_mix, first * at_a + second * at_b, at_a, at_b)
        if not gap <= _TOLERANCE * size:
            raise InputError(
                f"{words}: on sample {number}, f({first}·a + {second}·b) and {first}·f(a) + {second}·f(b) are "
                f"{gap:.3g} apart, for a = {_shown(a)} and b = {_shown(b)}"
            )
        gap, size = _gap(call_op(rule.op, {**call, **constant, **a}), at_a - at_zero, at_a, at_zero)
        if not gap <= _TOLERANCE * size:
            raise InputError(
                f"{words} in the way the form says: on sample {number}, with "
                f"{' and '.join(sorted(constant)) or 'nothing'} set to 0, it is {gap:.3g} away from f(a) - f(0) for "
                f"a = {_shown(a)}. What the operation adds must be an operand that the form names."
            )


def _check_formula(rule: Rule, call: Mapping[str, Any], free: frozenset[str], number: int, value: Tensor) -> None:
    operands = {
        name: ExactArray.from_tensor(call[name]) if isinstance(call[name], Tensor) else call[name]
        for name in rule.parameters
    }
    (found,) = rule.value_at(operands, _arguments(call, free))
    if tuple(found.shape) != tuple(value.shape):
        raise InputError(
            f"on sample {number} the formula gives the shape {found.shape}, {rule.op} {tuple(value.shape)}"
        )
    gap, size = _gap(found.to_float64()[0], value, value)
    if not gap <= _TOLERANCE * size:
        raise InputError(f"on sample {number} the formula is {gap:.3g} away from what {rule.op} gives")


def _drawn(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float64, device="cpu").to(like.device)


def _gap(a: Tensor, b: Tensor, *others: Tensor) -> tuple[float, float]:
    """How far apart two results are, and how large the numbers are."""
    if not a.numel():
        return 0.0, 1.0
    return float((a - b).abs().max()), max(float(x.abs().max()) for x in (a, b, *others)) + 2.0**-40


def _shown(point: Mapping[str, Tensor]) -> str:
    return ", ".join(
        f"{name}: {[round(x, 4) for x in tensor.flatten()[:4].tolist()]}" for name, tensor in point.items()
    )
