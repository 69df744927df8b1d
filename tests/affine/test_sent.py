"""What an analysis tells can be copied, and sent to another process, and still proves there."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa

WAYS: dict[str, Callable[[Any], Any]] = {
    "pickled": lambda told: pickle.loads(pickle.dumps(told)),
    "copied": copy.deepcopy,
}


def network(*, activation: bool = False) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), *([nn.GELU()] if activation else []), nn.Flatten(), nn.Linear(18, 2)
    ).eval()


def images() -> Tensor:
    return torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("activation", [False, True])
@pytest.mark.parametrize("ask", [wa.analyze, wa.inspect_module, wa.plan_runs])
def test_it_reads_as_before(way: str, activation: bool, ask: Callable[..., Any]) -> None:
    told = ask(network(activation=activation), images())
    assert str(WAYS[way](told)) == str(told)


@pytest.mark.parametrize("way", WAYS)
def test_a_collapse_still_proves(way: str) -> None:
    collapse = wa.collapse_linear(network(), images())
    other = WAYS[way](collapse)
    assert torch.equal(other.layer.weight, collapse.layer.weight)
    for kind in ("exact", "numeric"):
        assert other.prove(kind).holds
    assert torch.equal(other.as_module()(images()), collapse.as_module()(images()))


@pytest.mark.parametrize("way", WAYS)
def test_weights_that_were_changed_since_are_not_sent(way: str) -> None:
    module = network()
    analysis = wa.analyze(module, images())
    with torch.no_grad():
        module[0].weight.mul_(2)
    with pytest.raises(wa.InputError, match="changed after the module was analysed"):
        WAYS[way](analysis)


def test_an_error_brings_its_analysis_along() -> None:
    with pytest.raises(wa.NotAffineError) as raised:
        wa.collapse_linear(network(activation=True), images())
    error = WAYS["pickled"](raised.value)
    assert str(error) == str(raised.value)
    assert error.analysis.verdict == "not_affine"


def test_analyses_compare_as_what_they_are() -> None:
    first, second = (wa.analyze(network(activation=True), images()) for _ in range(2))
    assert first == first
    assert first != second
    assert first.counterexample != second.counterexample
