"""Exercises on activations and on whole networks; graded by running and analysing what is handed in."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from whyactivate.ablation.calls import find_activation_modules, find_calls
from whyactivate.affine import Analysis, Verdict, analyze
from whyactivate.datasets import Dataset, load_dataset
from whyactivate.errors import WhyActivateError
from whyactivate.exercises.answers import (
    dtype_of,
    plain_tensor,
    read_module,
    read_number,
    read_vector,
    run,
    show_number,
    tell,
)
from whyactivate.exercises.exercise import Exercise, Point, Refused
from whyactivate.floor import linear_floor
from whyactivate.models import MLP

_SHOWN = Fraction("0.99993320")
_PLACES = 100


def _undo(answer: Any) -> list[Point]:
    z = read_number(answer)
    if abs(z) > 1000:
        raise Refused(f"|z| must be at most 1000, but {show_number(z)} came")
    with localcontext() as context:
        context.prec = 40
        value = 1 / (1 + (-(Decimal(z.numerator) / Decimal(z.denominator))).exp())
    off = abs(Fraction(value) - _SHOWN)
    words = f"σ({show_number(z)}) = {float(value):.10f}, where 0.99993320 ± 0.000000005 is wanted"
    return [Point(words, off <= Fraction(5, 10**9))]


def _lost(answer: Any) -> list[Point]:
    numbers = read_vector(answer, 2)
    try:
        a, b = torch.tensor([float(value) for value in numbers], dtype=torch.float32)
    except (OverflowError, RuntimeError) as error:
        raise Refused(f"the numbers must be finite in float32: {error}") from error
    if not bool(torch.isfinite(a) & torch.isfinite(b)):
        raise Refused("the numbers must be finite in float32")
    gap = abs(a.item() - b.item())
    points = [Point(f"they are {gap:g} apart, where at least 1 is wanted", gap >= 1)]
    one, other = torch.sigmoid(a).item(), torch.sigmoid(b).item()
    words = f"torch.sigmoid gives {one!r} and {other!r} in float32"
    return [*points, Point(f"{words}: {'the same' if one == other else 'they can be told apart'}", one == other)]


def _tanh(answer: Any) -> list[Point]:
    a, b, c, d = (float(value) for value in read_vector(answer, 4))
    for z in (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0):
        inner = b * z + c
        sigmoid = 1 / (1 + math.exp(-inner)) if inner > -700 else 0.0
        found, wanted = a * sigmoid + d, math.tanh(z)
        if not abs(found - wanted) <= 1e-12:
            return [Point(f"at z = {z:g} it gives {found:.12g}, and tanh z = {wanted:.12g}", False)]
    return [Point("it agrees with tanh at nine places, to 12 digits (tested)", True)]


def _gradients(answer: Any) -> list[Point]:
    if not isinstance(answer, Mapping) or set(cast("Mapping[object, object]", answer)) != {"activation", "init"}:
        raise Refused('the answer must be like {"activation": "relu", "init": "default"}')
    chosen = cast("Mapping[str, Any]", answer)
    for key, value in chosen.items():
        if not isinstance(value, str):
            raise Refused(f"the {key} must be a name, as in wa.ACTIVATIONS and wa.MLP, but {tell(value)} came")
    ratios: list[float] = []
    for seed in range(3):
        try:
            network = MLP([32] * 21, activation=chosen["activation"], init=chosen["init"], seed=seed)
        except WhyActivateError as error:
            raise Refused(str(error)) from error
        x = torch.randn(64, 32, generator=torch.Generator().manual_seed(seed))
        first, last = network.layers[0].weight, network.layers[-1].weight
        with torch.enable_grad():
            found: Any = torch.autograd.grad(network(x).square().mean(), [first, last], allow_unused=True)
        norms = [0.0 if slope is None else float(slope.norm()) for slope in found]
        ratios.append(norms[0] / norms[1] if norms[1] else math.nan)
    verdict = analyze(MLP([1, 1, 1], chosen["activation"]).activation, torch.zeros(3, 2)).verdict
    curved = verdict is Verdict.NOT_AFFINE
    points = [
        Point("the activation is not affine" if curved else "the activation is affine, or not known not to be", curved)
    ]
    median = statistics.median(ratios)
    words = f"the gradient of the first layer is {median:.3g} times that of the last (median of 3 seeds)"
    return [*points, Point(f"{words}; from 0.1 to 10 is wanted", 0.1 <= median <= 10)]


def _below(answer: Any) -> list[Point]:
    data = _circles()
    network = read_module(answer, data.features, data.outputs)
    loss = F.cross_entropy(run(network, data.train_x).double(), data.train_y).item()
    floor = linear_floor(data)
    words = f"its training loss is {loss:.6g}, the linear floor is {floor.loss:.6g}"
    return [Point(words, loss < floor.loss - max(floor.gap, 1e-6))]


def _circles() -> Dataset:
    return load_dataset("circles", seed=0)


def _calls(module: nn.Module) -> list[str]:
    """The activations that are called on what depends on x."""
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise Refused("a scripted module does not show what it calls; hand in the one that it was made from")
        if isinstance(part, (nn.RNNBase, nn.RNNCellBase)):
            return [f"{type(part).__name__}, whose gates are activations"]
    x = torch.zeros(3, 2, dtype=dtype_of(module))
    try:
        return [str(call) for call in find_calls(module, (x,), {}, find_activation_modules(module, (x,), {}))]
    except WhyActivateError as error:
        raise Refused(str(error)) from error


def _analysis(module: nn.Module, rows: torch.Tensor | None = None) -> Analysis:
    """Whether it is affine, judged on these rows, or on three in its own dtype."""
    try:
        return analyze(module, torch.zeros(3, 2, dtype=dtype_of(module)) if rows is None else rows)
    except WhyActivateError as error:
        raise Refused(str(error)) from error


def _not_affine(analysis: Analysis) -> Point:
    if analysis.verdict is Verdict.NOT_AFFINE:
        return Point(f"it is not affine: {analysis.counterexample}", True)
    if analysis.verdict is Verdict.AFFINE:
        return Point("it is affine, and that is proved", False)
    return Point(f"whether it is affine cannot be decided: {'; '.join(map(str, analysis.blame))}", False)


def _affine_relu(answer: Any) -> list[Point]:
    module = read_module(answer, 2, 2)
    relus = [call for call in _calls(module) if "relu" in call.lower()]
    called = Point("a ReLU acts on what depends on x" if relus else "no ReLU acts on what depends on x", bool(relus))
    analysis = _analysis(module)
    if analysis.verdict is not Verdict.AFFINE:
        why = f": {analysis.counterexample}" if analysis.counterexample else ", or it cannot be proved to be"
        return [called, Point(f"it is not affine{why}", False)]
    found = run(module, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    varies = not torch.equal(found[0], found[1]) or not torch.equal(found[0], found[2])
    words = "its output depends on x" if varies else "its output is the same at 0 and at both unit vectors: a constant"
    return [called, Point("it is affine, and that is proved", True), Point(words, varies)]


def _no_activation(answer: Any) -> list[Point]:
    module = read_module(answer, 2, 1)
    calls = _calls(module)
    words = f"it calls an activation: {calls[0]}" if calls else "no activation acts on what depends on x"
    return [Point(words, not calls), _not_affine(_analysis(module))]


def _jacobian(answer: Any) -> list[Point]:
    module = read_module(answer, 2, 2)
    module.double()
    points = torch.randn(_PLACES, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = points.clone().requires_grad_()
    slopes: list[torch.Tensor] = []
    with torch.enable_grad():
        try:
            result = module(x)
            if tuple(plain_tensor(result).shape) != (_PLACES, 2):
                raise Refused(f"from {_PLACES} rows it gives a tensor of shape {tuple(result.shape)}")
            for k in range(2):
                slope: Any = torch.autograd.grad(result[:, k].sum(), x, retain_graph=True, allow_unused=True)[0]
                slopes.append(torch.zeros_like(points) if slope is None else slope)
        except Refused:
            raise
        except Exception as error:
            raise Refused(f"its Jacobian cannot be computed: {type(error).__name__}: {error}") from error
    jacobians = torch.stack(slopes, dim=1)
    off = (jacobians - jacobians[0]).abs().amax(dim=(1, 2))
    worst = int(off.argmax())
    if not bool(off.max() <= 1e-9):
        place = ", ".join(f"{value:.4g}" for value in points[worst].tolist())
        words = f"the test is not fooled: at ({place}) an entry of the Jacobian differs by {float(off[worst]):.3g}"
        fooled = Point(words, False)
    else:
        fooled = Point(f"at all {_PLACES} places the Jacobian is the same: the test says affine", True)
    return [fooled, _bent(module, points)]


def _bent(module: nn.Module, points: torch.Tensor) -> Point:
    """Whether it is not affine where it was tested, too: among as many rows of that dtype."""
    analysis = _analysis(module, points)
    found = analysis.counterexample
    if found is None:
        return _not_affine(analysis)
    first, second = (float(weight) for weight in found.weights)
    rows = points.clone()
    rows[0], rows[1] = found.a[0][0], found.b[0][0]
    rows[2] = first * rows[0] + second * rows[1]
    at_a, at_b, at_mix = run(module, rows)[:3, found.output_index].tolist()
    if not abs(at_mix - first * at_a - second * at_b) >= found.gap / 2:
        return Point(f"it knows the test by its {len(points)} rows: among these it is another function", False)
    return _not_affine(analysis)


ACTIVATIONS = (
    Exercise(
        "undo-the-sigmoid",
        "Which z was it?",
        "A sigmoid printed 0.99993320. Give a z that it may have come from: σ(z) must be "
        "within half of the last digit.",
        ("Solve y = 1/(1 + e^(−z)) for z.", "How far is y from 1? The logarithm of that tells most."),
        _undo,
    ),
    Exercise(
        "lost-in-float32",
        "Two inputs that become one",
        "Over the real numbers no two inputs of the sigmoid have the same output. Give [a, "
        "b], at least 1 apart, that "
        "torch.sigmoid in float32 cannot tell apart.",
        ("Which numbers near 1 does float32 have?", "How large has z to be, so that e^(−z) no longer counts beside 1?"),
        _lost,
    ),
    Exercise(
        "tanh-from-sigmoid",
        "One activation out of another",
        "Give [a, b, c, d] with tanh z = a·σ(b·z + c) + d for every z.",
        ("Compare the ranges: (−1, 1) and (0, 1).", "Write tanh z with e^(−2z) only."),
        _tanh,
    ),
    Exercise(
        "gradients-that-survive",
        "Twenty layers deep",
        "Give the name of an activation (not an affine one) and of an init (default, xavier or he), as "
        '{"activation": "…", "init": "…"}, such '
        "that in wa.MLP([32] * 21, …) the gradient of the first layer's weights is between a "
        "tenth and ten times that "
        "of the last layer's.",
        (
            "The gradient is a product of Wᵀ·diag(φ′): what makes it keep its size?",
            "Look up what each init was made for.",
        ),
        _gradients,
    ),
)

NETWORKS = (
    Exercise(
        "below-the-floor",
        "Below the linear floor",
        'Hand in a trained network for wa.load_dataset("circles", seed=0), from 2 features '
        "to 2 classes, whose cross-entropy "
        "on the training part is below wa.linear_floor of these data.",
        ("No network without an activation can do it.", "wa.MLP and wa.train are enough."),
        _below,
    ),
    Exercise(
        "affine-with-relu",
        "A ReLU that changes nothing",
        "Write a module from 2 numbers to 2 that calls torch.relu (or an nn.ReLU) on "
        "something that depends on x, is an affine map of x all "
        "the same, and is not constant.",
        ("The ReLU throws something away: can you bring it back?", "What does relu give at −x?"),
        _affine_relu,
    ),
    Exercise(
        "nonlinear-without-activation",
        "Not affine without any activation",
        "Write a module from 2 numbers to 1 that is not affine and calls none of PyTorch's activation functions that "
        "act on each number alone (ReLU, sigmoid, tanh and their like).",
        ("An affine map never multiplies its input by …?", "Which layers of PyTorch divide by what they measure?"),
        _no_activation,
    ),
    Exercise(
        "fool-the-jacobian",
        "Fool a Jacobian test",
        f"Somebody tests whether a network is affine by comparing its Jacobians at {_PLACES} "
        f"random points (standard normal, "
        "float64, 2 features). Write a module from 2 numbers to 2 that passes this test and is not affine.",
        (
            "The test sees only where it looks.",
            "Where do random points hardly ever lie, and which activation is quiet until there?",
        ),
        _jacobian,
    ),
)
