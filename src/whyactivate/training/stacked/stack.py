"""Many perceptrons of one shape as one: stacked weights, a forward pass, and the backward pass by hand.

The members lie along the first axis. A layer's weight and bias are one matrix [W | b] of shape (units, inputs + 1),
and its input is (inputs + 1, rows), features downwards, with a last row of ones: then [W | b]·[x; 1] = Wx + b, and
the bias needs no code of its own. With δ the slope of the loss in a layer's pre-activations z = [W | b]·a,

    slope in [W | b]     = δ aᵀ      (its last column, over the ones, is the slope in b)
    slope in a           = Wᵀ δ      (W without the column of biases)
    δ of the layer below = (Wᵀ δ) ∘ φ′(z below)

which is the chain rule from the last layer down to the first: three lines of `backward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from whyactivate.activations import Activation
from whyactivate.training.stacked.activate import Array, Bent


@dataclass(frozen=True, slots=True)
class Company:
    """Neighbours in a stack that have one activation: `first` to `last`, not included."""

    activation: Activation
    first: int
    last: int


class Stack:
    """The weights of M perceptrons, and their slopes, each as one array (M, parameters).

    Args:
        flat: (M, parameters), float32 or float64, contiguous: layer by layer the rows of [W | b].
        widths: from input to output.
        companies: the activations, in the order of the members.
    """

    def __init__(self, flat: Array, widths: Sequence[int], companies: Sequence[Company]) -> None:
        self.flat, self.widths, self.companies = flat, tuple(widths), tuple(companies)
        self.slope = np.zeros_like(flat)
        self.layers = self._views(flat)
        self.slopes = self._views(self.slope)
        self.turned = [layer[:, :, :-1].swapaxes(1, 2) for layer in self.layers]

    @property
    def members(self) -> int:
        """How many perceptrons there are."""
        return len(self.flat)

    def _views(self, flat: Array) -> list[Array]:
        """The part of each layer in its shape, (M, units, inputs + 1)."""
        views: list[Array] = []
        start = 0
        for inputs, units in pairwise(self.widths):
            stop = start + units * (inputs + 1)
            views.append(flat[:, start:stop].reshape(len(flat), units, inputs + 1))
            start = stop
        return views


def perceptron_size(widths: Sequence[int]) -> int:
    """The number of weights and biases of a perceptron with these widths."""
    return sum(units * (inputs + 1) for inputs, units in pairwise(widths))


class Pass:
    """Room for a number of rows on their way through a stack, forward and back.

    Attributes:
        output: (M, outputs, rows), filled by `forward`.
        delta: the same shape: the slope of the loss in the outputs, which `backward` starts from.
    """

    def __init__(self, stack: Stack, rows: int) -> None:
        self.stack = stack
        hidden, dtype, members = stack.widths[1:-1], stack.flat.dtype, stack.members
        self.inputs = [np.ones((members, units + 1, rows), dtype) for units in hidden]
        self.z = [values[:, :-1] for values in self.inputs]
        self.turned = [values.swapaxes(1, 2) for values in self.inputs]
        below = [np.zeros((members, units + 1, rows), dtype) for units in hidden]
        self.deltas = [values[:, :-1] for values in below]
        self.output = np.empty((members, stack.widths[-1], rows), dtype)
        self.delta = np.empty_like(self.output)
        self.bends = [
            [
                Bent(company.activation, values[company.first : company.last], delta[company.first : company.last])
                for company in stack.companies
                if company.activation.name != "identity"
            ]
            for values, delta in zip(self.inputs, below, strict=True)
        ]

    def forward(self, x: Array) -> Array:
        """The outputs (M, outputs, rows) for x of shape (M or 1, features + 1, rows), its last row ones."""
        *hidden, last = self.stack.layers
        for layer, z, bends, values in zip(hidden, self.z, self.bends, self.inputs, strict=True):
            np.matmul(layer, x, out=z)
            for bent in bends:
                bent.forward()
            x = values
        return np.matmul(last, x, out=self.output)

    def backward(self, x: Array) -> None:
        """Fills `stack.slope` from `delta`, after `forward` with the same x."""
        stack, delta = self.stack, self.delta
        for number in reversed(range(1, len(stack.layers))):
            below = self.deltas[number - 1]
            np.matmul(delta, self.turned[number - 1], out=stack.slopes[number])
            np.matmul(stack.turned[number], delta, out=below)
            for bent in self.bends[number - 1]:
                bent.backward()
            delta = below
        np.matmul(delta, x.swapaxes(1, 2), out=stack.slopes[0])
