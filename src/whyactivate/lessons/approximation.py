"""Approximation: ReLUs and sigmoids come as near as wanted to a function; a polynomial activation provably does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from whyactivate._checks import check_number, check_whole
from whyactivate.errors import InputError
from whyactivate.lessons.lesson import Lesson, digits
from whyactivate.training.surroundings import single_thread

Function = Callable[[Tensor], Tensor]
_PER_PIECE = 65
_EXACT = 1e-13
"""Errors below this share of the function's largest value are rounding."""
_STEEP = 12.0
"""How many times steeper than its own width a sigmoid step is."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A network with `units` hidden units, written down by hand, and its largest error on a fine grid."""

    units: int
    error: float


@dataclass(frozen=True, slots=True)
class Degree:
    """A network whose activation is the polynomial zᵈ, with symbols for all its weights.

    Attributes:
        power: d.
        depth: hidden layers.
        width: units in each.
        degree: of the output as a polynomial in the input, found by multiplying it out.
    """

    power: int
    depth: int
    width: int
    degree: int

    @property
    def allowed(self) -> int:
        """The largest degree there can be, dᴸ."""
        return self.power**self.depth


@dataclass(frozen=True, slots=True)
class Barrier:
    """No polynomial of this degree or less comes nearer than `distance` to |x| on [−1, 1]: exact.

    Attributes:
        degree: of the polynomials, so of any network of that dᴸ, however wide.
        distance: a proved lower bound of the largest error.
    """

    degree: int
    distance: Fraction


@dataclass(frozen=True, repr=False)
class Approximation(Lesson):
    """How near networks come to a function on an interval when their weights are written down by hand.

    Attributes:
        function: its name.
        low: where the interval begins.
        high: where it ends.
        curvature: the largest |f″| there, where known; the error of the ReLU interpolant is then at most h²/8 times it.
        relu: fits with more and more ReLU units.
        sigmoid: fits with more and more sigmoid units.
        degrees: what multiplying out shows about polynomial activations.
        barriers: what polynomials cannot do; two ReLU units make |x| exactly.
        relu_on_absolute: the largest error of those two units on |x|.
    """

    title: ClassVar[str] = "Approximation: bends add up to any curve"

    function: str
    low: float
    high: float
    curvature: float | None
    relu: tuple[Fit, ...]
    sigmoid: tuple[Fit, ...]
    degrees: tuple[Degree, ...]
    barriers: tuple[Barrier, ...]
    relu_on_absolute: float
    curve: tuple[tuple[float, ...], ...]

    @property
    def settings(self) -> str:
        """What is approximated."""
        where = f"[{self.low:.4g}, {self.high:.4g}]".replace("-", "−")
        return f"{self.function} on {where}, weights by hand, float64"

    @property
    def order(self) -> float:
        """The power p in "error ∝ hᵖ" for the ReLU interpolant, from its last two fits; NaN where one is exact."""
        return self._order(self.relu)

    @property
    def sigmoid_order(self) -> float:
        """The same for the sigmoid steps."""
        return self._order(self.sigmoid)

    def _order(self, fits: tuple[Fit, ...]) -> float:
        coarse, fine = fits[-2:]
        if min(coarse.error, fine.error) <= _EXACT * max(map(abs, self.curve[1])):
            return math.nan
        return math.log(coarse.error / fine.error) / math.log(fine.units / coarse.units)

    def bound(self, fit: Fit) -> float | None:
        """h²/8 · max|f″|, which the error of a ReLU interpolant does not exceed."""
        return None if self.curvature is None else ((self.high - self.low) / fit.units) ** 2 / 8 * self.curvature

    def explain(self) -> str:
        """What the numbers say."""
        first, last = self.relu[0], self.relu[-1]
        parts = [
            f"A hidden layer of {first.units} ReLU units written down by hand is within {digits(first.error)} of "
            f"{self.function}, one of "
            f"{last.units} within {digits(last.error)}"
            + ("." if math.isnan(self.order) else f": the error goes like h to the power {self.order:.2f}.")
        ]
        bound = self.bound(last)
        if bound is not None:
            kept = all(fit.error <= (self.bound(fit) or 0) * (1 + 1e-9) + 1e-12 for fit in self.relu)
            parts.append(
                f"The bound h²/8·max|f″| ({digits(bound)} for the last) {'is kept by all' if kept else 'is NOT kept'}."
            )
        parts.append(
            f"Steps made of {self.sigmoid[-1].units} sigmoids come within {digits(self.sigmoid[-1].error)}"
            + ("." if math.isnan(self.sigmoid_order) else f" (order {self.sigmoid_order:.2f}).")
        )
        if self.degrees:
            equal = all(each.degree <= each.allowed for each in self.degrees)
            parts.append(
                f"With zᵈ as activation the output, multiplied out with symbols for all weights, "
                f"{'stays' if equal else 'does NOT stay'} at "
                f"degree dᴸ or below "
                f"({', '.join(f'{each.power}^{each.depth}: {each.degree}' for each in self.degrees)})."
            )
        if self.barriers:
            told = ", ".join(f"{digits(float(each.distance))} for degree {each.degree}" for each in self.barriers)
            parts.append(
                f"So however wide, such a network stays away from |x| on [−1, 1] by at least {told}, while two ReLU "
                f"units "
                f"are off by {digits(self.relu_on_absolute)}."
            )
        return " ".join(parts)


