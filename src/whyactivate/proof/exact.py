"""For these stored weights and every x: the network equals Wx + b, with no rounding at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch

from whyactivate._checks import check_whole
from whyactivate.affine.rules.rule import CannotEvaluate
from whyactivate.arithmetic.affine_map import ExactAffine, ExactStep
from whyactivate.arithmetic.chain import Cost, estimate_cost
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import CannotProveError, InputError
from whyactivate.proof.latex import for_exact
from whyactivate.proof.modular import ROUNDS, Evaluate, ModularCheck, check_modular
from whyactivate.proof.result import Proof
from whyactivate.proof.rounding import inflate

POINTS_BUDGET = 10**7
"""Up to how many products of numbers the second route evaluates the network at n + 1 points."""
MEMORY_LIMIT = 2**30
"""Bytes up to which the exact result and what multiplies it out are held; beyond, only the modular check is made."""
WORK_LIMIT = 10**11
"""Up to how many products of digits the exact result is multiplied out (some ten seconds)."""


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
    evaluate: Evaluate,
    claimed: ExactAffine | Callable[[ExactAffine], ExactAffine],
    roundings: Sequence[Rounding] = (),
    *,
    points_budget: int = POINTS_BUDGET,
    rounds: int = ROUNDS,
    seed: str | None = None,
    work_limit: int = WORK_LIMIT,
    memory_limit: int = MEMORY_LIMIT,
    taken: Sequence[str] = (),
) -> Proof:
    """The claimed map equals the stored layers for every x: no rounding, no tolerance, two routes.

    Route 1 multiplies the steps' exact matrices in the cheapest order, the bias by recursion. Route 2 evaluates the
    recorded program, operation by operation: exactly at 0, e_1, …, e_n, for an affine map is determined by its values
    at those n + 1 points; or, where that would cost more than `points_budget` products, modulo random primes at
    random points (`check_modular`), which is probabilistic.

    Where multiplying out would exceed a limit, no result is held: the recorded program and the steps, multiplied from
    the output side, are compared modulo random primes, and the proof says so.

    Args:
        steps: the affine steps, the first one acting first.
        evaluate: the network itself: points of shape `(in,)` to points of shape `(out,)`, exact or modular.
        claimed: the map to check, or what gives it, told the product of the steps: where nobody has claimed anything
            yet, that product is the claim.
        roundings: rounded copies whose error bounds are checked against the claimed map, entry by entry.
        points_budget: up to how many products of numbers route 2 evaluates the network exactly; 10⁷ unless told.
        rounds: of the modular check; each multiplies its error probability.
        seed: replays a modular check; None draws from the operating system.
        work_limit: up to how many products of digits the exact result is multiplied out; 10¹¹ unless told, which
            takes some ten seconds.
        memory_limit: up to how many bytes are held for it; 2³⁰ (1 GiB) unless told.
        taken: what is taken as PyTorch or NumPy computed it, because it is no sum or product of stored numbers.

    Raises:
        InputError: steps, network and claim whose widths do not meet, or fewer than one round.
        CannotProveError: a limit is exceeded, and the program does more than add and multiply.
    """
    check_whole("rounds", rounds, 1)
    cost = estimate_cost([step.exact_weight for step in steps])
    if not isinstance(claimed, ExactAffine) and (cost.work > work_limit or cost.memory > memory_limit):
        return _prove_without_result(steps, evaluate, cost, rounds, seed, taken)
    product = ExactAffine.multiply_out(steps)
    claimed = claimed if isinstance(claimed, ExactAffine) else claimed(product)
    if (product.outputs, product.inputs) != (claimed.outputs, claimed.inputs):
        raise InputError(
            f"the steps map {product.inputs} to {product.outputs} numbers, "
            f"the claim {claimed.inputs} to {claimed.outputs}"
        )
    difference = None if claimed is product else claimed.first_difference(product)
    problems = [] if difference is None else [f"route 1, claim against product: {difference}"]
    second = _second_route(steps, evaluate, claimed, points_budget, rounds, seed)
    problems += second.problems

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
            "Route 1: the steps composed two at a time in the cheapest order, (W, b) after (A, a) being (WA, Wa + b); "
            "compared with the claim entry by entry.",
            f"Route 2: {second.words}",
            *(f"Exact given this: {words}." for words in taken),
            *rounding_words,
            verdict,
        ),
        details={
            "inputs": claimed.inputs,
            "outputs": claimed.outputs,
            "largest integer (bits)": bits,
            "dyadic": dyadic,
            "route 2": second.name,
            **({"taken as computed": list(taken)} if taken else {}),
            **second.details,
            **errors,
            "problems": problems,
        },
        formulas=partial(for_exact, steps, claimed),
    )


@dataclass(frozen=True)
class _Route:
    name: str
    words: str
    problems: list[str]
    details: dict[str, object] = field(default_factory=dict[str, object])


def _second_route(
    steps: Sequence[ExactStep],
    evaluate: Evaluate,
    claimed: ExactAffine,
    points_budget: int,
    rounds: int,
    seed: str | None,
) -> _Route:
    if (claimed.inputs + 1) * sum(step.exact_weight.size for step in steps) > points_budget:
        try:
            check = check_modular(evaluate, steps, claimed, rounds=rounds, seed=seed)
        except CannotEvaluate:
            return _at_affine_basis(evaluate, claimed)  # it compares numbers; residues cannot
        words = (
            f"the recorded program evaluated modulo {rounds} random primes of 62 bits, each at a random point, and "
            f"compared with the exact result; another affine map would agree with probability at most "
            f"2^{math.ceil(check.log2_error)}. (Evaluating at {claimed.inputs + 1} points would cost too much.)"
        )
        problems = [f"route 2, claim against network: {problem}" for problem in check.problems]
        return _Route("modulo random primes", words, problems, _details_of(check))
    return _at_affine_basis(evaluate, claimed)


def _details_of(check: ModularCheck) -> dict[str, object]:
    return {
        "modular check: compared": f"{check.compared} against the recorded program",
        "modular check: rounds": len(check.primes),
        "modular check: error probability at most": f"2^{math.ceil(check.log2_error)}",
        "modular check: seed, for replay only": check.seed,
    }


def _at_affine_basis(evaluate: Evaluate, claimed: ExactAffine) -> _Route:
    """The network at 0, e_1, …, e_n: its bias, and the columns of its weight."""
    n = claimed.inputs
    basis = ExactArray.concatenate([ExactArray.zeros(1, (1, n)), ExactArray.identity(n)]).axis_to_points()
    values = _evaluate(evaluate, basis, claimed)
    bias = values.at(0)
    columns = (values.at(slice(1, None)) - bias).points_to_axis()
    difference = claimed.first_difference(ExactAffine(columns.transpose(), bias))
    words = f"the network evaluated exactly at 0, e_1, …, e_{n}; these {n + 1} values determine an affine map."
    problems = [] if difference is None else [f"route 2, claim against network: {difference}"]
    return _Route("n + 1 points", words, problems)


def _prove_without_result(
    steps: Sequence[ExactStep], evaluate: Evaluate, cost: Cost, rounds: int, seed: str | None, taken: Sequence[str]
) -> Proof:
    inputs, outputs = steps[0].exact_weight.shape[1], steps[-1].exact_weight.shape[0]
    too_much = (
        f"the exact {outputs}×{inputs} result has integers of about {cost.bits:,} bits; multiplying it out would take "
        f"{cost.work:.2g} products of digits and {cost.memory / 2**20:,.0f} MiB"
    )
    try:
        check = check_modular(evaluate, steps, None, rounds=rounds, seed=seed)
    except CannotEvaluate as error:
        raise CannotProveError(f"{too_much}, and it cannot be checked modulo a prime: {error}") from error
    return Proof(
        kind="exact",
        statement="For these stored weights and every input x, the network equals its matrices multiplied out: no "
        "rounding, no tolerance, up to the stated probability.",
        holds=check.agrees,
        steps=(
            f"No exact result is held: {too_much}.",
            "Instead two evaluations are compared modulo random primes: the recorded program, operation by operation "
            "from the input, and the steps' matrices, multiplied from the output side.",
            f"{str(check)[0].upper()}{str(check)[1:]}.",
            *(f"Exact given this: {words}." for words in taken),
        ),
        details={
            "inputs": inputs,
            "outputs": outputs,
            "largest integer (bits), about": cost.bits,
            **({"taken as computed": list(taken)} if taken else {}),
            **_details_of(check),
            "problems": list(check.problems),
        },
        formulas=partial(for_exact, steps, None),
    )


def _evaluate(evaluate: Evaluate, points: ExactArray, claimed: ExactAffine) -> ExactArray:
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
    nearest: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for rounding in roundings:
        largest_error, largest_bound = 0.0, 0.0
        for part, tensor, bound, exact in (
            ("weight", rounding.weight, rounding.weight_bound, claimed.weight),
            ("bias", rounding.bias, rounding.bias_bound, claimed.bias),
        ):
            if bound.shape != tensor.shape:
                raise InputError(f"{rounding.name}: a bound of shape {tuple(bound.shape)} for {tuple(tensor.shape)}")
            near, error_of_near = nearest.get(part, (None, bound))
            error = torch.full_like(bound, torch.inf)
            if near is not None and near.shape == tensor.shape:
                error = _error_through(tensor, near, error_of_near)
            if not (error <= bound).all():
                error = exact.error_of(tensor)
            nearest.setdefault(part, (tensor, error))
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


def _error_through(tensor: torch.Tensor, near: torch.Tensor, error_of_near: torch.Tensor) -> torch.Tensor:
    """Upper bounds, float64, of |tensor - exact|, from those of another rounding: sharp where that is much nearer."""
    return inflate((tensor.double() - near.double()).abs() + error_of_near, 2)
