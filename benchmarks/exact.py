"""What do exact products, modular checks and rigorous bounds cost, and how near are the bounds to the truth?

The same product, from float tensors to Python ints or to the result as it is held here, by other means in the same run:
python-flint's `fmpz_mat` (conversions counted), SymPy's `DomainMatrix`, and `fractions.Fraction` in plain loops. The
bounds are divided by the worst error that a seeded search finds.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
from flint import fmpz_mat
from sympy import ZZ
from sympy.polys.matrices import DomainMatrix
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.arithmetic.chain import multiply_chain
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import decode
from whyactivate.proof.modular import check_modular

Weights = Sequence[Tensor]


def draw(widths: Sequence[int], dtype: torch.dtype, seed: int = 0) -> nn.Sequential:
    """Linear layers with normal weights, as after training: their significands are spread over many binades."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs, dtype=dtype)
        with torch.no_grad():
            for parameter in layer.parameters():
                drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(drawn / inputs**0.5)
        layers.append(layer)
    return nn.Sequential(*layers)


def integers(weight: Tensor) -> list[list[int]]:
    """The weight as Python ints, in its smallest unit; shifted by NumPy where 64 bits are enough, as for float32."""
    significand, exponent = decode(weight)
    shift = np.where(significand != 0, exponent - exponent[significand != 0].min(), 0)
    if shift.max() <= 62 - int(np.abs(significand).max()).bit_length():
        return (significand << shift).tolist()
    return (significand.astype(object) << shift.astype(object)).tolist()


def by_digits(weights: Weights) -> ExactArray:
    return multiply_chain([ExactArray.from_tensor(weight) for weight in reversed(weights)])


def by_flint(weights: Weights) -> list[int]:
    matrices = [fmpz_mat(integers(weight)) for weight in reversed(weights)]
    product = matrices[0]
    for matrix in matrices[1:]:
        product = product * matrix
    return [int(entry) for entry in product.entries()]


def by_domain_matrix(weights: Weights) -> list[list[int]]:
    matrices = [DomainMatrix(integers(weight), tuple(weight.shape), ZZ) for weight in reversed(weights)]
    product = matrices[0]
    for matrix in matrices[1:]:
        product = product * matrix
    return product.to_list()


def first_row_by_fractions(weights: Weights) -> list[Fraction]:
    """One row of the result: of all rows it is as much work as there are rows, and that is how it is counted."""
    row = [Fraction(v) for v in weights[-1][0].double().tolist()]
    for weight in reversed(weights[:-1]):
        columns = [[Fraction(v) for v in column] for column in weight.T.double().tolist()]
        row = [sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0)) for column in columns]
    return row


def seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median seconds of each call, all of them measured once per round."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + (rounds > 1)):
        for name, call in calls.items():
            gc.collect()
            seconds = call()
            if turn or rounds == 1:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def seconds_of_proof(network: nn.Module) -> float:
    """`prove("exact")` on a collapse that has proved nothing yet."""
    collapse = wa.collapse_linear(network)
    start = time.perf_counter()
    assert collapse.prove("exact").holds
    return time.perf_counter() - start


def show_exact(rounds: int) -> None:
    print("Exact results, as parts of the time that others take for the product (conversions counted)")
    print(
        f"{'network':22}{'dtype':10}{'':16}{'time':>12}{'fmpz_mat':>11}{'DomainMatrix':>14}{'Fraction':>11}", flush=True
    )
    cases = [
        ((10, 18, 18, 4, 1), torch.float32),
        ((784, 512, 512, 10), torch.float32),
        ((784, 512, 512, 10), torch.float64),
        ((784, 512, 512, 10), torch.bfloat16),
        ((1024,) * 4, torch.float32),
    ]
    for widths, dtype in cases:
        network = draw(widths, dtype)
        weights = [layer.weight.detach() for layer in network]
        collapse = wa.collapse_linear(network)
        claimed = collapse.exact
        large = widths[0] == widths[-1]
        taken = in_turns(
            {
                "fmpz_mat": lambda w=weights: seconds_of(lambda: by_flint(w)),
                "product": lambda w=weights: seconds_of(lambda: by_digits(w)),
                "prove('exact')": lambda n=network: seconds_of_proof(n),
                "modular check": lambda c=collapse, e=claimed: seconds_of(
                    lambda: check_modular(c._evaluate, c.steps, e)
                ),
            },
            1 if large else rounds,
        )
        others = [taken.pop("fmpz_mat")]
        if not large:  # these two take minutes there
            others.append(seconds_of(lambda w=weights: by_domain_matrix(w)))
            others.append(seconds_of(lambda w=weights: first_row_by_fractions(w)) * widths[-1])
        for what, seconds in taken.items():
            name = "-".join(map(str, widths))
            parts = "".join(f"{seconds / other:{w}.5f}" for other, w in zip(others, (11, 14, 11), strict=False))
            print(f"{name:22}{str(dtype).removeprefix('torch.'):10}{what:16}{seconds * 1e3:9.1f} ms{parts}", flush=True)


def show_depth() -> None:
    widths = (256,) * 65
    network = draw(widths, torch.float32)
    collapse = wa.collapse_linear(network)
    start = time.perf_counter()
    proof = collapse.prove("exact")
    modular = time.perf_counter() - start
    product = seconds_of(lambda: by_flint([layer.weight.detach() for layer in network]))
    print("\n64 layers of 256, float32, where no exact result is held")
    print(f"{proof.details['modular check: compared']}: {'agree' if proof.holds else 'DIFFER'}")
    print(f"error probability at most {proof.details['modular check: error probability at most']}")
    print(f"{modular:.2f} s; fmpz_mat multiplies out in {product:.1f} s: {modular / product:.4f} of it")


def show_bounds(effort: int) -> None:
    print("\nBounds over max|x| <= 1, as multiples of the worst error found (default weights, seed 0)")
    print(f"{'network':26}{'dtype':10}{'to Wx + b':>10}{'to .layer':>11}{'no collapse':>14}{'tried':>10}")
    for widths, dtype in (
        ((10, 18, 18, 4, 1), torch.float32),
        ((64, 32, 32, 10), torch.float32),
        ((64,) * 21, torch.float32),
        ((256, 256, 10), torch.bfloat16),
    ):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths))).to(dtype)
        details = wa.collapse_linear(network).prove("numeric", effort=effort).details
        loose = details["in the box: bound without the collapse"] / details["in the box: worst measured"]
        name = "-".join(map(str, widths)) if len(widths) < 8 else f"{widths[0]} wide, {len(widths) - 1} deep"
        kind = str(dtype).removeprefix("torch.")
        for bound in ("bound", "bound if so"):
            if f"in the box: {bound}" not in details:
                continue
            near, layer = (
                details[f"{what}: {bound}"] / details[f"{what}: worst measured"]
                for what in ("in the box", "in the box, to the layer")
            )
            note = "" if bound == "bound" else "  if sums are accumulated in float32, as a probe finds"
            print(f"{name:26}{kind:10}{near:9.0f}×{layer:10.0f}×{loose:13.3g}×{details['inputs tried']:10,}{note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds per product")
    parser.add_argument("--effort", type=int, default=2, help="how hard the adversary searches")
    options, _ = parser.parse_known_args()
    torch.set_num_threads(1)
    show_exact(options.rounds)
    show_depth()
    show_bounds(options.effort)


if __name__ == "__main__":
    main()
