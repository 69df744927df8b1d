from __future__ import annotations

import functools
import math
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from whyactivate.activations import ACTIVATIONS, Activation, Range, get_activation
from whyactivate.errors import InputError, UnknownNameError

EVERY = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=list(ACTIVATIONS))
ARTICLE = {"relu", "sigmoid", "tanh", "leaky_relu"}
OTHERS = {"gelu", "gelu_tanh", "silu", "elu", "selu", "softplus", "softsign", "hardtanh", "hardswish", "mish", "relu6"}
Z = sp.Symbol("z", real=True)

# Past 20 PyTorch's softplus is the identity: log(1 + e^z) − z is then below e^-20 = 2.1e-9.
SOFTPLUS_JUMP = 2.1e-9


def values_of(expression: sp.Expr, points: Tensor) -> Tensor:
    """The expression at each point, computed with 30 digits."""
    values = [float(expression.subs(Z, sp.Rational(p)).evalf(30)) for p in points.tolist()]
    return torch.tensor(values, dtype=torch.float64)


def points_for(activation: Activation) -> Tensor:
    """Points across the range that matters, the kinks, and the nearest floats on both sides of each kink."""
    grid = torch.linspace(-15.03, 15.07, 61, dtype=torch.float64)
    kinks = torch.tensor(activation.kinks, dtype=torch.float64)
    beside = [torch.nextafter(kinks, torch.full_like(kinks, end)) for end in (-math.inf, math.inf)]
    return torch.cat([grid, kinks, *beside])


def autograd_of(function: object, points: Tensor) -> Tensor:
    z = points.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(z).sum(), z)  # type: ignore[operator]
    return slope


def test_the_table_holds_what_people_meet():
    assert set(ACTIVATIONS) == {"identity", "prelu"} | ARTICLE | OTHERS
    assert all(name == activation.name for name, activation in ACTIVATIONS.items())
    with pytest.raises(TypeError):
        ACTIVATIONS["new"] = ACTIVATIONS["relu"]  # type: ignore[index]


@EVERY
def test_torch_equals_the_formula(activation: Activation):
    points = points_for(activation)
    torch.testing.assert_close(activation(points), values_of(activation.formula(Z), points), rtol=1e-14, atol=4e-15)


@EVERY
def test_the_derivative_equals_the_formulas(activation: Activation):
    points = points_for(activation)
    slopes = values_of(sp.diff(activation.formula(Z), Z), points)
    torch.testing.assert_close(activation.derivative(points), slopes, rtol=1e-13, atol=1e-15)


@EVERY
def test_the_derivative_is_what_autograd_gives_even_at_the_kinks(activation: Activation):
    points = points_for(activation)
    slopes = autograd_of(activation, points)
    torch.testing.assert_close(activation.derivative(points), slopes, rtol=1e-13, atol=4e-15)


@EVERY
def test_kinks_are_where_the_slopes_on_both_sides_differ(activation: Activation):
    candidates = torch.arange(-8, 9, dtype=torch.float64)
    slope = sp.diff(activation.formula(Z), Z)
    jumps = (values_of(slope, candidates + 1e-9) - values_of(slope, candidates - 1e-9)).abs()
    assert tuple(candidates[jumps > 1e-6].tolist()) == activation.kinks


def test_softplus_leaves_its_formula_past_20_by_less_than_its_threshold_says():
    points = torch.tensor([20.0, 20.5, 30.0], dtype=torch.float64)
    softplus = ACTIVATIONS["softplus"]
    difference = (softplus(points) - values_of(softplus.formula(Z), points)).abs()
    assert difference[0] < 1e-14
    assert 0 < difference[1] < SOFTPLUS_JUMP


@EVERY
def test_the_module_applies_the_same_function(activation: Activation):
    points = points_for(activation)
    module = activation.module()
    assert isinstance(module, nn.Module)
    assert module is not activation.module()
    assert torch.equal(module.double()(points), activation(points))
    assert list(module.parameters()) == []
    assert module.state_dict() == {}


