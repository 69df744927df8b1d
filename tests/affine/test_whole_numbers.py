"""Whole numbers that depend on the input: never affine, refuted where an input shows it, and read as what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa

Forward = Callable[["Parts", Tensor], Any]


class Parts(nn.Module):
    """A few layers, and a forward that is given."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.linear, self.table, self.does = nn.Linear(4, 4), nn.Embedding(4, 3), forward

    def forward(self, x: Tensor) -> Any:
        return self.does(self, x)


def rows() -> Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def largest(m: Parts, x: Tensor) -> Tensor:
    return x.argmax(-1, keepdim=True)


REFUTED: dict[str, Forward] = {
    "argmax": lambda m, x: x.argmax(-1),
    "argmin": lambda m, x: x.argmin(-1),
    "argsort": lambda m, x: x.argsort(-1),
    "argsort, from the largest": lambda m, x: x.argsort(-1, descending=True),
    "ranks": lambda m, x: x.argsort(-1).argsort(-1).float(),
    "places of the largest two": lambda m, x: x.topk(2).indices,
    "place of the smallest": lambda m, x: x.min(-1).indices,
    "bucketize": lambda m, x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0])),
    "searchsorted": lambda m, x: torch.searchsorted(torch.tensor([-1.0, 0.0, 1.0]), x, right=True),
    "cast to int64": lambda m, x: x.long(),
    "cast to int8": lambda m, x: x.to(torch.int8),
    "written into int64": lambda m, x: torch.zeros(x.shape, dtype=torch.int64).copy_(x * 10).float(),
    "cast to bool": lambda m, x: x.bool().float(),
    "quantised by hand": lambda m, x: (x * 10).long().float() / 10,
    "quantised in training": lambda m, x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127),
    "looked up": lambda m, x: m.table(m.linear(x).argmax(-1)),
    "gathered": lambda m, x: x.gather(1, largest(m, x)),
    "picked by index": lambda m, x: m.table.weight[m.linear(x).argmax(-1)],
    "experts, mixed": lambda m, x: (m.linear.weight[x.topk(2).indices] * x.topk(2).values[..., None]).sum(1),
    "columns in order": lambda m, x: x[:, x.sum(0).argsort()],
    "one hot": lambda m, x: (largest(m, x) == torch.arange(4)).float(),
    "values and places": lambda m, x: x.max(-1),
    "sorted": lambda m, x: x.sort(-1),
    "sorted by hand": lambda m, x: x.take_along_dim(x.argsort(-1), -1),
    "counted": lambda m, x: (x > 0).sum(-1),
    "every second one": lambda m, x: (x.argmax(-1) * 3 + 1) % 2,
    "label not used": lambda m, x: (x.argmax(-1), x.relu())[1],
    "order not used": lambda m, x: (x.sort(-1), x.topk(2), x.relu())[2],
    "logits and label": lambda m, x: (m.linear(x), m.linear(x).argmax(-1)),
}


@pytest.mark.parametrize("name", REFUTED)
def test_it_is_refuted_by_numbers_that_the_module_gives(name: str) -> None:
    module = Parts(REFUTED[name])
    analysis = wa.analyze(module, rows())
    assert analysis.verdict == "not_affine"
    found = analysis.counterexample
    assert found is not None
    first, second = found.weights
    a, b = found.a[0], found.b[0]
    entries: list[list[float]] = []
    for point in (a * float(first) + b * float(second), a, b):
        given = module(point.float())
        outputs = given if isinstance(given, tuple) else (given,)
        entries.append([float(output.detach().flatten()[found.output_index]) for output in outputs
                        if output.numel() > found.output_index])  # fmt: skip
    gaps = [mix - float(first) * at_a - float(second) * at_b for mix, at_a, at_b in zip(*entries, strict=True)]
    expected = found.at_mix - found.mix_of
    assert any(abs(gap - expected) < 1e-4 for gap in gaps)


NEVER_REFUTED: dict[str, Forward] = {
    "a cast that cancels": lambda m, x: x.long().float() - x.long().float() + x,
    "the place among one": lambda m, x: x + x[:, :1].argmax(-1, keepdim=True).float(),
    "one hot, added up": lambda m, x: x + (largest(m, x) == torch.arange(4)).float().sum(-1, keepdim=True),
    "the only one, gathered": lambda m, x: x[:, :1].gather(1, x[:, :1].argmax(-1, keepdim=True)),
    "sorted and put back": lambda m, x: x.sort(-1).values.gather(1, x.argsort(-1).argsort(-1)),
    "places that are none": lambda m, x: x + (x.argmax(-1, keepdim=True) // 4),
    "places that cancel": lambda m, x: x + (x.argsort(-1).sum(-1, keepdim=True) - 6),
    "equal numbers": lambda m, x: torch.stack([x[:, 0], x[:, 0]], -1).argsort(-1).float(),
    "numbers, and places that are none": lambda m, x: (m.linear(x), x.argmax(-1) * 0),
    "numbers, and whether they are none": lambda m, x: (m.linear(x), torch.isnan(x)),
}


@pytest.mark.parametrize("name", NEVER_REFUTED)
def test_what_is_constant_after_all_is_not_refuted(name: str) -> None:
    assert wa.analyze(Parts(NEVER_REFUTED[name]), rows()).verdict != "not_affine"


@pytest.mark.parametrize("name", ["numbers, and places that are none", "numbers, and whether they are none"])
def test_outputs_in_whole_numbers_are_never_called_affine(name: str) -> None:
    assert wa.analyze(Parts(NEVER_REFUTED[name]), rows()).verdict == "undecided"


@pytest.mark.parametrize("unused", [lambda x: x.argmax(-1), lambda x: x.sort(-1), lambda x: x.long()])
def test_whole_numbers_that_nobody_uses_do_not_stand_in_the_way(unused: Callable[[Tensor], Any]) -> None:
    assert wa.analyze(Parts(lambda m, x: (unused(x), m.linear(x))[1]), rows()).verdict == "affine"


def test_whole_numbers_that_outgrow_their_dtype_refute_nothing() -> None:
    wrapped = Parts(lambda m, x: x.to(torch.int8) * 100)
    assert wa.analyze(wrapped, 100 * rows()).verdict == "undecided"


def test_places_of_the_weights_are_constants() -> None:
    assert wa.analyze(Parts(lambda m, x: (m.linear(x), m.linear.weight.argmax(-1))), rows()).verdict == "affine"


def test_a_matrix_that_may_be_singular_is_refuted_but_never_called_affine() -> None:
    square = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(1))
    assert wa.analyze(Parts(lambda m, x: torch.linalg.inv(x)), square).verdict == "not_affine"
    assert wa.analyze(Parts(lambda m, x: torch.linalg.solve(x, torch.ones(2))), square).verdict == "not_affine"
    assert (
        wa.analyze(Parts(lambda m, x: torch.linalg.solve(x, m.linear.weight[:2], left=True)), square).verdict
        == "not_affine"
    )
    assert wa.analyze(Parts(lambda m, x: torch.linalg.inv(x) @ x), square).verdict == "undecided"
    assert wa.analyze(Parts(lambda m, x: torch.linalg.solve(x, x)), square).verdict == "undecided"
    raises = Parts(lambda m, x: (torch.linalg.inv(x), x)[1])
    assert wa.analyze(raises, square).verdict == "undecided"
    raises_on_several = Parts(lambda m, x: (torch.linalg.inv(x) if len(x) > 1 else None, x)[1])
    assert wa.analyze(raises_on_several, square).verdict == "undecided"
