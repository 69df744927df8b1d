"""The whole answer in one run: train, collapse, prove, refute, and again on data with a pattern."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

import whyactivate
from whyactivate._checks import check_truth
from whyactivate._told import Told
from whyactivate.affine import analyze
from whyactivate.affine.analysis import Counterexample
from whyactivate.collapse import Collapse, collapse_linear
from whyactivate.datasets import Dataset, load_dataset
from whyactivate.demo.checks import checks_of
from whyactivate.demo.contests import FULL, QUICK, Meter, Plan, Progress, run_contest
from whyactivate.demo.results import (
    ArticlePart,
    Check,
    ClassesPart,
    CollapsePart,
    DecisionMap,
    Disagreement,
    Line,
    Part,
    RefutationPart,
    TrainedNetwork,
)
from whyactivate.demo.words import say_verdict
from whyactivate.errors import InputError
from whyactivate.models import MLP, SimpleModel
from whyactivate.training import TrainConfig

ARTICLE_LAYERS = (10, 18, 18, 4, 1)
MOONS_LAYERS = (2, 16, 16, 2)
DIGITS_LAYERS = (64, 32, 32, 10)


@dataclass(frozen=True, slots=True, repr=False)
class DemoResult(Told):
    """Everything that one run of the demo found.

    Attributes:
        seed: what fixed the data, the initial weights and the order of the rows.
        quick: whether it was the short run.
        version: the library's version.
        article: the article's network on noise, with and without activations.
        collapse: the one without as one layer, and the four proofs.
        refutation: why the one with ReLU is none.
        moons: the same on two half moons.
        digits: the same on real handwritten digits.
    """

    seed: int
    quick: bool
    version: str
    article: ArticlePart
    collapse: CollapsePart
    refutation: RefutationPart
    moons: ClassesPart
    digits: ClassesPart

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts, in order."""
        return (self.article, self.collapse, self.refutation, self.moons, self.digits)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Everything that had to hold, by name."""
        return tuple(check for part in self.parts for check in checks_of(part))

    @property
    def holds(self) -> bool:
        """Whether every check held."""
        return all(check.holds for check in self.checks)

    def __str__(self) -> str:
        head = f"whyactivate {self.version}, seed {self.seed}. {say_verdict(self.checks)}"
        return "\n".join([head, *(f"  {check}" for check in self.checks)])

    def to_dict(self) -> dict[str, object]:
        """The run as JSON-able values."""
        return {
            "version": self.version,
            "seed": self.seed,
            "quick": self.quick,
            "holds": self.holds,
            "checks": [check.to_dict() for check in self.checks],
            "article": self.article.to_dict(),
            "collapse": self.collapse.to_dict(),
            "refutation": self.refutation.to_dict(),
            "moons": self.moons.to_dict(),
            "digits": self.digits.to_dict(),
        }


def run_demo(seed: int = 0, *, quick: bool = False, progress: Progress | None = None) -> DemoResult:
    """The whole answer, as one result; nothing is printed and no file is written.

    Args:
        seed: fixes the data, the initial weights and the order of the rows.
        quick: fewer activations and epochs.
        progress: called often with what is being done, how much of it is done, and how much there is.

    Raises:
        InputError: the seed is not a whole number from 0 to 2³² − 1, or another argument cannot be used.
        KeyboardInterrupt: somebody pressed Ctrl-C.
    """
    return join_parts(tuple(demo_parts(seed, quick=quick, progress=progress)), seed, quick=quick)


def join_parts(parts: tuple[Part, ...], seed: int, *, quick: bool) -> DemoResult:
    """The parts that `demo_parts` gave, all five of them, as one result."""
    match parts:
        case (
            ArticlePart() as article,
            CollapsePart() as collapse,
            RefutationPart() as refutation,
            ClassesPart() as moons,
            ClassesPart() as digits,
        ):
            return DemoResult(seed, quick, whyactivate.__version__, article, collapse, refutation, moons, digits)
        case _:
            raise ValueError(f"five parts were expected, in order; {[type(part).__name__ for part in parts]} came")


def demo_parts(seed: int = 0, *, quick: bool = False, progress: Progress | None = None) -> Iterator[Part]:
    """The parts of the demo one by one, each as soon as it is there; see `run_demo`."""
    plan = QUICK if check_truth("quick", quick) else FULL
    if progress is not None and not callable(progress):
        raise InputError(f"progress must be a function of (text, done, total), but {type(progress).__name__} came")
    meter = Meter(plan.epochs, progress)
    article = _run_article(plan, seed, meter)
    yield article
    meter.say("collapsing and proving")
    yield _run_collapse(article)
    meter.say("looking for a counterexample")
    yield _run_refutation(article.contest.network("relu"))
    yield _run_classes(load_dataset("moons", seed), MOONS_LAYERS, plan.moons, plan, seed, meter)
    yield _run_classes(load_dataset("digits", seed), DIGITS_LAYERS, plan.digits, plan, seed, meter)


def _run_article(plan: Plan, seed: int, meter: Meter) -> ArticlePart:
    data, config = load_dataset("article", seed), replace(plan.article, seed=seed)
    contest = run_contest(data, ARTICLE_LAYERS, lambda name: SimpleModel(name, seed), plan.activations, config, meter)
    zero, zero_test = (float(y.double().square().mean()) for y in (data.train_y, data.test_y))
    return ArticlePart(contest, zero, zero_test)


def _run_collapse(article: ArticlePart) -> CollapsePart:
    collapse = collapse_linear(article.contest.none.model)
    proofs = [collapse.prove(kind) for kind in ("theorem", "symbolic", "exact")]
    data = article.contest.data
    radius = math.ceil(max(float(data.train_x.abs().max()), float(data.test_x.abs().max())))
    proofs.append(collapse.prove("numeric", x=data.test_x[:100], radius=float(radius)))
    return CollapsePart(collapse, tuple(proofs), article.contest.floor)


def _run_refutation(network: TrainedNetwork) -> RefutationPart:
    example = torch.zeros(2, ARTICLE_LAYERS[0])
    analysis = analyze(network.model, example)
    found = analysis.counterexample
    line = None if found is None else _walk(network.model, found)
    return RefutationPart(network.activation, network.title, analysis, line)


def _walk(model: torch.nn.Module, found: Counterexample) -> Line:
    """The model's output on the line through the counterexample's inputs, a little beyond both ends."""
    a, b = found.a[0].reshape(1, -1), found.b[0].reshape(1, -1)
    mix = float(found.weights[1])
    low, high = min(0.0, mix), max(1.0, mix)
    margin = 0.25 * (high - low)
    position = torch.linspace(low - margin, high + margin, 401, dtype=torch.float64)
    t = torch.cat([position, torch.tensor([0.0, 1.0, mix], dtype=torch.float64)]).reshape(-1, 1)
    with torch.no_grad():
        output = model((a + t * (b - a)).float())[:, 0].double().tolist()
    return Line(tuple(position.tolist()), tuple(output[:-3]), mix, (output[-3], output[-2], output[-1]))


def _run_classes(
    data: Dataset, layers: tuple[int, ...], config: TrainConfig, plan: Plan, seed: int, meter: Meter
) -> ClassesPart:
    contest = run_contest(
        data,
        layers,
        lambda name: MLP(layers, activation=name, seed=seed),
        plan.activations,
        replace(config, seed=seed),
        meter,
    )
    meter.say(f"collapsing the {data.name} network")
    collapse = collapse_linear(contest.none.model)
    differ, gap = _compare_classes(contest.none.model, collapse, data)
    in_plane = data.features == 2
    maps = tuple(_map_plane(contest.network(name), data) for name in ("identity", "relu")) if in_plane else ()
    return ClassesPart(contest, collapse, (collapse.prove("exact"),), differ, gap, maps)


def _compare_classes(
    model: torch.nn.Module, collapse: Collapse, data: Dataset
) -> tuple[tuple[Disagreement, ...], float]:
    """Test rows on which the layer names another class, and the largest difference of a score."""
    with torch.no_grad():
        network, layer = model(data.test_x), collapse.layer(data.test_x)
    first, second = network.argmax(dim=1), layer.argmax(dim=1)
    found = tuple(
        Disagreement(
            row, int(first[row]), int(second[row]), float(network[row, first[row]] - network[row, second[row]])
        )
        for row in torch.nonzero(first != second).flatten().tolist()
    )
    return found, float((network.double() - layer.double()).abs().max())


def _map_plane(network: TrainedNetwork, data: Dataset, points: int = 161) -> DecisionMap:
    """The network's scores on a grid that holds all samples."""
    both = torch.cat([data.train_x, data.test_x])
    low, high = both.min(dim=0).values - 0.35, both.max(dim=0).values + 0.35
    x = torch.linspace(float(low[0]), float(high[0]), points)
    y = torch.linspace(float(low[1]), float(high[1]), points)
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    with torch.no_grad():
        scores = network.model(torch.stack([columns.flatten(), rows.flatten()], dim=1))
    score = (scores[:, 1] - scores[:, 0]).reshape(points, points)
    title = "No activation" if network.activation == "identity" else network.title
    return DecisionMap(
        title,
        x.numpy().astype(np.float64),
        y.numpy().astype(np.float64),
        score.numpy().astype(np.float64),
        network.history.test_accuracy[-1],
    )
