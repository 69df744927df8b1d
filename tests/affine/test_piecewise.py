"""Modules in which something nonlinear happens, but cancels, are proved affine; no other is."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.affine.cancelling.pieces import Pieces
from whyactivate.affine.cancelling.piecewise import find_affine_form, prove_cancellation
from whyactivate.affine.cancelling.polynomials import Forms, Polynomial, TooManyTermsError
from whyactivate.affine.evaluating.replay import ExactConstants
from whyactivate.affine.recording import Example, Recordings, record_all
from whyactivate.affine.rules import CannotEvaluate
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.errors import CannotProveError

Forward = Callable[["Parts", Tensor], Tensor]


class Parts(nn.Module):
    def __init__(self, function: Forward) -> None:
        super().__init__()
        self.function = function
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.fc = nn.Linear(3, 4)
            self.mix = nn.Linear(3, 3)
        self.prelu = nn.PReLU(init=1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class CReLU(nn.Module):
    """[relu(z), relu(-z)], recombined by a layer with weights [A, -A]."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 6), nn.Linear(12, 2)
        self.fc2.weight.data[:, 6:] = -self.fc2.weight.data[:, :6]

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc1(x)
        return self.fc2(torch.cat([z.relu(), (-z).relu()], dim=1))


def without_nan(m: Parts, x: Tensor) -> Tensor:
    z = m.fc(x)
    z[torch.isnan(z)] = 0.0
    return z


def in_place(m: Parts, x: Tensor) -> Tensor:
    z = m.fc(x).clone()
    z[:, 1:].relu_()
    return z[:, :1]


