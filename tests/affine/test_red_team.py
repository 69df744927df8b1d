"""Modules that were found to be judged wrongly, or in misleading words, by somebody who looked for that."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.errors import CannotProveError


class Calls(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def below_zero_above_its_threshold(x: Tensor) -> Tensor:
    soft = F.softplus(x, beta=1.0, threshold=-1e-9)
    return F.relu(soft) - soft + x


def two_thresholds(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=20.1).double() - F.softplus(x.double(), threshold=20.1) + x


@pytest.mark.parametrize("function", [below_zero_above_its_threshold, two_thresholds])
def test_a_softplus_cancels_only_where_it_is_the_same_positive_function(function: Callable[[Tensor], Tensor]) -> None:
    assert wa.analyze(Calls(function), torch.randn(2, 3)).verdict is not wa.Verdict.AFFINE


def test_a_softplus_above_zero_is_still_known_to_be_positive() -> None:
    module = Calls(lambda x: F.relu(F.softplus(x)) - F.softplus(x) + x)
    assert wa.analyze(module, torch.randn(2, 3)).verdict is wa.Verdict.AFFINE


@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_the_one_layer_takes_what_the_module_takes_although_it_gives_another_dtype(shape: tuple[int, ...]) -> None:
    module = Calls(lambda x: x.cumsum(-1, dtype=torch.float64))
    x = torch.randn(3, *shape)
    collapse = wa.collapse_linear(module, x)
    got = collapse.as_module()(x)
    assert got.dtype == torch.float64
    assert torch.allclose(got, module(x))


def test_rows_may_be_seen_in_another_shape_than_they_were_written_in() -> None:
    assert wa.analyze(nn.Linear(4, 3), torch.randn(3, 1, 4)).verdict is wa.Verdict.AFFINE
    assert wa.analyze(nn.Sequential(nn.Linear(4, 3), nn.Unflatten(1, (1, 3))), torch.randn(3, 4)).per_example


def test_a_numeric_proof_is_refused_where_input_and_output_have_different_dtypes() -> None:
    collapse = wa.collapse_linear(Calls(lambda x: (x * 0.3).float()), torch.randn(2, 4).double())
    with pytest.raises(CannotProveError, match="one dtype"):
        collapse.prove("numeric")


@pytest.mark.parametrize("function", [torch.log, torch.sqrt, torch.rsqrt])
def test_an_undefined_output_is_called_that_not_out_of_sight(
    function: Callable[[Tensor], Tensor],
) -> None:
    analysis = wa.analyze(Calls(lambda x: x + function(x) - function(x)), torch.randn(2, 4))
    assert analysis.verdict is wa.Verdict.UNDECIDED
    assert "not finite" in analysis.blame[0].reason
    assert "a root or a logarithm" in analysis.advice


def test_what_bends_on_one_row_and_not_on_the_rows_of_the_example_is_undecided() -> None:
    module = Calls(lambda x: x if len(x) == 100 else F.relu(x))
    analysis = wa.analyze(module, torch.randn(100, 3))
    assert analysis.verdict is wa.Verdict.UNDECIDED
    assert analysis.counterexample is None
    assert "not affine on one row, but on 100 rows" in analysis.blame[0].reason
    assert "let forward do the same" in str(analysis)
    assert wa.analyze(module, torch.randn(30, 3)).verdict is wa.Verdict.NOT_AFFINE
    named = Calls(lambda x: x if len(x) == 7 else F.relu(x))
    verdicts = [wa.analyze(named, torch.randn(rows, 3)).verdict for rows in (4, 7)]
    assert verdicts == [wa.Verdict.NOT_AFFINE, wa.Verdict.UNDECIDED]
