"""Masks, orders and reductions over places in whole modules: verdicts, and the formula beside the operation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import whyactivate as wa
from modules import Call
from whyactivate.affine import Verdict
from whyactivate.affine.evaluating.replay import ExactConstants, Replay
from whyactivate.affine.recording.tracker import record
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray

pytestmark = pytest.mark.filterwarnings("ignore:index_reduce.. is in beta")

AFFINE, NOT_AFFINE = Verdict.AFFINE, Verdict.NOT_AFFINE
TO = torch.tensor
_RANDOM = torch.Generator().manual_seed(3)
X = torch.randn(3, 4, generator=_RANDOM, dtype=torch.float64)
V = torch.randn(4, generator=_RANDOM, dtype=torch.float64)
SHUT = TO([[True, False], [True, True]])
PLACES: list[Tensor | None] = [None, TO([[2, 0]])]


def reduced(x: Tensor, reduce: str, source: Tensor, *, own: bool = True) -> Tensor:
    return x.index_reduce(1, TO([0, 2, 2, 1]), source.expand(x.shape), reduce, include_self=own)


CASES: dict[str, tuple[Verdict, Callable[[Tensor], Tensor]]] = {
    "and": (NOT_AFFINE, lambda x: torch.where((x > -1) & (x < 1), x, x * 0)),
    "or": (NOT_AFFINE, lambda x: torch.where((x > 1) | (x < -1), x, x * 0)),
    "not": (NOT_AFFINE, lambda x: torch.where(~(x > 0.5), x, x * 0)),
    "xor": (NOT_AFFINE, lambda x: torch.where((x > 1) ^ (x > -1), x, x * 2)),
    "logical xor": (NOT_AFFINE, lambda x: torch.where(torch.logical_xor(x > 1, x > -1), x, x * 2)),
    "and with a constant": (NOT_AFFINE, lambda x: torch.where((x > 0) & TO([True, False, True, True]), x, x * 2)),
    "not a number, beside relu": (NOT_AFFINE, lambda x: torch.where(torch.isnan(x), 0.0, torch.relu(x))),
    "infinite, beside relu": (NOT_AFFINE, lambda x: torch.where(torch.isinf(x), 0.0, torch.relu(x))),
    "not a number after a logarithm": (NOT_AFFINE, lambda x: torch.where(torch.isnan((x * x + 1).log()), x, x.abs())),
    "mean": (AFFINE, lambda x: reduced(x, "mean", V)),
    "mean of two": (AFFINE, lambda x: reduced(V.expand(x.shape), "mean", x, own=False)),
    "product by constants": (AFFINE, lambda x: reduced(x, "prod", V)),
    "product": (NOT_AFFINE, lambda x: reduced(x, "prod", x)),
    "largest": (NOT_AFFINE, lambda x: reduced(x, "amax", V)),
    "smallest": (NOT_AFFINE, lambda x: reduced(x, "amin", x.flip(1), own=False)),
    "only one each": (
        AFFINE,
        lambda x: V.expand(x.shape).index_reduce(1, TO([0, 2]), x[:, :2], "amax", include_self=False),
    ),
    "scattered product": (
        NOT_AFFINE,
        lambda x: V.expand(x.shape).scatter_reduce(1, TO([[0, 2, 2, 1]]).expand(x.shape), x, "prod"),
    ),
    "scattered largest": (
        NOT_AFFINE,
        lambda x: V.expand(x.shape).scatter_reduce(1, TO([[0, 2, 2, 1]]).expand(x.shape), x, "amax"),
    ),
    "scattered once each": (
        AFFINE,
        lambda x: V.expand(x.shape).scatter_reduce(
            1, TO([[0, 3, 2, 1]]).expand(x.shape), x, "amin", include_self=False
        ),
    ),
    "a polynomial of degree 1": (AFFINE, lambda x: torch.special.chebyshev_polynomial_u(x, TO([0, 1, 1, -1]))),
    "a polynomial of degree 2": (NOT_AFFINE, lambda x: torch.special.legendre_polynomial_p(x, TO([0, 1, 2, 1]))),
    "polynomials that cancel": (
        AFFINE,
        lambda x: torch.special.chebyshev_polynomial_t(x, 2) - 2 * x * x + torch.special.hermite_polynomial_he(x, 1),
    ),
    "masked reading": (
        AFFINE,
        lambda x: torch.ops.aten._unsafe_masked_index(
            x, TO([[True, False]]).expand(len(x), 2), [None, TO([2, 9])], 1.5
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_verdict(name: str) -> None:
    expected, function = CASES[name]
    analysis = wa.analyze(Call(function), X)
    assert analysis.verdict is expected, str(analysis)
    if expected is AFFINE:
        collapse = wa.collapse_linear(Call(function), X)
        assert torch.allclose(collapse.as_module()(X), function(X), atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_the_formula_is_the_operation(name: str) -> None:
    _, function = CASES[name]
    tape = record(Call(function), [X], {})
    assert tape.refusal is None
    for x in (X, 3 * X.flip(0) - 0.25):
        exact = ExactArray.from_tensor(x)
        expected = function(x.clone())
        for point in (BallArray.from_exact(exact), EnclosureArray.from_tensor(x)):
            held = ExactConstants() if isinstance(point, BallArray) else ExactConstants().enclosed
            (found,) = Replay(tape, constants=held).outputs([point])
            assert torch.allclose(found.to_float64()[0], expected, rtol=1e-12, atol=1e-12)


def test_where_a_number_is_not_known_to_be_one_the_mask_is_open() -> None:
    tape = record(Call(lambda x: torch.where(torch.isnan(x.log()), 1.0, 2.0) * 1.0), [X.abs()], {})
    (known,) = Replay(tape).outputs([BallArray.from_tensor(X.abs())])
    assert bool((known.lower() == 2).all())
    (open_,) = Replay(tape).outputs([BallArray.from_tensor(-X.abs())])
    assert bool((open_.lower() <= 1).all())
    assert bool((open_.upper() >= 2).all())


def test_bits_of_numbers_are_no_masks() -> None:
    analysis = wa.analyze(Call(lambda x: ((x > 0).long() & 2).to(x.dtype) + x), X)
    assert analysis.verdict is Verdict.UNDECIDED


def test_bounds_too_wide_to_tell_are_not_taken_for_something_out_of_sight() -> None:
    analysis = wa.analyze(Call(lambda x: (lambda s: (s >= s.amax(1, True)).to(s.dtype))(torch.sigmoid(x))), X)
    assert analysis.verdict is Verdict.UNDECIDED
    assert "too wide" in str(analysis)
