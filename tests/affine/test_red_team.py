"""Modules that were found to be judged wrongly, or in misleading words, by somebody who looked for that."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import whyactivate as wa


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
