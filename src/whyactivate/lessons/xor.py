"""XOR by hand: the best affine fit misses by 1/4, and two ReLU units are exact."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import nn

from whyactivate.lessons.lesson import Lesson
from whyactivate.lessons.regions.program import Program, exact_row

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
XOR = (0, 1, 1, 0)


@dataclass(frozen=True, repr=False)
class Xor(Lesson):
    """The four points of XOR: the best affine fit, and two ReLU units, both exact.

    Attributes:
        weight: of the affine map with the smallest mean squared error, rational.
        bias: of that map, rational.
        affine_error: that error, rational.
        fitted: what it gives at the four points.
        network: what relu(s) − 2·relu(s − 1), s = x₁ + x₂, gives at the four points, from its recorded
            program, rational.
        targets: what is wanted.
    """

    title: ClassVar[str] = "XOR: no affine map, two ReLUs"

    weight: tuple[Fraction, ...]
    bias: Fraction
    affine_error: Fraction
    fitted: tuple[Fraction, ...]
    network: tuple[Fraction, ...]
    targets: tuple[int, ...] = XOR

    @property
    def network_error(self) -> Fraction:
        """The mean squared error of the two ReLU units."""
        return _mean_square(self.network)

    @property
    def settings(self) -> str:
        """How it was computed."""
        return "rational arithmetic, no rounding"

    def explain(self) -> str:
        """What the numbers say."""
        return (
            f"The best affine fit to the four points is x ↦ {self.weight[0]}·x₁ + {self.weight[1]}·x₂ + {self.bias}: "
            f"it gives "
            f"{', '.join(map(str, self.fitted))} where {', '.join(map(str, self.targets))} is wanted, a mean squared "
            f"error of exactly "
            f"{self.affine_error}, and no affine map has a smaller one, for at it every slope of the error is 0 and "
            f"the error is convex. "
            f"The network relu(s) − 2·relu(s − 1) with s = x₁ + x₂ gives {', '.join(map(str, self.network))}: an error "
            f"of exactly "
            f"{self.network_error}."
        )


def xor() -> Xor:
    """The best affine fit to XOR and its error, and what two ReLU units written down by hand give: all rational."""
    weight, bias = _best_affine()
    fitted = tuple(weight[0] * a + weight[1] * b + bias for a, b in CORNERS)
    program = Program(xor_network(), torch.zeros(2))
    found = tuple(program.evaluate(exact_row([Fraction(a), Fraction(b)]))[0] for a, b in CORNERS)
    return Xor(weight, bias, _mean_square(fitted), fitted, found)


def xor_network() -> nn.Sequential:
    """relu(s) − 2·relu(s − 1), s = x₁ + x₂: XOR, exactly, with nine weights and biases."""
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        for tensor, values in zip(
            network.parameters(), ([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0], [[1.0, -2.0]], [0.0]), strict=True
        ):
            tensor.copy_(torch.tensor(values))
    return network


def _best_affine() -> tuple[tuple[Fraction, ...], Fraction]:
    """The solution of the normal equations AᵀA·c = Aᵀy over the rationals, A with a column of ones."""
    rows = [(*map(Fraction, corner), Fraction(1)) for corner in CORNERS]
    system = [
        [sum((row[i] * row[j] for row in rows), Fraction(0)) for j in range(3)]
        + [sum((row[i] * y for row, y in zip(rows, XOR, strict=True)), Fraction(0))]
        for i in range(3)
    ]
    for i in range(3):
        system[i] = [value / system[i][i] for value in system[i]]
        for k in range(3):
            if k != i:
                system[k] = [a - system[k][i] * b for a, b in zip(system[k], system[i], strict=True)]
    first, second, bias = (row[3] for row in system)
    return (first, second), bias


def _mean_square(values: tuple[Fraction, ...]) -> Fraction:
    return sum(((value - y) ** 2 for value, y in zip(values, XOR, strict=True)), Fraction(0)) / len(XOR)
