"""Experiments on gradients that vanish on their way to the first layers."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch.nn import functional as F

from whyactivate.activations import ACTIVATIONS
from whyactivate.claims.claim import Finding, Point
from whyactivate.claims.shared import ARTICLE_NAMES, deep_gradients
from whyactivate.lessons import gradients_of
from whyactivate.lessons.lesson import digits
from whyactivate.models import INITS, MLP


def prevents_vanishing() -> Finding:
    """5: gradients through twenty layers, over activations and initial weights."""
    import sympy as sp

    lesson = deep_gradients()
    none = lesson.run("identity")
    others = {name: lesson.run(name).ratio for name in ARTICLE_NAMES}
    z = sp.Symbol("z", real=True)
    s = ACTIVATIONS["sigmoid"].formula
    assert s is not None
    quarter = sp.simplify(sp.Rational(1, 4) - sp.diff(s(z), z) - (s(z) - sp.Rational(1, 2)) ** 2) == 0
    he, xavier = lesson.run("relu", "he").ratio, lesson.run("sigmoid", "xavier").ratio
    weakest = min(lesson.runs, key=lambda run: run.ratio)
    best = min(lesson.runs, key=lambda run: abs(math.log(run.ratio)))
    bare = {init: lesson.run("identity", init).ratio for init in INITS}
    beside = {init: [run.ratio for run in lesson.runs if run.init == init][1:] for init in INITS}
    return Finding(
        lesson.explain(),
        (
            Point(
                "with default initial weights the gradient vanishes least without an activation",
                none.ratio > max(others.values()),
            ),
            Point("σ′ ≤ 1/4: 1/4 − σ′ is the square (σ − 1/2)², symbolically", quarter),
            Point("the gradient is the product of Wᵀ·diag(φ′), to rounding", lesson.disagreement < 1e-9),
            Point("He weights and ReLU keep it above a tenth", he > 0.1),
            Point("Xavier weights and sigmoid let it vanish all the same", xavier < 1e-6),
        ),
        {
            "none": none.ratio,
            **others,
            "he+relu": he,
            "xavier+sigmoid": xavier,
            "depth": none.depth,
            "best": {"name": best.label, "ratio": best.ratio},
            "none_by_init": bare,
            "weaker_than_none": {init: sum(r < bare[init] for r in ratios) for init, ratios in beside.items()},
            "beside_none": len(beside["default"]),
            "weakest": {
                "name": weakest.label,
                "ratio": weakest.ratio,
                "slope": weakest.slope,
                "stretch": weakest.stretch,
                "per_layer": weakest.slope * weakest.stretch,
            },
            "disagreement": lesson.disagreement,
        },
        lesson,
        "Ratios depend on the loss and on the width of the output; only their order and size are claimed.",
    )


def vanishing_is_small() -> Finding:
    """6: in a deep sigmoid network the first layer's gradient is too small to move its float32 weights."""
    model = MLP([32] * 21, "sigmoid", dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 32, generator=generator), torch.randn(64, 32, generator=generator)
    lesson = replace(gradients_of(model, x, y), module="a perceptron from seed 0")
    first, last = (layer.weight.detach().clone() for layer in (model.layers[0], model.layers[-1]))
    with torch.inference_mode(False), torch.enable_grad():
        F.mse_loss(model(x), y).backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
    still = torch.equal(first, model.layers[0].weight.detach())
    moved = float((model.layers[-1].weight.detach() != last).double().mean())
    return Finding(
        f"Through 20 sigmoid layers the gradient of the first weight is {digits(lesson.ratio)} times that of the last. "
        f"A step of SGD with "
        f"rate 0.1 changed {'none' if still else 'some'} of the first layer's float32 weights, and {100 * moved:.0f} % "
        f"of the last layer's.",
        (
            Point("the gradient of the first layer is below a millionth of the last one's", lesson.ratio < 1e-6),
            Point("a step leaves the first layer's weights as they are, bit for bit", still),
            Point("the same step moves nearly all of the last layer's", moved > 0.9),
        ),
        {"ratio": lesson.ratio, "moved_in_last_layer": moved},
        lesson,
    )
