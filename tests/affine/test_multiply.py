"""Steps and collapse of activation-free networks in many wrappings, against oracles that know nothing of tapes."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import whyactivate as wa
from modules import Call
from whyactivate.activations import ACTIVATIONS
from whyactivate.affine import multiply
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.collapse import Collapse, collapse_linear
from whyactivate.errors import CannotCollapseError, NotAffineError, WhyActivateError

Vector = list[Fraction]


# -- stages: each is a module, and says in plain Python fractions what it does to one row -----------------------------


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def fractions(tensor: Tensor) -> Any:
    """Nested lists of the numbers that a tensor holds."""
    if tensor.ndim == 0:
        return Fraction(tensor.double().item())
    return [fractions(part) for part in tensor]


def affine(weight: Tensor, bias: Tensor | None, v: Vector) -> Vector:
    rows = [sum((w * x for w, x in zip(row, v, strict=True)), Fraction(0)) for row in fractions(weight)]
    return rows if bias is None else [y + b for y, b in zip(rows, fractions(bias), strict=True)]


class Stage(nn.Module):
    """A part of a network from `inputs` numbers per row to `outputs`."""

    def __init__(self, inputs: int, outputs: int, bias: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.outputs, self.bias = inputs, outputs, bias
        self.build(generator)

    def build(self, generator: torch.Generator) -> None:
        raise NotImplementedError

    def linear(self, inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
        layer = nn.Linear(inputs, outputs, bias=self.bias)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(draw(generator, *parameter.shape) / math.sqrt(inputs))
        return layer

    def exact(self, v: Vector) -> Vector:
        raise NotImplementedError


class Plain(Stage):
    def build(self, generator: torch.Generator) -> None:
        self.fc = self.linear(self.inputs, self.outputs, generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)

    def exact(self, v: Vector) -> Vector:
        return affine(self.fc.weight, self.fc.bias, v)


class Functional(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.fc.weight, self.fc.bias)


class Matmul(Plain):
    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.fc.weight.t()
        return y if self.fc.bias is None else y + self.fc.bias


class Einsum(Plain):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bi,oi->bo", x, self.fc.weight)
        return y if self.fc.bias is None else self.fc.bias + y


class Batched(Plain):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.fc.weight.t().expand(x.shape[0], -1, -1)
        y = torch.bmm(x[:, None, :], weight).squeeze(1)
        return y if self.fc.bias is None else torch.add(y, self.fc.bias, alpha=1)


class RowByRow(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.fc(row) for row in x.unbind(0)])


class Hooked(Plain):
    def build(self, generator: torch.Generator) -> None:
        super().build(generator)
        self.fc.register_forward_pre_hook(lambda module, args: (args[0] - 0.25,))
        self.fc.register_forward_hook(lambda module, args, out: out * 1.5)

    def exact(self, v: Vector) -> Vector:
        return [y * Fraction(3, 2) for y in super().exact([x - Fraction(1, 4) for x in v])]


class InSequential(Plain):
    def build(self, generator: torch.Generator) -> None:
        super().build(generator)
        self.body = nn.Sequential(
            nn.Identity(), nn.Dropout(0.5), nn.Flatten(), self.fc, nn.AlphaDropout(0.1),
            nn.Unflatten(1, (1, self.outputs)), nn.Flatten(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class WeightNormed(Plain):
    def build(self, generator: torch.Generator) -> None:
        super().build(generator)
        parametrizations.weight_norm(self.fc)


class Orthogonalised(Plain):
    """Its weight is a matrix exponential of another: any computation on weights alone counts as what it gave."""

    def build(self, generator: torch.Generator) -> None:
        super().build(generator)

        class Exponential(nn.Module):
            def forward(self, w: Tensor) -> Tensor:
                return torch.tanh(w) * 2

        parametrize.register_parametrization(self.fc, "weight", Exponential())


class LastAxis(Stage):
    """A Linear over the last axis of several rows."""

    def build(self, generator: torch.Generator) -> None:
        self.fc = self.linear(self.inputs, self.outputs, generator)

    def forward(self, x: Tensor) -> Tensor:
        pair = torch.stack([x, 2 * x], 1)
        return self.fc(pair).sum(1)

    def exact(self, v: Vector) -> Vector:
        one, two = (affine(self.fc.weight, self.fc.bias, [k * x for x in v]) for k in (1, 2))
        return [a + b for a, b in zip(one, two, strict=True)]


class Residual(Plain):
    def build(self, generator: torch.Generator) -> None:
        super().build(generator)
        self.back = self.linear(self.outputs, self.outputs, generator)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return y + self.back(y)

    def exact(self, v: Vector) -> Vector:
        y = super().exact(v)
        return [a + b for a, b in zip(y, affine(self.back.weight, self.back.bias, y), strict=True)]


class InPlaceResidual(Residual):
    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        y += self.back(y)
        return y


class Tied(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return self.back(self.back(self.fc(x)))

    def exact(self, v: Vector) -> Vector:
        y = affine(self.fc.weight, self.fc.bias, v)
        for _ in range(2):
            y = affine(self.back.weight, self.back.bias, y)
        return y


class AddmmToItself(Residual):
    """The input is an addend and a factor of one operation."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        z = torch.addmm(y, y, self.back.weight.t())
        return z if self.back.bias is None else z + self.back.bias


