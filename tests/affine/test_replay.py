"""The tape, replayed on other inputs, is the program: random programs with views, writes in place and joins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules import Call
from whyactivate.affine import Verdict, analyze
from whyactivate.affine.evaluating.replay import ExactConstants, Part, Replay, needs_balls
from whyactivate.affine.recording.tracker import record
from whyactivate.affine.rules import CannotEvaluate
from whyactivate.affine.tape import Constant, Tape
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.collapse import collapse_linear
from whyactivate.errors import InputError

WIDTH = 4


def exactly(x: Tensor) -> ExactArray:
    return ExactArray.from_tensor(x)


# -- random programs --------------------------------------------------------------------------------------------------
# Every number is a small integer or a dyadic fraction of one, so that float64 computes the real program without
# rounding: replay and module must agree to the last bit.

AFFINE_STEPS = (
    "add", "sub", "scale", "halve", "shift", "matmul", "addmm", "neg", "flip", "roll", "mean", "clone",
    "transposed", "cat", "stack", "pad", "where", "select", "unsqueeze",
    "write column", "write row", "write view", "fill", "zero", "add in place", "scale in place", "fresh", "buffer",
    "chunk", "swap in place", "diagonal", "index", "index write", "masked fill", "lerp", "addcmul", "copy through view",
)  # fmt: skip
NONLINEAR_STEPS = ("relu", "abs", "clamp", "maximum", "square", "leaky", "relu in place")


@dataclass(frozen=True)
class Program(nn.Module):
    """Square matrices are changed step by step; each step takes two earlier ones and a number."""

    steps: tuple[tuple[str, int, int, int], ...]

    def __post_init__(self) -> None:
        super().__init__()

    def __hash__(self) -> int:
        return id(self)

    def forward(self, x: Tensor) -> Tensor:
        # One matrix per row of the batch would make rows mix; one row is one matrix.
        return torch.stack([self.run(row) for row in x])

    def run(self, x: Tensor) -> Tensor:
        pool: list[Tensor] = [x, torch.arange(float(WIDTH * WIDTH), dtype=x.dtype).reshape(WIDTH, WIDTH) - 5]
        for name, i, j, number in self.steps:
            pool.append(self.step(name, pool[i % len(pool)], pool[j % len(pool)], number))
        # All that still lives, so that a wrong write anywhere shows.
        return sum(pool[1:], pool[0]).reshape(-1)

    def step(self, name: str, a: Tensor, b: Tensor, k: int) -> Tensor:
        c = ((torch.arange(WIDTH * WIDTH) * (2 * k + 3)) % 5 - 2).reshape(WIDTH, WIDTH).to(a.dtype)
        column, row = k % WIDTH, (k // 2) % WIDTH
        own = a.clone()  # memory of this step's own, so that it may write there
        match name:
            case "add":
                return torch.add(a, b, alpha=k - 3)
            case "sub":
                return c - b if k % 2 else a - b
            case "scale":
                return a * c if k % 2 else a * (k - 2)
            case "halve":
                return a / 2
            case "shift":
                return a + c[column]
            case "matmul":
                return a @ c if k % 2 else c @ a
            case "addmm":
                return torch.addmm(a, c, b, beta=k - 2, alpha=2)
            case "neg":
                return -a.t()
            case "flip":
                return a.flip(k % 2)
            case "roll":
                return a.roll(k, 1)
            case "mean":
                return a.mean(k % 2, keepdim=True).expand(WIDTH, WIDTH)
            case "clone":
                return a.t().clone()
            case "transposed":
                return a.t() + b
            case "cat":
                return torch.cat([a[:, :column], b[:, column:]], 1)
            case "stack":
                return torch.stack([a[0], b[1], a[2], c[3]], k % 2)
            case "pad":
                return nn.functional.pad(a[1:, :-1], (0, 1, 1, 0), value=float(k))
            case "where":
                return torch.where(c > 0, a, b)
            case "select":
                return a[row].expand(WIDTH, WIDTH)
            case "unsqueeze":
                return (a.unsqueeze(0) * c[:, None, :1]).sum(0)
            case "write column":
                own[:, column] = b[row]
                return own
            case "write row":
                own[row] = b[:, column] + 1
                return own
            case "write view":
                own = a.clone(memory_format=torch.contiguous_format)
                own.view(-1)[k : k + 5] = b.reshape(-1)[:5]
                return own
            case "fill":
                own[:, column] = float(k)
                return own
            case "zero":
                own[row:].zero_()
                return own
            case "add in place":
                own += b
                return own
            case "scale in place":
                own[:, column:] *= k - 3
                return own.t()
            case "fresh":
                fresh = torch.empty(WIDTH, WIDTH, dtype=a.dtype)
                fresh.copy_(c)
                fresh[row] = a[row]
                return fresh
            case "buffer":
                buffer = a.new_zeros(WIDTH, 2 * WIDTH)
                buffer[:, ::2] = a
                buffer[:, 1::2] = c
                return buffer[:, column : column + WIDTH]
            case "chunk":
                return torch.cat(list(a.chunk(2, 1))[::-1], 1)
            case "swap in place":
                if row:
                    own[[0, row]] = own[[row, 0]]
                return own
            case "diagonal":
                own.diagonal().add_(b[row])
                return own
            case "index":
                return a[torch.tensor([row, 0, column, 3])]
            case "index write":
                own[torch.tensor([row, (row + 1) % WIDTH])] = b[:2]
                return own
            case "masked fill":
                return own.masked_fill_(c < 0, float(k))
            case "lerp":
                return torch.lerp(a, b, 0.25)
            case "addcmul":
                return torch.addcmul(a, b, c, value=k - 2)
            case "copy through view":
                own[1:].copy_(a[:-1])
                return own
            case "relu":
                return torch.relu(a)
            case "abs":
                return a.abs()
            case "clamp":
                return a.clamp(-k, k)
            case "maximum":
                return torch.maximum(a, b)
            case "square":
                return a * a
            case "leaky":
                return nn.functional.leaky_relu(a, 0.25)
            case "relu in place":
                return own[:, column:].relu_() @ c[column:]
            case _:
                raise AssertionError(name)


def programs(names: tuple[str, ...], most: int) -> st.SearchStrategy[Program]:
    number = st.integers(0, 7)
    step = st.tuples(st.sampled_from(names), number, number, number)
    return st.lists(step, min_size=1, max_size=most).map(lambda steps: Program(tuple(steps)))


WHOLE_NUMBERS = st.lists(st.integers(-3, 3), min_size=WIDTH * WIDTH, max_size=WIDTH * WIDTH)


def matrix(numbers: list[int]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).reshape(1, WIDTH, WIDTH)


@settings(max_examples=80)
@given(programs(AFFINE_STEPS, 7), WHOLE_NUMBERS, WHOLE_NUMBERS)
def test_replaying_an_affine_program_gives_its_values_elsewhere(
    program: Program, here: list[int], there: list[int]
) -> None:
    tape = record(program, [matrix(here)], {}, locate=False)
    assert tape.refusal is None
    assert not tape.state
    assert tape.roots_of_outputs() <= {0}
    x = matrix(there)
    (whole,) = Replay(tape).outputs([exactly(x)])
    assert torch.equal(whole.to_float64()[0], program(x))
    (linear,) = Replay(tape, Part.LINEAR).outputs([exactly(x)])
    assert torch.equal(linear.at_points(1).to_float64()[0], program(x) - program(torch.zeros_like(x)))


@settings(max_examples=20)
@given(programs(AFFINE_STEPS, 5), WHOLE_NUMBERS)
def test_an_affine_program_is_multiplied_out(program: Program, numbers: list[int]) -> None:
    x = matrix(numbers)
    analysis = analyze(program, x)
    assert analysis.verdict is Verdict.AFFINE
    assert analysis.per_example
    collapse = collapse_linear(program, x)
    basis = torch.eye(WIDTH * WIDTH, dtype=torch.float64).reshape(-1, WIDTH, WIDTH)
    zero = program(torch.zeros_like(x))
    columns = torch.cat([program(e[None]) - zero for e in basis])
    assert torch.equal(collapse.exact.weight.to_float64()[0], columns.T)
    assert torch.equal(collapse.exact.bias.to_float64()[0], zero[0])
    assert torch.equal(collapse.weight, columns.T)
    assert torch.equal(collapse.bias, zero[0])


@settings(max_examples=60)
@given(programs(AFFINE_STEPS + NONLINEAR_STEPS, 6), WHOLE_NUMBERS, WHOLE_NUMBERS)
def test_replaying_a_piecewise_affine_program_gives_its_values_elsewhere(
    program: Program, here: list[int], there: list[int]
) -> None:
    tape = record(program, [matrix(here)], {}, locate=False)
    x = matrix(there)
    for numbers in (exactly(x), BallArray.from_exact(exactly(x))):
        (whole,) = Replay(tape).outputs([numbers])
        assert torch.equal(whole.to_float64()[0], program(x))


@settings(max_examples=20)
@given(programs(AFFINE_STEPS + NONLINEAR_STEPS, 5), WHOLE_NUMBERS)
def test_a_verdict_on_a_random_program_is_never_wrong(program: Program, numbers: list[int]) -> None:
    analysis = analyze(program, matrix(numbers))
    generator = torch.Generator().manual_seed(0)
    holds = True
    for _ in range(40):
        a, b = (torch.randint(-64, 65, (1, WIDTH, WIDTH), generator=generator).double() for _ in "ab")
        holds = holds and torch.equal(program(2 * a - b), 2 * program(a) - program(b))
    if analysis.verdict is Verdict.AFFINE:
        assert holds
    if analysis.verdict is Verdict.NOT_AFFINE:
        found = analysis.counterexample
        assert found is not None
        (a,), (b,) = found.a, found.b
        first, second = map(float, found.weights)
        gap = program(first * a + second * b) - first * program(a) - second * program(b)
        assert abs(gap.flatten()[found.output_index]).item() == pytest.approx(found.gap, rel=1e-9)


# -- the parts of a replay --------------------------------------------------------------------------------------------


def test_the_magnitude_part_bounds_every_value_within_the_box() -> None:
    generator = torch.Generator().manual_seed(4)
    weight, bias = (torch.randn(3, 3, generator=generator, dtype=torch.float64) for _ in "wb")

    def forward(x: Tensor) -> Tensor:
        y = torch.addmm(bias, x, weight, alpha=-2) - x * 0.75
        y[:, 0] = 3.0
        return torch.cat([y, bias[:1]])

    tape = record(Call(forward), [torch.zeros(3, 3, dtype=torch.float64)], {})
    box = torch.rand(3, 3, generator=generator, dtype=torch.float64)
    (ball,) = Replay(tape, Part.MAGNITUDE).outputs([BallArray.from_tensor(box).around_zero()])
    bound = ball.upper()[0]
    expected = torch.cat([bias.abs() + 2 * box @ weight.abs() + 0.75 * box, bias[:1].abs()])
    expected[:3, 0] = 3.0
    assert bool((bound >= expected * (1 - 1e-12)).all())
    torch.testing.assert_close(bound, expected, rtol=1e-7, atol=0)  # radii have 30 bits
    for _ in range(20):
        x = box * (2 * torch.rand(3, 3, generator=generator, dtype=torch.float64) - 1)
        assert bool((forward(x).abs() <= bound * (1 + 1e-12)).all())


def test_the_linear_part_of_a_root_is_refused() -> None:
    tape = record(Call(lambda x: torch.relu(x) + 1), [torch.ones(2)], {})
    with pytest.raises(CannotEvaluate, match="no linear part"):
        Replay(tape, Part.LINEAR).outputs([exactly(torch.ones(2))])


def test_a_constant_output_is_itself_and_its_linear_part_is_zero() -> None:
    tape = record(Call(lambda x: torch.full((2,), 0.5)), [torch.ones(2)], {})
    assert isinstance(tape.outputs[0], Constant)
    assert Replay(tape).outputs([exactly(torch.ones(2))])[0].to_float64().tolist() == [[0.5, 0.5]]
    assert Replay(tape, Part.LINEAR).outputs([exactly(torch.ones(2))])[0].to_float64().tolist() == [[0.0, 0.0]]


def _repeated(function: Any, x: Tensor, times: int) -> Tensor:
    for _ in range(times):
        x = function(x)
    return x


@pytest.mark.parametrize(
    ("function", "balls"),
    [
        (lambda x: x * 2, False),
        (lambda x: torch.relu(x) * x, False),
        (lambda x: torch.tanh(x), True),
        (lambda x: x / (1 + x.abs()), True),
        (lambda x: x / 3, False),
        (lambda x: (torch.tanh(x), x)[1], False),
        (lambda x: x**64, False),
        (lambda x: (x**33) ** 2, True),
        (lambda x: _repeated(lambda y: y * y, x, 6), False),
        (lambda x: _repeated(lambda y: y * y, x, 7), True),
        (lambda x: _repeated(torch.square, x, 7), True),
        (lambda x: _repeated(lambda y: y * y[:1] + 1, x, 7), True),
        (lambda x: _repeated(torch.relu, x, 100), False),
        (lambda x: _repeated(lambda y: 2 * y + y, x, 100), False),
    ],
)
def test_balls_are_needed_for_what_is_not_rational_or_too_high_a_polynomial(function: Any, balls: bool) -> None:
    assert needs_balls(record(Call(function), [torch.ones(2)], {})) is balls


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.tanh(x.clone().fill_(2.0)),
        lambda x: torch.tanh(x.clone().copy_(torch.tensor([1.0, -1.0]))),
        lambda x: torch.maximum(torch.tensor([0.5, 2.0]), torch.tanh(x)),
        lambda x: torch.cat([torch.ones(1), torch.tanh(x)]),
        lambda x: torch.ones(2) / (1 + torch.exp(-x)),
        lambda x: torch.where(torch.tensor([True, False]), torch.tanh(x), torch.ones(2)),
        lambda x: torch.addmm(torch.ones(1, 2).to(x), torch.sigmoid(x)[None], torch.ones(2, 2).to(x)),
        lambda x: torch.zeros(4)[1:3].copy_(torch.sigmoid(x)),
        lambda x: (torch.tanh(x).sum(), torch.ones(2, 2).to(x) @ torch.tanh(x))[1],
    ],
)
def test_exact_numbers_and_balls_meet(function: Any) -> None:
    x = torch.tensor([0.75, -1.5])
    tape = record(Call(function), [x], {})
    (found,) = Replay(tape).outputs([BallArray.from_tensor(x)])
    torch.testing.assert_close(found.to_float64()[0], function(x.double()).double(), rtol=1e-6, atol=1e-9)


def test_a_deep_network_of_polynomials_is_refuted_in_balls() -> None:
    """Exact values would have 2^20 times the digits of the input."""
    torch.manual_seed(0)
    layers = [layer for _ in range(20) for layer in (nn.Linear(4, 4), nn.Hardswish())]
    analysis = analyze(nn.Sequential(*layers, nn.Linear(4, 1)), torch.ones(1, 4))
    assert analysis.verdict is Verdict.NOT_AFFINE
    assert analysis.counterexample is not None
    assert analysis.counterexample.arithmetic == "balls"


def test_what_no_formula_has_written_cannot_be_read() -> None:
    tape = record(Call(lambda x: x * 2), [torch.ones(2)], {})
    with pytest.raises(CannotEvaluate, match="side result"):
        Replay(tape).read(tape.outputs[0], {})


def test_missing_formulas_are_named_before_any_work() -> None:
    tape = record(Call(lambda x: torch.special.airy_ai(x * 2)), [torch.zeros(2)], {})
    with pytest.raises(CannotEvaluate, match="airy_ai"):
        Replay(tape).require_formulas()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x / 0, "divisor is zero"),
        (lambda x: x / torch.tensor([1.0, 0.0]), "divisor is zero"),
        (lambda x: x + x[:0].mean(), "divisor is zero"),
        (lambda x: x.to(torch.int64) << 2, "no formula"),
        (lambda x: x.to(torch.int64).prod(), "not real"),
        (lambda x: (x * 1e30).to(torch.int64), "too large"),
        (lambda x: (x - x).argsort(), "either may come first"),
        (lambda x: torch.zeros(2).index_put_((torch.tensor([0, 0]),), x), "more than once"),
    ],
)
def test_what_has_no_value_cannot_be_evaluated(function: Any, words: str) -> None:
    x = torch.tensor([1.5, 2.5])
    with pytest.raises(CannotEvaluate, match=words):
        Replay(record(Call(function), [x], {})).outputs([exactly(x)])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x / 0,
        lambda x: x + x[:, :0].mean(),
        lambda x: x * 1e300,
        lambda x: x + torch.tensor(1e300, dtype=torch.float64),
        lambda x: x**300,
        lambda x: torch.tanh(x.clone().fill_(2.0)),
        lambda x: nn.functional.batch_norm(x, torch.zeros(3), -torch.ones(3)),
        lambda x: x.to(torch.float8_e4m3fn).float(),
        lambda x: torch.zeros(x.shape, dtype=torch.float8_e4m3fn).copy_(x).float(),
        lambda x: x[:, :0].sum(1),
        lambda x: x[:, :0],
        lambda x: torch.cat([x[:, :0], x], 1),
        lambda x: x.sum().sum(0) + x,
        lambda x: x.sum().mean(-1) + x,
    ],
)
def test_odd_numbers_and_shapes_lead_to_a_verdict_not_to_a_crash(function: Any) -> None:
    assert analyze(Call(function), torch.ones(1, 3)).verdict in (Verdict.AFFINE, Verdict.UNDECIDED)


def test_a_quotient_is_refuted_where_it_has_a_value() -> None:
    assert analyze(Call(lambda x: 1 / x), torch.ones(1, 3)).verdict is Verdict.NOT_AFFINE


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 1e-6 * (x.bool().float() ** 2 - x.bool().float()),
        lambda x: x + 1e-6 * (torch.zeros(x.shape, dtype=torch.bool).copy_(x).float() ** 2 - x.bool().float()),
    ],
)
def test_a_cast_to_truth_is_not_read_as_the_identity(function: Any) -> None:
    """Each is the identity; it would be refuted if a cast were evaluated as if it did nothing."""
    assert analyze(Call(function), torch.ones(1, 3)).verdict is Verdict.UNDECIDED


def test_a_cast_to_whole_numbers_cuts_off() -> None:
    """The identity up to two million, then no more."""
    rare = Call(lambda x: x + 1e-9 * ((x * 1e-6).long().float() + (1 - (x * 1e-6).long().float()).relu() - 1))
    found = analyze(rare, torch.ones(1, 3)).counterexample
    assert found is not None
    assert max(float(found.a[0].abs().max()), float(found.b[0].abs().max())) > 1e6


# -- constants --------------------------------------------------------------------------------------------------------


def test_a_constant_is_converted_once() -> None:
    constants = ExactConstants()
    weight = torch.ones(2)
    first = constants.of(Constant(weight, weight._version))
    assert constants.of(Constant(weight, weight._version)) is first
    assert constants.of(Constant(weight[:1], weight._version)) is not first
    assert constants.of(Constant(weight, weight._version), torch.bfloat16) is not first


def test_a_changed_weight_is_noticed() -> None:
    layer = nn.Linear(2, 2)
    tape = record(layer, [torch.ones(1, 2)], {})
    with torch.no_grad():
        layer.weight.add_(1)
    with pytest.raises(InputError, match="analyse it again"):
        Replay(tape).outputs([exactly(torch.ones(1, 2))])


def test_a_constant_that_the_module_overwrites_counts_as_it_was() -> None:
    def forward(x: Tensor) -> Tensor:
        scratch = torch.full((2,), 2.0)
        first = x * scratch
        scratch.fill_(5.0)
        second = x * scratch
        scratch.copy_(x)
        return first + 100 * second + 10000 * scratch

    x = torch.tensor([1.0, -3.0])
    (found,) = Replay(record(Call(forward), [x], {})).outputs([exactly(x)])
    assert isinstance(found, ExactArray)
    assert found.to_fractions().tolist() == [[Fraction(10502), Fraction(-31506)]]


def test_memory_that_was_constant_before_keeps_its_numbers() -> None:
    def forward(x: Tensor) -> Tensor:
        y = torch.arange(6.0)
        y[1:3] = x
        y[2:4] += 10
        return y

    x = torch.tensor([100.0, 200.0])
    tape = record(Call(forward), [torch.zeros(2)], {})
    assert Replay(tape).outputs([exactly(x)])[0].to_float64().tolist() == [[0, 100, 210, 13, 4, 5]]
    assert Replay(tape, Part.LINEAR).outputs([exactly(x)])[0].to_float64().tolist() == [[0, 100, 200, 0, 0, 0]]


def test_a_constant_joined_to_the_input_is_an_addend() -> None:
    """The column of ones that people append instead of a bias."""

    class Augmented(nn.Module):
        def __init__(self, join: Any) -> None:
            super().__init__()
            self.first, self.second, self.join = nn.Linear(3, 2), nn.Linear(3, 2, bias=False), join

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.join([self.first(x), torch.ones(x.shape[0], 1)]))

    def stack(parts: list[Tensor]) -> Tensor:
        return torch.stack([parts[0][:, 0], parts[1][:, 0], parts[0][:, 1]], 1)

    for join in (lambda parts: torch.cat(parts, 1), stack):
        module = Augmented(join)
        collapse = collapse_linear(module, torch.zeros(1, 3))
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(collapse.layer(x), module(x))
        torch.testing.assert_close(collapse.bias.float(), module(torch.zeros(1, 3))[0])


def test_several_inputs() -> None:
    module = Call(lambda x, y: x * 2 - y)
    tape = record(module, [torch.zeros(2), torch.zeros(2)], {})
    (found,) = Replay(tape).outputs([exactly(torch.tensor([1.0, 2.0])), exactly(torch.tensor([5.0, 7.0]))])
    assert found.to_float64().tolist() == [[-3.0, -3.0]]


def test_a_gelu_net_replays_to_its_own_float64_values() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 4), nn.Mish(), nn.Linear(4, 2)).double()
    x = torch.randn(1, 3, dtype=torch.float64)
    tape: Tape = record(network, [torch.zeros(1, 3, dtype=torch.float64)], {})
    (ball,) = Replay(tape).outputs([BallArray.from_tensor(x)])
    assert isinstance(ball, BallArray)
    torch.testing.assert_close(ball.to_float64()[0], network(x).detach(), rtol=1e-13, atol=1e-14)
    assert float((ball.upper() - ball.lower()).max()) < 1e-15
    assert math.isfinite(float(ball.upper().max()))