AFFINE: dict[str, Forward] = {
    "relu(x) - relu(-x)": lambda m, x: F.relu(x) - F.relu(-x),
    "relu(fc) - relu(-fc)": lambda m, x: F.relu(m.fc(x)) - F.relu(-m.fc(x)),
    "relu(2x) - 2 relu(x) + x": lambda m, x: F.relu(2 * x) - 2 * F.relu(x) + x,
    "leaky_relu of slope 1": lambda m, x: F.leaky_relu(m.fc(x), 1.0),
    "prelu at 1": lambda m, x: m.prelu(m.fc(x)),
    "max(x, 0) + min(x, 0)": lambda m, x: x.clamp(min=0) + x.clamp(max=0),
    "max(f, g) + min(f, g)": lambda m, x: torch.maximum(m.mix(x), x) + torch.minimum(m.mix(x), x),
    "maxout of equal pieces": lambda m, x: torch.maximum(m.fc(x), m.fc(x)),
    "(x + 1)² - x²": lambda m, x: (x + 1) ** 2 - x**2,
    "square, spelt otherwise": lambda m, x: (x + 1).square() - x * x,
    "(x + 1)³ - x³ - 3x²": lambda m, x: (x + 1) ** 3 - x**3 - 3 * x**2,
    "x·x - x·x + x": lambda m, x: x * x - x * x + x,
    "x·f(x) with both orders": lambda m, x: x * m.mix(x) - m.mix(x) * x + x,
    "bmm of both orders": lambda m, x: (x[:, None] * x[:, :, None] - torch.bmm(x[:, :, None], x[:, None])).sum(1) + x,
    "relu(x)·0": lambda m, x: F.relu(x) * 0 + x,
    "relu(x)·relu(-x)": lambda m, x: F.relu(x) * F.relu(-x) + x,
    "relu² of both signs": lambda m, x: F.relu(x) ** 2 + F.relu(-x) ** 2 - x**2 + x,
    "relu(x + 1)·relu(x) in two spellings": lambda m, x: F.relu(x + 1) * F.relu(x) - (x + 1) * F.relu(x) + x,
    "relu(relu(x))": lambda m, x: F.relu(F.relu(x)) - F.relu(-x),
    "relu(-relu(x))": lambda m, x: F.relu(-F.relu(x)) + x,
    "relu of a sum of relus": lambda m, x: (
        F.relu(F.relu(m.fc(x)) + F.relu(m.fc(-x))) - F.relu(m.fc(x)) - F.relu(m.fc(-x))
    ),
    "relu(x² + 1)": lambda m, x: F.relu(x**2 + 1) - x**2 + x,
    "hardtanh in two halves": lambda m, x: F.hardtanh(x, -2, 2) - F.hardtanh(x, -2, 0) - F.hardtanh(x, 0, 2) + x,
    "relu6 of both sides": lambda m, x: F.relu6(x + 3) + F.relu6(3 - x) + x,
    "hardswish(x) - hardswish(-x)": lambda m, x: F.hardswish(x) - F.hardswish(-x),
    "hardsigmoid of both signs": lambda m, x: F.hardsigmoid(x) + F.hardsigmoid(-x) + x,
    "|x| by relu": lambda m, x: (x.abs() + x) / 2 - x.relu() + x,
    "|f|": lambda m, x: m.fc(x).abs() - F.relu(m.fc(x)) - F.relu(-m.fc(x)) + m.fc(x),
    "a clamp of tanh that never clips": lambda m, x: torch.tanh(x).clamp(-1, 1) - torch.tanh(x) + x,
    "a relu of a bounded sum": lambda m, x: (
        F.relu(F.hardtanh(x) + F.hardtanh(m.mix(x)) + 2) - F.hardtanh(x) - F.hardtanh(m.mix(x))
    ),
    "tanh is odd": lambda m, x: torch.tanh(m.mix(x)) + torch.tanh(-m.mix(x)) + x,
    "sigmoid(x) + sigmoid(-x)": lambda m, x: torch.sigmoid(m.fc(x)) + torch.sigmoid(-m.fc(x)),
    "silu(x) - silu(-x)": lambda m, x: F.silu(x) - F.silu(-x),
    "exp(x)·exp(-x)": lambda m, x: torch.exp(x) * torch.exp(-x) + x,
    "exp(f)·exp(2x)·exp(-f - 2x)": lambda m, x: (
        torch.exp(m.mix(x)) * torch.exp(2 * x) * torch.exp(-2 * x - m.mix(x)) + x
    ),
    "relu of an exponential": lambda m, x: F.relu(torch.exp(x)) - torch.exp(x) + x,
    "log(exp(x))": lambda m, x: torch.log(torch.exp(m.mix(x))),
    "softmax of one number": lambda m, x: torch.softmax(x[:, :1], 1) + x,
    "entries of a softmax sum to 1": lambda m, x: torch.softmax(m.fc(x), 1).sum(1, keepdim=True) + x,
    "softmax of a shift": lambda m, x: torch.softmax(m.fc(x) + x[:, :1], -1) - torch.softmax(m.fc(x), -1) + x[:, :1],
    "entries of a softmax, times x": lambda m, x: (torch.softmax(x, 1) * x[:, :1]).sum(1, keepdim=True),
    "x - log_softmax(x) is the same in all entries": lambda m, x: (
        (m.mix(x) - torch.log_softmax(m.mix(x), 1)) - torch.logsumexp(m.mix(x), 1, keepdim=True) + x
    ),
    "logsumexp of one number": lambda m, x: torch.logsumexp(x[:, :1], 1, keepdim=True),
    "logsumexp of a shift": lambda m, x: torch.logsumexp(x + 2, (1,), True) - torch.logsumexp(x, 1, True),
    "relu of a logsumexp above the first": lambda m, x: (
        F.relu(torch.logsumexp(x, 1, True) - x[:, :1]) - torch.logsumexp(x, 1, True) + x[:, :1]
    ),
    "the place of the largest of one number": lambda m, x: x[:, :1].argmax(1, keepdim=True).float() + x[:, :1],
    "sin² + cos²": lambda m, x: torch.sin(m.mix(x)) ** 2 + torch.cos(-m.mix(x)) ** 2 + x,
    "cos³ + sin²·cos": lambda m, x: torch.cos(x) ** 3 + torch.sin(x) ** 2 * torch.cos(x) - torch.cos(x) + x,
    "cosh² - sinh²": lambda m, x: torch.cosh(x) ** 2 - torch.sinh(x) ** 2 + x,
    "where of equal pieces": lambda m, x: torch.where(x > 0, m.mix(x), m.mix(x)),
    "relu by where": lambda m, x: torch.where(x > 0, x, torch.zeros_like(x)) - F.relu(x) + x,
    "|x| by where": lambda m, x: torch.where(x < 0, -x, x) - x.abs() + x,
    "relu by masked_fill": lambda m, x: x.masked_fill(x <= 0, 0.0) - x.clamp(min=0) + x,
    "relu by a mask as factor": lambda m, x: x * (x > 0) - F.relu(x) + m.mix(x) * (m.mix(x) >= 0).float() * 0 + x,
    "leaky relu by a mask": lambda m, x: m.fc(x) * (m.fc(x) > 0).float() - F.relu(m.fc(x)) + m.fc(x),
    "0 where isnan": lambda m, x: torch.where(torch.isnan(m.fc(x)), 0.0, m.fc(x)),
    "x[isnan] = 0": without_nan,
    "0 where not isfinite": lambda m, x: torch.where(torch.isfinite(m.fc(x)), m.fc(x), torch.zeros(())),
    "masked_fill where isinf or isnan": lambda m, x: m.fc(x).masked_fill(m.fc(x).isinf() | m.fc(x).isnan(), 0.0),
    "x where x = x": lambda m, x: x * (x == x) * (x <= x) + torch.where(x != x, x**2, m.mix(x)),
    "where x is below infinity": lambda m, x: torch.where(x < math.inf, x, x**2) + torch.where(x <= -math.inf, x**2, x),
    "relu by two masks": lambda m, x: torch.where((x > 0) & ~x.isnan(), x, 0.0) - F.relu(x) + x,
    "relu by a mask turned around": lambda m, x: torch.where(~(x > 0), 0.0, x) - F.relu(x) + x,
    "one relu, used and taken back": lambda m, x: (lambda r: m.mix(x) + r - r)(F.relu(x)),
    "relus in memory that is not used": in_place,
    "a trap for floats: + 1e15 - 1e15": lambda m, x: ((x + 1e15) - 1e15) + F.relu(x) * 0,
    "a trap for floats: relus at 1e12": lambda m, x: F.relu(0.001 * x + 1e12) - F.relu(-0.001 * x - 1e12) - 1e12,
    "a layer of CReLU": lambda m, x: F.linear(
        torch.cat([x.relu(), (-x).relu()], 1), torch.cat([m.fc.weight, -m.fc.weight], 1)
    ),
}