class Split(Stage):
    def build(self, generator: torch.Generator) -> None:
        self.left = self.linear(self.inputs, self.outputs, generator)
        self.right = self.linear(self.inputs, 1, generator)
        self.out = self.linear(self.outputs + 2, self.outputs, generator)

    def forward(self, x: Tensor) -> Tensor:
        ones = torch.ones(x.shape[0], 1, dtype=x.dtype)
        return self.out(torch.cat([self.right(x), self.left(x).flip(1), ones], 1))

    def exact(self, v: Vector) -> Vector:
        left, right = affine(self.left.weight, self.left.bias, v), affine(self.right.weight, self.right.bias, v)
        return affine(self.out.weight, self.out.bias, [*right, *reversed(left), Fraction(1)])


class Normalised(Plain):
    def build(self, generator: torch.Generator) -> None:
        super().build(generator)
        self.norm = nn.BatchNorm1d(self.outputs, affine=self.bias)
        for name in ("running_mean", "weight", "bias"):
            if getattr(self.norm, name) is not None:
                getattr(self.norm, name).data.copy_(draw(generator, self.outputs))
        self.norm.running_var.copy_(draw(generator, self.outputs).abs() + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.fc(x))

    def exact(self, v: Vector) -> Vector:
        norm, y = self.norm, super().exact(v)
        result: Vector = []
        for k, number in enumerate(y):
            coefficient = Fraction(1 / math.sqrt(norm.running_var[k].double().item() + norm.eps))
            weight = Fraction(1) if norm.weight is None else fractions(norm.weight[k])
            bias = Fraction(0) if norm.bias is None else fractions(norm.bias[k])
            result.append((number - fractions(norm.running_mean[k])) * coefficient * weight + bias)
        return result


class ChannelsNormalised(Normalised):
    """BatchNorm1d on (N, C, L) normalises axis 1, also where C is the width of the layer before."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        square = torch.stack([y] * self.outputs, 1)  # [row, k, :] is y for each of the channels k
        return self.norm(square).diagonal(dim1=1, dim2=2)


class Written(Plain):
    """Fills memory of its own, part by part."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        out = torch.empty(x.shape[0], self.outputs + 2, dtype=x.dtype)
        out[:, -2:] = 0.5
        out[:, :-2].copy_(y)
        out[:, 0] *= -3
        out[:, 1:].add_(out[:, :1], alpha=2)
        return out[:, 1:] if self.outputs == 1 else out[:, 1 : self.outputs + 1]

    def exact(self, v: Vector) -> Vector:
        cells = [*super().exact(v), Fraction(1, 2), Fraction(1, 2)]
        cells[0] *= -3
        cells[1:] = [cell + 2 * cells[0] for cell in cells[1:]]
        return cells[1:] if self.outputs == 1 else cells[1 : self.outputs + 1]

    @property
    def gives(self) -> int:
        return 2 if self.outputs == 1 else self.outputs


