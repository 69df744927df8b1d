"""`regions_in` and `regions_along`: the exact linear regions in a plane slice, and along a segment."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from whyactivate._checks import check_number
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import CannotProveError, InputError
from whyactivate.lessons.lesson import Lesson, digits
from whyactivate.lessons.regions.bounds import most_pieces_of_layers
from whyactivate.lessons.regions.local_map import LocalMap, local_map
from whyactivate.lessons.regions.polygons import (
    Corner,
    Form,
    Shape,
    centre,
    coordinates,
    corner,
    cut,
    form,
    size,
    touch,
    value_at,
)
from whyactivate.lessons.regions.program import Kinks, Program, Spread, exact_row

MOST_CELLS = 20_000


@dataclass(frozen=True)
class Cell:
    """A convex part of the slice on which every unit stays on one piece, so that the network is one affine map there.

    Attributes:
        corners: of the polygon, in order, or the ends of the segment; exact, in the slice's own coordinates.
        size: area, or length, exact, in the slice's own coordinates.
        weight: per output, its slopes along the slice's directions; exact.
        bias: per output, its value at the slice's origin; exact.
        shape: the corners once more, in integers.
    """

    corners: tuple[tuple[Fraction, ...], ...]
    size: Fraction
    weight: tuple[tuple[Fraction, ...], ...]
    bias: tuple[Fraction, ...]
    shape: Shape = field(repr=False)

    @property
    def centre(self) -> tuple[Fraction, ...]:
        """A point in its inside."""
        return coordinates(centre(self.shape))

    def __call__(self, *place: Fraction) -> list[Fraction]:
        """The cell's map at a point of the slice, exact."""
        return [
            sum((w * t for w, t in zip(row, place, strict=True)), b)
            for row, b in zip(self.weight, self.bias, strict=True)
        ]


@dataclass(frozen=True, repr=False, eq=False)
class Regions(Lesson):
    """The linear regions of a piecewise affine network in a slice of its inputs: they tile it, without rounding.

    Attributes:
        module: the name of the network's class.
        extent: low and high of each coordinate of the slice.
        origin: the input at coordinates 0, flat.
        directions: the input moves by these (flat) vectors per unit of each coordinate.
        cells: the parts on which no unit leaves its piece; convex, they overlap in no inside point.
        regions: cells that touch and have the same map, joined: indices into `cells`.
        units: per operation with kinks, how many units it acts on.
        bound: no network with these units has more cells in a slice of this dimension (Zaslavsky 1975, layer by layer).
    """

    title: ClassVar[str] = "Linear regions: one affine map each"

    module: str
    extent: tuple[tuple[float, float], ...]
    origin: Tensor = field(repr=False)
    directions: Tensor = field(repr=False)
    cells: tuple[Cell, ...]
    regions: tuple[tuple[int, ...], ...]
    units: tuple[int, ...]
    bound: int
    _program: Program = field(repr=False)

    @property
    def dimensions(self) -> int:
        """2 in a plane slice, 1 along a segment."""
        return len(self.extent)

    @property
    def is_whole_plane(self) -> bool:
        """Whether the coordinates are the inputs themselves, of a network that has two."""
        return torch.equal(self.directions.double(), torch.eye(2).double()) and not bool(self.origin.any())

    @property
    def size(self) -> Fraction:
        """The area (or length) of the whole slice; the cells' sizes add up to it exactly."""
        whole = Fraction(1)
        for low, high in self.extent:
            whole *= Fraction(high) - Fraction(low)
        return whole

    @cached_property
    def tiled(self) -> bool:
        """Whether the cells' sizes add up to the slice exactly."""
        return sum((cell.size for cell in self.cells), Fraction(0)) == self.size

    @cached_property
    def agreement(self) -> tuple[int, int]:
        """At how many of how many corners and centres the cell's map equals the recorded program, without rounding."""
        equal = total = 0
        for cell in self.cells:
            for place in (*cell.corners, cell.centre):
                total += 1
                equal += self._program.evaluate(self._row(place)) == cell(*place)
        return equal, total

    def cell_at(self, *place: float) -> int:
        """The number of a cell that holds the point of the slice.

        Raises:
            InputError: the point is outside the slice.
        """
        point = corner(*(Fraction(value) for value in place))
        for number, cell in enumerate(self.cells):
            if _holds(cell.shape, point):
                return number
        raise InputError(f"{place} is outside the slice {self.extent}")

    def collapse(self, cell: int) -> LocalMap:
        """The one affine layer that the network is around a cell's centre, over all its inputs, with its proof."""
        return local_map(self._program, self._row(self.cells[cell].centre))

    def input_at(self, *place: float) -> Tensor:
        """The input (flat, float64) at a point of the slice."""
        moved = torch.tensor(place, dtype=torch.float64) @ self.directions.double()
        return self.origin.double() + moved

    def _row(self, place: Sequence[Fraction]) -> ExactArray:
        row = exact_row(self.origin)
        for value, direction in zip(place, self.directions, strict=True):
            row = row + exact_row(direction) * value
        return row

    @property
    def settings(self) -> str:
        """The sizes that the counts depend on."""
        return f"{self.module}, units with kinks per layer: {', '.join(map(str, self.units)) or 'none'}"

    def explain(self) -> str:
        """What the counts say."""
        where = "plane slice" if self.dimensions == 2 else "segment"
        found, cells = len(self.regions), len(self.cells)
        parts = "1 cell" if cells == 1 else f"{cells} cells"
        if not self.units:
            return (
                f"This network has no operation with a kink, so the whole {where} is one region: one affine map, "
                f"found by following the program in exact arithmetic. Sizes add up exactly: {self.tiled}."
            )
        largest = max(cell.size for cell in self.cells)
        merged = (
            "no two neighbours share a map"
            if found == cells
            else f"neighbours with equal maps are one region, which leaves {found} region{'' if found == 1 else 's'}"
        )
        return (
            f"In this {where} the {sum(self.units)} units cut the inputs into {parts} ({merged}). On each the "
            f"network "
            f"is one affine map; it bends only where a unit crosses its kink. No network of these widths has more than "
            f"{self.bound} cells here, so this one uses {digits(100 * cells / self.bound)} % of what its widths allow. "
            f"The largest "
            f"cell takes {digits(100 * float(largest / self.size))} % of the slice. "
            + ("The sizes add up to the slice exactly." if self.tiled else "The sizes do NOT add up to the slice.")
        )