@EVERY
@given(z=st.floats(-1e4, 1e4))
def test_values_are_inside_the_range(activation: Activation, z: float):
    value = activation(torch.tensor([z], dtype=torch.float64)).item()
    # Closed on purpose: a float reaches ends that the function does not, as in σ(40) = 1.
    slack = 1e-15 * max(1.0, abs(z))
    assert activation.range.low - slack <= value <= activation.range.high + slack


@EVERY
def test_the_range_is_no_wider_than_the_values(activation: Activation):
    z = torch.cat([torch.linspace(-10, 10, 200_001), torch.tensor([-1e6, -1e5, 1e5, 1e6])]).double()
    values = activation(z)
    low, high = activation.range.low, activation.range.high
    assert values.min() < -9e3 if math.isinf(low) else values.min() < low + 2e-5
    assert values.max() > 9e3 if math.isinf(high) else values.max() > high - 2e-5


@EVERY
def test_range_ends_are_reached_where_it_says_so(activation: Activation):
    reached = activation.range
    z = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    values = activation(z)
    if not math.isinf(reached.low):
        assert reached.low_reached == bool((values - reached.low).min() < 1e-9)
    if not math.isinf(reached.high):
        assert reached.high_reached == bool((reached.high - values).min() < 1e-9)


@EVERY
def test_slopes_at_the_ends(activation: Activation):
    ends = torch.tensor([-1e7, 1e7], dtype=torch.float64)
    expected = torch.tensor(activation.slopes, dtype=torch.float64)
    torch.testing.assert_close(activation.derivative(ends), expected, rtol=0, atol=1e-12)
    bounded = math.isfinite(activation.range.low) and math.isfinite(activation.range.high)
    assert activation.saturates == bounded


@EVERY
def test_zero_centred_means_odd(activation: Activation):
    z = torch.linspace(0.1, 8, 50, dtype=torch.float64)
    assert activation.zero_centred == torch.allclose(activation(-z), -activation(z), rtol=1e-12)


@EVERY
def test_piecewise_affine_means_no_curvature_off_the_kinks(activation: Activation):
    curvature = sp.diff(activation.formula(Z), Z, 2)
    points = torch.tensor([-7.1, -2.3, -0.7, 0.3, 0.9, 2.2, 4.4, 8.1], dtype=torch.float64)
    assert activation.piecewise_affine == bool((values_of(curvature, points) == 0).all())


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_and_shape_are_kept(activation: Activation, dtype: torch.dtype):
    z = torch.linspace(-2, 2, 6, dtype=dtype).reshape(1, 2, 3)
    for result in (activation(z), activation.derivative(z), activation.module().to(dtype)(z)):
        assert (result.dtype, result.shape) == (dtype, z.shape)


@EVERY
def test_derivatives_stay_finite_far_out(activation: Activation):
    for dtype in (torch.float32, torch.float64):
        ends = torch.tensor([-torch.finfo(dtype).max / 16, torch.finfo(dtype).max / 16], dtype=dtype)
        torch.testing.assert_close(activation.derivative(ends), torch.tensor(activation.slopes, dtype=dtype))


def test_tanh_is_a_stretched_sigmoid():
    difference = ACTIVATIONS["tanh"].formula(Z) - (2 * ACTIVATIONS["sigmoid"].formula(2 * Z) - 1)
    assert sp.simplify(difference.rewrite(sp.exp)) == 0


@EVERY
def test_every_entry_reads_well(activation: Activation):
    assert activation.sentence.endswith(".")
    assert str(activation) == f"{activation.title}: {activation.sentence}"
    assert "function" not in repr(activation)


def test_ranges_print_as_intervals():
    assert str(Range(0, 1)) == "(0, 1)"
    assert str(Range(0, math.inf, low_reached=True)) == "[0, ∞)"
    assert str(ACTIVATIONS["hardtanh"].range) == "[−1, 1]"
    assert 0 in ACTIVATIONS["relu"].range
    assert -1e-9 not in ACTIVATIONS["relu"].range
    assert 1 not in ACTIVATIONS["sigmoid"].range