class Moved(Plain):
    """Views, rolls, masks, choices."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x).roll(1, 1)
        order = torch.arange(self.outputs - 1, -1, -1)
        y = y[:, order]
        y = torch.where(torch.arange(self.outputs) % 2 == 0, y, -y)
        y = nn.functional.pad(y, (1, 0), value=0.75)
        return y.view(-1, 1, self.outputs + 1).transpose(1, 2).reshape(-1, self.outputs + 1).narrow(1, 0, self.outputs)

    def exact(self, v: Vector) -> Vector:
        y = super().exact(v)
        y = [y[-1], *y[:-1]][::-1]
        y = [number if k % 2 == 0 else -number for k, number in enumerate(y)]
        return [Fraction(3, 4), *y][: self.outputs]


class Scaled(Plain):
    """Numbers of the source code, chosen so that every dtype holds them."""

    def forward(self, x: Tensor) -> Tensor:
        y = 0.375 - self.fc(x - 2) * 1.5
        return torch.lerp(y, torch.zeros_like(y), 0.25) / 4

    def exact(self, v: Vector) -> Vector:
        y = super().exact([x - 2 for x in v])
        return [(Fraction(3, 8) - number * Fraction(3, 2)) * Fraction(3, 16) for number in y]


class Averaged(Plain):
    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return y - y.mean(1, keepdim=True) + y.sum(-1, keepdim=True)

    def exact(self, v: Vector) -> Vector:
        y = super().exact(v)
        total = sum(y, Fraction(0))
        return [number - total / len(y) + total for number in y]


class Cast(Plain):
    """Its input goes through float64 and back."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.double().to(x.dtype))


class Detached(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.detach())


STAGES: tuple[type[Stage], ...] = (
    Plain, Functional, Matmul, Einsum, Batched, RowByRow, Hooked, InSequential, WeightNormed, Orthogonalised, LastAxis,
    Residual, InPlaceResidual, Tied, AddmmToItself, Split, Normalised, ChannelsNormalised, Written, Moved, Scaled,
    Averaged, Cast, Detached,
)  # fmt: skip


