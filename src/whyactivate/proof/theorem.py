"""For every depth and every width: a composition of affine maps is one affine map."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from whyactivate.errors import InputError
from whyactivate.proof.latex import for_theorem
from whyactivate.proof.result import Proof

Compose = Callable[[Any, Any, Any, Any], tuple[Any, Any]]
"""`(outer weight, outer bias, inner weight, inner bias) -> (weight, bias)` of the composition."""

STATEMENT = (
    "For every depth and all widths, a composition of affine maps x -> W_n(… (W_1 x + b_1) …) + b_n equals one affine "
    "map x -> Wx + b."
)


def compose(outer_weight: Any, outer_bias: Any, inner_weight: Any, inner_bias: Any) -> tuple[Any, Any]:
    """The weight and bias of h -> Wh + b after x -> Ax + a: they are WA and Wa + b."""
    return outer_weight * inner_weight, outer_weight * inner_bias + outer_bias


def prove_theorem(rule: Compose = compose) -> Proof:
    """The theorem, by induction over the depth; SymPy checks the base case and the induction step.

    Widths are symbols (positive integers, nothing else is assumed of them) and matrices are `MatrixSymbol`s, so that
    one check speaks for every width. The induction itself, from one depth to the next, is stated in words.

    Args:
        rule: how two affine maps are said to compose; a wrong rule makes a proof that does not hold.

    Raises:
        InputError: the rule cannot be called.
    """
    if not callable(rule):
        raise InputError(
            "expected a rule to call: (outer weight, outer bias, inner weight, inner bias) -> (weight, bias); "
            f"got {rule!r}. Leave it out for the rule of affine maps."
        )
    from sympy import Identity, MatrixSymbol, ZeroMatrix, symbols

    n, m, p = symbols("n m p", integer=True, positive=True)
    x = MatrixSymbol("x", n, 1)
    first_weight, first_bias = MatrixSymbol("W_1", m, n), MatrixSymbol("b_1", m, 1)
    weight, bias = MatrixSymbol("A", m, n), MatrixSymbol("a", m, 1)
    next_weight, next_bias = MatrixSymbol("W", p, m), MatrixSymbol("b", p, 1)

    base = _difference(first_weight * x + first_bias, rule(first_weight, first_bias, Identity(n), ZeroMatrix(n, 1)), x)
    network = next_weight * (weight * x + bias) + next_bias
    step = _difference(network, rule(next_weight, next_bias, weight, bias), x)
    linear = rule(next_weight, ZeroMatrix(p, 1), weight, ZeroMatrix(m, 1))[1].expand().doit()
    checks = {"base case": base, "induction step": step, "bias of linear layers": str(linear)}

    holds = all(outcome == "0" for outcome in checks.values())
    conclusion = (
        "By induction over the depth it holds for every n: W = W_n … W_1, and b follows b <- W_k b + b_k from b = 0."
        if holds
        else "A difference that is not 0 stops the induction: this rule does not collapse the layers."
    )
    return Proof(
        kind="theorem",
        statement=STATEMENT,
        holds=holds,
        steps=(
            f"Base case, depth 1: the layer W_1 x + b_1, composed with the identity. Network minus collapse: {base}.",
            "Induction step: let the first k layers be x -> Ax + a, whatever A and a are, and the next one "
            f"h -> Wh + b. The network is then {network}. Network minus collapse: {step}.",
            f"Linear layers stay linear: without biases the rule's bias is {linear}.",
            conclusion,
        ),
        details={
            **checks,
            "widths": "symbols, any positive integers",
            "checked by SymPy": "base case and induction step; the induction itself is stated",
        },
        formulas=partial(
            for_theorem, first_weight * x + first_bias, network, rule(next_weight, next_bias, weight, bias)
        ),
    )


def _difference(network: Any, claimed: tuple[Any, Any], x: Any) -> str:
    """`network - (Wx + b)` expanded, "0" where it is the zero matrix; or why it cannot be formed."""
    weight, bias = claimed
    if weight.shape != (network.shape[0], x.shape[0]) or bias.shape != network.shape:
        return f"not formed, as a weight {weight} of shape {weight.shape} and a bias of shape {bias.shape} do not fit"
    return str((network - (weight * x + bias)).expand().doit())