def rows(count: int = 4) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(1))


def recorded(function: Forward) -> Recordings:
    return record_all(Parts(function), Example.of(rows()))


@pytest.mark.parametrize("name", AFFINE)
def test_what_cancels_is_proved_affine_by_the_same_map(name: str) -> None:
    recordings = recorded(AFFINE[name])
    assert prove_cancellation(recordings, ExactConstants()).obstacle is None
    assert recordings.single is not None
    form = find_affine_form(recordings.single, ExactConstants())
    if "trap" in name:  # floats cannot follow
        return
    x = rows().double()
    found = x @ form.weight.to_float64()[0].T + form.bias.to_float64()[0]
    torch.testing.assert_close(found, Parts(AFFINE[name]).double()(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["relu(x) - relu(-x)", "(x + 1)² - x²", "sigmoid(x) + sigmoid(-x)"])
def test_the_verdict_says_how_it_was_proved(name: str) -> None:
    analysis = wa.analyze(Parts(AFFINE[name]), rows())
    assert analysis.verdict == "affine"
    assert analysis.per_example
    assert "cancels" in analysis.proved
    assert analysis.blame == ()


def test_traps_for_floats_are_never_refuted() -> None:
    for name in AFFINE:
        if "trap" in name:
            assert wa.analyze(Parts(AFFINE[name]), rows()).verdict in ("affine", "undecided")


def test_a_crelu_that_is_recombined_collapses_to_its_exact_map() -> None:
    module = CReLU()
    collapse = wa.collapse_linear(module)
    weights = [layer.weight.detach().double() for layer in (module.fc1, module.fc2)]
    expected = weights[1][:, :6] @ weights[0]
    torch.testing.assert_close(collapse.weight, expected, rtol=1e-12, atol=1e-12)
    assert collapse.prove("exact").holds
    x = rows()
    torch.testing.assert_close(collapse.as_module()(x), module(x))


def test_the_weights_of_a_crelu_decide() -> None:
    module = CReLU()
    module.fc2.weight.data[0, 6] += 2.0**-20
    assert wa.analyze(module, rows()).verdict == "not_affine"


def test_the_exact_proof_says_so_where_values_are_not_exact() -> None:
    collapse = wa.collapse_linear(Parts(AFFINE["sigmoid(x) + sigmoid(-x)"]), rows())
    with pytest.raises(CannotProveError, match="no exact values"):
        collapse.prove("exact")
    with pytest.raises(CannotProveError, match="cancel"):
        collapse.prove("numeric")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda m, x: F.relu(x.sum(0, keepdim=True)) - F.relu(-x.sum(0, keepdim=True)) + x, "other rows"),
        (lambda m, x: F.relu(x) - F.relu(-x) + torch.arange(len(x))[:, None], "treated otherwise"),
        (lambda m, x: (F.relu(x) - F.relu(-x)).flip(0), "other rows"),
        (lambda m, x: (F.relu(x) - F.relu(-x)).mean(0, keepdim=True), "entry per row"),
    ],
)
def test_rows_that_mix_are_told(function: Forward, words: str) -> None:
    analysis = wa.analyze(Parts(function), rows())
    assert analysis.verdict == "affine"
    assert not analysis.per_example
    assert words in analysis.notes[-1]


