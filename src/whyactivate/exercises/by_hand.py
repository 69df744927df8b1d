"""Exercises on affine maps and what composing them can and cannot give; graded without rounding."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product
from typing import Any

from torch import Tensor, nn

from whyactivate.exercises.answers import (
    Matrix,
    Vector,
    affine,
    read_matrix,
    read_number,
    read_parts,
    read_vector,
    show,
    show_number,
    tell,
)
from whyactivate.exercises.exercise import Exercise, Point, Refused

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
XOR = (0, 1, 1, 0)


def _exact(rows: list[list[int]]) -> Matrix:
    return [[Fraction(value) for value in row] for row in rows]


FIRST = (_exact([[1, 2], [0, -1], [3, 1]]), [Fraction(1), Fraction(0), Fraction(-2)])
SECOND = (_exact([[2, 1, 0], [1, 0, -1]]), [Fraction(0), Fraction(5)])
TO_FACTOR = (_exact([[2, 1], [0, 3]]), [Fraction(1), Fraction(-1)])


def _unit_points(size: int) -> list[Vector]:
    """0 and the unit vectors: two affine maps that agree there are the same."""
    return [[Fraction(0)] * size, *([Fraction(i == j) for j in range(size)] for i in range(size))]


def _numbers_of(layer: Any) -> list[Any]:
    """Weight and bias of an nn.Linear; a bias of zeros where it has none."""
    return [layer.weight, [0] * layer.out_features if layer.bias is None else layer.bias]


def _read_layer(answer: Any, rows: int, columns: int) -> tuple[Matrix, Vector]:
    if isinstance(answer, nn.Linear):
        answer = _numbers_of(answer)
    weight, bias = read_parts(answer, "W, b", 2)
    return read_matrix(weight, rows, columns, "W"), read_vector(bias, rows, "b")


def _multiply(answer: Any) -> list[Point]:
    weight, bias = _read_layer(answer, 2, 2)
    for x in _unit_points(2):
        wanted, found = affine(*SECOND, affine(*FIRST, x)), affine(weight, bias, x)
        if wanted != found:
            return [Point(f"at x = {show(x)} the two layers give {show(wanted)}, yours gives {show(found)}", False)]
    return [Point("it agrees with the two layers at 0 and at every unit vector, so everywhere", True)]


def _break(answer: Any) -> list[Point]:
    alpha, beta, x, y = read_vector(answer, 4)

    def f(value: Fraction) -> Fraction:
        return 2 * value + 3

    left, right = f(alpha * x + beta * y), alpha * f(x) + beta * f(y)
    sides = f"f(αx + βy) = {show_number(left)} and αf(x) + βf(y) = {show_number(right)}"
    if left == right:
        return [Point(f"the two sides are equal: {sides}; here α + β = {show_number(alpha + beta)}", False)]
    return [Point(f"superposition fails: {sides}, so f is affine and not linear", True)]


def _factor(answer: Any) -> list[Point]:
    if isinstance(answer, nn.Sequential):
        if not all(isinstance(part, nn.Linear) for part in answer) or len(answer) != 2:
            raise Refused("the nn.Sequential must hold two nn.Linear and nothing else")
        answer = [part for layer in answer for part in _numbers_of(layer)]
    w1, b1, w2, b2 = read_parts(answer, "W1, b1, W2, b2", 4)
    first = read_matrix(w1, None, 2, "W1")
    width = len(first)
    one, two = read_vector(b1, width, "b1"), read_matrix(w2, 2, width, "W2")
    last = read_vector(b2, 2, "b2")
    for x in _unit_points(2):
        wanted, found = affine(*TO_FACTOR, x), affine(two, last, affine(first, one, x))
        if wanted != found:
            return [Point(f"at x = {show(x)} the layer gives {show(wanted)}, your two give {show(found)}", False)]
    points = [Point("the two layers are the given one, everywhere", True)]
    eye = [row[1:] for row in zip(*_unit_points(2), strict=True)]
    for name, matrix in (("W1", first), ("W2", two)):
        if [tuple(row) for row in matrix] == [tuple(row) for row in eye]:
            points.append(Point(f"{name} is the identity matrix, which the task rules out", False))
    return points


def _fewer(answer: Any) -> list[Point]:
    widths = [int(value) if value.denominator == 1 else 0 for value in read_vector(answer)]
    if len(widths) < 3 or min(widths) < 1 or max(widths) > 1000:
        raise Refused(f"the answer must be three or more whole widths from 1 to 1000, but {tell(answer)} came")
    deep, one = sum(a * b + b for a, b in pairwise(widths)), widths[0] * widths[-1] + widths[-1]
    named = "-".join(map(str, widths)) if len(widths) <= 12 else f"of {len(widths)} widths"
    words = f"the network {named} has {deep} parameters, its one layer has {one}"
    return [Point(words, deep < one)]


def _reach(answer: Any) -> list[Point]:
    matrix = read_matrix(answer, 3, 3)
    rank = _rank(matrix)
    if rank == 3:
        return [Point("its rank is 3, and no product of a 3×2 and a 2×3 matrix has a rank above 2", True)]
    return [Point(f"its rank is {rank}, so two layers 3 → 2 → 3 can compute it: the bottleneck is wide enough", False)]


def _rank(matrix: Matrix) -> int:
    rows, rank = [list(row) for row in matrix], 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for i in range(rank + 1, len(rows)):
            ratio = rows[i][column] / rows[rank][column]
            rows[i] = [a - ratio * b for a, b in zip(rows[i], rows[rank], strict=True)]
        rank += 1
    return rank


def _best_affine(answer: Any) -> list[Point]:
    w1, w2, b = read_vector(answer, 3)
    given = [w1 * x + w2 * y + b for x, y in CORNERS]
    error = sum(((value - y) ** 2 for value, y in zip(given, XOR, strict=True)), Fraction(0)) / 4
    words = f"it gives {show(given)} at the four corners: a mean squared error of {show_number(error)}"
    if error == Fraction(1, 4):
        return [Point(f"{words}, the linear floor of XOR", True)]
    return [Point(f"{words}; an affine map with a smaller one exists", False)]


def _xor(answer: Any) -> list[Point]:
    if isinstance(answer, nn.Sequential) and [type(part) for part in answer] == [nn.Linear, nn.ReLU, nn.Linear]:
        one, _, two = answer
        answer = [*_numbers_of(one), *_numbers_of(two)]
    w1, b1, w2, b2 = read_parts(answer, "W1, b1, w2, b2", 4)
    first, inner = read_matrix(w1, 2, 2, "W1"), read_vector(b1, 2, "b1")
    last = read_vector(w2.flatten() if isinstance(w2, Tensor) else w2, 2, "w2")
    bias = read_number(b2, "b2")
    for (x, y), wanted in zip(CORNERS, XOR, strict=True):
        hidden = [max(z, Fraction(0)) for z in affine(first, inner, [Fraction(x), Fraction(y)])]
        found = affine([last], [bias], hidden)[0]
        if found != wanted:
            return [Point(f"at ({x}, {y}) it gives {show_number(found)}, and XOR is {wanted}", False)]
    return [Point("it is XOR at all four corners, exactly", True)]


def _dead(answer: Any) -> list[Point]:
    w1, w2, b = read_vector(answer, 3)
    points = [Point("a weight is not 0" if w1 or w2 else "both weights are 0: it computes nothing", bool(w1 or w2))]
    for x, y in product((-1, 1), repeat=2):
        z = w1 * x + w2 * y + b
        if z > 0:
            return [*points, Point(f"at the corner ({x}, {y}) z = {show_number(z)} > 0: there it is alive", False)]
    return [
        *points,
        Point("z ≤ 0 at all four corners, and z is affine, so on the whole square: its gradient is 0", True),
    ]


def _knots(answer: Any) -> list[Point]:
    knots = read_vector(answer)
    if len(knots) < 2 or knots[0] != 0 or knots[-1] != 1:
        raise Refused("the knots must start at 0 and end at 1")
    if any(b <= a for a, b in pairwise(knots)):
        raise Refused("the knots must increase")
    points = [Point(f"{len(knots)} knots, where 17 are allowed", len(knots) <= 17)]
    for a, b in pairwise(knots):
        error = (b - a) ** 2 / 4
        if error > Fraction(1, 1000):
            where = f"between {show_number(a)} and {show_number(b)}, at x = {show_number((a + b) / 2)}"
            return [*points, Point(f"{where}, it is {show_number(error)} above x²", False)]
    return [*points, Point("nowhere is the interpolant further than 1/1000 from x²", True)]


BY_HAND = (
    Exercise(
        "multiply-two-layers",
        "Multiply two layers by hand",
        "The first layer is x ↦ W₁x + b₁ with W₁ = [[1, 2], [0, −1], [3, 1]] and b₁ = [1, 0, −2]; the second is "
        "v ↦ W₂v + b₂ with W₂ = [[2, 1, 0], [1, 0, −1]] and b₂ = [0, 5]; there is no activation between them. Give "
        "the one layer that they are, as [W, b] or as an nn.Linear.",
        (
            "Put W₁x + b₁ in the place of v and multiply out.",
            "The bias of the first layer goes through the second one, too.",
        ),
        _multiply,
    ),
    Exercise(
        "break-superposition",
        "A layer with a bias is not linear",
        "f(x) = 2x + 3. Give four numbers [α, β, x, y] with f(αx + βy) ≠ αf(x) + βf(y).",
        ("Write both sides out: in what do they differ?", "How often is the bias counted on each side?"),
        _break,
    ),
    Exercise(
        "factor-a-layer",
        "Two layers that are one",
        "Give two layers with no activation between them that are together x ↦ [[2, 1], [0, 3]]x + [1, −1], as "
        "[W1, b1, W2, b2] or as an nn.Sequential of two nn.Linear. The hidden width is yours "
        "to choose; neither W may "
        "be the identity matrix.",
        ("Choose any W₁ that can be undone.", "What has W₂ to be, so that W₂W₁ is the given matrix?"),
        _factor,
    ),
    Exercise(
        "fewer-than-one-layer",
        "Deeper, and with fewer parameters",
        "Give the widths [input, …, output] of an activation-free network with at least two "
        "affine layers, all with a "
        "bias, that has fewer parameters than the one layer that it is equal to. No width above 1000.",
        ("What does the one layer's size depend on?", "Think of a narrow hidden layer between wide ends."),
        _fewer,
    ),
    Exercise(
        "out-of-reach",
        "What a bottleneck cannot do",
        "Give a 3×3 matrix W, as a list of rows, such that no activation-free network 3 → 2 → 3 computes x ↦ Wx.",
        (
            "What is the largest rank of a product of a 3×2 and a 2×3 matrix?",
            "Which matrices keep all three directions?",
        ),
        _reach,
    ),
    Exercise(
        "best-affine-xor",
        "The linear floor of XOR",
        "Give [w1, w2, b] such that w1·x1 + w2·x2 + b has the smallest mean squared error "
        "that any affine map has on the "
        "four points of XOR: (0,0) → 0, (0,1) → 1, (1,0) → 1, (1,1) → 0.",
        (
            "Swap x1 and x2, or 0 and 1: what does that say about w1 and w2?",
            "The error is convex; where is its slope 0?",
        ),
        _best_affine,
    ),
    Exercise(
        "xor-by-hand",
        "XOR with two ReLUs",
        "Give [W1, b1, w2, b2] (W1 is 2×2, b1 and w2 have two numbers, b2 is one) such that "
        "w2·relu(W1·x + b1) + b2 is XOR at "
        "the four corners, exactly; or nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).",
        ("XOR depends on x1 + x2 alone: draw it.", "One ReLU gives the rise; what must the other one do after it?"),
        _xor,
    ),
    Exercise(
        "dead-unit",
        "Kill a unit",
        "A unit computes relu(w1·x1 + w2·x2 + b) for data in the square −1 ≤ x1, x2 ≤ 1. Give "
        "[w1, w2, b], not both weights 0, such "
        "that it is dead: z ≤ 0 on the whole square.",
        (
            "An affine function on a square is largest at a corner.",
            "The weights may be anything; what moves all of z down?",
        ),
        _dead,
    ),
    Exercise(
        "knots-for-a-parabola",
        "A parabola out of ReLUs",
        "A ReLU network with one unit per knot can interpolate x² on [0, 1] in straight lines "
        "between knots. Give at most 17 "
        "knots, from 0 to 1 in increasing order, with which it is nowhere further than 1/1000 from x².",
        (
            "Between two knots, where is the line furthest above the parabola?",
            "How does that distance shrink with the gap?",
        ),
        _knots,
    ),
)
