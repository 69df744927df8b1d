"""Experiments on what networks can represent, by what their activation is."""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor

from whyactivate.claims.claim import Finding, Point, Sketch
from whyactivate.claims.shared import curves
from whyactivate.datasets import load_dataset
from whyactivate.lessons.approximation import relu_interpolant
from whyactivate.lessons.lesson import digits, listing
from whyactivate.lessons.memorisation import ARTICLE, run_trial


def any_nonlinearity() -> Finding:
    """25: polynomial activations."""
    lesson = curves()
    return Finding(
        " ".join(
            [
                "Multiplied out with symbols for all weights, networks with zᵈ for activation have degree "
                + listing([f"{d.degree} (d = {d.power}, L = {d.depth})" for d in lesson.degrees])
                + ".",
                f"No polynomial of degree 16 comes nearer to |x| than {digits(float(lesson.barriers[-1].distance))}, "
                f"proved over the rationals; two ReLU "
                f"units come to {digits(lesson.relu_on_absolute)}.",
            ]
        ),
        (
            Point(
                "degree d and depth L stay at dᴸ, whatever the weights",
                all(d.degree <= d.allowed for d in lesson.degrees),
            ),
            Point(
                "no polynomial of such a degree comes near |x|: a positive distance, exact",
                all(b.distance > 0 for b in lesson.barriers),
            ),
            Point("two ReLU units are |x|, to rounding", lesson.relu_on_absolute < 1e-12),
        ),
        {
            "degrees": [{"power": d.power, "depth": d.depth, "degree": d.degree} for d in lesson.degrees],
            "barriers": {str(b.degree): float(b.distance) for b in lesson.barriers},
            "relu_on_absolute": lesson.relu_on_absolute,
        },
        Sketch(
            "Distance to |x| on [−1, 1], at least",
            "largest error",
            bars={f"any polynomial of degree {b.degree}": float(b.distance) for b in lesson.barriers}
            | {"two ReLU units": lesson.relu_on_absolute},
            small="lower bounds proved over the rationals",
        ),
    )


def every_function() -> Finding:
    """26: continuous functions on an interval, to O(h²) for smooth ones; not jumps, not beyond the interval."""
    lesson = curves()

    def step(x: Tensor) -> Tensor:
        return (x > 0.1).to(x.dtype)

    units = 1000
    network = relu_interpolant(step, units, -1.0, 1.0)
    edge = torch.tensor([[0.1]], dtype=torch.float64)
    with torch.no_grad():
        near = torch.cat([edge, torch.nextafter(edge, torch.ones_like(edge))])
        jump = float((network(near)[:, 0] - step(near[:, 0])).abs().max())
        end = 4 * lesson.high
        far = torch.linspace(lesson.high, end, 301, dtype=torch.float64)[:, None]
        beyond = float((relu_interpolant(torch.sin, 128, lesson.low, lesson.high)(far) - far.sin()).abs().max())
    kept = all(fit.error <= (lesson.bound(fit) or 0.0) * (1 + 1e-9) + 1e-12 for fit in lesson.relu)
    return Finding(
        f"The error of the ReLU interpolant of the sine, written down by hand, falls with the power {lesson.order:.2f} "
        f"of h and keeps the bound h²/8·max|f″|. Beside a jump even a network of {units} units is off by "
        f"{digits(jump)}. Outside its interval, up to x = {end:.1f}, the one for the sine is off by up to "
        f"{digits(beyond)}.",
        (
            Point("the error of the interpolant falls like h²", 1.9 < lesson.order < 2.1),
            Point("it keeps the bound h²/8·max|f″|", kept),
            Point("a jump is missed by nearly 1/2 or more", jump > 0.45),
            Point("outside the interval nothing is promised: an error above 1", beyond > 1),
        ),
        {"order": lesson.order, "jump": jump, "beyond": beyond, "end": end},
        lesson,
    )


def _tenth(z: Tensor) -> Tensor:
    """A limit without a bend: a tenth of everything."""
    return 0.1 * z


def gatekeepers() -> Finding:
    """31: sin and Leaky ReLU, which hold nothing back, against 0.1·z, which holds back and is linear."""
    seeds = (0, 1, 2)
    data = [load_dataset("article", seed) for seed in seeds]
    trial = run_trial(
        "article", data, ["leaky_relu", torch.sin, _tenth], seeds, ARTICLE, epochs=150, batch_size=10, rate=1e-3
    )
    below = {run.activation: sum(trial.below(run.activation)) for run in trial.runs}
    means = {run.activation: run.mean for run in trial.runs}
    return Finding(
        f"Against a linear floor of {digits(fmean(trial.floor))}: Leaky ReLU, which lets every z through, ends at "
        f"{digits(means['leaky_relu'])}; sin, which returns to "
        f"every value again and again, at {digits(means['sin'])}; 0.1·z, which holds nine tenths back, at "
        f"{digits(means['_tenth'])}, never below.",
        (
            Point("Leaky ReLU goes below the floor on every seed", below["leaky_relu"] == len(seeds)),
            Point("sin goes below it on every seed", below["sin"] == len(seeds)),
            Point("holding back without a bend never does", below["_tenth"] == 0),
        ),
        {"floor": fmean(trial.floor), "train_loss": means, "below": below},
        Sketch(
            "Training error in the end on the article's noise",
            "mean squared error",
            bars={
                "linear floor": fmean(trial.floor),
                "0.1·z": means["_tenth"],
                "sin": means["sin"],
                "Leaky ReLU": means["leaky_relu"],
            },
            small="mean of seeds 0, 1, 2; the article's settings",
        ),
    )
