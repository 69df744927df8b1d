"""Batch sizes at which a module's code makes a difference are tried, wherever the number comes from."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.affine.recording import Example
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.turning_points import questions, turning_points

MOST = 90
SETTINGS = SimpleNamespace(most=200)
CHOSEN = [77, 130]


class Limited(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.most, self.tried = function, 70, 0

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


BRANCHES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "a number in the code": lambda m, x: x.relu() if len(x) > 100 else x,
    "of 1024 rows": lambda m, x: x.relu() if x.size(0) >= 1024 else x,
    "a global": lambda m, x: x.relu() if x.shape[0] > MOST else x,
    "an attribute of the module": lambda m, x: x.relu() if x.shape[0] > m.most else x,
    "an attribute of a setting": lambda m, x: x.relu() if SETTINGS.most < x.size()[0] else x,
    "a list": lambda m, x: x.relu() if len(x) in CHOSEN else x,
    "all numbers of a tensor": lambda m, x: x.relu() if x.numel() > 1000 else x,
    "a multiple": lambda m, x: x.relu() if 3 * len(x) + 1 > 4 * m.most else x,
    "a quotient": lambda m, x: x.relu() if len(x) // m.most else x,
    "parts": lambda m, x: torch.cat([part.relu() if i else part for i, part in enumerate(x.split(m.most))]),
    "a slice": lambda m, x: torch.cat([x[: m.most], x[m.most :].relu()]),
    "a float": lambda m, x: x.relu() if len(x) > m.most * 1.5 else x,
}


@pytest.mark.parametrize("name", BRANCHES)
def test_what_bends_from_some_number_of_rows_on_is_not_affine(name: str) -> None:
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    assert wa.analyze(Limited(BRANCHES[name]), x).verdict is wa.Verdict.UNDECIDED


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.most = 70

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > self.most or len(x) == 150:
            return x.relu()
        return x


def _of_many_rows(x: Tensor) -> Tensor:
    if x.shape[0] > 100:
        return x.relu()
    return x


def test_numbers_that_scripted_code_compares_are_tried() -> None:
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    inner, function = torch.jit.script(nn.Sequential(nn.Linear(4, 4), Scripted())), torch.jit.script(_of_many_rows)
    for module in (inner, nn.Sequential(inner), Limited(lambda m, x: function(x))):
        assert wa.analyze(module, x).verdict is wa.Verdict.UNDECIDED


AFFINE: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "cut and glued": lambda m, x: torch.cat([2 * part for part in x.split(m.most)]),
    "padded": lambda m, x: nn.functional.pad(x, (0, 0, 0, -len(x) % 128))[: len(x)],
    "as many rows as another tensor": lambda m, x: x + x.new_ones(x.shape[0], 1)[: x.shape[0]],
    "too many rows to try": lambda m, x: 2 * x if len(x) < 10**9 else x.relu(),
    "too many numbers to try": lambda m, x: 2 * x if (x @ x.T).numel() < 10**8 else x.relu(),
    "no more rows than that": lambda m, x: 2 * x if len(x) <= m.most else x[: 1 // 0],
}


@pytest.mark.parametrize("name", AFFINE)
def test_what_does_not_bend_stays_affine(name: str) -> None:
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    analysis = wa.analyze(Limited(AFFINE[name]), x)
    assert analysis.verdict is wa.Verdict.AFFINE, analysis
    assert analysis.per_example


def test_sizes_are_asked_of_a_module_that_stays_as_it_was() -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        m.tried = x.shape[0]
        return x[: m.tried] if x.shape[0] > m.most else x

    module = Limited(function)
    state, example = State(module), Example.of(torch.zeros(4, 4))
    inputs = {rows: example.with_rows(rows) for rows in (2, 3)}
    asked = {rows: questions(module, one.args, one.kwargs, state) for rows, one in inputs.items()}
    assert turning_points(asked) == {70, 71}
    assert module.tried == 0
    assert type(len(torch.zeros(2, 2))) is int
