from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from torch import nn

import whyactivate as wa
from whyactivate.affine.coefficients import find_taken_coefficients


def test_the_root_of_batch_normalisation_is_enclosed() -> None:
    norm = nn.BatchNorm1d(50).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        norm.running_var.copy_(torch.rand(50, generator=generator, dtype=torch.float64) * 10)
    tape = wa.analyze(norm, torch.zeros(1, 50, dtype=torch.float64)).tape
    (taken,) = find_taken_coefficients(tape)
    assert taken.relative is not None
    assert 2.0**-56 < taken.relative < 3 * 2.0**-53
    bound = Fraction(taken.relative)
    for variance in norm.running_var.numpy():
        used = Fraction(float(1 / np.sqrt(variance + norm.eps)))
        square = used**2 * (Fraction(float(variance)) + Fraction(norm.eps))  # (used / real)²
        assert (1 - bound) ** 2 <= square <= (1 + bound) ** 2
    assert "within a relative" in str(taken)


def test_what_has_no_formula_here_says_so() -> None:
    up = nn.Upsample(scale_factor=2.5, mode="bicubic")
    tape = wa.analyze(up, torch.zeros(1, 1, 4, 4)).tape
    (taken,) = find_taken_coefficients(tape)
    assert taken.relative is None
    assert "not known here" in str(taken)


def test_sums_and_products_take_nothing() -> None:
    tape = wa.analyze(nn.Sequential(nn.Linear(3, 2), nn.Flatten()), torch.zeros(1, 3)).tape
    assert find_taken_coefficients(tape) == ()
