"""Orthogonal polynomials of a stored degree, by their recurrences: affine in nothing, up to degree 1 but in effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine.rules.rule import CannotEvaluate, Label, constant_tensor
from whyactivate.affine.rules.table import nonlinear
from whyactivate.affine.tape import Argument

aten = torch.ops.aten

_MOST = 64


def _degree(arguments: Mapping[str, Argument]) -> int:
    given: Any = arguments["n"]
    degrees = constant_tensor(given)
    largest = given if degrees is None else degrees.max() if degrees.numel() else 0
    return min(max(1, int(largest)), _MOST) if isinstance(largest, (int, float, Tensor)) else 1


_Next = Callable[[int, Any, Any, Any], Any]
"""The polynomial of degree k + 1 from k, x and those of degrees k and k - 1."""


def _family(name: str, first: Callable[[Any], Any], following: _Next, shifted: bool = False) -> None:
    packet = getattr(aten, f"special_{name}")

    def formula(x: Any, n: Any) -> Any:
        degrees = (n if isinstance(n, Tensor) else torch.tensor(n, device="cpu")).trunc().long()
        if degrees.numel() and int(degrees.max()) > _MOST:
            raise CannotEvaluate(f"a polynomial of degree {int(degrees.max())} has no formula here")
        shape = torch.broadcast_shapes(x.shape, degrees.shape)
        wide, degrees = x.expand(shape), degrees.expand(shape)
        argument = wide * 2 - 1 if shifted else wide
        known = [wide * 0 + 1, first(argument)]
        for k in range(1, int(degrees.max()) if degrees.numel() else 1):
            known.append(following(k, argument, known[-1], known[-2]))
        places = torch.arange(wide.size, device="cpu").reshape(shape) + degrees * wide.size
        row = type(wide).concatenate([one.flatten() for one in known], 0)
        return row.gather_flat(torch.where(degrees < 0, -1, places).numpy())

    how: dict[str, Any] = {"label": Label.RATIONAL, "power": _degree, "selectors": frozenset({"n"})}
    nonlinear(packet.default, packet.n_scalar, **how)(formula)


def _chebyshev(k: int, x: Any, now: Any, before: Any) -> Any:
    return x * now * 2 - before


for _shifted, _prefix in ((False, ""), (True, "shifted_")):
    _family(f"{_prefix}chebyshev_polynomial_t", lambda x: x, _chebyshev, _shifted)
    _family(f"{_prefix}chebyshev_polynomial_u", lambda x: x * 2, _chebyshev, _shifted)
    _family(f"{_prefix}chebyshev_polynomial_v", lambda x: x * 2 - 1, _chebyshev, _shifted)
    _family(f"{_prefix}chebyshev_polynomial_w", lambda x: x * 2 + 1, _chebyshev, _shifted)
_family("hermite_polynomial_h", lambda x: x * 2, lambda k, x, now, before: (x * now - before * k) * 2)
_family("hermite_polynomial_he", lambda x: x, lambda k, x, now, before: x * now - before * k)
_family(
    "laguerre_polynomial_l",
    lambda x: 1 - x,
    lambda k, x, now, before: (now * (2 * k + 1) - x * now - before * k) * Fraction(1, k + 1),
)
_family(
    "legendre_polynomial_p",
    lambda x: x,
    lambda k, x, now, before: (x * now * (2 * k + 1) - before * k) * Fraction(1, k + 1),
)
