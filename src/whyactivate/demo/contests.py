"""How long the demo trains what, and the training itself, counted for a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from whyactivate.activations import ACTIVATIONS
from whyactivate.datasets import Dataset
from whyactivate.demo.results import Contest, TrainedNetwork
from whyactivate.floor import linear_floor
from whyactivate.training import TrainConfig, train

ARTICLE_ACTIVATIONS = ("identity", "relu", "sigmoid", "tanh", "leaky_relu")

Progress = Callable[[str, int, int], object]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which networks there are, and how long each is trained."""

    activations: tuple[str, ...]
    article: TrainConfig
    moons: TrainConfig
    digits: TrainConfig

    @property
    def epochs(self) -> int:
        """How many epochs there are in all."""
        return len(self.activations) * (self.article.epochs + self.moons.epochs + self.digits.epochs)


FULL = Plan(
    activations=ARTICLE_ACTIVATIONS,
    article=TrainConfig(shuffle=False),
    moons=TrainConfig(epochs=60, batch_size=50, learning_rate=2e-2),
    digits=TrainConfig(epochs=12, batch_size=128, learning_rate=1e-2),
)
QUICK = Plan(
    activations=("identity", "relu"),
    article=FULL.article,
    moons=replace(FULL.moons, epochs=25),
    digits=replace(FULL.digits, epochs=5),
)


class Meter:
    """Counts epochs over all networks, and says so."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.done, self.progress = total, 0, progress

    def say(self, text: str) -> None:
        """Says what is being done."""
        if self.progress is not None:
            self.progress(text, self.done, self.total)

    def count(self, text: str) -> None:
        """One epoch more."""
        self.done += 1
        self.say(text)


def run_contest(
    data: Dataset,
    layers: tuple[int, ...],
    make: Callable[[str], nn.Module],
    activations: tuple[str, ...],
    config: TrainConfig,
    meter: Meter,
) -> Contest:
    """Trains one network per activation, each from the same weights and on the same rows in the same order.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C.
    """
    networks: list[TrainedNetwork] = []
    for name in activations:
        model, title = make(name), ACTIVATIONS[name].title
        text = f"training on {data.name}: {'no activation' if name == 'identity' else title}"

        def count(_epoch: int, _epochs: int, _metrics: object, text: str = text) -> None:
            meter.count(text)

        history = train(model, data, config, callback=count)
        if history.stopped == "interrupted":
            raise KeyboardInterrupt
        networks.append(TrainedNetwork(name, title, model, history))
    meter.say(f"looking for the linear floor of {data.name}")
    return Contest(data, layers, linear_floor(data), tuple(networks))