def test_a_kink_for_larger_batches_alone_is_not_overlooked() -> None:
    def function(m: Parts, x: Tensor) -> Tensor:
        return F.relu(x) - F.relu(-x) + (F.relu(x - 3) if len(x) > 2 else 0)

    cancellation = prove_cancellation(recorded(function), ExactConstants())
    assert cancellation.obstacle is not None
    assert "4" in cancellation.obstacle


def overwritten_mask(m: Parts, x: Tensor) -> Tensor:
    mask = (x > 0).float()
    mask.copy_(x)
    return x * mask - F.relu(x) + x


def mask_overwritten_in_part(m: Parts, x: Tensor) -> Tensor:
    mask = (x > 0).float()
    mask[:, 0] = x[:, 1]
    return x * mask - F.relu(x) + x


def number_overwritten_by_a_mask(m: Parts, x: Tensor) -> Tensor:
    number = x.clone()
    number.copy_(x > 0)
    return number - x


NOT_AFFINE: dict[str, Forward] = {
    "a mask, overwritten": overwritten_mask,
    "a mask, overwritten in part": mask_overwritten_in_part,
    "a number, overwritten by a mask": number_overwritten_by_a_mask,
    "relu": lambda m, x: F.relu(x),
    "|x|": lambda m, x: x.abs(),
    "relu(x) + relu(-x)": lambda m, x: F.relu(x) + F.relu(-x),
    "relu(x) - relu(-x - 2⁻⁴⁰)": lambda m, x: F.relu(x) - F.relu(-x - 2.0**-40),
    "leaky_relu of nearly 1": lambda m, x: F.leaky_relu(x, 1 - 2.0**-20),
    "max(f, g) + min(f, -g)": lambda m, x: torch.maximum(m.mix(x), x) + torch.minimum(m.mix(x), -x),
    "(x + 1)² - 2x²": lambda m, x: (x + 1) ** 2 - 2 * x**2,
    "x₀·x₁": lambda m, x: x[:, :1] * x[:, 1:2],
    "a clamp of tanh that clips": lambda m, x: torch.tanh(x).clamp(-0.5, 1) - torch.tanh(x) + x,
    "relu(x² - 1)": lambda m, x: F.relu(x**2 - 1) - x**2 + x,
    "tanh(x) - tanh(-x)": lambda m, x: torch.tanh(x) - torch.tanh(-x),
    "silu(x) + silu(-x)": lambda m, x: F.silu(x) + F.silu(-x),
    "softplus(x) - softplus(-x), linear beyond 20": lambda m, x: F.softplus(x) - F.softplus(-x),
    "exp(x)·exp(x)": lambda m, x: torch.exp(x) * torch.exp(x) + x,
    "log(2 exp(x) + 1)": lambda m, x: torch.log(2 * torch.exp(x) + 1),
    "softmax": lambda m, x: torch.softmax(x, 1),
    "entries of a softmax but one": lambda m, x: torch.softmax(x, 1)[:, :2].sum(1),
    "softmax of two axes": lambda m, x: torch.softmax(x, 1) - torch.softmax(x.flip(1), 1),
    "softmax of 2x - softmax of x": lambda m, x: torch.softmax(2 * x, 1) - torch.softmax(x, 1),
    "logsumexp(x) - max(x)": lambda m, x: torch.logsumexp(x, 1) - x.amax(1),
    "the place of the largest": lambda m, x: x.argmax(1).float() + x[:, 0],
    "sin² - cos²": lambda m, x: torch.sin(x) ** 2 - torch.cos(x) ** 2 + x,
    "sin(x)² + cos(2x)²": lambda m, x: torch.sin(x) ** 2 + torch.cos(2 * x) ** 2,
    "x² where x = x": lambda m, x: torch.where(x == x, x**2, x),
    "x² where x is finite": lambda m, x: torch.where(x.isfinite(), x**2, x),
    "x where x = 0": lambda m, x: torch.where(x == 0, x, x + 1),
    "bits of a mask turned around": lambda m, x: x * (~(x == x).int()).float() + x,
    "x where log(x + 9) is a number": lambda m, x: torch.where(torch.isnan(torch.log(x + 9)), 0.0, x),
    "x where 1 / x is finite": lambda m, x: torch.where(torch.isfinite(1 / x), x, x + 1),
    "x where it is finite in float16": lambda m, x: torch.where((x * 6e4).half().isinf(), 0.0, x),
    "one of two masks": lambda m, x: torch.where((x > 0) & (x.flip(1) > 0), x, 0.0) - F.relu(x) + x,
    "x where x > 1": lambda m, x: torch.where(x > 1, x, torch.zeros_like(x)) - F.relu(x) + x,
    "x times a mask of 2x - 1": lambda m, x: x * (2 * x > 1) - F.relu(x) + x,
    "a mask alone": lambda m, x: (x > 0).float() + x,
    "a mask of another entry": lambda m, x: x * (x.flip(1) > 0) - F.relu(x) + x,
    "relu6 of one side": lambda m, x: F.relu6(x + 3) - F.relu6(3 - x),
    "two relus of other directions": lambda m, x: F.relu(x[:, :1]) - F.relu(x[:, :1] + x[:, 1:2]),
}


