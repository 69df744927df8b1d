"""Experiments on what activations do to numbers."""

from __future__ import annotations

import math
from time import perf_counter

import torch
from torch import nn
from torch.nn import functional as F

from whyactivate.activations import ACTIVATIONS, get_activation
from whyactivate.claims.claim import Curve, Finding, Point, Sketch
from whyactivate.claims.shared import deep_gradients, ends
from whyactivate.datasets import load_dataset
from whyactivate.lessons import centring, dead_units, dead_units_of, gradients_of
from whyactivate.lessons.lesson import digits
from whyactivate.models import MLP, SimpleModel
from whyactivate.training import TrainConfig, train

ARTICLE_NAMES = ("relu", "sigmoid", "tanh", "leaky_relu")
FOUR = (0.99993320, 0.99999992, 0.00000003, 0.00000247)
"""The numbers that the article shows."""


def decides_what_matters() -> Finding:
    """4: an activation is one fixed function; what differs between units and changes in training is W and b."""
    z = torch.linspace(-3, 3, 13)
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0))
    fixed = {
        name: torch.equal(get_activation(name)(z[order]), get_activation(name)(z)[order]) for name in ARTICLE_NAMES
    }
    parameters = sum(p.numel() for name in ARTICLE_NAMES for p in get_activation(name).module().parameters())
    model = SimpleModel("relu")
    before, weight = model.activation(z), model.fc1.weight.detach().clone()
    train(model, load_dataset("article"), TrainConfig(epochs=3, shuffle=False))
    after = model.activation(z)
    moved = float((model.fc1.weight.detach() - weight).abs().max())
    return Finding(
        f"The article's four activations have {parameters} trainable numbers and treat each entry alike. After three "
        f"epochs ReLU is "
        f"{'the same function' if torch.equal(before, after) else 'another function'}; the first layer's weights moved "
        f"by up to {digits(moved)}.",
        (
            Point("the activations hold nothing that training could change", parameters == 0),
            Point("each entry is treated by itself and alike", all(fixed.values())),
            Point("training leaves the activation as it is", torch.equal(before, after)),
            Point("and moves the weights", moved > 0),
        ),
        {"parameters": parameters, "largest_change_of_a_weight": moved},
        Sketch(
            "The same four functions before and after training",
            "pre-activation z",
            "φ(z)",
            tuple(Curve(name, tuple(z.tolist()), tuple(get_activation(name)(z).tolist())) for name in ARTICLE_NAMES),
        ),
    )


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
    return Finding(
        lesson.explain(),
        (
            Point(
                "with default initial weights no activation vanishes less than none", none.ratio > max(others.values())
            ),
            Point("σ′ ≤ 1/4: 1/4 − σ′ is the square (σ − 1/2)², symbolically", quarter),
            Point("the gradient is the product of Wᵀ·diag(φ′), to rounding", lesson.disagreement < 1e-9),
            Point("He weights and ReLU keep it above a tenth", he > 0.1),
            Point("Xavier weights and sigmoid let it vanish all the same", xavier < 1e-6),
        ),
        {"none": none.ratio, **others, "he+relu": he, "xavier+sigmoid": xavier},
        lesson,
        "Ratios depend on the loss and on the width of the output; only their order and size are claimed.",
    )


