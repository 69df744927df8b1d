"""Coefficients that an exact proof takes as they were computed, and how far they are from what is meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flint import arb, ctx

from whyactivate.affine._torch_compat import short_name
from whyactivate.affine.rules import Label, find_rule
from whyactivate.affine.rules.fourier import find_coefficient_error
from whyactivate.affine.tape import Constant, Node, Tape

_BITS = 256


@dataclass(frozen=True, slots=True)
class TakenCoefficients:
    """The coefficients of one operation that are no sums and products of stored numbers.

    Attributes:
        operation: its name.
        where: the layer, or "" where no layer has a part in it.
        relative: how far a coefficient may be from the unrounded one, relatively: a float that encloses all of them
            from above; None where no formula for the unrounded ones is known here, or `absolute` tells.
        absolute: the same, absolutely; for Fourier transforms, along each axis.
    """

    operation: str
    where: str
    relative: float | None
    absolute: float | None = None

    def __str__(self) -> str:
        at = f" in {self.where}" if self.where else ""
        known = "how far they are from unrounded ones is not known here"
        if self.relative is not None:
            known = f"each is within a relative {self.relative:.3g} of the unrounded one (enclosed in balls)"
        elif self.absolute is not None:
            known = f"along an axis, each is within {self.absolute:.3g} of the unrounded one (enclosed in balls)"
        return f"{self.operation}{at}: its coefficients are taken as computed; {known}"


def find_taken_coefficients(tape: Tape) -> tuple[TakenCoefficients, ...]:
    """Every operation whose rule is algebraic or kernel-defined, in the order of the program."""
    found: list[TakenCoefficients] = []
    for node in tape.needed():
        rule = find_rule(node.op)
        if rule is not None and rule.label in (Label.ALGEBRAIC, Label.KERNEL):
            relative = _root_error(node) if rule.label is Label.ALGEBRAIC else None
            absolute = find_coefficient_error(node.op, node.arguments)
            found.append(TakenCoefficients(short_name(node.op), node.location.module, relative, absolute))
    return tuple(found)


def _root_error(node: Node) -> float | None:
    """A bound of |used/real - 1| for batch normalisation's 1/sqrt(variance + eps); None for other operations."""
    stored, eps = node.arguments.get("running_var"), node.arguments.get("eps")
    if not isinstance(stored, Constant) or not isinstance(eps, float):
        return None
    variances = stored.read().detach().cpu().double().numpy().ravel()
    used = 1 / np.sqrt(variances + eps)
    with ctx.workprec(_BITS):
        errors = [
            abs(arb(float(value)) * (arb(float(variance)) + arb(eps)).sqrt() - 1).upper()
            for variance, value in zip(variances, used, strict=True)
        ]
        largest = max((float(error) for error in errors), default=0.0)
    return float(np.nextafter(largest, np.inf)) if errors else 0.0