class Network(nn.Module):
    def __init__(self, stages: list[Stage]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return x

    def exact(self, v: Vector) -> Vector:
        for stage in self.stages:
            v = stage.exact(v)  # type: ignore[operator]
        return v


@dataclass(frozen=True)
class Architecture:
    kinds: tuple[type[Stage], ...]
    widths: tuple[int, ...]
    bias: bool
    dtype: torch.dtype
    seed: int

    def network(self) -> Network:
        generator = torch.Generator().manual_seed(self.seed)
        stages: list[Stage] = []
        inputs = self.widths[0]
        for kind, outputs in zip(self.kinds, self.widths[1:], strict=True):
            stages.append(kind(inputs, outputs, self.bias, generator))
            inputs = getattr(stages[-1], "gives", outputs)
        return Network(stages).to(self.dtype).eval()

    def __repr__(self) -> str:
        return f"{[kind.__name__ for kind in self.kinds]}, {self.widths}, bias={self.bias}, {self.dtype}, {self.seed}"


DTYPES = (torch.float64, torch.float32, torch.bfloat16)


@st.composite
def architectures(choose: Any, depth: int = 4, width: int = 5) -> Architecture:
    kinds = choose(st.lists(st.sampled_from(STAGES), min_size=1, max_size=depth))
    widths = choose(st.lists(st.integers(1, width), min_size=len(kinds) + 1, max_size=len(kinds) + 1))
    return Architecture(
        tuple(kinds), tuple(widths), choose(st.booleans()), choose(st.sampled_from(DTYPES)), choose(st.integers(0, 999))
    )


# -- the two oracles --------------------------------------------------------------------------------------------------


def in_float64(module: nn.Module) -> nn.Module:
    """A copy in float64; weights that are computed from others stay what they are in the module's own dtype."""
    module = copy.deepcopy(module)
    for part in list(module.modules()):
        for name, child in part.named_children():
            if parametrize.is_parametrized(child):
                plain = nn.Linear(child.in_features, child.out_features, bias=child.bias is not None)
                plain.weight, plain.bias = nn.Parameter(child.weight.detach()), child.bias
                setattr(part, name, plain)
    return module.double()


def check_against_float64(network: nn.Module, collapse: Collapse, inputs: int) -> None:
    with torch.no_grad():
        f = in_float64(network)
        points = draw(torch.Generator().manual_seed(1), 6, inputs)
        expected = f(points)
        size = 1 + float(expected.abs().max()) + float(collapse.weight.abs().max() * inputs * points.abs().max())
        found = points @ collapse.weight.T + collapse.bias
        assert float((found - expected).abs().max()) <= 1e-13 * size * 2 ** len(collapse.steps)


def check_against_fractions(network: Network, collapse: Collapse, inputs: int) -> None:
    zero = [Fraction(0)] * inputs
    bias = network.exact(zero)
    columns = [network.exact([*zero[:k], Fraction(1), *zero[k + 1 :]]) for k in range(inputs)]
    weight = [[column[row] - bias[row] for column in columns] for row in range(len(bias))]
    assert collapse.exact.bias.to_fractions()[0].tolist() == bias
    assert collapse.exact.weight.to_fractions()[0].tolist() == weight


def check_steps(collapse: Collapse, inputs: int) -> None:
    width = inputs
    vector = ExactArray.from_fractions([Fraction(k + 1, 8) for k in range(inputs)])
    walked = vector
    for step in collapse.steps:
        out, into = step.weight.shape
        assert into == width
        assert step.running_shape == (out, inputs)
        assert step.exact_weight.shape == (out, into)
        assert torch.equal(step.weight, step.exact_weight.to_float64()[0])
        walked = walked @ step.exact_weight.swap(0, 1)
        if step.exact_bias is not None:
            assert step.bias is not None
            assert torch.equal(step.bias, step.exact_bias.to_float64()[0])
            walked = walked + step.exact_bias
        width = out
    assert walked.equals(collapse.exact(vector))
    assert len({step.name for step in collapse.steps}) == len(collapse.steps)


def check_roundings(collapse: Collapse) -> None:
    for error, exact, rounded in (
        (collapse.weight_error, collapse.exact.weight, collapse.weight),
        (collapse.bias_error, collapse.exact.bias, collapse.bias),
    ):
        assert error.shape == rounded.shape
        assert error.dtype == torch.float64
        assert bool((error >= 0).all())
        assert bool((exact.error_of(rounded) <= error).all())


@settings(max_examples=50)
@given(architectures())
def test_an_activation_free_network_is_its_collapse(architecture: Architecture) -> None:
    network = architecture.network()
    inputs = architecture.widths[0]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    collapse = collapse_linear(network, torch.zeros(2, inputs, dtype=architecture.dtype))

    check_against_fractions(network, collapse, inputs)
    check_against_float64(network, collapse, inputs)
    check_steps(collapse, inputs)
    check_roundings(collapse)

    x = draw(torch.Generator().manual_seed(2), 3, inputs).to(architecture.dtype)
    slim = collapse.as_module()
    assert collapse.layer.weight.dtype == collapse.layer.bias.dtype == architecture.dtype
    assert slim(x).shape == network(x).shape
    assert slim(x).dtype == architecture.dtype
    assert collapse.parameters_before == sum(parameter.numel() for parameter in network.parameters())
    assert collapse.parameters_after == collapse.weight.numel() + collapse.bias.numel()
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert str(collapse).startswith(f"Network is one affine layer: {inputs} numbers in")


@pytest.mark.parametrize("kind", STAGES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16], ids=str)
def test_every_wrapping_is_collapsed_in_every_dtype(kind: type[Stage], dtype: torch.dtype) -> None:
    architecture = Architecture((kind, Plain), (3, 4, 2), True, dtype, 5)
    network = architecture.network()
    collapse = collapse_linear(network, torch.zeros(1, 3, dtype=dtype))
    check_against_fractions(network, collapse, 3)
    check_against_float64(network, collapse, 3)
    if dtype is torch.float32:
        for proof in ("exact", "numeric"):
            assert collapse.prove(proof).holds
    x = draw(torch.Generator().manual_seed(2), 5, 3).to(dtype)
    with torch.no_grad():
        difference = (collapse.layer(x).double() - network(x).double()).abs().max()
        assert float(difference) <= 60 * torch.finfo(dtype).eps * (1 + float(network(x).double().abs().max()))