def vanishing_is_small() -> Finding:
    """6: in a deep sigmoid network the first layer's gradient is too small to move its float32 weights."""
    model = MLP([32] * 21, "sigmoid", dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 32, generator=generator), torch.randn(64, 32, generator=generator)
    lesson = gradients_of(model, x, y)
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
            Point("a step leaves the first layer's weights as they are, bit by bit", still),
            Point("and moves nearly all of the last layer's", moved > 0.9),
        ),
        {"ratio": lesson.ratio, "moved_in_last_layer": moved},
        lesson,
    )


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
            Point("there are negative weights, and they stay as they are, bit by bit", negative > 0 and kept),
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
    correct = 25 * math.log(2)  # 1 − σ(z) ≈ e⁻ᶻ is then half of the gap below 1 in float32
    return Finding(
        f"Over the reals 0 < σ(z) < 1, with limits 0 and 1. In PyTorch it is exactly 1 from z = {single} in float32 "
        f"and from {double} in "
        f"float64; rounded correctly it would be so in float32 from about {correct:.2f}.",
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


def small_is_zero() -> Finding:
    """12: a loss that takes logarithms sees the difference between a tiny number and 0."""
    sigmoid = get_activation("sigmoid")
    z = torch.tensor([-55.0], dtype=torch.float64)
    value = float(sigmoid(z))
    log = float(F.logsigmoid(z))
    by_formula = math.log(value) if value > 0 else -math.inf
    by_zero = float(torch.log(torch.zeros(1)))
    return Finding(
        f"σ(−55) is {digits(value)}; its logarithm is {log:.4g} (through σ itself {by_formula:.4g}), while that of 0 "
        f"is {by_zero}.",
        (
            Point("the log-loss of σ(−55) is 55", abs(log + 55) < 1e-9 and abs(by_formula + 55) < 1e-9),
            Point("that of 0 is infinite", by_zero == -math.inf),
        ),
        {"value": value, "log": log},
        Sketch(
            "The log-loss of a wrong answer grows with z without end",
            "pre-activation z",
            "−log σ(z)",
            (
                Curve(
                    "−log σ(z)",
                    tuple(torch.linspace(-55, 5, 61).tolist()),
                    tuple((-F.logsigmoid(torch.linspace(-55, 5, 61, dtype=torch.float64))).tolist()),
                ),
            ),
        ),
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
        ends(),
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
        lesson,
    )


def relu_solved_it() -> Finding:
    """15: ReLU keeps z > 0 exactly and throws away all else; what it costs is measured and not judged."""
    z = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    relu = get_activation("relu")(z)
    kept = torch.equal(relu[z > 0], z[z > 0])
    lost = float((relu == 0).double().mean())
    different = len(relu[z < 0].unique())
    times = {name: _time(name, z) for name in ARTICLE_NAMES}
    told = ", ".join(f"{name} {1e6 * seconds:.0f} µs" for name, seconds in times.items())
    return Finding(
        f"Of 100,000 draws from N(0, 1) ReLU kept {'every' if kept else 'NOT every'} positive one bit by bit and made "
        f"{100 * lost:.1f} % zero: "
        f"all negative ones become {different} value. On this machine, now: {told} per call (measured, not judged: it "
        f"varies).",
        (
            Point("every z > 0 is kept exactly", kept),
            Point("half of N(0, 1) is thrown away", 0.48 < lost < 0.52),
            Point("no two negative z can be told apart behind it", different == 1),
        ),
        {"zeroed": lost, "seconds": times},
        Sketch(
            "What a call costs on this machine now",
            "microseconds for 100,000 numbers",
            bars={name: 1e6 * seconds for name, seconds in times.items()},
        ),
    )


def _time(name: str, z: torch.Tensor) -> float:
    """The fastest of some calls, in seconds."""
    function, best = get_activation(name), math.inf
    for _ in range(15):
        begun = perf_counter()
        function(z)
        best = min(best, perf_counter() - begun)
    return best


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
        f"this tanh and this sigmoid, gives the same numbers to {digits(gap)}.",
        (
            Point("tanh z = 2σ(2z) − 1, symbolically", bool(equal)),
            Point("its limits are −1 and 1", bool(limits)),
            Point("an LSTM cell is made of them", gap < 1e-6),
        ),
        {"lstm_gap": gap},
        ends(),
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
            Point("and not over N(1, 1): between 0.5 and 0.6", 0.5 < at_1 < 0.6),
            Point("it still saturates: beyond |z| = 5 the slope is below 0.001", beyond < 1e-3),
        ),
        {"N(0,1)": at_0, "N(1,1)": at_1},
        lesson,
    )


def leaky_slope() -> Finding:
    """18: what is small is the slope, not the value."""
    leaky = get_activation("leaky_relu")
    z = torch.tensor([-1.0, -2.0, -1000.0], dtype=torch.float64)
    values = leaky(z).tolist()
    assert leaky.derivative is not None
    slopes = leaky.derivative(z).tolist()
    return Finding(
        f"At −1, −2 and −1000 Leaky ReLU gives {', '.join(f'{v:g}' for v in values)}: the slope is {slopes[0]:g} "
        f"everywhere, the value as "
        "large as one likes.",
        (
            Point("for z < 0 the slope is 0.01 everywhere", all(abs(s - 0.01) < 1e-12 for s in slopes)),
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
            Point("with Leaky ReLU it is not", leaky > 0),
            Point(
                "z ≤ 0 on a part of the data only: the unit learns all the same", bool(partly) and learning == partly
            ),
        ),
        {"relu": relu, "leaky_relu": leaky, "partly_negative": len(partly), "learning": len(learning)},
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
        f"{', '.join(f'{v:.3g}' for v in outputs)}; behind a sigmoid it stays at or below {max(squashed):g}. The four "
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
        ),
    )