def regions_in(
    module: nn.Module,
    extent: float | tuple[tuple[float, float], tuple[float, float]] = 2.0,
    *,
    origin: Tensor | None = None,
    directions: tuple[Tensor, Tensor] | None = None,
) -> Regions:
    """The exact linear regions of a piecewise affine network in a plane slice of its inputs: polygons, not pixels.

    Args:
        module: made of affine operations and of operations with kinks (ReLU, Leaky ReLU, PReLU, hardtanh, clamp, abs
            …).
        extent: low and high of both coordinates, or one number r for −r to r.
        origin: the input at (0, 0), without the batch axis; the zero vector where None (for two input features).
        directions: by which the input moves per unit of each coordinate; the two axes where None.

    Raises:
        InputError: the slice has no area, or does not fit the module.
        CannotProveError: an operation is not affine between kinks, or there are too many cells.
    """
    window = _read_extent(extent)
    if origin is None:
        origin = torch.zeros(2)
    if directions is None:
        if origin.numel() != 2:
            raise InputError(
                "pass origin= and directions=, two inputs, for a module with other than two input features"
            )
        directions = (torch.tensor([1.0, 0.0]).reshape(origin.shape), torch.tensor([0.0, 1.0]).reshape(origin.shape))
    return _partition(module, origin, directions, window)


def regions_along(module: nn.Module, start: Tensor, end: Tensor) -> Regions:
    """The exact linear regions along the segment from one input to another; coordinate 0 is start, 1 is end.

    Raises:
        InputError: start and end are the same or do not fit the module.
        CannotProveError: an operation is not affine between kinks, or there are too many cells.
    """
    for name, value in (("start", start), ("end", end)):
        if not isinstance(value, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance] (callers need not be typed)
            raise InputError(f"{name} must be a tensor, one input without the batch axis; {value!r} came")
    if start.shape != end.shape:
        raise InputError(f"start has shape {tuple(start.shape)} and end {tuple(end.shape)}")
    return _partition(module, start, (end.double() - start.double(),), ((0.0, 1.0),))


def _read_extent(extent: object) -> tuple[tuple[float, float], ...]:
    if isinstance(extent, (int, float)):
        radius = check_number("extent", extent, 0)
        return (-radius, radius), (-radius, radius)
    pairs = cast("Sequence[object]", extent) if isinstance(extent, Sequence) else ()
    lengths = [len(cast("Sequence[object]", pair)) if isinstance(pair, (list, tuple)) else 0 for pair in pairs]
    if lengths != [2, 2]:
        raise InputError(f"extent must be one number, or ((low, high), (low, high)); {extent!r} came")
    (left, right), (low, high) = (
        [check_number("extent", end, -math.inf) for end in cast("Sequence[object]", pair)] for pair in pairs
    )
    return (left, right), (low, high)


