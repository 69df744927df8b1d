"""Activations on stacked pre-activations: φ in place on the way forward, times φ′ on the way back.

Where φ′ follows from the output, as σ′ = a(1 − a) does, no pre-activation is kept; autograd makes the same
use of it. Every other activation goes by its hand-written derivative in `whyactivate.activations`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyactivate.activations import Activation
from whyactivate.activations.constants import LEAKY_SLOPE, PRELU_SLOPE

Array = NDArray[Any]
Step = Callable[[], object]

_VECTOR = 64
"""Numbers: a multiple of what a processor handles at once."""


class Bent:
    """An activation bound to its place: `forward` and `backward` are calls without arguments.

    Before `forward`, `z` holds pre-activations, and after it the activations. `backward` multiplies `delta`,
    the slope of the loss in the activations, by φ′: then it is the slope in the pre-activations.

    Both arrays have one row more than there are units: the ones in z that stand for the bias, and zeros in delta.
    They stay as they are. What keeps them so by itself (a positive part, a product) is done on the whole array,
    which is contiguous and so several times faster than the part without them.

    Args:
        activation: φ.
        z: (members, units + 1, rows), contiguous, the last row ones.
        delta: the same shape, the last row zeros.
    """

    def __init__(self, activation: Activation, z: Array, delta: Array) -> None:
        make = _BY_NAME.get(activation.name) if _is_known(activation) else None
        self.forward, self.backward = make(z, delta) if make else _by_derivative(activation, z, delta)


def _relu(z: Array, delta: Array) -> tuple[Step, Step]:
    positive = np.empty(z.shape, dtype=bool)
    zeros = np.zeros_like(z)  # an array is faster than one 0 for all

    def forward() -> None:
        np.maximum(z, zeros, out=z)

    def backward() -> None:
        np.greater(z, 0.0, out=positive)
        np.multiply(delta, positive, out=delta)

    return forward, backward


def _leaky(slope: float) -> Callable[[Array, Array], tuple[Step, Step]]:
    def make(z: Array, delta: Array) -> tuple[Step, Step]:
        positive, room = np.empty(z.shape, dtype=bool), np.empty(z.shape, dtype=z.dtype)

        def forward() -> None:
            np.multiply(z, slope, out=room)
            np.maximum(z, room, out=z)

        def backward() -> None:
            np.greater(z, 0.0, out=positive)
            np.multiply(positive, 1.0 - slope, out=room)
            np.add(room, slope, out=room)  # 1 exactly, or the slope
            np.multiply(delta, room, out=delta)

        return forward, backward

    return make


def _sigmoid(z: Array, delta: Array) -> tuple[Step, Step]:
    same, room = torch.from_numpy(z[:, :-1]), np.empty(z.shape, dtype=z.dtype)

    def backward() -> None:
        np.subtract(1.0, z, out=room)
        np.multiply(delta, room, out=delta)
        np.multiply(delta, z, out=delta)

    return same.sigmoid_, backward


def _tanh(z: Array, delta: Array) -> tuple[Step, Step]:
    same, room = torch.from_numpy(z[:, :-1]), np.empty(z.shape, dtype=z.dtype)

    def backward() -> None:
        np.multiply(z, z, out=room)
        np.subtract(1.0, room, out=room)
        np.multiply(delta, room, out=delta)

    return same.tanh_, backward


def _by_derivative(activation: Activation, z: Array, delta: Array) -> tuple[Step, Step]:
    """Any other activation: keep z, and call its derivative."""
    function = activation.function
    derivative = activation.derivative or derivative_by_autograd(function)
    z, delta = z[:, :-1], delta[:, :-1]
    members, units, rows = z.shape
    used = units * rows
    # Each member fills whole vectors of the processor: the last few of a longer row would be computed another way,
    # and whose they are, and so a member's last bit, would depend on how many members there are.
    kept = np.zeros((members, -(-used // _VECTOR) * _VECTOR), dtype=z.dtype)
    before, same, slope = torch.from_numpy(kept), torch.from_numpy(z), torch.from_numpy(delta)

    def cut(values: Tensor) -> Tensor:
        return values[:, :used].view(members, units, rows)

    def forward() -> None:
        cut(before).copy_(same)
        # A function of somebody's own may work in place.
        same.copy_(cut(function(before if activation.derivative else before.clone())))

    def backward() -> None:
        slope.mul_(cut(derivative(before)))

    return forward, backward


def derivative_by_autograd(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The derivative of an elementwise function for which nobody wrote one."""

    def derivative(z: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            leaf = z.clone().requires_grad_()
            result = function(leaf.clone())
            return torch.autograd.grad(result, leaf, torch.ones_like(result))[0]

    return derivative


def _is_known(activation: Activation) -> bool:
    from whyactivate.activations import ACTIVATIONS

    return ACTIVATIONS.get(activation.name) is activation


_BY_NAME: dict[str, Callable[[Array, Array], tuple[Step, Step]]] = {
    "relu": _relu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "leaky_relu": _leaky(LEAKY_SLOPE),
    "prelu": _leaky(PRELU_SLOPE),
}