def relu_interpolant(function: Function, units: int, low: float, high: float) -> nn.Sequential:
    """The network f(x₀) + Σ (change of slope at xᵢ)·relu(x − xᵢ): it meets f at units + 1 evenly spaced points."""
    units = check_whole("units", units, 1)
    knots = torch.linspace(low, high, units + 1, dtype=torch.float64)
    values = function(knots)
    slopes = values.diff() / knots.diff()
    bends = torch.cat([slopes[:1], slopes.diff()])
    return _one_hidden(torch.ones(units), -knots[:-1], nn.ReLU(), bends, values[0])


def sigmoid_steps(function: Function, units: int, low: float, high: float) -> nn.Sequential:
    """Steps, each a steep sigmoid: between two of them the network is near the value of f in the middle."""
    units = check_whole("units", units, 1)
    edges = torch.linspace(low, high, units + 2, dtype=torch.float64)
    values = function((edges[:-1] + edges[1:]) / 2)
    steepness = _STEEP * (units + 1) / (high - low)
    scale = torch.full((units,), steepness, dtype=torch.float64)
    return _one_hidden(scale, -edges[1:-1] * scale, nn.Sigmoid(), values.diff(), values[0])


def _one_hidden(weight: Tensor, bias: Tensor, activation: nn.Module, out: Tensor, shift: Tensor) -> nn.Sequential:
    first = nn.Linear(1, len(weight), dtype=torch.float64)
    last = nn.Linear(len(weight), 1, dtype=torch.float64)
    with torch.no_grad():
        first.weight.copy_(weight[:, None])
        first.bias.copy_(bias)
        last.weight.copy_(out[None])
        last.bias.copy_(shift[None])
    return nn.Sequential(first, activation, last)


