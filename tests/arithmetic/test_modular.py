from __future__ import annotations

import secrets
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whyactivate.arithmetic import rational
from whyactivate.arithmetic.digits import Digits
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.modular import LEAST_PRIMES, ModularArray, draw_prime, residues_modulo
from whyactivate.errors import InputError

PRIME = 2**62 - 57
RESIDUES = residues_modulo(PRIME)
residues = st.one_of(st.integers(0, PRIME - 1), st.sampled_from([0, 1, 2, PRIME - 1, PRIME - 2, PRIME // 2]))


def of(numbers: list[int]) -> ModularArray:
    return RESIDUES(np.array([numbers], dtype=np.int64))


def numbers_of(array: ModularArray) -> list[int]:
    return array.residues.ravel().tolist()


@settings(max_examples=300)
@given(st.lists(st.tuples(residues, residues), min_size=1, max_size=6))
def test_arithmetic_agrees_with_python_integers(pairs: list[tuple[int, int]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    x, y = of(a), of(b)
    assert numbers_of(x + y) == [(p + q) % PRIME for p, q in pairs]
    assert numbers_of(x - y) == [(p - q) % PRIME for p, q in pairs]
    assert numbers_of(-x) == [-p % PRIME for p in a]
    assert numbers_of(x * y) == [p * q % PRIME for p, q in pairs]
    assert numbers_of(3 - x) == [(3 - p) % PRIME for p in a]
    assert numbers_of(x.sum()) == [sum(a) % PRIME]
    assert numbers_of(x @ y) == [sum(p * q for p, q in pairs) % PRIME]
    if all(b):
        assert numbers_of(x / y) == [p * pow(q, -1, PRIME) % PRIME for p, q in pairs]


@pytest.mark.parametrize("many", [1, 10**9], ids=["digits", "ints"])
def test_exact_numbers_have_the_residues_of_their_fractions(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rational, "MANY", many)
    generator = torch.Generator().manual_seed(1)
    left, right = torch.randn(3, 5, generator=generator), torch.randn(5, 2, generator=generator)
    left[0, 0], left[1, 1], left[2, 2] = 2.0**-149, -0.0, 2.0**127

    def residue(f: Fraction) -> int:
        return f.numerator * pow(f.denominator, -1, PRIME) % PRIME

    a, b = ExactArray.from_tensor(left), ExactArray.from_tensor(right)
    assert numbers_of(RESIDUES.from_exact(a)) == [residue(Fraction(v)) for v in left.double().ravel().tolist()]
    product = [residue(f) for f in (a @ b).to_fractions().ravel()]
    assert numbers_of(RESIDUES.from_exact(a) @ b) == product
    assert numbers_of(a @ RESIDUES.from_exact(b)) == product
    assert numbers_of(RESIDUES.from_exact(a) @ RESIDUES.from_exact(b)) == product
    thirds = RESIDUES.from_exact(a) @ (b / 3)
    assert numbers_of(thirds) == [residue(f / 3) for f in (a @ b).to_fractions().ravel()]
    assert numbers_of(a + RESIDUES.from_exact(a)) == numbers_of(RESIDUES.from_exact(a * 2))


def test_primes_are_drawn_from_the_upper_half_of_62_bits() -> None:
    drawn = {draw_prime(secrets.token_bytes) for _ in range(20)}
    assert len(drawn) == 20
    assert all(2**61 < p < 2**62 for p in drawn)


def test_there_are_as_many_primes_as_the_error_probability_assumes() -> None:
    """Rosser & Schoenfeld: x/ln x < pi(x) < 1.25506 x/ln x."""
    assert 2**62 / np.log(2.0**62) - 1.25506 * 2**61 / np.log(2.0**61) > LEAST_PRIMES


def test_drawn_residues_are_spread_over_the_whole_range() -> None:
    drawn = RESIDUES.draw((40, 50), secrets.token_bytes)
    assert drawn.shape == (40, 50)
    assert drawn.residues.min() < 0.02 * PRIME
    assert drawn.residues.max() > 0.98 * PRIME
    assert len(np.unique(drawn.residues)) == 2000


def test_what_has_no_residue_is_refused() -> None:
    with pytest.raises(ZeroDivisionError, match="no inverse"):
        of([1]) / of([0])
    with pytest.raises(ZeroDivisionError, match="no inverse"):
        RESIDUES.from_fraction(Fraction(1, PRIME))
    for number in (2**61 - 1, 2**62 - 58, 7):
        with pytest.raises(InputError, match="expected a prime of 62 bits"):
            residues_modulo(number)
    with pytest.raises(TypeError):
        of([1]) > of([0])  # noqa: B015


@pytest.mark.parametrize("at_once", [1, 2, 512])
def test_numbers_of_many_digits_are_reduced_a_few_digits_at_a_time(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whyactivate.arithmetic.modular._PLANES_AT_ONCE", at_once)
    kind = residues_modulo(*(draw_prime(secrets.token_bytes) for _ in range(2)))
    numbers = [(-1) ** k * (secrets.randbits(22 * 9) - (1 << 22 * 8)) for k in range(6)]
    ints = np.array(numbers, dtype=object).reshape(1, 6)
    digits = Digits.from_ints(ints, -5)
    residues = kind._from_digits(digits).residues
    for row, prime in zip(residues.tolist(), kind.primes, strict=True):
        assert row == [number * pow(2, -5, prime) % prime for number in numbers]
