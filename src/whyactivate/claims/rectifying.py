"""Experiments on ReLU and Leaky ReLU: what they keep, what they throw away, and who learns behind them."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from whyactivate.activations import get_activation
from whyactivate.claims.claim import Curve, Finding, Point, Sketch
from whyactivate.claims.shared import ARTICLE_NAMES, race
from whyactivate.datasets import load_dataset
from whyactivate.lessons import dead_units, dead_units_of
from whyactivate.lessons.lesson import digits, listing, title_of
from whyactivate.models import MLP, SimpleModel


def negative_weights() -> Finding:
    """10: ReLU leaves weights alone, and a negative weight times a negative input passes."""
    model = SimpleModel("relu")
    before = [p.detach().clone() for p in model.parameters()]
    negative = sum(int((p < 0).sum()) for p in before)
    with torch.no_grad():
        model(torch.randn(100, 10, generator=torch.Generator().manual_seed(0)))
        kept = all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        unit = nn.Linear(1, 1, bias=False)
        unit.weight.fill_(-2.0)
        passed = float(get_activation("relu")(unit(torch.tensor([[-3.0]]))))
        stopped = float(get_activation("relu")(unit(torch.tensor([[3.0]]))))
    return Finding(
        f"{negative} of the network's 621 parameters are negative; after a run on 100 inputs all are "
        f"{'as they were' if kept else 'changed'}. With the weight −2 "
        f"relu(−2·−3) is {passed:g} and relu(−2·3) is {stopped:g}.",
        (
            Point("there are negative weights, and they stay as they are, bit for bit", negative > 0 and kept),
            Point("a negative weight lets a negative input through", passed == 6.0),
            Point("what becomes 0 is the negative pre-activation", stopped == 0.0),
        ),
        {"negative": negative, "relu(6)": passed, "relu(-6)": stopped},
        Sketch(
            "One unit with the weight −2",
            "input x",
            "relu(−2x)",
            (
                Curve(
                    "relu(−2x)",
                    tuple(torch.linspace(-3, 3, 61).tolist()),
                    tuple(get_activation("relu")(-2 * torch.linspace(-3, 3, 61)).tolist()),
                ),
            ),
        ),
    )


def relu_solved_it() -> Finding:
    """15: ReLU keeps z > 0 exactly and throws away all else; what it costs is measured and not judged."""
    z = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    relu = get_activation("relu")(z)
    kept = torch.equal(relu[z > 0], z[z > 0])
    lost = float((relu == 0).double().mean())
    different = len(relu[z < 0].unique())
    above, below = _on_both_sides("relu")
    alone, layer = _times_of_relu()
    told = listing([f"{title_of(name)} {times:.1f} times" for name, times in alone.items() if name != "relu"])
    inside = listing([f"{times:.1f}" for name, times in layer.items() if name != "relu"])
    return Finding(
        f"Of 100,000 draws from N(0, 1) ReLU kept {'every' if kept else 'NOT every'} positive one bit for bit and made "
        f"{100 * lost:.1f} % zero: all negative ones become {different} value. On this machine, now, {told} as long as "
        f"ReLU by itself, and a layer of 512 units with it {inside} times as long as with ReLU (measured, "
        "not judged: it varies).",
        (
            Point("every z > 0 is kept exactly", kept and above == 1),
            Point("half of N(0, 1) is thrown away", 0.48 < lost < 0.52),
            Point("no two negative z can be told apart behind it", different == 1 and below == 0),
        ),
        {"zeroed": lost, "times_of_relu": alone, "times_of_relu_in_a_layer": layer},
        Sketch(
            "What it costs, by itself and with a layer",
            "time, with ReLU = 1",
            bars={title_of(name): times for name, times in alone.items()}
            | {f"layer and {title_of(name)}": times for name, times in layer.items()},
            small="256 rows of 512 float32 numbers, one thread, best of 12 turns on this machine",
        ),
    )


def _on_both_sides(name: str) -> tuple[float, float]:
    """The slopes of an activation's formula for z > 0 and for z < 0, symbolically; NaN where it is not straight."""
    import sympy as sp

    formula = get_activation(name).formula
    assert formula is not None
    sides = sp.Symbol("p", positive=True), sp.Symbol("n", negative=True)
    ratios = [sp.simplify(formula(z) / z) for z in sides]
    above, below = (float(ratio) if ratio.is_number else math.nan for ratio in ratios)
    return above, below


