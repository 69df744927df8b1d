"""Centring: the average output of an activation, and what it does to the layer after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from whyactivate._checks import check_number, check_seed, check_some, check_whole
from whyactivate.activations import get_activation
from whyactivate.lessons.lesson import Lesson, digits, title_of

_QUANTILES = 200_001


@dataclass(frozen=True, slots=True)
class NextLayer:
    """What a layer sees that is fed by many units of one activation.

    Attributes:
        activation: its name.
        same_sign: share of the rows on which all its inputs have one sign (0 counts as either), so that all weights of
            one unit are pushed the same way by that row.
        leading: the share of the largest eigenvalue of the inputs' second moments in the sum of all; near 1 the loss is
            a long narrow valley, which slows gradient descent down (LeCun, Bottou, Orr & Müller 1998).
        mean: the average input.
    """

    activation: str
    same_sign: float
    leading: float
    mean: float


@dataclass(frozen=True, repr=False)
class Centring(Lesson):
    """Average outputs for normal inputs, and the effect on the next layer.

    Attributes:
        means: the means of the input distributions N(mean, 1).
        outputs: per activation, its average output for each of them.
        spreads: per activation, its standard deviation for each.
        next_layers: one per activation.
        units: how many the layer has whose outputs the next one sees.
        rows: how many inputs it is given.
        seed: what its weights and inputs are drawn from.
    """

    title: ClassVar[str] = "Centring: average 0 only for symmetric inputs"

    means: tuple[float, ...]
    outputs: dict[str, tuple[float, ...]]
    spreads: dict[str, tuple[float, ...]]
    next_layers: tuple[NextLayer, ...]
    units: int
    rows: int
    seed: int

    def mean(self, activation: str, of: float) -> float:
        """The average output of an activation for inputs from N(of, 1)."""
        return self.outputs[activation][self.means.index(of)]

    def next_layer(self, activation: str) -> NextLayer:
        """What the layer behind that activation sees."""
        return next(each for each in self.next_layers if each.activation == activation)

    @property
    def settings(self) -> str:
        """How it was computed."""
        return f"{_QUANTILES} quantiles; next layer: {self.units} units, {self.rows} rows, seed {self.seed}"

    def explain(self) -> str:
        """What the numbers say."""
        parts: list[str] = []
        if 0.0 in self.means:
            told = ", ".join(f"{digits(self.mean(name, 0.0))} for {title_of(name)}" for name in self.outputs)
            parts.append(f"For inputs from N(0, 1) the average output is {told}.")
        moved = max(self.means, key=lambda mean: (abs(mean), mean))
        if moved:
            told = ", ".join(f"{digits(self.mean(name, moved))} for {title_of(name)}" for name in self.outputs)
            parts.append(f"For inputs from N({moved:g}, 1) it is {told}.")
        worst = max(self.next_layers, key=lambda each: each.leading)
        best = min(self.next_layers, key=lambda each: each.leading)
        parts.append(
            f"The next layer feels it: behind {title_of(worst.activation)} one direction carries "
            f"{100 * worst.leading:.0f} % of the "
            f"second moments of its inputs and on {100 * worst.same_sign:.0f} % of the rows all inputs have one sign"
            + (
                f"; behind {title_of(best.activation)} it is {100 * best.leading:.0f} % and "
                f"{100 * best.same_sign:.0f} %."
                if best is not worst
                else "."
            )
        )
        return " ".join(parts)


def centring(
    activations: Sequence[str] = ("identity", "relu", "leaky_relu", "sigmoid", "tanh"),
    means: Sequence[float] = (-1.0, 0.0, 1.0),
    *,
    units: int = 32,
    rows: int = 1000,
    seed: int = 0,
) -> Centring:
    """The average output of each activation for inputs from N(mean, 1), and what the next layer sees.

    The averages are over evenly spaced quantiles, not over random draws; the next layer is fed by `units` units with
    weights drawn so that their pre-activations have variance 1 over standard normal inputs.

    Raises:
        UnknownNameError: there is no such activation.
    """
    chosen = [get_activation(name) for name in check_some("activations", activations)]
    means = [check_number("means", mean, -math.inf) for mean in check_some("means", means)]
    units, rows = check_whole("units", units, 2), check_whole("rows", rows, 2)
    generator = torch.Generator().manual_seed(check_seed(seed))
    quantiles = torch.special.ndtri((torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES)
    outputs: dict[str, tuple[float, ...]] = {}
    spreads: dict[str, tuple[float, ...]] = {}
    for each in chosen:
        values = [each(quantiles + float(mean)) for mean in means]
        outputs[each.name] = tuple(round(float(value.mean()), 9) for value in values)  # as good as the quantiles are
        spreads[each.name] = tuple(float(value.std()) for value in values)
    x = torch.randn(rows, units, generator=generator, dtype=torch.float64)
    z = x @ torch.randn(units, units, generator=generator, dtype=torch.float64) / units**0.5
    nexts = [_next_layer(each.name, each(z)) for each in chosen]
    return Centring(tuple(float(m) for m in means), outputs, spreads, tuple(nexts), units, rows, seed)


def _next_layer(name: str, inputs: torch.Tensor) -> NextLayer:
    one_sign = (inputs >= 0).all(1) | (inputs <= 0).all(1)
    moments = torch.linalg.eigvalsh(inputs.T @ inputs / len(inputs))
    return NextLayer(name, float(one_sign.double().mean()), float(moments[-1] / moments.sum()), float(inputs.mean()))
