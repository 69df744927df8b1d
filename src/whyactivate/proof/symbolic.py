"""For every weight of one architecture: the network minus its collapse is the zero polynomial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any, Literal

from whyactivate.errors import CannotProveError, InputError, UnknownNameError
from whyactivate.proof.latex import SMALL_TERMS, for_symbols, polynomial, variable
from whyactivate.proof.result import Proof

Vector = list[Any]
Matrix = list[Vector]
Formula = Callable[[Sequence[Matrix], Sequence[Vector]], tuple[Matrix, Vector]]
"""`(weights, biases), first layer first -> (weight, bias)` of the collapsed layer."""
Engine = Literal["sympy", "flint"]

_ENGINES: dict[str, str] = {"sympy": "SymPy's polynomial ring", "flint": "FLINT's fmpz_mpoly"}

SYMPY_LIMIT = 200_000
"""Up to how many bytes of exponents (`PolynomialSize.work`) SymPy's ring is used; FLINT above."""
WORK_LIMIT = 2**30
"""Above how many bytes of exponents, over all outputs, the proof is refused (about 15 s of work)."""
MEMORY_LIMIT = 2**30
"""Above how many bytes at once the proof is refused."""


@dataclass(frozen=True, slots=True)
class PolynomialSize:
    """How large the polynomials of an architecture are, known before any is built.

    Attributes:
        variables: weights, biases and inputs, each a symbol.
        terms: monomials of one output: paths from each input and each bias to it.
        outputs: how many such polynomials there are.
    """

    variables: int
    terms: int
    outputs: int

    @property
    def work(self) -> int:
        """Bytes of exponents, one per variable and term, over all outputs."""
        return self.outputs * self.terms * self.variables

    @property
    def memory(self) -> int:
        """Bytes held at once, about: an output by both routes, and the layer before it."""
        return 5 * self.terms * self.variables


def estimate_size(widths: Sequence[int], biases: Sequence[bool]) -> PolynomialSize:
    """The size of the polynomials for these widths (inputs first) and these biases (one flag per layer)."""
    weights = sum(a * b for a, b in pairwise(widths))
    bias_entries = sum(n for n, has in zip(widths[1:], biases, strict=True) if has)
    from_biases = sum(prod(widths[k + 1 : -1]) for k, has in enumerate(biases) if has)
    return PolynomialSize(weights + bias_entries + widths[0], prod(widths[:-1]) + from_biases, widths[-1])


def product_formula(weights: Sequence[Matrix], biases: Sequence[Vector]) -> tuple[Matrix, Vector]:
    """W = W_n … W_1 and b = b_n + W_n b_(n-1) + … + W_n … W_2 b_1, gathered from the output side."""
    weight, bias = weights[-1], biases[-1]
    for inner_weight, inner_bias in zip(reversed(weights[:-1]), reversed(biases[:-1]), strict=True):
        bias = _affine(weight, inner_bias, bias)
        columns = [list(column) for column in zip(*inner_weight, strict=True)]
        weight = [[_dot(row, column) for column in columns] for row in weight]
    return weight, bias


def prove_symbolic(
    widths: Sequence[int],
    biases: Sequence[bool] | None = None,
    *,
    engine: Engine | None = None,
    formula: Formula = product_formula,
) -> Proof:
    """network(x) - (Wx + b) is the zero polynomial, with every weight, bias and input a symbol.

    The network is evaluated layer by layer from x; W and b come from the product formula, gathered from the other
    end. Both are multiplied out in full and subtracted, one output at a time.

    Args:
        widths: inputs first, outputs last, as in `(10, 18, 18, 4, 1)`.
        biases: whether each layer has a bias; all of them where None.
        engine: "sympy" (its polynomial ring) or "flint" (python-flint's `fmpz_mpoly`); by size where None.
        formula: how the collapsed weight and bias are formed; a wrong one makes a proof that does not hold.

    Raises:
        InputError: widths or biases that make no network.
        UnknownNameError: there is no such engine.
        CannotProveError: the polynomials would not fit; the message has the estimate.
    """
    if not isinstance(widths, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] (callers need not be typed)
        raise InputError(f"expected widths as in (10, 4, 1), inputs first, got {widths!r}")
    if engine not in (None, *_ENGINES):
        raise UnknownNameError("engine", engine, tuple(_ENGINES))
    widths = tuple(widths)
    flags = (True,) * (len(widths) - 1) if biases is None else tuple(biases)
    _check(widths, flags)
    size = estimate_size(widths, flags)
    if size.work > WORK_LIMIT or size.memory > MEMORY_LIMIT:
        raise CannotProveError(
            f"the outputs of the architecture {_name(widths)} are {size.outputs:,} "
            f"polynomial{'' if size.outputs == 1 else 's'} of {size.terms:,} terms in {size.variables:,} variables: "
            f"about {_bytes(size.memory)} of memory, and {_bytes(size.work)} of exponents to go through, beyond the "
            f"limit of {_bytes(MEMORY_LIMIT)}. The theorem covers every architecture, and an exact proof "
            "the weights that a network has."
        )
    chosen: Engine = engine or ("sympy" if size.work <= SYMPY_LIMIT else "flint")
    weights, bias_vectors, x = _symbols(widths, flags, chosen)

    weight, bias = formula(weights, bias_vectors)
    hidden = x
    for layer_weight, layer_bias in zip(weights[:-1], bias_vectors[:-1], strict=True):
        hidden = _affine(layer_weight, hidden, layer_bias)

    wrong: list[int] = []
    written: list[tuple[str, str]] = []
    terms = 0
    for output in range(widths[-1]):
        through_layers = _dot(weights[-1][output], hidden, bias_vectors[-1][output])
        collapsed = _dot(weight[output], x, bias[output])
        terms += len(through_layers)
        if through_layers - collapsed != 0:
            wrong.append(output)
        if size.terms * size.outputs <= SMALL_TERMS:
            entries = [f"\\left({_written(entry)}\\right) x_{{{j}}}" for j, entry in enumerate(weight[output], 1)]
            added = [_written(bias[output])] if bias[output] != 0 else []
            written.append((_written(through_layers), " + ".join([*entries, *added])))

    difference = "the zero polynomial" if not wrong else f"not the zero polynomial at outputs {wrong}"
    return Proof(
        kind="symbolic",
        statement=f"For every choice of weights of the architecture {_name(widths)} and every input x, the network "
        "equals Wx + b.",
        holds=not wrong,
        steps=(
            f"All {size.variables - widths[0]:,} weights and biases and all {widths[0]:,} inputs are symbols of one "
            f"ring ({_ENGINES[chosen]}, integer coefficients).",
            f"Layer by layer from x: the network's outputs are polynomials of {terms:,} terms in all.",
            "From the output side: W = W_n … W_1 and b = b_n + W_n b_(n-1) + … + W_n … W_2 b_1, then Wx + b.",
            f"The difference of the two is {difference}.",
        ),
        details={
            "architecture": list(widths),
            "biases": list(flags),
            "variables": size.variables,
            "terms": terms,
            "engine": chosen,
            "wrong outputs": wrong,
        },
        formulas=partial(for_symbols, widths, flags, written),
    )