class TestGetActivation:
    @pytest.mark.parametrize(
        ("asked", "name"),
        [
            ("relu", "relu"),
            ("ReLU", "relu"),
            ("Leaky ReLU", "leaky_relu"),
            ("leaky-relu", "leaky_relu"),
            ("LeakyReLU", "leaky_relu"),
            ("GELU_tanh", "gelu_tanh"),
            (None, "identity"),
            ("none", "identity"),
            ("swish", "silu"),
        ],
    )
    def test_finds_what_is_meant(self, asked: str | None, name: str):
        assert get_activation(asked) is ACTIVATIONS[name]

    def test_takes_its_own_result(self):
        assert get_activation(ACTIVATIONS["mish"]) is ACTIVATIONS["mish"]

    @pytest.mark.parametrize(
        ("wrong", "nearest"), [("relo", "relu"), ("sigmoyd", "sigmoid"), ("tahn", "tanh"), ("", None), (3, None)]
    )
    def test_suggests_the_nearest(self, wrong: object, nearest: str | None):
        with pytest.raises(UnknownNameError) as caught:
            get_activation(wrong)  # type: ignore[arg-type]
        assert caught.value.nearest == nearest
        assert "leaky_relu" in str(caught.value)

    def test_takes_a_callable_and_claims_nothing_about_it(self):
        sine = get_activation(torch.sin)
        assert sine.name == "sin"
        facts = (sine.range, sine.slopes, sine.saturates, sine.zero_centred, sine.piecewise_affine, sine.kinks)
        assert facts == (None,) * 6
        z = torch.linspace(-1, 1, 5)
        assert torch.equal(sine.module()(z), torch.sin(z))
        assert repr(sine.module()) == "Elementwise(sin)"

    def test_names_callables_that_have_no_name(self):
        assert get_activation(lambda z: z * z).name == "lambda"
        assert get_activation(functools.partial(torch.clamp, min=0.0)).name == "clamp"

    def test_copies_a_module_for_each_network(self):
        mine = nn.PReLU()
        activation = get_activation(mine)
        assert activation.name == "PReLU"
        first, second = activation.module(), activation.module()
        assert first is not mine
        assert first is not second
        assert isinstance(first, nn.PReLU)
        with torch.no_grad():
            first.weight.fill_(9.0)
        assert activation(torch.tensor([-1.0])).item() == -0.25

    def test_builds_a_class_of_modules(self):
        assert isinstance(get_activation(nn.Hardsigmoid).module(), nn.Hardsigmoid)

    def test_refuses_a_class_that_needs_arguments(self):
        with pytest.raises(InputError, match="Linear cannot be built without arguments"):
            get_activation(nn.Linear)

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            (lambda z: z.sum(), r"must keep shape and dtype: .* of shape \(2, 3\) became torch.float32 of shape \(\)"),
            (lambda z: None, "became NoneType"),
            (lambda z: z > 0, "became torch.bool"),
            (np.sin, "activation 'sin' failed on a tensor"),
            (nn.ModuleList(), "ModuleList has no forward"),
            (lambda z: z.no_such_method(), "failed on a tensor"),
            (lambda: 1, "failed on a tensor"),
        ],
    )
    def test_refuses_what_is_no_activation(self, function: object, message: str):
        with pytest.raises(InputError, match=message):
            get_activation(function)  # type: ignore[arg-type]

    def test_takes_functions_that_work_in_place_and_modules_of_inference_mode(self):
        assert get_activation(torch.relu_).name == "relu_"
        with torch.inference_mode():
            assert get_activation(torch.sin).name == "sin"

    def test_leaves_the_random_state_alone(self):
        before = torch.get_rng_state()
        get_activation(lambda z: z + torch.rand_like(z))
        assert torch.equal(before, torch.get_rng_state())


def test_the_table_costs_no_sympy():
    code = "import sys, whyactivate.activations as a; a.ACTIVATIONS['relu']; sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
