"""Experiments on what a layer and a stack of layers are."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from whyactivate.affine import Verdict as Affinity
from whyactivate.affine import analyze
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.claims.claim import Curve, Finding, Point, Sketch
from whyactivate.collapse import collapse_linear
from whyactivate.datasets import load_dataset
from whyactivate.floor import linear_floor
from whyactivate.lessons import training_path, xor
from whyactivate.lessons.batched import Stack, train_stack
from whyactivate.lessons.lesson import digits
from whyactivate.lessons.training_path import exact_rank
from whyactivate.models import MLP, SimpleModel, parameter_count


def finding_weights() -> Finding:
    """1: what the 621 parameters of the article's network are."""
    model = SimpleModel()
    named = dict(model.named_parameters())
    weights = sum(p.numel() for name, p in named.items() if name.endswith("weight"))
    biases = sum(p.numel() for name, p in named.items() if name.endswith("bias"))
    with torch.no_grad():
        without = float(MLP([10, 18, 18, 4, 1], "relu", bias=False)(torch.zeros(1, 10)))
    return Finding(
        f"The article's network has {parameter_count(model)} parameters: {weights} weights and {biases} biases. "
        f"Without "
        f"its biases and with ReLU it gives {without:g} at the input 0 whatever its weights are.",
        (
            Point("there are 621 parameters", parameter_count(model) == 621),
            Point("41 of them are biases", biases == 41 and weights + biases == 621),
            Point("weights alone cannot move the output at 0", without == 0.0),
        ),
        {"parameters": parameter_count(model), "weights": weights, "biases": biases},
        Sketch(
            "What training finds in the article's network",
            "numbers",
            bars={f"{name} ({' × '.join(map(str, p.shape))})": float(p.numel()) for name, p in named.items()},
            small="10 → 18 → 18 → 4 → 1",
        ),
    )


def random_without() -> Finding:
    """7: an activation-free network is a function, the same one every time, and an affine one."""
    model = SimpleModel(None)
    x = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        same = all(torch.equal(model(x), model(x)) for _ in range(5))
    analysis = analyze(model, x)
    proof = collapse_linear(model).prove("exact")
    return Finding(
        f"Ten runs on the same 64 inputs gave {'the same bits' if same else 'different bits'}; the network is "
        f"{analysis.verdict}, equal to one affine layer without rounding ({proof.verdict}).",
        (
            Point("repeated runs give the same bits", same),
            Point("the network without activations is proved affine", analysis.verdict is Affinity.AFFINE),
            Point("it equals its one layer, exactly", proof.holds),
        ),
        {"proof": proof.to_dict()},
        _along_a_line(model),
    )


def _along_a_line(model: SimpleModel) -> Sketch:
    """The output along a straight line of inputs."""
    start, end = torch.randn(2, 10, generator=torch.Generator().manual_seed(1))
    places = torch.linspace(0, 1, 41)
    with torch.no_grad():
        output = model(start + places[:, None] * (end - start))[:, 0]
    return Sketch(
        "Without activations: straight along a line of inputs",
        "position on the line (0: one input, 1: another)",
        "output",
        (Curve("output", tuple(places.tolist()), tuple(output.tolist())),),
        small="the article's network, seed 0",
    )


def useless_without() -> Finding:
    """8: on an affine target the network without activations predicts as well as anything."""
    data = load_dataset("affine")
    floor = linear_floor(data)
    losses: dict[str, float] = {}
    for name in ("identity", "relu"):
        stack = Stack.start([10, 18, 18, 4, 1], name, [0])
        done = train_stack(
            stack, (data.train_x, data.train_y), (data.test_x, data.test_y), epochs=60, batch_size=25, rate=3e-3
        )
        losses[name] = float(done.test_loss[0])
    zero = float(data.test_y.square().mean())
    none = losses["identity"]
    return Finding(
        f"On an affine target with noise the network without activations has a test error of {digits(none)}; least "
        f"squares "
        f"{digits(floor.test_loss)}, the same network with ReLU {digits(losses['relu'])}, and always predicting 0 "
        f"gives {digits(zero)}.",
        (
            Point("it explains more than nine tenths of the variance", none < zero / 10),
            Point("it is within a tenth of ordinary least squares", none < floor.test_loss * 1.1),
            Point("ReLU does no better here", none <= losses["relu"] * 1.05),
        ),
        {"test_loss": losses, "least_squares": floor.test_loss, "zero": zero},
        Sketch(
            "Test error on an affine target with noise",
            "mean squared error on held-out data (standardised)",
            bars={
                "always 0": zero,
                "ReLU": losses["relu"],
                "no activation": none,
                "least squares": floor.test_loss,
            },
            small="60 epochs of Adam, seed 0",
        ),
    )