@pytest.mark.slow
@settings(max_examples=120)
@given(architectures(depth=7, width=9))
def test_larger_activation_free_networks_are_their_collapse(architecture: Architecture) -> None:
    network = architecture.network()
    inputs = architecture.widths[0]
    collapse = collapse_linear(network, torch.zeros(1, inputs, dtype=architecture.dtype))
    check_against_fractions(network, collapse, inputs)
    check_steps(collapse, inputs)
    check_roundings(collapse)


def test_the_oracles_notice_a_wrong_collapse() -> None:
    network = Architecture((Residual, Normalised), (3, 4, 2), True, torch.float32, 1).network()
    collapse = collapse_linear(network, torch.zeros(1, 3))
    collapse.weight[0, 1] *= 1 + 1e-9
    with pytest.raises(AssertionError):
        check_against_float64(network, collapse, 3)
    with pytest.raises(AssertionError):
        check_roundings(collapse)
    collapse.exact.weight.ints[0, 0, 0] += 1
    with pytest.raises(AssertionError):
        check_against_fractions(network, collapse, 3)
    with pytest.raises(AssertionError):
        check_steps(collapse, 3)


# -- steps: names, shapes, cuts ---------------------------------------------------------------------------------------


def test_steps_are_named_after_the_layers_and_numbered_where_a_layer_comes_again() -> None:
    network = Architecture((Plain, Tied, Residual), (3, 4, 4, 2), True, torch.float32, 0).network()
    names = [step.name for step in collapse_linear(network, torch.zeros(1, 3)).steps]
    assert names[:2] == ["stages.0.fc", "stages.1.fc"]
    assert names[2:4] == ["stages.1.back", "stages.1.back (call 2)"]
    assert names[4:] == ["stages.2.fc", "stages.2.back"]


@pytest.mark.parametrize(
    ("kinds", "shapes"),
    [
        ((Plain, Plain), [(4, 3), (2, 3)]),
        ((Residual, Plain), [(4, 3), (4, 3), (2, 3)]),
        ((Normalised, Plain), [(4, 3), (4, 3), (2, 3)]),
        ((InSequential, Detached), [(4, 3), (2, 3)]),
    ],
)
def test_the_program_is_cut_between_layers(kinds: tuple[type[Stage], ...], shapes: list[tuple[int, int]]) -> None:
    network = Architecture(kinds, (3, 4, 2), True, torch.float32, 0).network()
    assert [step.running_shape for step in collapse_linear(network, torch.zeros(1, 3)).steps] == shapes


