"""The four derivations as LaTeX formulas: entry by entry where they are small, in matrix form where not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whyactivate.arithmetic.affine_map import ExactAffine, ExactStep
    from whyactivate.arithmetic.exact import ExactArray

SMALL_ENTRIES = 16
"""Matrices with more entries are not written out."""
SMALL_TERMS = 24
"""Polynomials with more terms are not written out."""
_FEW_LAYERS = 4


def network(depth: int, biases: Sequence[bool]) -> str:
    r"""The network, layer in layer: `W_{2} \left(W_{1} x + b_{1}\right) + b_{2}`."""
    if depth > _FEW_LAYERS:
        inner = rf"W_{{2}}\left(W_{{1}} x{_plus(1, biases)}\right){_plus(2, biases)}"
        return rf"W_{{{depth}}}\left(\cdots {inner} \cdots\right){_plus(depth, biases)}"
    text = "x"
    for layer in range(1, depth + 1):
        inside = text if layer == 1 else rf"\left({text}\right)"
        text = f"W_{{{layer}}} {inside}{_plus(layer, biases)}"
    return text


def product(last: int, first: int = 1) -> str:
    """`W_{3} W_{2} W_{1}`, with dots where there are many."""
    layers = range(last, first - 1, -1)
    if len(layers) > _FEW_LAYERS:
        return rf"W_{{{last}}} W_{{{last - 1}}} \cdots W_{{{first}}}"
    return " ".join(f"W_{{{layer}}}" for layer in layers)


def bias_sum(depth: int, biases: Sequence[bool]) -> str:
    """`b_{3} + W_{3} b_{2} + W_{3} W_{2} b_{1}`; `0` where no layer has a bias."""
    layers = [layer for layer in range(depth, 0, -1) if biases[layer - 1]]
    terms = [f"b_{{{k}}}" if k == depth else f"{product(depth, k + 1)} b_{{{k}}}" for k in layers]
    if len(terms) > _FEW_LAYERS:
        terms = [*terms[:2], r"\cdots", terms[-1]]
    return " + ".join(terms) or "0"


def for_theorem(base: Any, step: Any, composed: tuple[Any, Any]) -> tuple[str, ...]:
    """Base case and induction step from SymPy's expressions."""
    from sympy import latex

    weight, bias = (latex(part) for part in composed)
    return (
        r"\textbf{Theorem.}\quad W_n\left(\cdots\left(W_1 x + b_1\right)\cdots\right) + b_n = W x + b,"
        r"\qquad W = W_n \cdots W_1,\quad b = \sum_{k=1}^{n} W_n \cdots W_{k+1}\, b_k",
        rf"\textbf{{Base case, }} n = 1\colon\quad {latex(base)} = W x + b"
        r"\quad\text{with } W = W_1,\ b = b_1",
        r"\textbf{Step.}\quad\text{If the first } k \text{ layers are } x \mapsto A x + a,\text{ then }"
        rf"{latex(step)} = \left({weight}\right) x + \left({bias}\right)",
        r"\text{which is again of the form } W x + b.\qquad\blacksquare",
    )


def for_symbols(
    widths: Sequence[int], biases: Sequence[bool], outputs: Sequence[tuple[Any, Any]] | None
) -> tuple[str, ...]:
    """The identity of polynomials; `outputs` are pairs of network and collapse, where they are to be written out."""
    depth = len(widths) - 1
    spaces = r",\ ".join(
        rf"W_{{{k}}} \in \mathbb{{R}}^{{{widths[k]} \times {widths[k - 1]}}}" for k in range(1, min(depth, 6) + 1)
    )
    formulas = [
        spaces + (r",\ \ldots" if depth > 6 else ""),
        rf"f(x) = {network(depth, biases)} = W x + b",
        rf"W = {product(depth)}, \qquad b = {bias_sum(depth, biases)}",
    ]
    for number, (through_layers, collapsed) in enumerate(outputs or (), 1):
        formulas.append(rf"\begin{{aligned}} f_{{{number}}}(x) &= {through_layers}\\ &= {collapsed} \end{{aligned}}")
    formulas.append(rf"f(x) - (W x + b) \equiv 0 \quad\text{{in }} \mathbb{{Z}}[{_ring(biases)}]")
    return tuple(formulas)


