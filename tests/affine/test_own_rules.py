"""Rules that users register for operations of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.affine.rules import RULES, register_rule, unregister_rule
from whyactivate.errors import InputError, UnknownNameError


@torch.library.custom_op("whyactivate_tests::blend", mutates_args=())
def blend(x: Tensor, weight: Tensor, bias: Tensor | None, turns: int) -> Tensor:
    """x, turned along its last axis, times the weight, plus the bias."""
    result = x.roll(turns, -1) * weight
    return result if bias is None else result + bias


@torch.library.custom_op("whyactivate_tests::bent", mutates_args=())
def bent(x: Tensor) -> Tensor:
    """Affine except far below 0."""
    return torch.where(x < -500, 2 * x, x)


@torch.library.custom_op("whyactivate_tests::shifted", mutates_args=())
def shifted(x: Tensor) -> Tensor:
    return x * 2 + 1


@torch.library.custom_op("whyactivate_tests::noisy", mutates_args=())
def noisy(x: Tensor) -> Tensor:
    return x + torch.rand(())


@torch.library.custom_op("whyactivate_tests::overwrites", mutates_args={"x"})
def overwrites(x: Tensor) -> None:
    x.mul_(2)


BLEND: Any = torch.ops.whyactivate_tests.blend.default
SAMPLES = [
    (torch.tensor([[1.0, 2.0, -3.0]]), torch.tensor([0.5, 2.0, 3.0]), torch.tensor([1.0, -1.0, 0.25]), 1),
    (torch.tensor([[1.0, 2.0], [0.0, 5.0]]), torch.tensor(-2.0), None, 0),
]
FORM = "x*weight + bias"


class Blending(nn.Module):
    """Linear, the custom operation, Linear."""

    def __init__(self, bias: bool = True, learned: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 2)
        self.weight = nn.Parameter(torch.tensor([0.5, -2.0, 3.0]))
        self.bias = nn.Parameter(torch.tensor([1.0, -1.0, 0.25])) if bias else None
        self.learned = learned

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        return self.last(blend(hidden, hidden if self.learned else self.weight, self.bias, 1))


@pytest.fixture(autouse=True)
def _no_rule_stays() -> Iterator[None]:
    before = dict(RULES)
    yield
    for op in set(RULES) - set(before):
        unregister_rule(op)
    assert before == RULES


def collapsed_gap(module: nn.Module) -> float:
    x = torch.randn(7, 4, dtype=torch.float64)
    collapse = wa.collapse_linear(module.double(), x)
    return float((collapse.layer(x) - module(x)).detach().abs().max())


def test_without_a_rule_an_own_operation_is_undecided() -> None:
    analysis = wa.analyze(Blending(), torch.randn(2, 4))
    assert analysis.verdict is wa.Verdict.UNDECIDED
    assert any("no rule" in blame.reason for blame in analysis.blame)


@pytest.mark.parametrize("bias", [True, False])
def test_a_registered_operation_collapses_exactly(bias: bool) -> None:
    wa.register_rule(BLEND, FORM, samples=SAMPLES)
    module = Blending(bias)
    analysis = wa.analyze(module, torch.randn(2, 4))
    assert analysis.verdict is wa.Verdict.AFFINE
    assert analysis.per_example
    assert any("on the word of register_rule" in note for note in analysis.notes)
    assert collapsed_gap(module) < 1e-14


def test_a_formula_takes_the_place_of_basis_vectors() -> None:
    def formula(x: Any, weight: Any, bias: Any, turns: int) -> Any:
        size = x.shape[-1]
        result = x[..., [(k - turns) % size for k in range(size)]] * weight
        return result if bias is None else result + bias

    wa.register_rule(BLEND, FORM, samples=SAMPLES, formula=formula, note="our own")
    assert collapsed_gap(Blending()) < 1e-14
    assert "our own" in wa.analyze(Blending(), torch.randn(2, 4)).notes


def test_both_factors_from_the_input_are_no_affine_product() -> None:
    wa.register_rule(BLEND, FORM, samples=SAMPLES)
    analysis = wa.analyze(Blending(learned=True), torch.randn(2, 4))
    assert analysis.verdict is not wa.Verdict.AFFINE
    assert any("both depend on the input" in blame.reason for blame in analysis.blame)


def test_what_custom_op_returns_and_the_packet_name_the_operation_as_well() -> None:
    register_rule(blend, FORM, samples=SAMPLES)
    assert BLEND in RULES
    unregister_rule(torch.ops.whyactivate_tests.blend)
    assert BLEND not in RULES


X = torch.ones(2, 3)
REFUSED: list[tuple[Any, str, list[tuple[Any, ...]], str]] = [
    (BLEND, "x*weight + bais", SAMPLES, "Did you mean 'bias'"),
    (BLEND, "x*(weight", SAMPLES, "expected a sum of products"),
    (BLEND, "", SAMPLES, "expected a sum of products"),
    (BLEND, "x*x", SAMPLES, "multiplies an operand by itself"),
    (BLEND, "x + weight + bias", SAMPLES, "not affine in 'weight' in the way the form says"),
    (BLEND, "x*weight*bias", SAMPLES, "with nothing set to 0"),
    (BLEND, FORM, SAMPLES[1:], "no sample lets 'bias' depend"),
    (BLEND, FORM, [], "samples is empty"),
    (BLEND, FORM, [(torch.ones(2), torch.ones(3), None, 0)], "does not run in float64 on sample 0"),
    (bent, "x", [(X,)], "not affine in 'x'"),
    (shifted, "x", [(X,)], "must be an operand that the form names"),
    (noisy, "x", [(X,)], "not twice the same"),
    (overwrites, "x", [(X,)], "must write into none of its operands"),
    (torch.ops.aten.add.Tensor, "self + other", [(X, X)], "has a rule already"),
    (torch.ops.aten.add, "self + other", [(X, X)], "has the overloads"),
    (torch.add, "input + other", [(X, X)], "torch.library.custom_op"),
]


@pytest.mark.parametrize(("op", "form", "samples", "words"), REFUSED, ids=[row[3] for row in REFUSED])
def test_a_word_that_does_not_hold_is_refused(op: Any, form: str, samples: list[tuple[Any, ...]], words: str) -> None:
    before = dict(RULES)
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        wa.register_rule(op, form, samples=samples)
    assert before == RULES


def test_an_unknown_operand_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError):
        wa.register_rule(BLEND, "y", samples=SAMPLES)


def test_a_false_formula_is_refused() -> None:
    with pytest.raises(InputError, match="away from what"):
        wa.register_rule(BLEND, FORM, samples=SAMPLES, formula=lambda x, weight: x * weight)


def test_only_own_rules_can_be_taken_back() -> None:
    with pytest.raises(InputError, match="no rule that register_rule gave"):
        wa.unregister_rule(torch.ops.aten.add.Tensor)
