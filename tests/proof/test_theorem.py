from __future__ import annotations

import json

import pytest
from sympy import MatrixSymbol, ZeroMatrix

from whyactivate.errors import InputError
from whyactivate.proof.theorem import compose, prove_theorem


def test_the_theorem_holds() -> None:
    proof = prove_theorem()
    assert proof.kind == "theorem"
    assert proof.holds
    assert proof.details["base case"] == proof.details["induction step"] == "0"
    json.dumps(proof.to_dict())


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        (lambda W, b, A, a: (A * W, W * a + b), "induction step"),
        (lambda W, b, A, a: (W * A, W * a), "induction step"),
        (lambda W, b, A, a: (W * A, b), "induction step"),
        (lambda W, b, A, a: (W * A, A * b + a), "induction step"),
        (lambda W, b, A, a: (W * A, W * a + 2 * b), "base case"),
        (lambda W, b, A, a: (2 * W * A, W * a + b), "base case"),
        (lambda W, b, A, a: (W * A, ZeroMatrix(W.shape[0], 1)), "base case"),
        (lambda W, b, A, a: (W * A - W * A, W * a + b), "induction step"),
    ],
    ids=["AW", "no outer bias", "no inner bias", "biases swapped", "bias twice", "weight twice", "no bias", "0"],
)
def test_a_wrong_rule_fails_where_it_is_wrong(rule, where: str) -> None:
    proof = prove_theorem(rule)
    assert not proof.holds
    assert proof.details[where] != "0"
    assert "stops the induction" in proof.steps[-1]


def test_a_rule_that_invents_a_bias_where_there_is_none_is_caught() -> None:
    def rule(W, b, A, a):
        weight, bias = compose(W, b, A, a)
        return weight, bias + MatrixSymbol("c", W.shape[0], 1) if isinstance(b, ZeroMatrix) else bias

    proof = prove_theorem(rule)
    assert not proof.holds
    assert proof.details["bias of linear layers"] == "c"


@pytest.mark.parametrize("rule", [3, None, "compose"])
def test_what_cannot_be_called_is_no_rule(rule) -> None:
    with pytest.raises(InputError, match=r"expected a rule to call.*got " + repr(rule)):
        prove_theorem(rule)