@pytest.mark.parametrize(
    ("function", "shape", "weight", "bias"),
    [
        (lambda x: x, (2,), [[1, 0], [0, 1]], [0, 0]),
        (lambda x: x.flip(1), (2,), [[0, 1], [1, 0]], [0, 0]),
        (lambda x: x[:, 1:], (2,), [[0, 1]], [0]),
        (lambda x: x[:, None, :].expand(-1, 2, -1), (2,), [[1, 0], [0, 1], [1, 0], [0, 1]], [0, 0, 0, 0]),
        (lambda x: x.transpose(1, 2), (2, 2), [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], [0] * 4),
        (lambda x: x * 0 + 3, (2,), [[0, 0], [0, 0]], [3, 3]),
        (lambda x: torch.full((x.shape[0], 1), 2.5), (2,), [[0, 0]], [2.5]),
        (lambda x: x.sum(1), (2,), [[1, 1]], [0]),
        (lambda x: x - 1, (1,), [[1]], [-1]),
        (lambda x: x.add_(1), (2,), [[1, 0], [0, 1]], [1, 1]),
        (lambda x: torch.addmm(x, x, torch.tensor([[0.0, 1.0], [2.0, 0.0]])), (2,), [[1, 2], [1, 1]], [0, 0]),
        (lambda x: torch.addmm(x, x, torch.eye(2), beta=3, alpha=-1), (2,), [[2, 0], [0, 2]], [0, 0]),
        (lambda x: x @ torch.tensor([[1.0], [4.0]]), (2,), [[1, 4]], [0]),
        (lambda x: (torch.tensor([[1.0, 4.0]]) @ x.t()).t(), (2,), [[1, 4]], [0]),
        (lambda x: x @ torch.tensor([1.0, 4.0]), (2,), [[1, 4]], [0]),
        (lambda x: torch.cat([x, torch.ones(x.shape[0], 1)], 1), (1,), [[1], [0]], [0, 1]),
    ],
)
def test_small_programs_give_these_matrices(function: Any, shape: tuple[int, ...], weight: Any, bias: Any) -> None:
    collapse = collapse_linear(Call(function), torch.zeros(2, *shape))
    assert collapse.weight.tolist() == weight
    assert collapse.bias.tolist() == bias
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(collapse.as_module()(x), function(x.clone()))


def test_shapes_are_kept_by_the_module_that_replaces() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Flatten(), nn.Linear(8, 6), nn.Unflatten(1, (3, 2)))
    slim = collapse_linear(module, torch.zeros(1, 2, 3)).as_module()
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(slim(x), module(x))
    assert slim(x[:0]).shape == (0, 3, 2)


def test_a_layer_without_inputs_is_its_bias() -> None:
    layer = Call(lambda x: torch.cat([x, torch.ones(x.shape[0], 2)], 1))
    collapse = collapse_linear(layer, torch.zeros(1, 0))
    assert collapse.weight.shape == (2, 0)
    assert collapse.bias.tolist() == [1, 1]


def test_what_would_not_fit_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiply, "MEMORY_LIMIT", 1000)
    with pytest.raises(CannotCollapseError, match=r"'batch_norm'|'1'.*GiB"):
        collapse_linear(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)).eval())


def test_more_weights_than_fit_are_refused_before_any_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiply, "MEMORY_LIMIT_OF_WEIGHTS", 1000)
    with pytest.raises(CannotCollapseError, match=r"exact arithmetic on 144 weights .* GiB.*smaller part"):
        collapse_linear(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)))


def test_a_layer_with_many_outputs_takes_no_matrix_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads the result as it lies there is no step; as one, it would have a matrix of 2000 × 2000."""
    monkeypatch.setattr(multiply, "MEMORY_LIMIT", 2**20)
    collapse = collapse_linear(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2000)))
    assert [step.name for step in collapse.steps] == ["0", "1"]
    assert collapse.weight.shape == (2000, 3)


def test_a_wide_network_is_multiplied_in_the_cheapest_order() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(a, b, bias=True) for a, b in pairwise((40, 3, 60, 60, 2))]
    collapse = collapse_linear(nn.Sequential(*layers))
    check_roundings(collapse)
    expected = torch.linalg.multi_dot([layer.weight.detach().double() for layer in reversed(layers)])
    torch.testing.assert_close(collapse.weight, expected, rtol=1e-13, atol=1e-14)


def test_a_large_bias_does_not_swamp_the_weight() -> None:
    """f(e) - f(0) loses everything here; pushing the linear part alone does not."""
    layers = [nn.Linear(3, 3, dtype=torch.float64) for _ in range(6)]
    with torch.no_grad():
        for layer in layers:
            layer.bias.fill_(1e20)
    network = nn.Sequential(*layers)
    collapse = collapse_linear(network)
    exact = torch.linalg.multi_dot([layer.weight.detach() for layer in reversed(layers)])
    torch.testing.assert_close(collapse.weight, exact, rtol=1e-12, atol=0)
    naive = network(torch.eye(3, dtype=torch.float64)).T - network(torch.zeros(1, 3, dtype=torch.float64)).T
    assert float((naive.detach() - exact).abs().max()) > 0.1 * float(exact.abs().max())


def test_tied_weights_and_calls_after_are_those_of_the_run() -> None:
    """A layer used twice, with normalisation on one of its paths only."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)
            self.norm.running_var.fill_(4.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.fc(x)) + self.fc(x)

    module = Twice().eval()
    collapse = collapse_linear(module, torch.zeros(1, 3))
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(collapse.layer(x), module(x))


