"""Experiments on sigmoid and tanh: where they end, and what can be got back from behind them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from whyactivate.activations import ACTIVATIONS, get_activation
from whyactivate.claims.claim import Curve, Finding, Point, Sketch
from whyactivate.claims.shared import ends
from whyactivate.lessons import centring
from whyactivate.lessons.lesson import digits
from whyactivate.models import SimpleModel

FOUR = (0.99993320, 0.99999992, 0.00000003, 0.00000247)
"""The numbers that the article shows."""


def sigmoid_range() -> Finding:
    """11: (0, 1) over the reals, and 1 exactly in floats from some z on."""
    import sympy as sp

    lesson = ends()
    z = sp.Symbol("z", real=True)
    formula = ACTIVATIONS["sigmoid"].formula
    assert formula is not None
    inside = bool(formula(z).is_positive) and bool(sp.simplify(1 - formula(z) - formula(-z)) == 0)
    limits = (sp.limit(formula(z), z, -sp.oo), sp.limit(formula(z), z, sp.oo)) == (0, 1)
    single, double = (lesson.end("sigmoid", dtype).high_from for dtype in (torch.float32, torch.float64))
    starts = ["nowhere" if one is None else f"{one:.2f}" for one in (single, double)]
    correct = 25 * math.log(2)  # 1 − σ(z) ≈ e⁻ᶻ is then half of the gap below 1 in float32
    return Finding(
        f"Over the reals 0 < σ(z) < 1, with limits 0 and 1. In PyTorch it is exactly 1 from z = {starts[0]} in float32 "
        f"and from {starts[1]} in float64; rounded correctly it would be so in float32 from about {correct:.2f}.",
        (
            Point("σ > 0 and 1 − σ(z) = σ(−z) > 0: strictly inside, symbolically", inside),
            Point("the limits are 0 and 1, symbolically", limits),
            Point(
                "in float32 it is exactly 1 from somewhere between 16 and 17.33",
                single is not None and 16 < single <= correct + 0.01,
            ),
            Point(
                "in float64 it is exactly 1 from somewhere between 36 and 38", double is not None and 36 < double < 38
            ),
        ),
        {"float32": single, "float64": double, "correctly_rounded_float32": correct},
        lesson,
    )


def four_numbers() -> Finding:
    """13: which z the article's four numbers are the sigmoids of, given to eight digits."""
    half = 0.5e-8
    spans = [tuple(float(torch.logit(torch.tensor(p + d, dtype=torch.float64))) for d in (-half, half)) for p in FOUR]
    sigmoid = get_activation("sigmoid")
    values = {z: float(sigmoid(torch.tensor([z], dtype=torch.float64))) for z in (7.0, 13.0, 55.0)}
    single = {z: float(sigmoid(torch.tensor([z], dtype=torch.float32))) for z in (7.0, 13.0, 55.0)}
    held = [not any(low <= z <= high for z in (7.0, 13.0, 55.0)) for low, high in spans]
    told = ", ".join(f"{p:.8f} is σ of {low:.4f} to {high:.4f}" for p, (low, high) in zip(FOUR, spans, strict=True))
    told = told.replace("-", "−")
    return Finding(
        f"{told}. σ(7) = {values[7.0]:.8f}, σ(13) = {values[13.0]:.8f}, σ(55) in float32 = {single[55.0]:g}.",
        (
            Point("none of the four can come from 7, 13 or 55", all(held)),
            Point("0.99993320 belongs to a z near 9.614", spans[0][0] < 9.6137 < spans[0][1]),
            Point("0.99999992 belongs to a z near 16.34", spans[1][0] < 16.341 < spans[1][1]),
            Point(
                "σ(7) is 0.99908895 and σ(13) is 0.99999774",
                (f"{values[7.0]:.8f}", f"{values[13.0]:.8f}") == ("0.99908895", "0.99999774"),
            ),
            Point(
                "σ(7), σ(13) and σ(55) print as three different numbers",
                len({f"{v:.8f}" for v in values.values()}) == 3,
            ),
        ),
        {"spans": [list(span) for span in spans], "sigmoid": {str(z): v for z, v in values.items()}},
        Sketch(
            "Which pre-activation gives which number",
            "pre-activation z (7, 13 and 55 are what the article names)",
            bars={
                **{f"σ(z) = {p:.8f}": (low + high) / 2 for p, (low, high) in zip(FOUR, spans, strict=True)},
                **{f"σ({z:g}) = {v:.8f}": z for z, v in values.items()},
            },
            small="float64; each printed number is known to eight digits",
        ),
    )


