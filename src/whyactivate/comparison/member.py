"""`Member`: one trained network of a comparison."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from whyactivate.models import Init
from whyactivate.training.history import Stopped
from whyactivate.training.stacked.activate import Array

ONE_FOR_ALL = -1
"""In place of a seed: what is the same for all of them."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a network stands in the grid: what is compared, apart from the seed.

    Attributes:
        activation: its name.
        hidden: widths of the hidden layers; () for one affine layer.
        init: how the first weights are drawn, as in `MLP`.
        learning_rate: size of a step.
    """

    activation: str
    hidden: tuple[int, ...]
    init: Init
    learning_rate: float

    @property
    def rest(self) -> tuple[tuple[int, ...], str, float]:
        """Everything but the activation: networks that differ in nothing else are compared in pairs."""
        return self.hidden, self.init, self.learning_rate


@dataclass(frozen=True, slots=True)
class Member:
    """One trained network: where it stands in the grid, and where training ended.

    Losses and accuracies are over the whole training or test part, at the weights at which training ended.

    Attributes:
        place: activation, hidden widths, init and learning rate.
        seed: fixes the first weights and the order of the rows (and the data, where it is drawn for each seed).
        stopped: "finished", "early" (out of patience) or "diverged": the numbers are then those of the last epoch
            at which all was finite.
        epochs: how many were trained to their end.
        train_loss: mean squared error, or cross-entropy in nats.
        test_loss: the same over the test part.
        train_accuracy: share of training rows classified correctly; None for regression.
        test_accuracy: the same over the test part.
        epochs_to_floor: the first epoch after which the training loss is within one percent of the linear floor, or
            below it; None where that never happened.
        floor: the linear floor of the data: no affine model's training loss is lower.
        floor_test: test loss of the affine model at the floor.
        weights: all weights and biases as one row, where they were kept.
    """

    place: Place
    seed: int
    stopped: Stopped
    epochs: int
    train_loss: float
    test_loss: float
    train_accuracy: float | None
    test_accuracy: float | None
    epochs_to_floor: int | None
    floor: float
    floor_test: float
    weights: Array | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the weights, in plain values that `json` can write."""
        values = {name: getattr(self, name) for name in COLUMNS[4:]}
        return asdict(self.place) | {"hidden": list(self.place.hidden)} | values

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Member:
        """The member that `to_dict` wrote down."""
        place = Place(values["activation"], tuple(values["hidden"]), values["init"], values["learning_rate"])
        return Member(place, **{name: values[name] for name in COLUMNS[4:]})


COLUMNS = (
    "activation", "hidden", "init", "learning_rate", "seed", "stopped", "epochs", "train_loss", "test_loss",
    "train_accuracy", "test_accuracy", "epochs_to_floor", "floor", "floor_test",
)  # fmt: skip
"""The columns of a comparison's table."""