@pytest.mark.parametrize("name", NOT_AFFINE)
def test_what_does_not_cancel_is_not_proved(name: str) -> None:
    assert prove_cancellation(recorded(NOT_AFFINE[name]), ExactConstants()).obstacle is not None


def test_constants_that_are_rounded_on_the_way_are_left_alone() -> None:
    def function(m: Parts, x: Tensor) -> Tensor:
        return torch.where(x > 0.1, x, torch.full((), 0.1, dtype=torch.float64)) - F.relu(x - 0.1) + x

    assert "rounded on the way" in str(prove_cancellation(recorded(function), ExactConstants()).obstacle)


def test_a_form_that_would_be_too_large_is_not_tried() -> None:
    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) - F.relu(-x)

    recordings = record_all(Wide(), Example.of(torch.zeros(1, 2000)))
    assert "too large" in str(prove_cancellation(recordings, ExactConstants()).obstacle)
    with pytest.raises(TooManyTermsError):
        Forms(1, 3).constant(fmpq(1)).forms.spend(4)


def test_an_operation_without_canonical_form_is_named() -> None:
    single = recorded(lambda m, x: torch.cumprod(x, 1) + torch.special.erfcx(x)).single
    assert single is not None
    with pytest.raises(CannotEvaluate, match="erfcx has no canonical form"):
        find_affine_form(single, ExactConstants())


