"""Modules whose fold was found to fail, or to be another function, by somebody who looked for that."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import whyactivate as wa
from folding.blocks import Spoken
from whyactivate.errors import InputError


class ReadsABias(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x)) + self.fc1.bias.sum()


def test_a_number_that_forward_computes_in_float32_is_no_fault_of_the_fold() -> None:
    torch.manual_seed(0)
    module, x = ReadsABias(), torch.randn(7, 4)
    folded = wa.collapse_runs(module, torch.randn(3, 4))
    assert torch.allclose(folded(x), module(x), atol=1e-5)
    assert any("computed" in note for run in wa.plan_runs(module, torch.randn(3, 4)).runs for note in run.notes)


@pytest.mark.parametrize(
    ("door", "refused"),
    [
        (wa.analyze, nn.LazyLinear(3)),
        (wa.plan_runs, nn.LazyLinear(3)),
        (wa.collapse_runs, nn.Linear(4, 3, device="meta")),
        (wa.collapse_runs, "a name"),
    ],
)
def test_a_module_without_numbers_is_refused_by_every_door(door: Any, refused: Any) -> None:
    with pytest.raises(InputError, match=r"shape yet|without numbers|needs an nn\.Module"):
        door(refused, torch.randn(3, 4))


def test_a_fake_module_is_refused_by_every_door() -> None:
    with FakeTensorMode():
        fake = nn.Linear(4, 3)
    for door in (wa.analyze, wa.plan_runs, wa.collapse_runs):
        with pytest.raises(InputError, match="fake tensor"):
            door(fake, torch.randn(3, 4))


def test_a_number_computed_in_float32_that_a_graph_holds_is_no_fault_of_the_fold() -> None:
    torch.manual_seed(0)
    parts = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}
    module = Spoken(lambda m, x: torch.relu(m.b(m.a(x))) + sum(p.abs().sum() for p in m.parameters()), **parts)
    x = torch.randn(7, 4)
    assert torch.allclose(wa.collapse_runs(module, x)(x), module(x), atol=1e-5)


def test_an_eps_that_is_that_of_the_dtype_is_no_fault_of_the_fold() -> None:
    torch.manual_seed(0)
    parts = {"n": nn.RMSNorm(4), "a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}
    module = Spoken(lambda m, x: (lambda h: torch.relu(m.a(h)) * m.b(h))(m.n(x)), **parts)
    x = torch.randn(7, 4)
    assert wa.plan_runs(module, x).folds
    assert torch.allclose(wa.collapse_runs(module, x)(x), module(x), atol=1e-5)


class Pair(NamedTuple):
    first: Tensor
    second: int


@pytest.mark.parametrize("kind", [dict, OrderedDict, lambda one: Pair(one["y"], 2), lambda one: [one["y"]]])
def test_the_copy_gives_containers_of_the_kinds_that_the_original_gives(kind: Any) -> None:
    def forward(m: Spoken, x: Tensor) -> Any:
        return kind({"y": m.a(x) + m.b(x)})

    torch.manual_seed(0)
    module, x = Spoken(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 4)), torch.randn(3, 4)
    copied = wa.collapse_runs(module, x)
    assert type(copied(x)) is type(module(x))
    assert wa.plan_runs(module, x).folds == (kind is not OrderedDict)
    if kind is not OrderedDict:
        assert type(pickle.loads(pickle.dumps(copied))(x)) is type(module(x))


def test_a_copy_whose_forward_takes_stars_can_be_exported() -> None:
    torch.manual_seed(0)
    copied = wa.collapse_runs(Starred({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}), torch.randn(3, 4))
    x = torch.randn(5, 4)
    assert torch.equal(torch.export.export(copied, (x,)).module()(x), copied(x))
    with pytest.raises(AssertionError, match="fold the original again"):
        copied(x, 1)


class Starred(nn.Module):
    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, x: Tensor, *more: Any, **words: Any) -> Tensor:
        return self.parts["a"](x) + self.parts["b"](x)