def _symbols(widths: tuple[int, ...], biases: tuple[bool, ...], engine: Engine) -> tuple[list[Matrix], Matrix, Vector]:
    """Weights, biases (zeros of the ring where there are none) and inputs."""
    names: list[str] = []
    for layer, ((inputs, outputs), has_bias) in enumerate(zip(pairwise(widths), biases, strict=True), 1):
        names += [f"W{layer}_{row}_{column}" for row in range(outputs) for column in range(inputs)]
        names += [f"b{layer}_{row}" for row in range(outputs) if has_bias]
    names += [f"x_{column}" for column in range(widths[0])]
    generators = iter(_generators(names, engine))

    def take(count: int) -> Vector:
        return [next(generators) for _ in range(count)]

    weights: list[Matrix] = []
    vectors: list[Vector] = []
    for (inputs, outputs), has_bias in zip(pairwise(widths), biases, strict=True):
        weights.append([take(inputs) for _ in range(outputs)])
        vectors.append(take(outputs) if has_bias else [weights[0][0][0] * 0] * outputs)
    return weights, vectors, take(widths[0])


def _generators(names: list[str], engine: Engine) -> Sequence[Any]:
    if engine == "flint":
        from flint import Ordering, fmpz_mpoly_ctx

        return fmpz_mpoly_ctx.get(names, Ordering.degrevlex).gens()
    from sympy import ZZ
    from sympy.polys.rings import ring

    return ring(names, ZZ)[1:]


def _written(poly: Any) -> str:
    """A small polynomial of either engine in LaTeX."""
    names = [str(name) for name in (poly.ring.symbols if hasattr(poly, "ring") else poly.context().names())]
    terms = poly.items() if hasattr(poly, "ring") else poly.to_dict().items()
    monomials = [
        ([name for name, power in zip(names, powers, strict=True) for _ in range(power)], int(factor))
        for powers, factor in terms
    ]
    from_the_output = [(sorted(variables, key=_layer, reverse=True), factor) for variables, factor in monomials]
    return polynomial(from_the_output, variable)


def _layer(name: str) -> int:
    """The layer of a weight or bias; below all of them for an input."""
    return 0 if name.startswith("x") else int(name[1:].split("_")[0])


def _dot(row: Vector, column: Vector, start: Any = 0) -> Any:
    return sum((a * b for a, b in zip(row, column, strict=True)), start)


def _affine(weight: Matrix, vector: Vector, bias: Vector) -> Vector:
    return [_dot(row, vector, start) for row, start in zip(weight, bias, strict=True)]


def _check(widths: tuple[int, ...], biases: tuple[bool, ...]) -> None:
    if len(widths) < 2 or any(not isinstance(n, int) or n < 1 for n in widths):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"expected at least two widths, each a positive integer (inputs first), got {widths}")
    if len(biases) != len(widths) - 1:
        raise InputError(f"expected {len(widths) - 1} flags, one per layer, got {len(biases)}: {biases}")


def _name(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths))


def _bytes(count: int) -> str:
    if count >= 2**60:
        return f"2^{count.bit_length() - 31} GiB"
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
