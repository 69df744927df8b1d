"""Modules made of the table's operations: the collapsed layer is the module, and what is not affine is refuted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import whyactivate as wa
from modules import Call
from whyactivate.affine.evaluating.replay import ExactConstants, Replay
from whyactivate.affine.multiply import multiply_steps
from whyactivate.affine.recording.tracker import record
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import CannotProveError

_RANDOM = torch.Generator().manual_seed(9)


def t(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_RANDOM, dtype=torch.float64)


KERNEL, DEPTHWISE, BIAS = t(3, 2, 3, 3), t(2, 1, 2, 2), t(3)
MATRIX = t(4, 4) + 4 * torch.eye(4, dtype=torch.float64)
PLACES = torch.tensor([0, 5, 5, 2])
GRID = torch.rand(1, 3, 3, 2, generator=_RANDOM, dtype=torch.float64) * 2 - 1

AFFINE: dict[str, Callable[[Tensor], Tensor]] = {
    "conv, pool, linear": lambda x: F.avg_pool2d(
        F.conv2d(x, KERNEL, BIAS, padding=1), 2).flatten(1) @ MATRIX[:1].repeat(12, 1),
    "residual of a circular convolution": lambda x: x + F.conv2d(
        F.pad(x, (1, 1, 1, 1), mode="circular"), DEPTHWISE, groups=2, stride=1)[..., :-1, :-1],
    "transposed convolution, cut": lambda x: F.conv_transpose2d(x, KERNEL.transpose(0, 1), BIAS, stride=2)[..., ::3],
    "bilinear up, area down": lambda x: F.interpolate(
        F.interpolate(x, scale_factor=1.7, mode="bilinear"), 2, mode="area"),
    "bicubic, antialiased": lambda x: F.interpolate(x, size=(3, 2), mode="bicubic", antialias=True) + 1,
    "patches folded again": lambda x: F.fold(F.unfold(x, 2) * BIAS[0] + 1, (4, 4), 2),
    "shuffled pixels": lambda x: F.pixel_unshuffle(x, 2) - 0.5,
    "scattered": lambda x: x.flatten(1).new_zeros(len(x), 8).index_add(
        1, PLACES, x.flatten(1)[:, :4], alpha=3.0) + BIAS[1],
    "solved": lambda x: torch.linalg.solve(MATRIX, x),
    "grid sampled": lambda x: F.grid_sample(x, GRID.expand(len(x), -1, -1, -1), align_corners=False),
    "cumulated": lambda x: (x + 1).cumsum(-1),
    "masked": lambda x: torch.where(MATRIX > 4, x, BIAS[2]),
}  # fmt: skip


@pytest.mark.parametrize("name", AFFINE)
def test_the_collapsed_layer_is_the_module(name: str) -> None:
    module, x = Call(AFFINE[name]), t(3, 2, 4, 4)
    collapse = wa.collapse_linear(module, x)
    expected = module(x).flatten(1)
    assert float((collapse.layer(x.flatten(1)) - expected).detach().abs().max()) < 1e-11 * (
        1 + float(expected.abs().max())
    )


@pytest.mark.parametrize("name", ["conv, pool, linear", "bilinear up, area down", "shuffled pixels"])
def test_inference_mode_changes_nothing(name: str) -> None:
    with torch.inference_mode():
        analysis = wa.analyze(Call(AFFINE[name]), t(3, 2, 4, 4))
    assert analysis.verdict is wa.Verdict.AFFINE


NOT_AFFINE: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(-1),
    "layer norm": lambda x: F.layer_norm(x, (4,)),
    "group norm": lambda x: F.group_norm(x, 2),
    "instance norm": lambda x: F.instance_norm(x),
    "rms norm": lambda x: F.rms_norm(x, (4,)),
    "max pooling": lambda x: F.max_pool2d(x, 2),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "causal attention": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "a choice that depends on the input": lambda x: torch.where(x > 0.5, x, 0.25 * x),
    "a mask that depends on the input": lambda x: x * (x > 0),
    "fill where negative": lambda x: x.masked_fill(x < -0.5, 0.0),
    "gated": lambda x: F.glu(x, 1),
    "swiglu": lambda x: F.silu(x) * x,
    "normalised": lambda x: F.normalize(x, dim=-1),
    "softsign": lambda x: F.softsign(x),
    "sorted": lambda x: x.sort(-1).values,
    "top": lambda x: x.topk(2, -1).values,
    "spread": lambda x: x.std(-1),
    "rounded": lambda x: torch.round(x * 8) / 8,
    "sine": lambda x: x + torch.sin(x) / 8,
    "squared, hidden": lambda x: x + 1e-9 * x**2,
    "reciprocal": lambda x: 1 / (x * x + 1),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_AFFINE)
def test_what_is_not_affine_is_refuted_with_inputs_that_show_it(name: str) -> None:
    module = Call(NOT_AFFINE[name])
    analysis = wa.analyze(module, t(2, 2, 4, 4))
    assert analysis.verdict is wa.Verdict.NOT_AFFINE
    found = analysis.counterexample
    assert found is not None
    first, second = map(float, found.weights)
    at_a, at_b, at_mix = (module(p) for p in (found.a[0], found.b[0], first * found.a[0] + second * found.b[0]))
    gap = float((at_mix - first * at_a - second * at_b).abs().max())
    size = max(float(y.abs().max()) for y in (at_a, at_b, at_mix))
    assert gap >= found.gap - 2.0**-40 * size


HALF_READ: dict[str, Callable[[Tensor], Tensor]] = {
    "bilinear": lambda x: F.interpolate(x, size=(7, 5), mode="bilinear"),
    "bicubic": lambda x: F.interpolate(x, size=(7, 5), mode="bicubic"),
    "nearest": lambda x: F.interpolate(x, size=(7, 5)),
    "nearest-exact": lambda x: F.interpolate(x, size=(7, 3), mode="nearest-exact"),
    "average pooling": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "adaptive pooling": lambda x: F.adaptive_avg_pool2d(x, 3),
    "convolution": lambda x: F.conv2d(x, KERNEL.to(x.dtype), BIAS.to(x.dtype)),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("name", HALF_READ)
def test_coefficients_hold_in_every_dtype(name: str, dtype: torch.dtype) -> None:
    x = t(2, 2, 4, 4).to(dtype)
    tape = record(Call(HALF_READ[name]), [x], {})
    (output,) = Replay(tape).outputs([ExactArray.from_tensor(x)])
    expected = HALF_READ[name](x)
    gap = (output.to_float64()[0] - expected.double()).abs()
    # A convolution adds up some dozens of terms, in an order of its own.
    assert bool((gap <= 8 * torch.finfo(dtype).eps * (expected.double().abs() + 4)).all())
    if name.startswith("nearest"):
        assert not gap.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_no_bound_is_claimed_for_the_rounding_of_a_solved_system(dtype: torch.dtype) -> None:
    matrix = MATRIX.to(dtype)
    tape = record(Call(lambda x: torch.linalg.solve(matrix, x)), [t(4, 1).to(dtype)], {})
    (step,) = multiply_steps(tape, ExactConstants())
    with pytest.raises(CannotProveError, match="linalg_solve_ex"):
        step.rounding(torch.ones(4))


@pytest.mark.parametrize("function", [torch.log, torch.sqrt, torch.rsqrt, torch.asin, lambda x: x**0.5, lambda x: x**x])
def test_a_function_of_some_numbers_only_is_refuted_where_it_has_values(function: Any) -> None:
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    analysis = wa.analyze(Call(function), x)
    assert analysis.verdict == "not_affine"
    assert "where they are finite" in analysis.tested


@pytest.mark.parametrize(
    "function", [lambda x: x + (x.log() - x.log()), lambda x: x + 0 * x.sqrt(), lambda x: x**2 / x]
)
def test_what_is_affine_where_it_has_values_is_not_refuted(function: Any) -> None:
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert wa.analyze(Call(function), x).verdict != "not_affine"


class Transformer(nn.Module):
    """Looks at an image from where it finds best: a spatial transformer."""

    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.locate, self.how = nn.Sequential(nn.Flatten(), nn.Linear(30, 6)), how

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(self.locate(x).view(-1, 2, 3), x.shape, align_corners=False)
        return F.grid_sample(x, grid, **self.how)


@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_a_grid_that_depends_on_the_input_is_followed(padding_mode: str, align_corners: bool) -> None:
    torch.manual_seed(0)
    module, x = Transformer(padding_mode=padding_mode, align_corners=align_corners).double(), t(2, 1, 5, 6)
    found = wa.analyze(module, x).counterexample
    assert found is not None
    first, second = map(float, found.weights)
    mix = module(first * found.a[0] + second * found.b[0]).flatten()[found.output_index]
    torch.testing.assert_close(float(mix.detach()), found.at_mix)


def test_a_grid_in_three_dimensions_is_followed() -> None:
    module = Call(lambda x: F.grid_sample(x, x[:, 0, ..., None].expand(*x[:, 0].shape, 3), align_corners=False))
    assert wa.analyze(module, t(2, 1, 2, 3, 2)).verdict == "not_affine"


def test_places_of_a_grid_that_cancel_are_not_refuted() -> None:
    x = t(2, 1, 5, 6)
    grid = torch.rand(1, 5, 6, 2, dtype=torch.float64) - 0.5
    module = Call(lambda x: F.grid_sample(x, grid + 0 * x.mean(), align_corners=False))
    assert wa.analyze(module, x[:1]).verdict != "not_affine"
