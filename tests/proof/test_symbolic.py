from __future__ import annotations

import json
from itertools import pairwise

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from whyactivate.errors import CannotProveError, InputError
from whyactivate.proof.symbolic import estimate_size, product_formula, prove_symbolic

architectures = st.lists(st.integers(1, 4), min_size=2, max_size=5).flatmap(
    lambda widths: st.tuples(
        st.just(widths), st.lists(st.booleans(), min_size=len(widths) - 1, max_size=len(widths) - 1)
    )
)


@settings(max_examples=30)
@given(architectures)
def test_every_architecture_collapses_by_both_engines(architecture) -> None:
    widths, biases = architecture
    by_sympy, by_flint = (prove_symbolic(widths, biases, engine=engine) for engine in ("sympy", "flint"))
    assert by_sympy.holds
    assert by_flint.holds
    assert by_sympy.details["terms"] == by_flint.details["terms"]
    size = estimate_size(widths, biases)
    assert by_sympy.details["terms"] == size.terms * size.outputs
    json.dumps(by_sympy.to_dict())


@settings(max_examples=10)
@given(architectures)
def test_sympy_matrices_say_the_same(architecture) -> None:
    """A third route: SymPy matrices of symbols, expanded, share no code with the polynomial rings."""
    widths, biases = architecture
    x = sympy.Matrix([sympy.Symbol(f"x{j}") for j in range(widths[0])])
    output, weight, bias = x, sympy.eye(widths[0]), sympy.zeros(widths[0], 1)
    for k, ((inputs, outputs), has_bias) in enumerate(zip(pairwise(widths), biases, strict=True)):
        matrix = sympy.Matrix(outputs, inputs, lambda i, j, k=k: sympy.Symbol(f"W{k}_{i}_{j}"))
        vector = sympy.Matrix(outputs, 1, lambda i, _, k=k, h=has_bias: sympy.Symbol(f"b{k}_{i}") * int(h))
        output = matrix * output + vector
        weight, bias = matrix * weight, matrix * bias + vector
    assert (output - (weight * x + bias)).expand() == sympy.zeros(widths[-1], 1)


def test_the_articles_architecture() -> None:
    proof = prove_symbolic((10, 18, 18, 4, 1))
    assert proof.holds
    assert proof.details["variables"] == 631
    assert proof.details["terms"] == 14333
    assert proof.details["engine"] == "flint"


def no_inner_bias(weights, biases):
    return product_formula(weights, biases)[0], biases[-1]


def wrong_order(weights, biases):
    _, bias = product_formula(weights, biases)
    return product_formula(weights[::-1], biases)[0], bias


def bias_added_twice(weights, biases):
    weight, bias = product_formula(weights, biases)
    return weight, [b + c for b, c in zip(bias, biases[-1], strict=True)]


def last_layer_only(weights, biases):
    return weights[-1], product_formula(weights, biases)[1]


def one_entry_off(weights, biases):
    weight, bias = product_formula(weights, biases)
    return [[weight[0][0] + 1, *weight[0][1:]], *weight[1:]], bias


@pytest.mark.parametrize("engine", ["sympy", "flint"])
@pytest.mark.parametrize("formula", [no_inner_bias, wrong_order, bias_added_twice, last_layer_only, one_entry_off])
def test_a_wrong_formula_fails(formula, engine) -> None:
    proof = prove_symbolic((3, 3, 3, 3), engine=engine, formula=formula)
    assert not proof.holds
    assert 0 in proof.details["wrong outputs"]
    assert "not the zero polynomial" in proof.steps[-1]


def test_without_biases_a_formula_that_forgets_them_is_right() -> None:
    assert prove_symbolic((3, 3, 3), (False, False), formula=no_inner_bias).holds
    assert prove_symbolic((3, 3, 3), (False, True), formula=no_inner_bias).holds
    assert not prove_symbolic((3, 3, 3), (True, False), formula=no_inner_bias).holds


def test_what_would_not_fit_is_refused_with_an_estimate() -> None:
    with pytest.raises(CannotProveError, match=r"784-512-512-10 are 10 polynomials of 205,783,\d+ terms .* GiB"):
        prove_symbolic((784, 512, 512, 10))
    with pytest.raises(CannotProveError, match=r"are 1 polynomial of .* GiB of memory"):
        prove_symbolic((20, 40, 20, 20, 1))


@pytest.mark.parametrize(
    ("widths", "biases", "message"),
    [
        ((3,), None, "at least two widths"),
        ((3, 0), None, "positive"),
        ((3, 2.5), None, "positive"),
        ((3, 2), (True, True), "expected 1 flags"),
    ],
)
def test_bad_architectures(widths, biases, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prove_symbolic(widths, biases)