# -- the parts ------------------------------------------------------------------------------------------------------

small = st.integers(-6, 6).map(fmpq)


def value(p: Polynomial, point: list[Fraction], kinks: dict[int, Callable[[list[Fraction]], Fraction]]) -> Fraction:
    total = Fraction(0)
    for monomial, c in p.terms.items():
        term = Fraction(int(c.p), int(c.q))
        for number in monomial:
            term *= point[number] if number < len(point) else kinks[number](point)
        total += term
    return total


@given(small, small, st.dictionaries(small, small, max_size=4))
@settings(max_examples=100, deadline=None)
def test_the_positive_part_of_pieces_is_the_maximum_with_0(offset: fmpq, slope: fmpq, kinks: dict[fmpq, fmpq]) -> None:
    def at(pieces: Pieces, t: fmpq) -> fmpq:
        parts = [change * max(t - threshold, fmpq(0)) for threshold, change in pieces.kinks.items()]
        return sum(parts, pieces.offset + pieces.slope * t)

    pieces = Pieces(offset, slope, kinks)
    positive, (low, high) = pieces.positive_part(), pieces.range()
    values = [at(pieces, fmpq(t, 3)) for t in range(-60, 61)]
    assert [at(positive, fmpq(t, 3)) for t in range(-60, 61)] == [max(v, fmpq(0)) for v in values]
    assert low is None or low <= min(values)
    assert high is None or high >= max(values)
    if low is not None:
        assert any(at(pieces, t) == low for t in [*kinks, fmpq(0)])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_canonical_forms_have_the_values_of_what_they_were_made_from(data: st.DataObject) -> None:
    forms = Forms(2, 200_000)
    point = [Fraction(data.draw(st.integers(-9, 9)), 2) for _ in range(2)]
    known: list[tuple[Polynomial, Fraction]] = [(forms.variable(i), point[i]) for i in range(2)]
    for _ in range(data.draw(st.integers(1, 7))):
        (p, a), (q, b) = data.draw(st.sampled_from(known)), data.draw(st.sampled_from(known))
        scale = data.draw(st.integers(-3, 3))
        which = data.draw(st.sampled_from(["sum", "relu", "shift", "product"]))
        if which == "sum":
            known.append((p * fmpq(scale) + q, a * scale + b))
        elif which == "relu":
            known.append(((p - q * fmpq(scale)).positive_part(), max(a - b * scale, Fraction(0))))
        elif which == "shift":
            known.append((p + forms.constant(fmpq(scale)), a + scale))
        elif len(p.terms) * len(q.terms) < 50:
            known.append((p * q, a * b))
    kinks: dict[int, Callable[[list[Fraction]], Fraction]] = {}

    def kink(direction: Polynomial, threshold: fmpq) -> Callable[[list[Fraction]], Fraction]:
        tau = Fraction(int(threshold.p), int(threshold.q))
        return lambda x: max(value(direction, x, kinks) - tau, Fraction(0))

    for number, variable in forms._variables.items():
        kinks[number] = kink(forms._directions[variable.direction], variable.threshold)
    for p, expected in known:
        assert value(p, point, kinks) == expected


def test_an_affine_program_has_its_own_map_as_form() -> None:
    module = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    recordings = record_all(module, Example.of(rows()))
    assert recordings.single is not None
    form = find_affine_form(recordings.single, ExactConstants())
    assert form.equals(ExactAffine.multiply_out(wa.collapse_linear(module).steps))


def test_a_batch_too_large_for_a_canonical_form_is_not_taken_on_trust() -> None:
    analysis = wa.analyze(Parts(AFFINE["relu(fc) - relu(-fc)"]), rows(300))
    assert analysis.verdict == "undecided"
    assert analysis.advice == "give an example of fewer rows"