@single_thread()
def approximation(
    function: Function = torch.sin,
    low: float = -math.pi,
    high: float = math.pi,
    *,
    curvature: float | None = None,
    units: Sequence[int] = (4, 8, 16, 32, 64, 128),
) -> Approximation:
    """How near ReLU and sigmoid networks written by hand come to a function, and what polynomials cannot.

    Args:
        function: of a float64 tensor, elementwise.
        low: where the interval begins.
        high: where it ends.
        curvature: the largest |f″| on it, for the bound; 1 for the sine, unknown where None.
        units: hidden units, more and more.

    Raises:
        InputError: low is not below high, fewer than two numbers of units or falling ones, or a function that is not
            finite there.
    """
    low = check_number("low", low, -math.inf)
    high = check_number("high", high, low)
    units = [check_whole("units", n, 1) for n in units]
    if len(units) < 2 or any(b <= a for a, b in pairwise(units)):
        raise InputError(f"units needs at least two numbers, rising, to see how the error falls; {units} came")
    curvature = None if curvature is None else check_number("curvature", curvature, 0, low_allowed=True)
    _check_function(function, low, high)
    if curvature is None and function is torch.sin:
        curvature = 1.0
    relu = tuple(Fit(n, _error(relu_interpolant(function, n, low, high), function, low, high, n)) for n in units)
    steps = tuple(Fit(n, _error(sigmoid_steps(function, n, low, high), function, low, high, n)) for n in units)
    absolute = relu_interpolant(torch.abs, 2, -1.0, 1.0)
    degrees = tuple(_degree(*sizes) for sizes in ((2, 1, 2), (2, 2, 2), (3, 1, 2), (2, 3, 1)))
    x = torch.linspace(low, high, 401, dtype=torch.float64)
    shown = units[min(1, len(units) - 1)]
    with torch.no_grad():
        curve = (
            tuple(x.tolist()), tuple(function(x).tolist()),
            tuple(relu_interpolant(function, shown, low, high)(x[:, None])[:, 0].tolist()),
            tuple(sigmoid_steps(function, shown, low, high)(x[:, None])[:, 0].tolist()),
        )  # fmt: skip
    return Approximation(
        getattr(function, "__name__", "f"), low, high, curvature, relu, steps, degrees,
        tuple(barrier(degree) for degree in (2, 4, 8, 16)), _error(absolute, torch.abs, -1.0, 1.0, 64), curve,
    )  # fmt: skip


def _check_function(function: Function, low: float, high: float) -> None:
    x = torch.linspace(low, high, 65, dtype=torch.float64)
    try:
        values = cast(object, function(x))
    except Exception as error:
        raise InputError(
            f"the function must take a float64 tensor and act on each number (torch.sin, not math.sin); {error}"
        ) from error
    if not isinstance(values, Tensor) or values.shape != x.shape or not bool(torch.isfinite(values).all()):
        raise InputError(f"the function must give a finite number for each of those from {low:.4g} to {high:.4g}")


def _error(network: nn.Module, function: Function, low: float, high: float, pieces: int) -> float:
    x = torch.linspace(low, high, pieces * _PER_PIECE + 1, dtype=torch.float64)
    with torch.no_grad():
        return float((network(x[:, None])[:, 0] - function(x)).abs().max())


def _degree(power: int, depth: int, width: int) -> Degree:
    """The degree in x of a network with zᵈ for activation, every weight and bias a symbol."""
    import sympy as sp

    sizes = [1, *[width] * depth, 1]
    count = sum(a * b + b for a, b in pairwise(sizes))
    ring, *symbols = sp.ring(["x", *(f"w{i}" for i in range(count))], sp.ZZ)
    x, *weights = symbols
    supply = iter(weights)
    values = [x]
    for layer, (wide_in, wide_out) in enumerate(pairwise(sizes)):
        sums = []
        for _ in range(wide_out):
            total = next(supply)
            for value in values[:wide_in]:
                total = total + next(supply) * value
            sums.append(total)
        values = sums if layer == depth else [total**power for total in sums]
    assert ring.ngens == count + 1
    return Degree(power, depth, width, int(values[0].degree(x)))


def barrier(degree: int) -> Barrier:
    """A lower bound, exact, of how near polynomials of a degree come to |x| on [−1, 1].

    Where a polynomial p of degree N misses f by alternating ±E at N + 2 points, no polynomial of that degree comes
    nearer
    than |E| (de la Vallée Poussin 1910). E and p solve a linear system over the rationals.
    """
    from flint import fmpq, fmpq_mat

    odd = check_whole("degree", degree, 0) | 1  # |x| is even: an odd degree allows one alternation more
    count = odd + 2
    nodes = [Fraction(round(math.cos(math.pi * i / (count - 1)) * 2**20), 2**20) for i in range(count)]
    rows: list[list[fmpq]] = []
    for i, node in enumerate(nodes):
        powers = [node**k for k in range(odd + 1)]
        rows.append([fmpq(p.numerator, p.denominator) for p in (*powers, Fraction((-1) ** i))])
    right = fmpq_mat([[fmpq(abs(node).numerator, abs(node).denominator)] for node in nodes])
    error = fmpq_mat(rows).solve(right)[count - 1, 0]
    return Barrier(degree, abs(Fraction(int(error.p), int(error.q))))
