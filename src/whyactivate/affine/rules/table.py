"""The table of rules, keyed on the operation object itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from whyactivate.affine._torch_compat import OpOverload
from whyactivate.affine.rules.rule import Form, Label, Rule

RULES: dict[OpOverload, Rule] = {}
_Formula = TypeVar("_Formula", bound=Callable[..., Any])


def add_rule(rule: Rule) -> None:
    """Enter a rule; an operation has one rule at most."""
    if rule.op in RULES:
        raise ValueError(f"{rule.op} has a rule already")
    RULES[rule.op] = rule


def find_rule(op: OpOverload) -> Rule | None:
    """The rule for an operation in its functional form, or None."""
    return RULES.get(op)


def affine(*ops: OpOverload, form: str, label: Label = Label.RATIONAL, **more: Any) -> Callable[[_Formula], _Formula]:
    """Enter the decorated formula for operations affine in the operands of `form`, as in "self + mat1*mat2"."""

    def enter(formula: _Formula) -> _Formula:
        for op in ops:
            add_rule(Rule(op, parse_form(form), formula, label, **more))
        return formula

    return enter


def nonlinear(*ops: OpOverload, label: Label, **more: Any) -> Callable[[_Formula], _Formula]:
    """Enter the decorated formula for operations that are affine in nothing, so that they can still be evaluated."""

    def enter(formula: _Formula) -> _Formula:
        for op in ops:
            add_rule(Rule(op, None, formula, label, **more))
        return formula

    return enter


def parse_form(form: str) -> Form:
    """The sum of products that a form like "self + mat1*mat2" stands for."""
    return tuple(tuple(name.strip() for name in term.split("*")) for term in form.split("+"))
