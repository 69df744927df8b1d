"""Where the nonlinearity lives: which operations of a CNN, an LSTM and a transformer block are not affine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whyactivate._checks import check_seed
from whyactivate.affine import Verdict, analyze
from whyactivate.affine.analysis import Analysis
from whyactivate.affine.evaluating.replay import Replay
from whyactivate.affine.rules.rule import CannotEvaluate
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.lessons.lesson import Lesson, listing

_PLACES = 14
_WORDS = {
    "mul": "products",
    "bmm": "products",
    "native_layer_norm": "LayerNorm",
    "max_pool2d_with_indices": "max pooling",
    "relu": "ReLU",
    "gelu": "GELU",
}
"""What operations are called in a sentence, where PyTorch's own name says little."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One network with some operations taken out, and what the analysis says of it.

    Attributes:
        network: what it is.
        without: what was taken out.
        verdict: affine, not affine, or undecided.
        breakers: the operations that keep it from being one affine map, by name, each once.
        degree: of its outputs as polynomials along a line of inputs, where they are such: found in exact
            arithmetic, from finite differences that are exactly 0; None otherwise.
        gap: of the verified counterexample; None where there is none.
    """

    network: str
    without: tuple[str, ...]
    verdict: Verdict
    breakers: tuple[str, ...]
    degree: int | None
    gap: float | None

    @property
    def name(self) -> str:
        """As in "transformer block without GELU"."""
        return f"{self.network} without {listing(list(self.without))}" if self.without else self.network

    @property
    def breakers_in_words(self) -> list[str]:
        """As in "max pooling" and "products"."""
        return [_WORDS.get(name, name.replace("_", " ")) for name in self.breakers]

    @property
    def says(self) -> str:
        """The verdict in words."""
        return str(self.verdict).replace("_", " ")


@dataclass(frozen=True, repr=False)
class WhereNonlinearity(Lesson):
    """Three networks from which operations are taken out one after another, until what is left is affine.

    Attributes:
        variants: in order; each network starts whole.
        seed: of the weights.
    """

    title: ClassVar[str] = "Where the nonlinearity lives"

    variants: tuple[Variant, ...]
    seed: int

    def of(self, network: str) -> tuple[Variant, ...]:
        """The variants of one network, from the whole one on."""
        return tuple(variant for variant in self.variants if variant.network == network)

    def find(self, network: str, *without: str) -> Variant:
        """The variant of a network with exactly these operations taken out."""
        return next(v for v in self.of(network) if set(v.without) == set(without))

    @property
    def settings(self) -> str:
        """What fixes the numbers."""
        return f"small networks in evaluation mode, weights from seed {self.seed}"

    def explain(self) -> str:
        """What the numbers say."""
        parts: list[str] = []
        for network in dict.fromkeys(variant.network for variant in self.variants):
            told: list[str] = []
            for variant in self.of(network):
                what = f"without {listing(list(variant.without))}" if variant.without else "whole"
                why = f" because of {listing(variant.breakers_in_words)}" if variant.breakers else ""
                how = (
                    f", a polynomial of degree {variant.degree}"
                    if variant.degree is not None and variant.degree > 1
                    else ""
                )
                told.append(f"{what} it is {variant.says}{why}{how}")
            parts.append(f"{network[0].upper()}{network[1:]}: {'; '.join(told)}.")
        return " ".join(parts)


def where_nonlinearity(seed: int = 0) -> WhereNonlinearity:
    """Which operations keep a CNN, an LSTM and a transformer block from being affine, taken out one by one."""
    seed = check_seed(seed)
    image, word, pair = torch.zeros(2, 1, 6, 6), torch.zeros(2, 3, 4), torch.zeros(2, 2, 4)
    families: list[tuple[str, Callable[[tuple[str, ...]], nn.Module], tuple[tuple[str, ...], ...], Tensor]] = [
        ("CNN", Cnn, ((), ("ReLU",), ("ReLU", "max pooling")), image),
        ("LSTM", Lstm, ((), ("tanh",), ("tanh", "sigmoid"), ("tanh", "sigmoid", "gates")), pair),
        (
            "transformer block", Block,
            ((), ("GELU",), ("GELU", "LayerNorm"), ("GELU", "LayerNorm", "softmax"),
             ("GELU", "LayerNorm", "softmax", "scores")), word,
        ),
    ]  # fmt: skip
    found: list[Variant] = []
    for name, build, outs, example in families:
        for without in outs:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                module = build(without).eval()
            found.append(_look(name, without, module, example))
    return WhereNonlinearity(tuple(found), seed)


def _look(name: str, without: tuple[str, ...], module: nn.Module, example: Tensor) -> Variant:
    analysis = analyze(module, example)
    breakers = tuple(dict.fromkeys(_short(blame.op) for blame in analysis.blame if blame.op))
    gap = None if analysis.counterexample is None else analysis.counterexample.gap
    return Variant(name, without, analysis.verdict, breakers, degree_along(analysis), gap)


def _short(op: str) -> str:
    return op.removeprefix("aten.").split(".")[0].strip("_")


def degree_along(analysis: Analysis, places: int = _PLACES) -> int | None:
    """The degree of the program's outputs along a line of inputs, where they are polynomials of a degree that shows.

    The recorded program is evaluated exactly at evenly spaced places; where some finite differences vanish at all of
    them without rounding, the outputs agree there with polynomials of that degree. None where the program is not made
    of sums and products, or where no difference vanishes.
    """
    tape = analysis.tape
    if tape is None or tape.refusal or len(tape.inputs) != 1:
        return None
    shape = tape.inputs[0].geometry.size
    generator = torch.Generator().manual_seed(0)
    start, step = (torch.randint(-8, 9, shape, generator=generator).double() / 8 for _ in range(2))
    points = torch.stack([start + k * step for k in range(places)])
    try:
        outputs = Replay(tape).outputs([ExactArray.from_points(points)])[0]
    except CannotEvaluate:
        return None
    if not isinstance(outputs, ExactArray):
        return None
    columns = outputs.flatten().to_fractions()
    degree = 0
    differences = columns[1:] - columns[:-1]
    while len(differences) > 2 and any(cast("Fraction", value) != 0 for value in differences.ravel()):
        differences = differences[1:] - differences[:-1]
        degree += 1
    return degree if len(differences) > 2 else None


class Cnn(nn.Module):
    """Convolution, batch norm, ReLU, max pooling, convolution, ReLU, mean, linear."""

    def __init__(self, without: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.pool = nn.AvgPool2d(2) if "max pooling" in without else nn.MaxPool2d(2)
        self.second = nn.Conv2d(3, 4, 3, padding=1)
        self.activation = nn.Identity() if "ReLU" in without else nn.ReLU()
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, 1, height, width) to (rows, 2)."""
        x = self.pool(self.activation(self.norm(self.first(x))))
        x = self.activation(self.second(x)).mean(dim=(2, 3))
        return self.last(x)