def _partition(
    module: nn.Module, origin: Tensor, directions: tuple[Tensor, ...], extent: tuple[tuple[float, float], ...]
) -> Regions:
    if any(low >= high for low, high in extent):
        raise InputError(f"a slice needs low < high along each coordinate; {extent} came")
    flat = torch.stack([direction.detach().double().flatten() for direction in directions])
    if origin.numel() != flat.shape[1]:
        raise InputError(f"origin has {origin.numel()} numbers and the directions {flat.shape[1]}")
    if not bool(torch.isfinite(flat).all()) or int(torch.linalg.matrix_rank(flat)) < len(flat):
        raise InputError("the directions must be finite and independent of each other")
    program = Program(module, origin)
    start = origin.detach().double().flatten()
    found = _cells(program, start, flat, _window(extent))
    cells = tuple(_describe(program, shape, spread) for shape, spread in found)
    units = tuple(kinks.units for kinks in program.kinks.values())
    cuts = [kinks.units * len(kinks.thresholds) for kinks in program.kinks.values()]
    bound = most_pieces_of_layers(cuts, len(extent))
    name = type(module).__name__
    return Regions(name, extent, start, flat, cells, _join(cells), units, bound, program)


def _window(extent: tuple[tuple[float, float], ...]) -> Shape:
    ends = [(Fraction(low), Fraction(high)) for low, high in extent]
    if len(ends) == 1:
        return (corner(ends[0][0]), corner(ends[0][1]))
    (left, right), (low, high) = ends
    return tuple(corner(*point) for point in ((left, low), (right, low), (right, high), (left, high)))


def _cells(program: Program, origin: Tensor, directions: Tensor, window: Shape) -> list[tuple[Shape, Spread]]:
    """The parts of the window, and what memory holds on each at the end of the program."""
    cells = [(window, program.begin(exact_row(origin), ExactArray.from_points(directions)))]
    for node in program.nodes:
        kinks = program.kinks.get(node.index)
        if kinks is None:
            cells = [(shape, program.advance(node, spread)) for shape, spread in cells]
            continue
        parts: list[tuple[Shape, Spread]] = []
        for shape, spread in cells:
            functions = _functions(program, kinks, spread)
            for part in _cut_all(shape, functions):
                parts.append((part, program.bend(kinks, _pieces(part, functions), spread)))
            if len(parts) > MOST_CELLS:
                raise CannotProveError(f"more than {MOST_CELLS} cells in this slice; take a smaller one")
        cells = parts
    return cells


def _functions(program: Program, kinks: Kinks, spread: Spread) -> list[list[Form]]:
    """Per unit, z minus each threshold, as a function on the slice."""
    z, slopes = program.operand(kinks, spread)
    values, slants = z.to_fractions()[0], slopes.to_fractions()
    return [
        [form(*(slant[unit] for slant in slants), values[unit] - threshold) for threshold in kinks.thresholds]
        for unit in range(len(values))
    ]


def _cut_all(shape: Shape, functions: list[list[Form]]) -> list[Shape]:
    parts = [shape]
    for unit in functions:
        for function in unit:
            if any(function[:-1]):
                parts = [piece for part in parts for piece in cut(part, function)]
    return parts


def _pieces(shape: Shape, functions: list[list[Form]]) -> list[int]:
    middle = centre(shape)
    return [sum(value_at(function, middle) > 0 for function in unit) for unit in functions]


def _describe(program: Program, shape: Shape, spread: Spread) -> Cell:
    start, slopes = program.result(spread)
    slants = slopes.to_fractions()
    weight = tuple(tuple(cast("list[Fraction]", list(column))) for column in slants.T)
    return Cell(tuple(coordinates(p) for p in shape), size(shape), weight, tuple(start.to_fractions()[0]), shape)


def _join(cells: tuple[Cell, ...]) -> tuple[tuple[int, ...], ...]:
    """Cells with the same map that touch, directly or through others."""
    alike: dict[object, list[int]] = defaultdict(list)
    for number, cell in enumerate(cells):
        alike[cell.weight, cell.bias].append(number)
    joined: list[tuple[int, ...]] = []
    for group in alike.values():
        waiting = list(group)
        while waiting:
            region = [waiting.pop()]
            for member in region:
                near = [other for other in waiting if touch(cells[member].shape, cells[other].shape)]
                region += near
                waiting = [other for other in waiting if other not in near]
            joined.append(tuple(sorted(region)))
    return tuple(sorted(joined))


def _holds(shape: Shape, point: Corner) -> bool:
    if len(point) == 2:
        x, (low, high) = coordinates(point)[0], (coordinates(p)[0] for p in shape)
        return min(low, high) <= x <= max(low, high)
    turns: list[int] = []
    for (ax, ay, aw), (bx, by, bw) in zip(shape, (*shape[1:], shape[0]), strict=True):
        line = (ay * bw - aw * by, aw * bx - ax * bw, ax * by - ay * bx)
        turns.append(value_at(line, point))
    return min(turns) >= 0 or max(turns) <= 0