def told_apart() -> Finding:
    """14: injective over the reals, and losing information in floats."""
    import sympy as sp

    z = sp.Symbol("z", real=True)
    formula = ACTIVATIONS["sigmoid"].formula
    assert formula is not None
    back = sp.simplify(sp.log(formula(z) / (1 - formula(z))) - z) == 0
    lesson = ends()
    trips = {(trip.z, trip.dtype): trip.recovered for trip in lesson.trips}
    at_13, at_55 = trips[13.0, torch.float32], trips[55.0, torch.float32]
    return Finding(
        f"Over the reals log(σ/(1 − σ)) gives z back for every z, symbolically. In float32 logit(σ(13)) is {at_13:.4f} "
        f"and logit(σ(55)) "
        f"is {at_55}.",
        (
            Point("σ is injective: logit undoes it, symbolically", bool(back)),
            Point("in float32 13 comes back to two decimals, not exactly", at_13 != 13 and abs(at_13 - 13) < 0.01),
            Point("in float32 55 is lost", at_55 == math.inf),
        ),
        {"logit(sigmoid(13))": at_13, "logit(sigmoid(55))": at_55},
        _way_back(),
    )


def _way_back() -> Sketch:
    """By how much logit misses a z that went through sigmoid, for z up to where the value is 1."""
    sigmoid = get_activation("sigmoid")
    places = torch.linspace(0, 20, 401, dtype=torch.float64)
    missed = {
        dtype: torch.logit(sigmoid(places.to(dtype))).double() - places for dtype in (torch.float64, torch.float32)
    }
    return Sketch(
        "What is lost behind a sigmoid; it ends where σ(z) is 1",
        "pre-activation z",
        "logit(σ(z)) − z",
        tuple(
            Curve(str(dtype).removeprefix("torch."), tuple(places[there].tolist()), tuple(values[there].tolist()))
            for dtype, values in missed.items()
            for there in [values.isfinite()]
        ),
        small=f"PyTorch {torch.__version__.split('+')[0]} on the CPU",
    )


def tanh_is_sigmoid() -> Finding:
    """16: tanh z = 2σ(2z) − 1, symbolically; and an LSTM uses both."""
    import sympy as sp

    z = sp.Symbol("z", real=True)
    tanh, sigmoid = ACTIVATIONS["tanh"].formula, ACTIVATIONS["sigmoid"].formula
    assert tanh is not None
    assert sigmoid is not None
    equal = sp.simplify((tanh(z) - (2 * sigmoid(2 * z) - 1)).rewrite(sp.exp)) == 0
    limits = (sp.limit(tanh(z), z, -sp.oo), sp.limit(tanh(z), z, sp.oo)) == (-1, 1)
    gap = _lstm_gap()
    return Finding(
        f"tanh z − (2σ(2z) − 1) simplifies to {0 if equal else 'something else'}; its limits are −1 and 1. PyTorch's "
        f"LSTM cell, written out with "
        f"this tanh and this sigmoid, gives the same numbers: the largest difference is "
        f"{digits(gap)}.",
        (
            Point("tanh z = 2σ(2z) − 1, symbolically", bool(equal)),
            Point("its limits are −1 and 1", bool(limits)),
            Point("an LSTM cell is made of them", gap < 1e-6),
        ),
        {"lstm_gap": gap},
        _two_of_a_kind(),
    )


