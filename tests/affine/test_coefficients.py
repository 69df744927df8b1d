from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import utils
from torch.nn.utils import parametrizations

import whyactivate as wa
from whyactivate.affine.evaluating.coefficients import find_computed_weights, find_taken_coefficients


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


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("make", [utils.weight_norm, parametrizations.weight_norm], ids=["hook", "parametrization"])
def test_the_quotient_of_weight_norm_is_enclosed(make, dim: int | None, dtype: torch.dtype) -> None:
    layer = nn.Linear(5, 3, dtype=dtype)
    with torch.no_grad():
        layer.weight[0, 0] = 0
    network = nn.Sequential(make(layer, dim=dim), nn.Flatten())
    collapse = wa.collapse_linear(network, torch.zeros(1, 5, dtype=dtype))
    (taken,) = find_computed_weights(network, collapse.analysis.tape)
    assert taken.relative is not None
    assert taken.relative < 16 * torch.finfo(dtype).eps
    own = dict(layer.named_parameters())
    g = next(own[name] for name in own if name.endswith(("original0", "_g"))).detach().double().reshape(-1)
    v = next(own[name] for name in own if name.endswith(("original1", "_v"))).detach().double()
    used = layer.weight.detach().double()
    bound = Fraction(taken.relative)
    rows = {0: [*range(3)], 1: [*range(5)], None: [0]}[dim]
    for row in rows:
        direction, found = (t[row] if dim == 0 else t[:, row] if dim == 1 else t.flatten() for t in (v, used))
        square = sum(Fraction(x) ** 2 for x in direction.tolist())
        for x, y in zip(direction.tolist(), found.tolist(), strict=True):
            real_squared = Fraction(g[row].item()) ** 2 * Fraction(x) ** 2 / square
            assert (1 - bound) ** 2 * real_squared <= Fraction(y) ** 2 <= (1 + bound) ** 2 * real_squared
    proof = collapse.prove("exact")
    assert any("weight_norm of weight in 0" in step and "enclosed in balls" in step for step in proof.steps)


def test_an_enclosure_is_about_the_weights_that_were_recorded() -> None:
    network = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)))
    tape = wa.analyze(network, torch.zeros(1, 3)).tape
    with torch.no_grad():
        network[0].parametrizations.weight.original0.mul_(2)
    (taken,) = find_computed_weights(network, tape)
    assert taken.relative is None


def test_other_parametrizations_are_named() -> None:
    network = nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 3)))
    collapse = wa.collapse_linear(network, torch.zeros(1, 3))
    assert any("a parametrization of weight in 0" in step for step in collapse.prove("exact").steps)


@pytest.mark.filterwarnings("ignore:.*spectral_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("make", [utils.spectral_norm, parametrizations.spectral_norm], ids=["hook", "parametrization"])
def test_a_weight_divided_by_its_spectral_norm_is_named(make) -> None:
    network = nn.Sequential(nn.Linear(4, 3), make(nn.Linear(3, 3))).eval()
    network(torch.zeros(1, 4))  # the hook sets the weight only when it runs
    collapse = wa.collapse_linear(network, torch.zeros(1, 4))
    (taken,) = find_computed_weights(network, collapse.analysis.tape)
    assert (taken.where, taken.relative) == ("1", None)
    assert "weight" in taken.operation
    assert any(str(taken) in step for step in collapse.prove("exact").steps)
