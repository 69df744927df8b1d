"""Coefficients that an exact proof takes as they were computed, and how far they are from what is meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from flint import arb, ctx
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

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


def find_computed_weights(module: nn.Module, tape: Tape) -> tuple[TakenCoefficients, ...]:
    """Every weight that is no stored number, but computed from stored ones whenever the module runs.

    The quotient g v / |v| of `weight_norm`, as a parametrization or as a hook, is enclosed; of other parametrizations
    and of the hook of `spectral_norm` it is only said that they are there. A weight that is not on the tape as it is
    now has no enclosure.
    """
    found: list[TakenCoefficients] = []
    for path, part in module.named_modules():
        for name, maker, quotient in _computed(part):
            relative = None
            if quotient is not None:
                used, g, v = (tensor.detach().cpu().double() for tensor in quotient)
                if _is_on(tape, quotient[0]):
                    relative = _quotient_error(used, g, v)
            found.append(TakenCoefficients(f"{maker} of {name}", path, relative))
    return tuple(found)


def _computed(part: nn.Module) -> Iterator[tuple[str, str, tuple[Tensor, Tensor, Tensor] | None]]:
    """`(name, what computes it, (weight, g, v))` of a module's own computed weights; no tensors for other quotients."""
    if is_parametrized(part):
        for name, makers in part.parametrizations.items():  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
            maker = "weight_norm" if [type(one).__name__ for one in makers] == ["_WeightNorm"] else "a parametrization"
            known = maker == "weight_norm"
            yield name, maker, (getattr(part, name), makers.original0, makers.original1) if known else None
    own = dict(part.named_parameters(recurse=False))
    for stored in own:
        name = stored[:-2]
        used = getattr(part, name, None) if stored.endswith("_v") and f"{name}_g" in own else None
        if isinstance(used, Tensor) and name not in own:
            yield name, "weight_norm", (used, own[f"{name}_g"], own[stored])
        name = stored.removesuffix("_orig")
        if name != stored and name not in own and f"{name}_u" in dict(part.named_buffers(recurse=False)):
            yield name, "spectral_norm", None


def _is_on(tape: Tape, weight: Tensor) -> bool:
    """Whether an operation on the tape has this constant, as it is or transposed."""
    read = (constant.read() for node in tape.needed() for constant in node.constants())
    return any(torch.equal(other, weight) or (other.ndim == 2 and torch.equal(other.t(), weight)) for other in read)


def _quotient_error(used: Tensor, g: Tensor, v: Tensor) -> float | None:
    """A bound of |used / (g v / |v|) - 1|, the norm being over all axes but that of g; None where it is not finite."""
    kept = [axis for axis in range(v.ndim) if g.ndim == v.ndim and g.shape[axis] != 1]
    if not v.numel() or used.shape != v.shape or [v.shape[axis] for axis in kept] != [n for n in g.shape if n != 1]:
        return None if v.numel() else 0.0
    order = [*kept, *(axis for axis in range(v.ndim) if axis not in kept)]
    rows = g.numel()
    factors = [tensor.permute(order).reshape(rows, -1).tolist() for tensor in (used, v)]
    largest = 0.0
    with ctx.workprec(_BITS):
        for size, computed, direction in zip(g.flatten().tolist(), *factors, strict=True):
            scale = arb(size) / sum((arb(entry) ** 2 for entry in direction), arb(0)).sqrt()
            for found, entry in zip(computed, direction, strict=True):
                if found or (entry and size):
                    largest = max(largest, float(abs(arb(found) / (arb(entry) * scale) - 1).upper()))
    return float(np.nextafter(largest, np.inf)) if np.isfinite(largest) else None
