"""`affine_map_at`: the affine map that a piecewise affine network is around an input, without rounding."""

from __future__ import annotations

import html
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import torch
from torch import Tensor, nn

from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.lessons.regions.program import Program, exact_row
from whyactivate.proof import Proof


@dataclass(frozen=True)
class Bounds:
    """The inequalities weight·x + bias ≥ 0 that keep the units of one operation on their pieces, exact."""

    weight: ExactArray
    bias: ExactArray


@dataclass(frozen=True, eq=False)
class LocalMap:
    """The affine map x ↦ weight·x + bias that a network is on the region around `point`, exactly.

    Attributes:
        point: the input, flat and exact.
        pieces: per operation with kinks, on which piece each unit is (0 is the leftmost); for ReLU 1 is "on".
        exact: the map over the rational numbers.
        bounds: the inequalities that describe the region; where all hold, the network is this map.
    """

    point: tuple[Fraction, ...]
    pieces: tuple[tuple[int, ...], ...]
    exact: ExactAffine
    bounds: tuple[Bounds, ...] = field(repr=False)
    _program: Program = field(repr=False)

    @property
    def weight(self) -> Tensor:
        """`(out, in)` float64, each entry rounded once."""
        return self.exact.weight.to_float64()[0]

    @property
    def bias(self) -> Tensor:
        """`(out,)` float64, each entry rounded once."""
        return self.exact.bias.to_float64()[0]

    @property
    def layer(self) -> nn.Linear:
        """The one layer that the network is here: acts on the flattened input, float64, each entry rounded once."""
        layer = nn.Linear(self.exact.inputs, self.exact.outputs, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            layer.bias.copy_(self.bias)
        return layer

    @cached_property
    def slack(self) -> Fraction | None:
        """The smallest of the left sides of the inequalities at the point; 0 on a boundary, None without kinks."""
        sides = [side for bound in self.bounds for side in self._sides(bound, exact_row(self.point))]
        return min(sides, default=None)

    def contains(self, point: Tensor | Sequence[Fraction]) -> bool:
        """Whether a (flat) input is in the closed region, decided without rounding."""
        row = exact_row(point)
        return all(side >= 0 for bound in self.bounds for side in self._sides(bound, row))

    def __call__(self, point: Tensor | Sequence[Fraction]) -> list[Fraction]:
        """The map at a (flat) input, without rounding."""
        return list(self.exact(exact_row(point)).to_fractions()[0])

    def prove(self, points: int = 8, seed: int = 0) -> Proof:
        """The exact proof that the recorded network is this map on its region.

        The inequalities are evaluated at `point`; where all hold, no unit leaves its piece, so that the network is a
        composition of affine maps, and the map is their product. Then, by another route, the recorded program is
        evaluated operation by operation at the point and at others in the region.
        """
        slack = self.slack
        inside = slack is None or slack >= 0
        generator = random.Random(seed)
        tried = [self.point, *self._points_near(points, generator)]
        agree = sum(self._program.evaluate(exact_row(point)) == self(point) for point in tried)
        count = sum(bound.bias.size for bound in self.bounds)
        return Proof(
            "exact",
            f"On the region of {count} inequalities around this input, the recorded network is x ↦ Wx + b with the "
            f"given rational W ({self.exact.outputs}×{self.exact.inputs}) and b: no rounding.",
            inside and agree == len(tried),
            (
                f"All {count} inequalities hold at the input." if inside else "An inequality fails at the input.",
                "Where they hold every unit with a kink stays on one affine piece, so the program is a composition of "
                "affine maps; W and b are their product, multiplied out in integers.",
                f"Evaluated operation by operation, the program gives exactly this map at {agree} of {len(tried)} "
                "points of the region.",
            ),
            {
                "inequalities": count,
                "smallest slack": 0.0 if slack is None else float(slack),
                "points compared": len(tried),
                "integers of up to (bits)": max(self.exact.weight.bits, self.exact.bias.bits),
            },
        )

    def _points_near(self, count: int, generator: random.Random) -> list[tuple[Fraction, ...]]:
        """Points of the region: random steps from the point, halved until they stay in it."""
        found: list[tuple[Fraction, ...]] = []
        for _ in range(count):
            step = [Fraction(generator.randint(-(2**20), 2**20), 2**20) for _ in self.point]
            for halvings in range(60):
                moved = tuple(x + d / 2**halvings for x, d in zip(self.point, step, strict=True))
                if self.contains(moved):
                    found.append(moved)
                    break
        return found

    @staticmethod
    def _sides(bound: Bounds, row: ExactArray) -> list[Fraction]:
        return list((bound.weight @ row + bound.bias).to_fractions()[0])

    def __str__(self) -> str:
        on = [sum(pieces) for pieces in self.pieces]
        words = ", ".join(f"{active} of {len(pieces)}" for active, pieces in zip(on, self.pieces, strict=True))
        return (
            f"around this input the network is one affine map, {self.exact.inputs} → {self.exact.outputs} numbers, on "
            f"a "
            f"region of {sum(b.bias.size for b in self.bounds)} inequalities; units right of their kink: "
            f"{words or 'none'}"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"


def affine_map_at(module: nn.Module, x: Tensor) -> LocalMap:
    """The affine map that a piecewise affine network is around the input x, without rounding, with its region.

    Where x lies on a boundary between regions, the map of one of those that meet there.

    Args:
        module: made of affine operations and of ReLU, Leaky ReLU, PReLU, hardtanh, clamp, abs and their like.
        x: one input, without the batch axis.

    Raises:
        CannotProveError: an operation is not affine between kinks.
    """
    return local_map(Program(module, x), exact_row(x))


def local_map(program: Program, row: ExactArray) -> LocalMap:
    """The map of the region in which an exact flat row lies."""
    size = row.size
    spread = program.begin(row, ExactArray(ExactArray.identity(size).ints[0]))
    pieces: list[tuple[int, ...]] = []
    bounds: list[Bounds] = []
    for node in program.nodes:
        kinks = program.kinks.get(node.index)
        if kinks is None:
            spread = program.advance(node, spread)
            continue
        z, slopes = program.operand(kinks, spread)
        values = z.to_fractions()[0]
        chosen = tuple(sum(value > threshold for threshold in kinks.thresholds) for value in values)
        pieces.append(chosen)
        bounds += _inequalities(z, slopes, row, chosen, kinks.thresholds)
        spread = program.bend(kinks, chosen, spread)
    start, slopes = program.result(spread)
    weight = ExactArray(slopes.ints.T[None], slopes.unit)
    exact = ExactAffine(weight, start - weight @ row)
    return LocalMap(tuple(row.to_fractions()[0]), tuple(pieces), exact, tuple(bounds), program)


def _inequalities(
    z: ExactArray, slopes: ExactArray, row: ExactArray, chosen: Sequence[int], thresholds: Sequence[Fraction]
) -> list[Bounds]:
    """Z ≥ the threshold below, and z ≤ the threshold above, as functions of the input."""
    weight = ExactArray(slopes.ints.T[None], slopes.unit)
    constant = z - weight @ row
    found: list[Bounds] = []
    for number, threshold in enumerate(thresholds):
        signs = [1 if piece > number else -1 for piece in chosen]
        sign = ExactArray.from_fractions(signs)
        found.append(Bounds(weight * sign.reshape(len(signs), 1), (constant - threshold) * sign))
    return found
