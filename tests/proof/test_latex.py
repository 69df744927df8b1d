from __future__ import annotations

import re
from fractions import Fraction

import pytest
import torch
from torch import nn

import whyactivate as wa
from whyactivate.proof import prove_symbolic, prove_theorem
from whyactivate.proof.latex import fraction, network, number, product, variable


def balanced(text: str) -> bool:
    """Braces close, \\left has its \\right, and every environment its end."""
    depth = 0
    for before, character in zip(" " + text, text, strict=False):
        if before != "\\" and character in "{}":
            depth += 1 if character == "{" else -1
            if depth < 0:
                return False
    environments = all(
        text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") for name in ("pmatrix", "aligned")
    )
    return depth == 0 and text.count(r"\left") == text.count(r"\right") and environments


def small() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.75, -3.0]]))
        net[0].bias.fill_(2.0**-30)
        net[1].weight.fill_(0.5)
    return net


def test_the_theorem_has_base_case_and_step() -> None:
    text = prove_theorem().latex()
    assert r"W \left(A x + a\right) + b = \left(W A\right) x + \left(W a + b\right)" in text
    assert "Base case" in text
    assert balanced(text)


@pytest.mark.parametrize("engine", ["sympy", "flint"])
def test_a_small_architecture_is_written_out(engine) -> None:
    text = prove_symbolic((2, 1, 1), engine=engine).latex()
    assert "w^{(2)}_{11} w^{(1)}_{12} x_{2}" in text
    assert r"\left(w^{(2)}_{11} w^{(1)}_{11}\right) x_{1}" in text
    assert balanced(text)


def test_the_articles_architecture_stays_in_matrix_form() -> None:
    text = prove_symbolic((10, 18, 18, 4, 1)).latex()
    assert "w^{(" not in text
    assert r"W = W_{4} W_{3} W_{2} W_{1}" in text
    assert r"W_{1} \in \mathbb{R}^{18 \times 10}" in text
    assert len(text) < 2000
    assert balanced(text)


def test_small_weights_are_written_out_exactly() -> None:
    text = wa.collapse_linear(small()).prove("exact").latex()
    assert r"W_{1} = \begin{pmatrix} 3 \cdot 2^{-2} & -3 \end{pmatrix}" in text
    assert r"W = W_{2} W_{1} &= \begin{pmatrix}" in text
    assert r"& -3 \end{pmatrix}\\ &= \begin{pmatrix} 3 \cdot 2^{-3} & -3 \cdot 2^{-1} \end{pmatrix}" in text
    assert r"b = W_{2} b_{1} = \begin{pmatrix} 2^{-31} \end{pmatrix}" in text
    assert r"f(x) = W_{2} \left(W_{1} x + b_{1}\right) = W x + b" in text
    assert balanced(text)


def test_large_weights_stay_in_matrix_form() -> None:
    text = wa.collapse_linear(nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 40))).prove("exact").latex()
    assert r"\mathbb{Z}\right)^{40 \times 30}" in text
    assert "pmatrix" not in text
    assert re.search(r"b \\in \\left\(2\^\{-\d+\}\\mathbb\{Z\}\\right\)\^\{40\}", text)
    assert balanced(text)


def test_a_single_number_is_a_multiple_of_a_power_of_two_too() -> None:
    layers = nn.Sequential(nn.Linear(17, 17), nn.Linear(17, 1))
    with torch.no_grad():
        layers[1].bias.fill_(3 * 2.0**-50)
        layers[0].bias.zero_()
    text = wa.collapse_linear(layers).prove("exact").latex()
    assert r"b \in \left(2^{-50}\mathbb{Z}\right)^{1}" in text


def test_the_numeric_bound_is_derived_with_its_numbers() -> None:
    proof = wa.collapse_linear(small()).prove("numeric", radius=2.0)
    text = proof.latex()
    assert r"u = 2^{-24}" in text
    assert number(proof.details["in the box: bound"]) in text
    assert r"\left|W_{2} \cdots W_{k+1}\right| \delta_k" in text
    assert text.count(r"+ \eta_k") == 2  # or a network of zeros would be claimed to have no error at all
    assert balanced(text)


def test_products_of_many_matrices_and_of_one_are_not_written_out_twice() -> None:
    for depth in (1, 5):
        layers = nn.Sequential(*(nn.Linear(2, 2) for _ in range(depth)))
        text = wa.collapse_linear(layers).prove("exact").latex()
        assert text.count(r"\begin{pmatrix}") == 2 * depth + 2
        assert balanced(text)


def test_no_bias_is_not_added() -> None:
    text = prove_symbolic((2, 1), (False,)).latex()
    assert r"&= \left(w^{(1)}_{11}\right) x_{1} + \left(w^{(1)}_{12}\right) x_{2} \end{aligned}" in text


def test_a_proof_that_does_not_hold_derives_nothing() -> None:
    text = prove_theorem(lambda outer, outer_bias, inner, inner_bias: (outer * inner, outer_bias)).latex()
    assert "does not hold" in text
    assert "Base case" not in text


def test_pieces() -> None:
    assert fraction(Fraction(-1, 3)) == r"-\tfrac{1}{3}"
    assert fraction(Fraction(3 * 2**40)) == r"3 \cdot 2^{40}"
    assert fraction(Fraction(0)) == "0"
    assert fraction(Fraction(-1, 4)) == "-2^{-2}"
    assert number(1.234e-7) == r"1.23 \cdot 10^{-7}"
    assert variable("W1_0_11") == "w^{(1)}_{1,12}"
    assert product(9) == r"W_{9} W_{8} \cdots W_{1}"
    assert network(2, (False, True)) == r"W_{2} \left(W_{1} x\right) + b_{2}"
    assert r"\cdots" in network(7, (True,) * 7)