class Lstm(nn.Module):
    """An LSTM written out (Hochreiter & Schmidhuber 1997), since PyTorch's own runs as one fused operation."""

    def __init__(self, without: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.gates = nn.Linear(4 + 3, 4 * 3)
        self.squash = nn.Identity() if "tanh" in without else nn.Tanh()
        self.open = nn.Identity() if "sigmoid" in without else nn.Sigmoid()
        self.gated = "gates" not in without

    def forward(self, x: Tensor) -> Tensor:
        """(rows, steps, 4) to (rows, 3): the state after the last step."""
        hidden = cell = x.new_zeros(len(x), 3)
        for word in x.unbind(dim=1):
            forget, keep, show, new = self.gates(torch.cat([word, hidden], dim=1)).chunk(4, dim=1)
            cell = self._gate(self.open(forget), cell) + self._gate(self.open(keep), self.squash(new))
            hidden = self._gate(self.open(show), self.squash(cell))
        return hidden

    def _gate(self, gate: Tensor, value: Tensor) -> Tensor:
        return gate * value if self.gated else value


class Block(nn.Module):
    """A pre-norm transformer block: attention with one head, then two layers with GELU between, each beside a skip."""

    def __init__(self, without: tuple[str, ...] = ()) -> None:
        super().__init__()
        bare = "LayerNorm" in without
        self.before, self.between = (nn.Identity() if bare else nn.LayerNorm(4) for _ in range(2))
        self.query, self.key, self.value = (nn.Linear(4, 4) for _ in range(3))
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)
        self.activation = nn.Identity() if "GELU" in without else nn.GELU()
        self.softmax, self.scores = "softmax" not in without, "scores" not in without

    def forward(self, x: Tensor) -> Tensor:
        """(rows, words, 4) to the same."""
        h = self.before(x)
        if self.scores:
            scores = self.query(h) @ self.key(h).transpose(1, 2) / 2
            mixed = (F.softmax(scores, dim=-1) if self.softmax else scores) @ self.value(h)
        else:
            mixed = self.value(h).mean(dim=1, keepdim=True).expand_as(h)
        x = x + mixed
        return x + self.down(self.activation(self.up(self.between(x))))
