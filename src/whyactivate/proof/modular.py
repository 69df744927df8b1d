"""The modular check: a claimed result, or a second evaluation, against the layers, modulo random primes.

Freivalds' idea ("Probabilistic machines can use less running time", 1977): two affine maps over the dyadic numbers that
differ almost surely differ at a random point modulo a random prime, and evaluating there costs one matrix-vector
product per layer, however long the exact integers are.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from whyactivate._checks import check_whole
from whyactivate.arithmetic.affine_map import ExactAffine, ExactStep
from whyactivate.arithmetic.digits import DIGIT_BITS
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.modular import LEAST_PRIMES, PRIME_BITS, Bytes, ModularArray, draw_prime, residues_modulo
from whyactivate.errors import InputError

Evaluate = Callable[[Any], Any]
"""The network itself on an `ExactArray` or a `ModularArray` of logical shape `(in,)`; gives shape `(out,)`."""

ROUNDS = 2
_SEED_BYTES = 16


@dataclass(frozen=True)
class ModularCheck:
    """What came of a modular check.

    Attributes:
        compared: what was held against the layers: "the exact result" or "two evaluations of the layers".
        problems: where they differ, in words; a difference found is certain. Empty where none was found.
        primes: the primes drawn, one per round.
        error_probability: no more than this is the chance that different maps pass; it may be too small for a float,
            so it is given as its logarithm to the base 2.
        seed: replays the draws; to believe a result, draw anew (None) and do not take a seed from who claims it.
    """

    compared: str
    problems: tuple[str, ...]
    primes: tuple[int, ...]
    log2_error: float
    seed: str

    @property
    def agrees(self) -> bool:
        """True where no difference was found."""
        return not self.problems

    def __str__(self) -> str:
        found = f"they differ: {self.problems[0]}" if self.problems else "they agree"
        return (
            f"{self.compared} against the recorded program, at random points modulo {len(self.primes)} random primes "
            f"of {PRIME_BITS} bits: {found}; different maps would agree with probability at most "
            f"2^{math.ceil(self.log2_error)}"
        )


def check_modular(
    evaluate: Evaluate,
    steps: Sequence[ExactStep],
    claimed: ExactAffine | None,
    *,
    rounds: int = ROUNDS,
    seed: str | None = None,
) -> ModularCheck:
    """Compares the network with the claimed map, or with its steps taken from the output side where there is none.

    Each round draws its own prime p and its own point x, every coordinate uniform modulo p. If the maps differ in a
    coefficient, an integer of N bits in a common unit, p divides it with probability at most (N/61) / 2^55, for so many
    of the more than 2^55 primes can; else they agree at x with probability 1/p at most. Without a claim,
    a random combination of the outputs is compared, which adds another 1/p.

    Args:
        evaluate: the network itself.
        steps: its affine steps, the first one acting first.
        claimed: the map to check, or None.
        rounds: how often.
        seed: hexadecimal; draws from the operating system where None.

    Raises:
        InputError: rounds below 1, or widths that do not meet.
        CannotEvaluate: an operation on the way compares numbers, which residues cannot.
    """
    check_whole("rounds", rounds, 1)
    source, used_seed = _source(seed)
    inputs = steps[0].exact_weight.shape[1]
    primes = tuple(draw_prime(source) for _ in range(rounds))
    kind = residues_modulo(*primes)
    x = kind.draw((inputs,), source)
    values = evaluate(x)
    if claimed is not None:
        other = claimed(x)
        _check_shape(values, other)
        what = "output {} differs at a random point"
    else:
        u = kind.draw(values.shape, source)
        values, other = (u @ values).reshape(1), _from_output(u, steps, x).reshape(1)
        what = "a combination of the outputs differs"
    problems = [
        f"{what.format(int(different.argmax()))} modulo {prime}"
        for prime, different in zip(primes, values.residues != other.residues, strict=True)
        if different.any()
    ]
    per_round = _size_in_bits(steps, claimed) / (PRIME_BITS - 1) / LEAST_PRIMES + 2.0 ** (2 - PRIME_BITS)
    return ModularCheck(
        compared="the exact result" if claimed is not None else "the steps multiplied from the output side",
        problems=tuple(problems),
        primes=primes,
        log2_error=rounds * math.log2(per_round),
        seed=used_seed,
    )


def _from_output(u: ModularArray, steps: Sequence[ExactStep], x: ModularArray) -> ModularArray:
    """u·(W_n … W_1 x + b), multiplied from the left."""
    constant = u.zeros(1, ())
    row = u
    for step in reversed(steps):
        if step.exact_bias is not None:
            constant = constant + row @ step.exact_bias
        row = row @ step.exact_weight
    return row @ x + constant


def _check_shape(values: ModularArray, other: ModularArray) -> None:
    if values.shape != other.shape:
        raise InputError(f"the network gives shape {values.shape}, the claim {other.shape}")


def _size_in_bits(steps: Sequence[ExactStep], claimed: ExactAffine | None) -> int:
    """Generously, how many bits the numerator of a difference between network and claim has at most."""
    arrays = [array for step in steps for array in (step.exact_weight, step.exact_bias) if array is not None]
    if claimed is not None:
        arrays += [claimed.weight, claimed.bias]
    return sum(_extent(array) + max(array.shape).bit_length() + 1 for array in arrays)


def _extent(array: ExactArray) -> int:
    """Numerators and denominators of the entries, in one unit, have no more bits than this together."""
    digits = array.find_digits() if array.is_wide else None
    if digits is not None:
        return DIGIT_BITS * (2 * abs(digits.low) + digits.count + 1)
    return array.bits + array.unit.numerator.bit_length() + array.unit.denominator.bit_length()


def _source(seed: str | None) -> tuple[Bytes, str]:
    """Random bytes grown from a seed by SHAKE-256, and the seed: the operating system's where None is given."""
    used = secrets.token_hex(_SEED_BYTES) if seed is None else seed
    try:
        root = bytes.fromhex(used)
    except (TypeError, ValueError):
        raise InputError(f"expected a seed in hexadecimal (a text), got {used!r}") from None
    drawn = 0

    def take(count: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(root + drawn.to_bytes(8, "little")).digest(count)

    return take, used
