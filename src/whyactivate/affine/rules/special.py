"""Functions for which float64 libraries promise no accuracy: enclosed in flint's balls, one number after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from flint import arb

from whyactivate.affine.rules.masks import greater
from whyactivate.affine.rules.rule import Label, computed
from whyactivate.affine.rules.table import nonlinear

aten = torch.ops.aten


def _slow(_: Any) -> int:
    """What one number costs, in additions."""
    return 1_000


_SLOWLY: dict[str, Any] = {"label": Label.SMOOTH, "work": _slow}


def _log_gamma(x: arb) -> arb:
    """log|Γ(x)|."""
    return x.lgamma() if x > 0 else abs(x.gamma()).log()


def _log_ndtr(x: arb) -> arb:
    return ((-x / arb(2).sqrt()).erfc() / 2).log()


def _entropy(x: arb) -> arb:
    return -x * x.log()


FUNCTIONS: dict[Any, Callable[[arb], arb]] = {
    aten.asin.default: arb.asin,
    aten.acos.default: arb.acos,
    aten.atan.default: arb.atan,
    aten.asinh.default: arb.asinh,
    aten.acosh.default: arb.acosh,
    aten.atanh.default: arb.atanh,
    aten.sinc.default: arb.sinc_pi,
    aten.lgamma.default: _log_gamma,
    aten.digamma.default: arb.digamma,
    aten.erfinv.default: arb.erfinv,
    aten.i0.default: lambda x: x.bessel_i(0),
    aten.special_i0e.default: lambda x: x.bessel_i(0) * (-abs(x)).exp(),
    aten.special_i1.default: lambda x: x.bessel_i(1),
    aten.special_i1e.default: lambda x: x.bessel_i(1) * (-abs(x)).exp(),
    aten.special_bessel_j0.default: lambda x: x.bessel_j(0),
    aten.special_bessel_j1.default: lambda x: x.bessel_j(1),
    aten.special_modified_bessel_i0.default: lambda x: x.bessel_i(0),
    aten.special_modified_bessel_i1.default: lambda x: x.bessel_i(1),
    aten.special_erfcx.default: lambda x: x.erfc() * (x * x).exp(),
    aten.special_log_ndtr.default: _log_ndtr,
    aten.special_ndtri.default: lambda x: (2 * x - 1).erfinv() * arb(2).sqrt(),
    aten.special_entr.default: _entropy,
}


def _enter(op: Any, function: Callable[[arb], arb]) -> None:
    @nonlinear(op, **_SLOWLY)
    def of_every_entry(self: Any) -> Any:  # pyright: ignore[reportUnusedFunction]
        return self.apply(function)


for _op, _function in FUNCTIONS.items():
    _enter(_op, _function)


@nonlinear(aten.logit.default, label=Label.SMOOTH, kinks=("eps",))
def logit(self: Any, eps: float | None) -> Any:
    share = self if eps is None else self.maximum(eps).minimum(1 - eps)
    return (share / (1 - share)).log()


@nonlinear(aten.atan2.default, **_SLOWLY)
def atan2(self: Any, other: Any) -> Any:
    """The angle of the point (other, self); of points on the negative axis, where it jumps, nothing is known."""
    distance = (self * self + other * other).sqrt()
    return (self / (distance + other)).apply(arb.atan) * 2


@nonlinear(aten.angle.default, label=Label.PIECEWISE, kinks=(0.0,))
def angle(self: Any, call: Any) -> Any:
    """Of real numbers: 0, or π for negative ones."""
    return greater(0, self) * computed(math.pi, call.dtype("self"))