def neuron_is_affine() -> Finding:
    """20: a neuron before its activation is affine and, having a bias, not linear: exact."""
    layer = SimpleModel().fc1
    weight, bias = (ExactArray.from_tensor(p.detach()) for p in (layer.weight, layer.bias))

    def f(x: ExactArray) -> ExactArray:
        return weight @ x + bias

    generator = torch.Generator().manual_seed(0)
    a, b = (ExactArray.from_tensor(torch.randint(-8, 9, (10,), generator=generator).double()) for _ in range(2))
    moved = int((bias.ints != 0).sum())
    adds = f(a + b).equals(f(a) + f(b))
    mixes = f(a * 3 - b * 2).equals(f(a) * 3 - f(b) * 2)
    return Finding(
        f"{moved} of the 18 units of the first layer give something other than 0 at the input 0. That f(a + b) = f(a) "
        f"+ f(b) is {_yes(adds)}; that f(3a − 2b) = 3f(a) − 2f(b), a mix whose weights add up to 1, is {_yes(mixes)}. "
        "Both were computed without rounding.",
        (
            Point("f(0) is not 0, so f is not linear", moved > 0),
            Point("superposition fails", not adds),
            Point("mixes with weights of sum 1 are kept: f is affine", mixes),
        ),
        {"biases_not_zero": moved},
        Sketch(
            "Bias of each unit in the first layer",
            "unit",
            "bias",
            curves=(_biases(layer),),
            small="the article's network, seed 0",
        ),
    )


def _yes(holds: bool) -> str:
    return "true" if holds else "false"


def _biases(layer: nn.Linear) -> Curve:
    values = tuple(layer.bias.detach().tolist())
    return Curve("bias", tuple(float(i) for i in range(1, len(values) + 1)), values)


def superposition() -> Finding:
    """21: what makes the stack collapse is composition; superposition does not even hold."""
    collapse = collapse_linear(SimpleModel(None))
    product = ExactArray.identity(10)
    for step in collapse.steps:
        product = step.exact_weight @ product
    theorem = collapse.prove("theorem")
    widths = (10, 18, 2, 18, 10)
    rank = exact_rank(widths)
    linear = not collapse.exact.bias.ints.any()
    return Finding(
        f"W₄W₃W₂W₁, multiplied out exactly, {'is' if product.equals(collapse.exact.weight) else 'is NOT'} the weight "
        f"of the one layer; "
        f"its bias is {digits(float(collapse.bias[0]))}, so the whole is "
        f"{'linear' if linear else 'not linear, only affine'}. The induction step "
        f"for every depth and width {theorem.verdict}. A stack {' → '.join(map(str, widths))} is one layer, of rank "
        f"{rank}.",
        (
            Point("the weight is the product of the four weights", product.equals(collapse.exact.weight)),
            Point("the bias is not 0: superposition does not hold for the stack", not linear),
            Point("closure under composition is proved for every depth and width", theorem.holds),
            Point("the rank is at most the narrowest width", rank <= min(widths)),
        ),
        {"rank": rank, "bias": float(collapse.bias[0]), "theorem": theorem.to_dict()},
        training_path(steps=600),
    )


def stack_is_one_layer() -> Finding:
    """22: 621 parameters are 11; the function is the same, the way there is not."""
    collapse = collapse_linear(SimpleModel(None))
    exact = collapse.prove("exact")
    path = training_path()
    one, deep = path.path(1), path.path(max(p.depth for p in path.paths))
    return Finding(
        f"{collapse.parameters_before} parameters are one layer of {collapse.parameters_after}; equal for every input "
        f"over the "
        f"rationals: the proof {exact.verdict}. Trained on one target, {deep.depth} layers learn their weakest mode "
        f"{deep.spread:.1f} times "
        f"later than their strongest, one layer {one.spread:.1f} times.",
        (
            Point("621 parameters become 11", (collapse.parameters_before, collapse.parameters_after) == (621, 11)),
            Point("the one layer equals the stack exactly", exact.holds),
            Point("both end at the same map", max(p.distance for p in path.paths) < 1e-3),
            Point("the deep one learns in stages, the single layer does not", deep.spread > 2 and one.spread < 1.1),
        ),
        {
            "parameters": [collapse.parameters_before, collapse.parameters_after],
            "layers": deep.depth,
            "spread": {"deep": deep.spread, "one": one.spread},
        },
        path,
    )


def only_linear_patterns() -> Finding:
    """23: XOR."""
    result = xor()
    return Finding(
        result.explain(),
        (
            Point("the best affine mean squared error is exactly 1/4", str(result.affine_error) == "1/4"),
            Point("two ReLU units are exact", result.network_error == 0),
        ),
        {
            "weight": [str(v) for v in result.weight],
            "bias": str(result.bias),
            "fitted": [str(v) for v in result.fitted],
            "targets": [str(v) for v in result.targets],
            "affine_error": str(result.affine_error),
            "network": [str(v) for v in result.network],
            "network_error": str(result.network_error),
        },
        result,
    )


def layer_count() -> Finding:
    """27: counts the layers of the article's network."""
    layers = [part for part in SimpleModel().modules() if isinstance(part, nn.Linear)]
    widths = [layers[0].in_features, *(layer.out_features for layer in layers)]
    return Finding(
        f"The widths are {' → '.join(map(str, widths))}: {len(layers)} affine layers, {len(layers) - 1} of them "
        f"hidden, of "
        f"{', '.join(str(w) for w in widths[1:-1])} units.",
        (
            Point("there are four affine layers", len(layers) == 4),
            Point("three are hidden, of 18, 18 and 4 units", widths[1:-1] == [18, 18, 4]),
            Point("the widths meet", all(b.in_features == a.out_features for a, b in pairwise(layers))),
        ),
        {"widths": widths, "layers": len(layers), "hidden": len(layers) - 1},
        Sketch(
            "Units per layer of the article's network",
            "units",
            bars={
                name: float(width)
                for name, width in zip(("input", "hidden 1", "hidden 2", "hidden 3", "output"), widths, strict=False)
            },
        ),
    )