def _two_of_a_kind() -> Sketch:
    """The two activations, and the one stretched and moved onto the other."""
    z = torch.linspace(-4, 4, 81, dtype=torch.float64)
    sigmoid = get_activation("sigmoid")
    curves = {"2σ(2z) − 1": 2 * sigmoid(2 * z) - 1, "tanh": get_activation("tanh")(z), "sigmoid": sigmoid(z)}
    return Sketch(
        "A sigmoid, stretched and moved, is a tanh",
        "pre-activation z",
        "φ(z)",
        tuple(Curve(name, tuple(z.tolist()), tuple(values.tolist())) for name, values in curves.items()),
        small="float64",
    )


def _lstm_gap() -> float:
    """The largest difference between `nn.LSTMCell` and its definition, with the activations of the table."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        cell = nn.LSTMCell(4, 3).double()
        x, h, c = torch.randn(5, 4).double(), torch.randn(5, 3).double(), torch.randn(5, 3).double()
        expected, _ = cell(x, (h, c))
        numbers = F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(h, cell.weight_hh, cell.bias_hh)
        keep, forget, new, show = numbers.chunk(4, dim=1)
        sigmoid, tanh = get_activation("sigmoid"), get_activation("tanh")
        state = sigmoid(forget) * c + sigmoid(keep) * tanh(new)
        return float((sigmoid(show) * tanh(state) - expected).abs().max())


def tanh_is_centred() -> Finding:
    """17: average 0 for symmetric inputs only."""
    lesson = centring()
    at_0, at_1 = lesson.mean("tanh", 0.0), lesson.mean("tanh", 1.0)
    beyond = max(slope for z, slope in zip(ends().z, ends().slopes["tanh"], strict=True) if abs(z) >= 5)
    return Finding(
        f"{lesson.explain()} Beyond |z| = 5 the slope of tanh is at most {digits(beyond)}.",
        (
            Point("tanh averages 0 over N(0, 1)", abs(at_0) < 1e-6),
            Point("over N(1, 1) it is not: between 0.5 and 0.6", 0.5 < at_1 < 0.6),
            Point("it still saturates: beyond |z| = 5 the slope is below 0.001", beyond < 1e-3),
        ),
        {
            **{f"N({mean:g},1)": {name: lesson.mean(name, mean) for name in lesson.outputs} for mean in (0.0, 1.0)},
            "leading": {each.activation: each.leading for each in lesson.next_layers},
            "same_sign": {each.activation: each.same_sign for each in lesson.next_layers},
            "slope_beyond_5": beyond,
        },
        lesson,
    )


def outputs_of_linear() -> Finding:
    """34: an affine layer's outputs grow without end; the four numbers lie strictly between 0 and 1."""
    layer = SimpleModel().fc1
    x = torch.randn(1, 10, generator=torch.Generator().manual_seed(0))
    scales = (1.0, 10.0, 100.0, 1000.0)
    with torch.no_grad():
        outputs = [float(layer(x * scale).abs().max()) for scale in scales]
        squashed = [float(get_activation("sigmoid")(layer(x * scale).double()).max()) for scale in scales]
    inside = all(0 < p < 1 for p in FOUR)
    return Finding(
        f"Scaling one input by {', '.join(f'{s:g}' for s in scales)} takes the largest output of the first affine "
        f"layer to "
        f"{', '.join(f'{v:.4g}' for v in outputs)}; behind a sigmoid it stays at or below {max(squashed):g}. The four "
        f"numbers all lie between 0 and 1.",
        (
            Point("the affine layer's output grows without end", outputs[-1] > 100 * outputs[0]),
            Point("a sigmoid's does not pass 1", max(squashed) <= 1.0),
            Point("the four numbers lie strictly between 0 and 1", inside),
        ),
        {"outputs": outputs, "after_sigmoid": squashed},
        Sketch(
            "Largest output of the first layer as its input is scaled",
            "scale of the input",
            "largest |output|",
            (Curve("affine layer", scales, tuple(outputs)), Curve("behind a sigmoid", scales, tuple(squashed))),
            log=True,
            small="the article's network, seed 0",
        ),
    )
