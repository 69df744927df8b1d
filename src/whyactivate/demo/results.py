"""What one run of the demo found: frozen results, from which every sentence and figure follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from whyactivate.affine.analysis import Analysis, Counterexample
    from whyactivate.collapse import Collapse
    from whyactivate.datasets import Dataset
    from whyactivate.floor import Floor
    from whyactivate.proof import Proof
    from whyactivate.training import History

BELOW_MARGIN = 1e-4
"""A loss counts as below the floor when it is below it by more than this share of the floor: far
above the rounding of a float32 loss, far below any difference that would matter."""

ON_FLOOR_MARGIN = 5e-3
"""A loss counts as on the floor when it is within this share of it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to hold in this run, and what was found.

    Attributes:
        name: short, stable, for machines: "article.none_on_floor".
        claim: what had to hold, as a sentence.
        holds: whether it did.
        found: the numbers behind the answer.
    """

    name: str
    claim: str
    holds: bool
    found: str

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'DOES NOT HOLD'}: {self.claim} ({self.found})"

    def to_dict(self) -> dict[str, object]:
        """The check as JSON-able values."""
        return {"name": self.name, "claim": self.claim, "holds": self.holds, "found": self.found}


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """One network after training: the activation's name and title, the model, the curves."""

    activation: str
    title: str
    model: nn.Module
    history: History

    @property
    def loss(self) -> float:
        """The loss over the whole training set after the last epoch."""
        return self.history.train_loss[-1]

    @property
    def test_loss(self) -> float:
        """The loss over the whole test set after the last epoch."""
        return self.history.test_loss[-1]

    @property
    def accuracy(self) -> float | None:
        """The share of the training set put in the right class; None for regression."""
        return self.history.train_accuracy[-1] if self.history.train_accuracy else None

    @property
    def test_accuracy(self) -> float | None:
        """The share of the test set put in the right class; None for regression."""
        return self.history.test_accuracy[-1] if self.history.test_accuracy else None

    def below(self, floor: Floor) -> bool:
        """Whether the training loss went below what any affine model can reach."""
        return self.loss < floor.loss - max(BELOW_MARGIN * floor.loss, floor.gap)

    def to_dict(self, floor: Floor) -> dict[str, object]:
        """The network's numbers as JSON-able values, beside the floor."""
        return {
            "activation": self.activation,
            "train_loss": self.loss,
            "test_loss": self.test_loss,
            "train_accuracy": self.accuracy,
            "test_accuracy": self.test_accuracy,
            "below_floor": self.below(floor),
            "history": self.history.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Contest:
    """The same data and the same initial weights, once per activation; the first has none.

    Attributes:
        data: what the networks were trained on.
        layers: their widths, input first.
        floor: the smallest training loss of any affine model.
        networks: one per activation, the activation-free one first.
    """

    data: Dataset
    layers: tuple[int, ...]
    floor: Floor
    networks: tuple[TrainedNetwork, ...]

    @property
    def none(self) -> TrainedNetwork:
        """The network without activations."""
        return self.networks[0]

    @property
    def activated(self) -> tuple[TrainedNetwork, ...]:
        """The networks that have an activation."""
        return self.networks[1:]

    def network(self, activation: str) -> TrainedNetwork:
        """The network with this activation."""
        return next(network for network in self.networks if network.activation == activation)

    def to_dict(self) -> dict[str, object]:
        """The contest's numbers as JSON-able values."""
        return {
            "data": self.data.name,
            "layers": list(self.layers),
            "train_rows": len(self.data.train_x),
            "test_rows": len(self.data.test_x),
            "floor": {
                "loss": self.floor.loss,
                "test_loss": self.floor.test_loss,
                "accuracy": self.floor.accuracy,
                "test_accuracy": self.floor.test_accuracy,
                "separable": self.floor.separable,
            },
            "networks": [network.to_dict(self.floor) for network in self.networks],
        }


@dataclass(frozen=True, slots=True)
class ArticlePart:
    """The article's network on the article's noise.

    Attributes:
        contest: the trained networks beside the linear floor.
        zero_loss: the training loss of always predicting 0.
        zero_test_loss: the test loss of always predicting 0, the best predictor there is.
    """

    contest: Contest
    zero_loss: float
    zero_test_loss: float

    def to_dict(self) -> dict[str, object]:
        """The part's numbers as JSON-able values."""
        zero = {"train_loss": self.zero_loss, "test_loss": self.zero_test_loss}
        return {**self.contest.to_dict(), "predicting_zero": zero}


@dataclass(frozen=True, slots=True)
class CollapsePart:
    """The activation-free network as one layer, and why to believe it.

    Attributes:
        collapse: the network as one layer.
        proofs: the four proofs.
        floor: the linear floor of the same data, with the coefficients of linear regression.
    """

    collapse: Collapse
    proofs: tuple[Proof, ...]
    floor: Floor

    @property
    def from_floor(self) -> float:
        """The largest difference between a number of the one layer and of linear regression."""
        weight, bias = self.collapse.weight - self.floor.weight, self.collapse.bias - self.floor.bias
        return max(float(weight.abs().max()), float(bias.abs().max()))

    def to_dict(self) -> dict[str, object]:
        """The part's numbers as JSON-able values."""
        return {
            "parameters_before": self.collapse.parameters_before,
            "parameters_after": self.collapse.parameters_after,
            "weight": self.collapse.weight.tolist(),
            "bias": self.collapse.bias.tolist(),
            "from_floor": self.from_floor,
            "proofs": [proof.to_dict() for proof in self.proofs],
        }


@dataclass(frozen=True, slots=True)
class Line:
    """A network's output along the straight line a + t·(b − a), for drawing.

    Attributes:
        position: the values of t, with 0 at a and 1 at b.
        output: the network's output there.
        mix: the t of the point where the counterexample looks.
        at: the network's output at a, at b and at the mix.
    """

    position: tuple[float, ...]
    output: tuple[float, ...]
    mix: float
    at: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class RefutationPart:
    """The network with an activation is not affine; two inputs and a mix of them show it."""

    activation: str
    title: str
    analysis: Analysis
    line: Line | None

    def to_dict(self) -> dict[str, object]:
        """The part's numbers as JSON-able values."""
        return {
            "activation": self.activation,
            "verdict": str(self.analysis.verdict),
            "counterexample": counterexample_to_dict(self.analysis.counterexample),
        }


def counterexample_to_dict(found: Counterexample | None) -> dict[str, object] | None:
    """A counterexample as JSON-able values; its weights are written as "n/d"."""
    if found is None:
        return None
    return {
        "a": [each.tolist() for each in found.a],
        "b": [each.tolist() for each in found.b],
        "weights": [str(weight) for weight in found.weights],
        "at_mix": found.at_mix,
        "mix_of": found.mix_of,
        "gap": found.gap,
        "output": found.output_index,
        "arithmetic": found.arithmetic,
    }


@dataclass(frozen=True, slots=True)
class DecisionMap:
    """What a two-class network answers on a grid of points in the plane.

    Attributes:
        title: the activation's title.
        x: grid positions along the first feature, standardised, shape (columns,).
        y: grid positions along the second feature, standardised, shape (rows,).
        score: score of class 1 minus score of class 0, shape (rows, columns); the boundary is 0.
        test_accuracy: share of the test set put in the right class.
    """

    title: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    score: NDArray[np.float64]
    test_accuracy: float


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A test row on which the network and its collapsed layer name different classes.

    Attributes:
        row: the row in the test set.
        network_class: the class that the network names.
        layer_class: the class that the collapsed layer names.
        margin: the network's score of its class minus its score of the layer's class.
    """

    row: int
    network_class: int
    layer_class: int
    margin: float


@dataclass(frozen=True, slots=True)
class ClassesPart:
    """The same on data with a pattern, and the activation-free network collapsed.

    Attributes:
        contest: the trained networks beside the linear floor.
        collapse: the activation-free network as one layer.
        proofs: the proofs asked of that collapse.
        disagreements: test rows on which the layer names another class than the network.
        score_gap: the largest difference between a score of the network and of the layer, test set.
        maps: decision maps, for data in the plane.
    """

    contest: Contest
    collapse: Collapse
    proofs: tuple[Proof, ...]
    disagreements: tuple[Disagreement, ...]
    score_gap: float
    maps: tuple[DecisionMap, ...]

    def to_dict(self) -> dict[str, object]:
        """The part's numbers as JSON-able values."""
        rows = len(self.contest.data.test_x)
        return {
            **self.contest.to_dict(),
            "parameters_before": self.collapse.parameters_before,
            "parameters_after": self.collapse.parameters_after,
            "proofs": [proof.to_dict() for proof in self.proofs],
            "score_gap": self.score_gap,
            "same_class": rows - len(self.disagreements),
            "disagreements": [
                {"row": d.row, "network": d.network_class, "layer": d.layer_class, "margin": d.margin}
                for d in self.disagreements
            ],
        }


Part = ArticlePart | CollapsePart | RefutationPart | ClassesPart
