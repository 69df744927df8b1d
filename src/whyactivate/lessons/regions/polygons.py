"""Convex polygons and segments with rational corners, cut by straight lines without rounding.

A corner is a tuple of integers (X, Y, W), W > 0, which stands for the point (X/W, Y/W); on a line it is (X, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd

Corner = tuple[int, ...]
Form = tuple[int, ...]
"""The function a·x + b·y + c as (a, b, c), all integers; on a line a·x + c as (a, c)."""
Shape = tuple[Corner, ...]
"""The corners in order: of a convex polygon, or both ends of a segment."""


def corner(*coordinates: Fraction) -> Corner:
    """The point with these coordinates."""
    common = 1
    for value in coordinates:
        common = common * value.denominator // gcd(common, value.denominator)
    return (*(int(value * common) for value in coordinates), common)


def coordinates(point: Corner) -> tuple[Fraction, ...]:
    """The coordinates of a corner."""
    return tuple(Fraction(value, point[-1]) for value in point[:-1])


def form(*coefficients: Fraction) -> Form:
    """A positive multiple of the function, in integers without a common factor."""
    scaled = corner(*coefficients)[:-1]
    divisor = gcd(*scaled) or 1
    return tuple(value // divisor for value in scaled)


def value_at(function: Form, point: Corner) -> int:
    """The function at the point, times the point's W: the sign is that of the function."""
    return sum(a * x for a, x in zip(function, point, strict=True))


def cut(shape: Shape, function: Form) -> tuple[Shape, ...]:
    """The parts where the function is ≤ 0 and where it is ≥ 0; the shape itself where one would be flat."""
    values = [value_at(function, point) for point in shape]
    if min(values) >= 0 or max(values) <= 0:
        return (shape,)
    sides: tuple[list[Corner], list[Corner]] = ([], [])
    count = len(shape)
    for i in range(count):
        here = values[i]
        for side, sign in zip(sides, (-1, 1), strict=True):
            if here * sign >= 0:
                side.append(shape[i])
        if count == 2 and i == 1:
            break  # a segment has one edge
        j = (i + 1) % count
        if here * values[j] < 0:
            crossing = _crossing(shape[i], shape[j], abs(here), abs(values[j]))
            sides[0].append(crossing)
            sides[1].append(crossing)
    return tuple(sorted_segment(side) if count == 2 else tuple(side) for side in sides)


def sorted_segment(side: Sequence[Corner]) -> Shape:
    """Both ends, the smaller first."""
    first, second = side
    return (first, second) if first[0] * second[1] <= second[0] * first[1] else (second, first)


def _crossing(start: Corner, end: Corner, at_start: int, at_end: int) -> Corner:
    point = [at_end * a + at_start * b for a, b in zip(start, end, strict=True)]
    divisor = gcd(*point)
    return tuple(value // divisor for value in point)


def centre(shape: Shape) -> Corner:
    """The mean of the corners: a point in the inside."""
    points = [coordinates(point) for point in shape]
    return corner(*(sum(values, Fraction(0)) / len(points) for values in zip(*points, strict=True)))


def size(shape: Shape) -> Fraction:
    """The area of a polygon, or the length of a segment."""
    points = [coordinates(point) for point in shape]
    if len(points[0]) == 1:
        return abs(points[1][0] - points[0][0])
    around = zip(points, (*points[1:], points[0]), strict=True)
    return abs(sum((a[0] * b[1] - b[0] * a[1] for a, b in around), Fraction(0))) / 2


def touch(one: Shape, other: Shape) -> bool:
    """Whether two shapes that do not overlap share an edge, or a part of one (an end, for segments)."""
    if len(one[0]) == 2:
        return bool({coordinates(p) for p in one} & {coordinates(p) for p in other})
    return any(_overlap(a, b) for a in _edges(one) for b in _edges(other))


def _edges(shape: Shape) -> list[tuple[Corner, Corner]]:
    return list(zip(shape, (*shape[1:], shape[0]), strict=True))


def _overlap(one: tuple[Corner, Corner], other: tuple[Corner, Corner]) -> bool:
    """Whether two edges have more than a point in common."""
    (a, b), (c, d) = one, other
    line = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    if value_at(line, c) or value_at(line, d):
        return False
    axis = 0 if line[1] else 1  # along which the common line is not constant
    spans = [sorted(Fraction(p[axis], p[2]) for p in edge) for edge in (one, other)]
    return max(spans[0][0], spans[1][0]) < min(spans[0][1], spans[1][1])
