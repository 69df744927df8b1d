"""Dead units: ReLUs that are 0 on all data, and what Leaky ReLU and a lower learning rate change about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import torch
from torch import nn

from whyactivate._checks import check_number, check_some
from whyactivate.activations import get_activation
from whyactivate.datasets import Dataset, load_dataset
from whyactivate.errors import DivergedError
from whyactivate.lessons.lesson import Lesson, digits, title_of
from whyactivate.lessons.observe import Inputs, units_last, watch_activations
from whyactivate.models import MLP
from whyactivate.training import TrainConfig, train

SLEEPY = 0.9
"""A unit is called sleepy from this share of rows with z ≤ 0 on."""


class Life(StrEnum):
    """What becomes of a unit on the given data."""

    DEAD = "dead"
    """The slope is 0 on every row: no gradient passes, whatever the loss."""
    SLEEPY = "sleepy"
    """Not dead, but z ≤ 0 on at least 90 % of the rows, of an activation that is flatter there."""
    ALIVE = "alive"
    """Neither."""


@dataclass(frozen=True, slots=True)
class UnitCall:
    """One activation in a module, unit by unit.

    Attributes:
        name: where, and which activation.
        negative: per unit, the share of the data with z ≤ 0.
        stuck: per unit, the share of the data on which the activation's slope is exactly 0.
        leans: whether it is flatter for z ≤ 0: ReLU and its kin are, sigmoid and tanh are not, and are never sleepy.
    """

    name: str
    activation: str
    negative: tuple[float, ...]
    stuck: tuple[float, ...]
    leans: bool = True

    @property
    def lives(self) -> tuple[Life, ...]:
        """Dead, sleepy or alive, per unit."""
        return tuple(
            Life.DEAD if stuck == 1 else Life.SLEEPY if self.leans and negative >= SLEEPY else Life.ALIVE
            for negative, stuck in zip(self.negative, self.stuck, strict=True)
        )

    def count(self, life: Life) -> int:
        """How many units are dead, sleepy or alive, whichever is asked for."""
        return self.lives.count(life)


@dataclass(frozen=True, repr=False)
class ModuleUnits(Lesson):
    """Which units of a module are dead, sleepy or alive on the given data.

    Attributes:
        module: the name of its class.
        rows: how many rows it was given.
        calls: the activations in program order.
        hidden: what could not be looked at, and why.
    """

    title: ClassVar[str] = "Dead units in your own module"

    module: str
    rows: int
    calls: tuple[UnitCall, ...]
    hidden: tuple[str, ...] = ()

    def count(self, life: Life) -> int:
        """How many units of the whole module are that."""
        return sum(call.count(life) for call in self.calls)

    @property
    def units(self) -> int:
        """How many units there are."""
        return sum(len(call.lives) for call in self.calls)

    @property
    def settings(self) -> str:
        """What it was measured on."""
        return f"{self.module} on {self.rows} rows"

    def explain(self) -> str:
        """What the numbers say."""
        dead = self.count(Life.DEAD)
        below = sum(share == 1 for call in self.calls for share in call.negative)
        words = (
            f"Of the {self.units} units behind {self.module}'s activations {dead} {'is' if dead == 1 else 'are'} dead "
            f"on these "
            f"{self.rows} rows (slope 0 on every row, so that no gradient passes), {self.count(Life.SLEEPY)} sleepy (z "
            f"≤ 0 on at least {100 * SLEEPY:.0f} % of the rows, and flatter there) and {self.count(Life.ALIVE)} alive."
        )
        if below > dead:
            words += (
                f" {below - dead} more have z ≤ 0 on every row and still pass a gradient, for their slope there "
                f"is not 0."
            )
        if dead:
            worst = max(self.calls, key=lambda call: call.count(Life.DEAD))
            words += f" Most of the dead are at {worst.name}: {worst.count(Life.DEAD)} of {len(worst.lives)}."
        if self.hidden:
            words += f" Not seen: {'; '.join(self.hidden)}."
        return words


def dead_units_of(module: nn.Module, inputs: Inputs, *, unit_axis: int | None = None) -> ModuleUnits:
    """Which units of a module are dead, sleepy or alive on the given data; the module stays as it is.

    Args:
        module: any module that calls activations as modules or functions.
        inputs: what its forward takes, rows first (a tensor, a tuple of several arguments, or a dict of keywords): all
            the data that "dead" is to mean.
        unit_axis: the axis of the units; 1 for images, else the last, where None.

    Raises:
        InputError: the module fails, or no activation was seen in it.
    """
    watched = watch_activations(module, inputs)
    calls: list[UnitCall] = []
    for call in watched.calls:
        z = units_last(call.z, unit_axis)
        flat = units_last(call.slopes(), unit_axis) == 0
        negative = (z <= 0).double().mean(0)
        calls.append(
            UnitCall(
                call.name,
                call.activation,
                tuple(negative.tolist()),
                tuple(flat.double().mean(0).tolist()),
                call.leans(),
            )
        )
    return ModuleUnits(type(module).__name__, watched.rows, tuple(calls), watched.hidden)


@dataclass(frozen=True, slots=True)
class Upbringing:
    """A network trained one way, and what became of its units.

    Attributes:
        activation: between its layers.
        learning_rate: of its training.
        units: after training, on the training data.
        loss_before: over the training part, before training.
        loss: the same after it.
        diverged: whether training had to stop because the loss was no longer finite.
    """

    activation: str
    learning_rate: float
    units: ModuleUnits
    loss_before: float
    loss: float
    diverged: bool


@dataclass(frozen=True, repr=False)
class DeadUnits(Lesson):
    """Networks trained alike but for activation and learning rate: how many of their units are dead in the end.

    Attributes:
        data: the name of the data set.
        layers: widths.
        epochs: of training.
        seed: of data, weights and order.
        runs: one per activation and learning rate.
        bias: given to one unit of a fresh network.
        silenced: share of the training rows on which z ≤ 0 there.
        gradients: per activation, the norm of that unit's weight gradient.
    """

    title: ClassVar[str] = "Dead units: where the slope is 0 on all data, nothing is learned"

    data: str
    layers: tuple[int, ...]
    epochs: int
    seed: int
    runs: tuple[Upbringing, ...]
    bias: float
    silenced: float
    gradients: dict[str, float]

    def run(self, activation: str, learning_rate: float) -> Upbringing:
        """The run of that activation and learning rate."""
        return next(r for r in self.runs if (r.activation, r.learning_rate) == (activation, learning_rate))

    @property
    def settings(self) -> str:
        """Sizes and seed."""
        widths = " → ".join(map(str, self.layers))
        return f"{self.data}, {widths}, {self.epochs} epochs of Adam, seed {self.seed}"

    def explain(self) -> str:
        """What the numbers say."""
        parts: list[str] = []
        for name in dict.fromkeys(run.activation for run in self.runs):
            runs = sorted((run for run in self.runs if run.activation == name), key=lambda run: run.learning_rate)
            told = ", ".join(
                f"{run.units.count(Life.DEAD)} at a learning rate of {run.learning_rate:g}"
                + (" (where training diverged)" if run.diverged else "")
                for run in runs
            )
            parts.append(f"With {title_of(name)} {told} of {runs[0].units.units} units are dead after training.")
        told = ", ".join(f"{digits(value)} with {title_of(name)}" for name, value in self.gradients.items())
        where = "all data" if self.silenced == 1 else f"{100 * self.silenced:.1f} % of the data"
        parts.append(
            f"A unit whose bias is set to {self.bias:g}, so that z ≤ 0 on {where}, gets a weight gradient of norm "
            f"{told}."
        )
        return " ".join(parts)


def dead_units(
    activations: Sequence[str] = ("relu", "leaky_relu"),
    learning_rates: Sequence[float] = (0.001, 0.1),
    *,
    data: Dataset | str = "moons",
    layers: Sequence[int] | None = None,
    epochs: int = 30,
    bias: float = -50.0,
    seed: int = 0,
) -> DeadUnits:
    """How many units are dead after training, by activation and learning rate; and one unit put to sleep by its bias.

    Args:
        activations: names.
        learning_rates: of Adam.
        data: a data set or its name.
        layers: widths; two hidden layers of 32 units where None.
        epochs: of training, in batches of 50 rows.
        bias: given to the first unit of a fresh network, to see what gradient its weights get.
        seed: of data, weights and order.

    Raises:
        UnknownNameError: an activation or the data set is not known.
        InputError: a number cannot be used.
    """
    known = load_dataset(data, seed) if isinstance(data, str) else data
    bias = check_number("bias", bias, -math.inf)
    check_some("learning_rates", learning_rates)
    widths = tuple(layers or (known.features, 32, 32, known.outputs))
    names = [get_activation(name).name for name in check_some("activations", activations)]
    runs: list[Upbringing] = []
    for name in names:
        for rate in learning_rates:
            model = MLP(widths, name, seed=seed)
            config = TrainConfig(epochs=epochs, batch_size=50, learning_rate=rate, seed=seed)
            try:
                history, diverged = train(model, known, config), False
            except DivergedError as error:
                history, diverged = error.history, True
            units = dead_units_of(model, known.train_x)
            runs.append(Upbringing(name, rate, units, history.train_loss[0], history.train_loss[-1], diverged))
    gradients = {name: _gradient_with(name, known, bias, seed) for name in names}
    with torch.no_grad():
        z = _with_bias("identity", known, bias, seed).layers[0](known.train_x)[:, 0]
    silenced = float((z <= 0).double().mean())
    return DeadUnits(known.name, widths, epochs, seed, tuple(runs), bias, silenced, gradients)


def _with_bias(activation: str, data: Dataset, bias: float, seed: int) -> MLP:
    """A small fresh network whose first unit has this bias."""
    model = MLP([data.features, 8, 1], activation, seed=seed)
    with torch.no_grad():
        model.layers[0].bias[0] = bias
    return model


def _gradient_with(activation: str, data: Dataset, bias: float, seed: int) -> float:
    """The gradient norm of the first unit's weights where its bias is `bias`; the loss is the mean square output."""
    model = _with_bias(activation, data, bias, seed)
    with torch.inference_mode(False), torch.enable_grad():
        model(data.train_x).square().mean().backward()
    gradient = model.layers[0].weight.grad
    assert gradient is not None
    return float(gradient[0].norm())
