"""For these stored weights and every x: the network equals Wx + b, with no rounding at all."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from whyactivate.arithmetic.affine_map import ExactAffine, ExactStep
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import InputError
from whyactivate.proof.result import Proof

POINTS_BUDGET = 10**9
"""Up to how many products of integers the second route evaluates the network at n + 1 points (some seconds)."""
SPOT_BITS = 64
"""Entries of the random points that stand beside a route too costly for n + 1 points are drawn from 2^64 integers."""


@dataclass(frozen=True)
class Rounding:
    """A rounded copy of the exact map, and how far each of its entries is claimed to be from it at most.

    Attributes:
        name: as in ".weight and .bias".
        weight: shape `(out, in)`, any floating dtype.
        bias: shape `(out,)`.
        weight_bound: float64, shape `(out, in)`.
        bias_bound: float64, shape `(out,)`.
    """

    name: str
    weight: torch.Tensor
    bias: torch.Tensor
    weight_bound: torch.Tensor
    bias_bound: torch.Tensor


def prove_exact(
    steps: Sequence[ExactStep],
    evaluate: Callable[[ExactArray], ExactArray],
    claimed: ExactAffine,
    roundings: Sequence[Rounding] = (),
    *,
    points_budget: int = POINTS_BUDGET,
    seed: int = 0,
) -> Proof:
    """The claimed map equals the stored layers for every x: integers times one unit, no tolerance, two routes.

    Route 1 multiplies the steps' exact matrices in the cheapest order, the bias by recursion. Route 2 evaluates the
    network exactly at 0, e_1, …, e_n: an affine map is determined by its values at those n + 1 points. Where that would
    cost more than `points_budget` products of integers, route 2 gathers the matrices from the last step to the first
    instead (another association, another formula for the bias), and the network is evaluated at 0 and at one random
    integer point as a spot check; `details` says which was done.

    Args:
        steps: the affine steps, the first one acting first.
        evaluate: the network itself, exact: points of shape `(in,)` to points of shape `(out,)`.
        claimed: the map to check.
        roundings: rounded copies whose error bounds are checked against the claimed map, entry by entry.
        points_budget: see above.
        seed: draws the random point of the spot check.

    Raises:
        InputError: steps, network and claim whose widths do not meet.
    """
    product = ExactAffine.multiply_out(steps)
    if (product.outputs, product.inputs) != (claimed.outputs, claimed.inputs):
        raise InputError(
            f"the steps map {product.inputs} to {product.outputs} numbers, "
            f"the claim {claimed.inputs} to {claimed.outputs}"
        )
    difference = claimed.first_difference(product)
    problems = [] if difference is None else [f"route 1, claim against product: {difference}"]

    cost = (claimed.inputs + 1) * sum(step.exact_weight.size for step in steps)
    if cost <= points_budget:
        route, found = _at_affine_basis(evaluate, claimed)
    else:
        route, found = _from_output_with_spot_check(steps, evaluate, claimed, seed)
    problems += found

    rounding_words, errors, exceeded = _check_roundings(roundings, claimed)
    problems += exceeded
    bits = max(claimed.weight.bits, claimed.bias.bits)
    dyadic = claimed.weight.is_dyadic and claimed.bias.is_dyadic
    verdict = "All of it agrees." if not problems else f"It disagrees: {problems[0]}."
    return Proof(
        kind="exact",
        statement="For these stored weights and every input x, the network equals Wx + b: no rounding, no tolerance.",
        holds=not problems,
        steps=(
            f"Every float is an integer times a power of two, and the {len(steps)} steps are taken as such. The claim: "
            f"integers of up to {bits} bits times {'a power of two' if dyadic else 'one fraction'}.",
            "Route 1: the steps' matrices multiplied in the cheapest order, b <- W_k b + b_k for the bias; compared "
            "with the claim entry by entry.",
            f"Route 2: {route}",
            *rounding_words,
            verdict,
        ),
        details={
            "inputs": claimed.inputs,
            "outputs": claimed.outputs,
            "largest integer (bits)": bits,
            "dyadic": dyadic,
            "route 2": "n + 1 points" if cost <= points_budget else "from the output side, and a spot check",
            **errors,
            "problems": problems,
        },
    )


def _at_affine_basis(evaluate: Callable[[ExactArray], ExactArray], claimed: ExactAffine) -> tuple[str, list[str]]:
    """The network at 0, e_1, …, e_n: its bias, and the columns of its weight."""
    n = claimed.inputs
    basis = ExactArray.concatenate([ExactArray.zeros(1, (1, n)), ExactArray.identity(n)]).axis_to_points()
    values = _evaluate(evaluate, basis, claimed)
    bias = values.at(0)
    columns = (values.at(slice(1, None)) - bias).points_to_axis()
    difference = claimed.first_difference(ExactAffine(columns.transpose(), bias))
    words = f"the network evaluated exactly at 0, e_1, …, e_{n}; these {n + 1} values determine an affine map."
    return words, [] if difference is None else [f"route 2, claim against network: {difference}"]


def _from_output_with_spot_check(
    steps: Sequence[ExactStep], evaluate: Callable[[ExactArray], ExactArray], claimed: ExactAffine, seed: int
) -> tuple[str, list[str]]:
    difference = claimed.first_difference(ExactAffine.gather_from_output(steps))
    problems = [] if difference is None else [f"route 2, claim against product: {difference}"]
    drawn = random.Random(seed)
    entries = [drawn.randrange(-(2 ** (SPOT_BITS - 1)), 2 ** (SPOT_BITS - 1)) for _ in range(claimed.inputs)]
    points = ExactArray.stack_points([ExactArray.zeros(1, (claimed.inputs,)), ExactArray.from_fractions(entries)])
    place = _evaluate(evaluate, points, claimed).first_difference(claimed(points))
    if place is not None:
        where = "0" if place[0] == 0 else f"a random integer point (seed {seed})"
        problems.append(f"spot check, claim against network: output {place[1]} differs at {where}")
    words = (
        "the steps' matrices gathered from the last to the first, for evaluating at "
        f"{claimed.inputs + 1} points would cost too much. As a spot check, weaker, the network at 0 and at one "
        f"random point of {SPOT_BITS}-bit integers, where another affine map would agree with probability at most "
        f"2^-{SPOT_BITS}."
    )
    return words, problems


def _evaluate(evaluate: Callable[[ExactArray], ExactArray], points: ExactArray, claimed: ExactAffine) -> ExactArray:
    values = evaluate(points)
    if values.shape != (claimed.outputs,):
        raise InputError(f"the network gives shape {values.shape}, the claim ({claimed.outputs},)")
    return values.at_points(points.points)


def _check_roundings(
    roundings: Sequence[Rounding], claimed: ExactAffine
) -> tuple[list[str], dict[str, object], list[str]]:
    """`(words, numbers, problems)` of comparing each rounded copy with its bounds."""
    words: list[str] = []
    errors: dict[str, object] = {}
    problems: list[str] = []
    for rounding in roundings:
        largest_error, largest_bound = 0.0, 0.0
        for part, tensor, bound, exact in (
            ("weight", rounding.weight, rounding.weight_bound, claimed.weight),
            ("bias", rounding.bias, rounding.bias_bound, claimed.bias),
        ):
            if bound.shape != tensor.shape:
                raise InputError(f"{rounding.name}: a bound of shape {tuple(bound.shape)} for {tuple(tensor.shape)}")
            error = exact.error_of(tensor)
            within = error <= bound
            if not within.all():
                entry = tuple(int(i) for i in (~within).nonzero()[0])
                problems.append(
                    f"{rounding.name}: {part}{list(entry)} is off by {error[entry].item():.3g}, beyond its bound "
                    f"{bound[entry].item():.3g}"
                )
            if error.numel():
                largest_error = max(largest_error, error.max().item())
                largest_bound = max(largest_bound, bound.max().item())
        words.append(
            f"{rounding.name}: the exact map, rounded; no entry is off by more than {largest_error:.3g} (the bounds, "
            f"entry by entry, go up to {largest_bound:.3g})."
        )
        errors[f"{rounding.name}: largest error"] = largest_error
        errors[f"{rounding.name}: largest bound"] = largest_bound
    return words, errors, problems