def for_exact(steps: Sequence[ExactStep], claimed: ExactAffine | None) -> tuple[str, ...]:
    """The product of the stored matrices and what it is, exactly; None where it is not held."""
    biases = [step.exact_bias is not None for step in steps]
    formulas = [
        rf"f(x) = {network(len(steps), biases)} = W x + b",
        rf"W = {product(len(steps))}, \qquad b = {bias_sum(len(steps), biases)}",
    ]
    if claimed is None:
        return tuple(formulas)
    arrays = [array for step in steps for array in (step.exact_weight, step.exact_bias) if array is not None]
    if all(array.size <= SMALL_ENTRIES for array in (*arrays, claimed.weight)):
        for layer, step in enumerate(steps, 1):
            parts = [rf"W_{{{layer}}} = {matrix(step.exact_weight)}"]
            if step.exact_bias is not None:
                parts.append(rf"b_{{{layer}}} = {matrix(step.exact_bias)}")
            formulas.append(r",\quad ".join(parts))
        result = matrix(claimed.weight)
        if 1 < len(steps) <= _FEW_LAYERS:
            factors = " ".join(matrix(step.exact_weight) for step in reversed(steps))
            result = rf"{factors}\\ &= {result}"
        formulas.append(rf"\begin{{aligned}} W = {product(len(steps))} &= {result} \end{{aligned}}")
        formulas.append(rf"b = {bias_sum(len(steps), biases)} = {matrix(claimed.bias)}")
    else:
        formulas.append(
            rf"W \in {_lattice(claimed.weight)}^{{{claimed.outputs} \times {claimed.inputs}}}, \qquad "
            rf"b \in {_lattice(claimed.bias)}^{{{claimed.outputs}}}"
        )
    return tuple(formulas)


def for_numbers(depth: int, unit: str, to_map: float, to_layer: float, radius: float) -> tuple[str, ...]:
    """Where the bound comes from, and what it is."""
    over_box = rf"\max_{{\|x\|_\infty \le {number(radius)}}}"
    return (
        rf"\left|\hat f(x) - (W x + b)\right| \le \sum_{{k=1}}^{{{depth}}} "
        rf"\left|W_{{{depth}}} \cdots W_{{k+1}}\right| \delta_k",
        r"\delta_k \le u S_k + (K_k - 1)\, u \left(\tfrac{S_k + \left|W_k h + b_k\right|}{2} + K_k u S_k\right)"
        r" + \eta_k\quad\text{and}\quad \delta_k \le K_k\, u\, S_k + \eta_k",
        rf"S_k = |W_k||h| + |b_k|,\qquad u = {unit},\qquad \eta_k\text{{: what underflows}}",
        rf"{over_box} \left|\hat f(x) - (W x + b)\right| \le {number(to_map)},\qquad "
        rf"{over_box} \left|\hat f(x) - \widehat{{(W x + b)}}\right| \le {number(to_layer)}",
    )


def matrix(array: ExactArray) -> str:
    """A small exact matrix or column, entry by entry."""
    values = array.to_fractions()[0]
    rows = values if values.ndim == 2 else values[:, None]
    body = r" \\ ".join(" & ".join(fraction(value) for value in row) for row in rows)
    return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"


def fraction(value: Fraction) -> str:
    r"""`-3`, `5 \cdot 2^{-24}`, `2^{-1}`, or a quotient where the denominator is no power of two."""
    numerator, denominator = value.numerator, value.denominator
    if denominator & (denominator - 1) == 0:
        exponent = 1 - denominator.bit_length()
        zeros = (numerator & -numerator).bit_length() - 1 if numerator else 0
        if not exponent and zeros > 20:
            numerator, exponent = numerator >> zeros, zeros
        if exponent and abs(numerator) == 1:
            return rf"{'-' if numerator < 0 else ''}2^{{{exponent}}}"
        return str(numerator) if not exponent else rf"{numerator} \cdot 2^{{{exponent}}}"
    return rf"{'-' if numerator < 0 else ''}\tfrac{{{abs(numerator)}}}{{{denominator}}}"


def number(value: float) -> str:
    r"""Three digits, as `1.23 \cdot 10^{-6}`."""
    digits, _, exponent = f"{value:.3g}".partition("e")
    return digits if not exponent else rf"{digits} \cdot 10^{{{int(exponent)}}}"


def polynomial(terms: Sequence[tuple[Sequence[str], int]], name: Callable[[str], str]) -> str:
    """A sum of monomials, each a list of variables and a coefficient."""
    words = [(str(factor) if factor != 1 else "") + " ".join(map(name, variables)) for variables, factor in terms]
    return " + ".join(words) or "0"


def variable(name: str) -> str:
    """`W1_0_2` as `w^{(1)}_{13}`, `b1_0` as `b^{(1)}_{1}`, `x_2` as `x_{3}`: indices from 1."""
    letter, *places = name.split("_")
    indices = [str(int(place) + 1) for place in places]
    joined = ("," if any(len(index) > 1 for index in indices) else "").join(indices)
    return f"x_{{{joined}}}" if letter == "x" else f"{letter[0].lower()}^{{({letter[1:]})}}_{{{joined}}}"


def _plus(layer: int, biases: Sequence[bool]) -> str:
    return f" + b_{{{layer}}}" if biases[layer - 1] else ""


def _ring(biases: Sequence[bool]) -> str:
    return "W_1, b_1, \\ldots, x" if any(biases) else "W_1, \\ldots, x"


def _lattice(array: ExactArray) -> str:
    """The multiples of a power of two, where the entries are such, or of another fraction."""
    top, bottom = array.unit.numerator, array.unit.denominator
    if bottom & (bottom - 1) == 0:
        return rf"\left(2^{{{(top & -top).bit_length() - bottom.bit_length()}}}\mathbb{{Z}}\right)"
    return rf"\left({fraction(array.unit)}\,\mathbb{{Z}}\right)"