def _times_of_relu() -> tuple[dict[str, float], dict[str, float]]:
    """How long each activation takes, by itself and behind a layer of 512 units; with ReLU it is 1."""
    generator = torch.Generator().manual_seed(0)
    weight, x = torch.randn(512, 512, generator=generator) / 23, torch.randn(256, 512, generator=generator)
    alone = race({name: partial(get_activation(name), x) for name in ARTICLE_NAMES})
    layer = race({name: partial(_layer, name, weight, x) for name in ARTICLE_NAMES})
    first, second = ({name: t / times["relu"] for name, t in times.items()} for times in (alone, layer))
    return first, second


def _layer(name: str, weight: Tensor, x: Tensor) -> Tensor:
    return get_activation(name)(x @ weight)


def leaky_slope() -> Finding:
    """18: what is small is the slope, not the value."""
    leaky = get_activation("leaky_relu")
    z = torch.tensor([-1.0, -2.0, -1000.0], dtype=torch.float64)
    values = leaky(z).tolist()
    assert leaky.derivative is not None
    slopes = leaky.derivative(z).tolist()
    _, below = _on_both_sides("leaky_relu")
    return Finding(
        f"At −1, −2 and −1000 Leaky ReLU gives {', '.join(f'{v:g}' for v in values)}: the slope is {slopes[0]:g} "
        f"everywhere, the value as "
        "large as one likes.",
        (
            Point("for z < 0 the slope is 0.01 everywhere", all(abs(s - 0.01) < 1e-12 for s in (*slopes, below))),
            Point(
                "the value is 0.01·z, not one small number",
                all(abs(v - 0.01 * x) < 1e-12 for v, x in zip(values, z.tolist(), strict=True)),
            ),
        ),
        {"values": values, "slopes": slopes},
        Sketch(
            "Leaky ReLU",
            "pre-activation z",
            "φ(z)",
            (Curve("Leaky ReLU", (-10.0, 0.0, 2.0), tuple(leaky(torch.tensor([-10.0, 0.0, 2.0])).tolist())),),
        ),
    )


def negative_do_not_learn() -> Finding:
    """19: dead means z ≤ 0 on all data; z ≤ 0 on some only silences those."""
    lesson = dead_units(learning_rates=(0.1,), epochs=10)
    relu, leaky = lesson.gradients["relu"], lesson.gradients["leaky_relu"]
    data = load_dataset("moons")
    model = MLP([2, 8, 1], "relu")
    units = dead_units_of(model, data.train_x).calls[0]
    with torch.inference_mode(False), torch.enable_grad():
        model(data.train_x).square().mean().backward()
    gradient = model.layers[0].weight.grad
    assert gradient is not None
    partly = [i for i, share in enumerate(units.negative) if 0.2 < share < 0.95]
    learning = [i for i in partly if float(gradient[i].norm()) > 0]
    return Finding(
        f"A unit with the bias {lesson.bias:g} gets a gradient of {digits(relu)} with ReLU and {digits(leaky)} with "
        f"Leaky ReLU. Of {len(partly)} ReLU units that "
        f"are negative on a part of the data {len(learning)} get a gradient: they learn from the other part.",
        (
            Point("z ≤ 0 on all data: the gradient with ReLU is exactly 0", relu == 0.0),
            Point("z ≤ 0 on all data: the gradient with Leaky ReLU is not 0", leaky > 0),
            Point(
                "z ≤ 0 on a part of the data only: the unit learns all the same", bool(partly) and learning == partly
            ),
        ),
        {"relu": relu, "leaky_relu": leaky, "partly_negative": len(partly), "learning": len(learning)},
        lesson,
    )
