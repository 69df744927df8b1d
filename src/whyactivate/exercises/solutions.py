"""Worked solutions, a function for each exercise: it returns one right answer of many. No exercise uses this."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.datasets import load_dataset
from whyactivate.models import MLP
from whyactivate.training import TrainConfig, train


def multiply_two_layers() -> list[Any]:
    """W = W₂W₁ and b = W₂b₁ + b₂: the first bias goes through the second layer."""
    return [[[2, 3], [-2, 1]], [2, 8]]


def break_superposition() -> list[float]:
    """The left side counts the bias once, the right side α + β times: any α + β ≠ 1 will do."""
    return [1, 1, 0, 0]


def factor_a_layer() -> list[Any]:
    """Take any W₁ that can be undone, and W₂ = W·W₁⁻¹; here W₁ doubles, so W₂ is half of W."""
    return [[[2, 0], [0, 2]], [0, 0], [[1, 0.5], [0, 1.5]], [1, -1]]


def fewer_than_one_layer() -> list[int]:
    """The one layer grows with input × output; a narrow hidden layer with their sum."""
    return [100, 2, 100]


def out_of_reach() -> list[list[int]]:
    """A product through 2 hidden numbers has rank 2 at most; the identity has rank 3."""
    return [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def best_affine_xor() -> list[float]:
    """Swapping inputs, or 0 and 1, leaves the task as it is, so both weights are 0 and b is the mean."""
    return [0, 0, 0.5]


def xor_by_hand() -> list[Any]:
    """With s = x₁ + x₂: relu(s) − 2·relu(s − 1) is 0, 1, 0 at s = 0, 1, 2."""
    return [[[1, 1], [1, 1]], [0, -1], [1, -2], 0]


def dead_unit() -> list[float]:
    """On the square w·x is at most |w₁| + |w₂|; a bias below minus that keeps z below 0 everywhere."""
    return [1, 1, -2]


def knots_for_a_parabola() -> list[float]:
    """A line over a gap h is at most h²/4 above x²; sixteen even gaps of 1/16 give 1/1024."""
    return [k / 16 for k in range(17)]


def undo_the_sigmoid() -> float:
    """The logit undoes the sigmoid: z = ln(y / (1 − y))."""
    return 9.6137


def lost_in_float32() -> list[float]:
    """Beyond z = 17.4, σ(z) is closer to 1 than to the float32 before it, so both become 1."""
    return [20, 30]


def tanh_from_sigmoid() -> list[float]:
    """Multiply above and below by e^(−z): tanh z = (1 − e^(−2z))/(1 + e^(−2z)) = 2σ(2z) − 1."""
    return [2, 2, 0, -1]


def gradients_that_survive() -> dict[str, str]:
    """He's init makes up for the half that ReLU throws away (He et al. 2015), so the product keeps its size."""
    return {"activation": "relu", "init": "he"}


def below_the_floor() -> nn.Module:
    """An activation bends the boundary: train a small network with one."""
    network = MLP([2, 16, 2], activation="tanh", seed=0)
    train(network, load_dataset("circles", seed=0), TrainConfig(epochs=8, batch_size=30, learning_rate=0.02))
    return network


class AffineWithRelu(nn.Module):
    """relu(x) − relu(−x) = x for every x."""

    def forward(self, x: Tensor) -> Tensor:
        """(rows, 2) to the same."""
        return torch.relu(x) - torch.relu(-x)


def affine_with_relu() -> nn.Module:
    """relu(x) − relu(−x) = x for every x: seeing a ReLU proves nothing."""
    return AffineWithRelu()


class Product(nn.Module):
    """x₁·x₂: the input times itself."""

    def forward(self, x: Tensor) -> Tensor:
        """(rows, 2) to (rows, 1)."""
        return x[:, :1] * x[:, 1:]


def nonlinear_without_activation() -> nn.Module:
    """A product of two inputs is of degree 2; attention without its softmax is such a product."""
    return Product()


class Quiet(nn.Module):
    """x + relu(x − 1000): the identity wherever anybody looks."""

    def forward(self, x: Tensor) -> Tensor:
        """(rows, 2) to the same."""
        return x + torch.relu(x - 1000)


def fool_the_jacobian() -> nn.Module:
    """A kink at 1000 is never seen by standard normal points: equal Jacobians at points prove nothing elsewhere."""
    return Quiet()


SOLUTIONS: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        solve.__name__.replace("_", "-"): solve
        for solve in (
            multiply_two_layers, break_superposition, factor_a_layer, fewer_than_one_layer, out_of_reach,
            best_affine_xor, xor_by_hand, dead_unit, knots_for_a_parabola, undo_the_sigmoid, lost_in_float32,
            tanh_from_sigmoid, gradients_that_survive, below_the_floor, affine_with_relu,
            nonlinear_without_activation, fool_the_jacobian,
        )
    }
)  # fmt: skip
"""The solution of each exercise by the exercise's name, as a function that makes an answer."""


def explain_solution(name: str) -> str:
    """Why the solution of that exercise is right, and the answer as it is typed.

    Raises:
        KeyError: there is none.
    """
    solve = SOLUTIONS[name]
    why = inspect.getdoc(solve) or ""
    body = inspect.getsource(solve).split('"""')[2].strip("\n")
    code = [line.removeprefix("    ") for line in body.splitlines()]
    kinds = [AffineWithRelu, Product, Quiet]
    used = [inspect.getsource(kind) for kind in kinds if f"{kind.__name__}()" in body]
    return "\n".join([why, "", *([*used, ""] if used else []), *code])