# -- one activation anywhere ------------------------------------------------------------------------------------------

NAMES = [name for name in ACTIVATIONS if name != "identity"]


class FourLayers(nn.Module):
    """The lines below are named in the blame; each activation has one of its own."""

    def __init__(self, name: str, position: int) -> None:
        super().__init__()
        widths = (3, 5, 4, 4, 2)
        for k, (into, out) in enumerate(pairwise(widths), 1):
            setattr(self, f"fc{k}", nn.Linear(into, out))
        for k in range(5):
            setattr(self, f"act{k}", ACTIVATIONS[name if k == position else "identity"].module())

    def forward(self, x: Tensor) -> Tensor:
        x = self.act0(x)
        x = self.fc1(x)
        x = self.act1(x)
        x = self.fc2(x)
        x = self.act2(x)
        x = self.fc3(x)
        x = self.act3(x)
        x = self.fc4(x)
        return self.act4(x)


FIRST_LINE = FourLayers.forward.__code__.co_firstlineno


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("name", NAMES)
def test_one_activation_anywhere_is_refused_with_the_right_line(name: str, position: int) -> None:
    torch.manual_seed(0)
    network = FourLayers(name, position)
    with pytest.raises(NotAffineError) as refusal:
        collapse_linear(network, torch.zeros(1, 3))
    analysis = refusal.value.analysis
    line = FIRST_LINE + 1 + 2 * position
    assert analysis.blame
    assert {blame.module for blame in analysis.blame} == {f"act{position}"}
    assert {blame.source for blame in analysis.blame} == {f"{__file__}:{line}"}
    assert {blame.line for blame in analysis.blame} == {
        "return self.act4(x)" if position == 4 else f"x = self.act{position}(x)"
    }
    assert f"act{position}" in str(refusal.value)
    assert f":{line}" in str(refusal.value)
    found = analysis.counterexample
    assert found is not None
    assert found.gap > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_activation_called_as_a_function_is_found_in_the_module_that_calls_it(name: str) -> None:
    function = ACTIVATIONS[name].function

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return function(self.fc(x))

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 3), Block(), nn.Linear(3, 2))
    with pytest.raises(NotAffineError) as refusal:
        collapse_linear(network)
    assert {blame.module for blame in refusal.value.analysis.blame} == {"1"}
    assert {blame.line for blame in refusal.value.analysis.blame} == {"return function(self.fc(x))"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_activations_are_refused_in_every_dtype(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    with pytest.raises(NotAffineError):
        collapse_linear(wa.MLP([2, 3, 2], activation=name, dtype=dtype), torch.zeros(1, 2, dtype=dtype))


@pytest.mark.parametrize("name", NAMES)
def test_the_counterexample_holds_for_the_network_itself(name: str) -> None:
    """Not for the recorded program only: the module's float64 copy shows the gap."""
    network = wa.SimpleModel(activation=name, seed=1)
    analysis = wa.analyze(network, torch.zeros(1, 10))
    found = analysis.counterexample
    assert found is not None
    (a,), (b,) = found.a, found.b
    first, second = map(float, found.weights)
    f = copy.deepcopy(network).double()
    with torch.no_grad():
        gap = (f(first * a + second * b) - first * f(a) - second * f(b)).flatten()[found.output_index]
    assert abs(float(gap)) == pytest.approx(found.gap, rel=1e-3)


def test_refusals_are_errors_of_the_library() -> None:
    with pytest.raises(WhyActivateError):
        collapse_linear(FourLayers("relu", 2), torch.zeros(1, 3))
