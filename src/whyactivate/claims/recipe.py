"""Experiments on the article's own run: its data, its loop, and the number that it prints."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean

import torch

from whyactivate.claims.claim import Curve, Finding, Point, Sketch
from whyactivate.claims.shared import article_runs
from whyactivate.datasets import load_dataset
from whyactivate.lessons.lesson import digits, listing, title_of
from whyactivate.models import SimpleModel


def something_to_learn() -> Finding:
    """28: the article's data is noise; below the floor there is memorisation."""
    lesson = article_runs()
    noise, pattern = lesson.noise, lesson.pattern
    zero = fmean(noise.zero_test)
    reach = {run.activation: sum(noise.below(run.activation)) for run in noise.runs}
    above = [
        f"{title_of(run.activation)} with seed {seed} ({run.train_loss[i] / noise.floor[i]:.3f} times the floor)"
        for run in noise.runs
        if run.activation != "identity"
        for i, seed in enumerate(lesson.seeds)
        if not noise.below(run.activation)[i]
    ]
    note = (
        f"Not every activation goes below the floor on every seed within these epochs: {listing(above)} did not."
        if above
        else ""
    )
    none, tests = noise.run("identity"), [run.test_mean for run in noise.runs]
    gap = max(loss / floor - 1 for loss, floor in zip(none.train_loss, noise.floor, strict=True))
    return Finding(
        lesson.explain(),
        (
            Point("without activations no seed goes below the linear floor", reach["identity"] == 0),
            Point("without activations each seed ends within a thousandth of it", gap < 1e-3),
            Point(
                "ReLU, Leaky ReLU and tanh go below it on every seed",
                all(reach[n] == len(lesson.seeds) for n in ("relu", "leaky_relu", "tanh")),
            ),
            Point(
                "on fresh data every network is worse than always predicting 0",
                all(run.test_mean > zero for run in noise.runs),
            ),
            Point(
                "on a real pattern going below the floor helps on fresh data, too",
                pattern.run("relu").test_mean < fmean(pattern.floor_test) / 2,
            ),
        ),
        {
            "floor": fmean(noise.floor),
            "train_loss": {run.activation: run.mean for run in noise.runs},
            "test_loss": {run.activation: run.test_mean for run in noise.runs},
            "below_the_floor": reach,
            "seeds": len(lesson.seeds),
            "seeds_not_below": {
                run.activation: [
                    s for s, went in zip(lesson.seeds, noise.below(run.activation), strict=True) if not went
                ]
                for run in noise.runs
            },
            "test_loss_of_zero": zero,
            "test_loss_of_all": [min(tests), max(tests)],
            "sine_test": {
                "floor": fmean(pattern.floor_test),
                **{run.activation: run.test_mean for run in pattern.runs},
            },
            "largest_gap_to_floor": gap,
        },
        lesson,
        note,
    )


def printed_loss() -> Finding:
    """29: the last mini-batch's loss against the loss of the whole epoch."""
    lesson = article_runs()
    run = lesson.noise.run("relu")
    printed, whole = run.last_batch[0], run.train_curves[0][1:]
    times = [a / b for a, b in zip(printed, whole, strict=True)]
    off = [abs(value - 1) for value in times]
    far = sum(value > 0.1 for value in off)
    epochs = tuple(float(i + 1) for i in range(len(printed)))
    return Finding(
        f"With ReLU and seed {lesson.seeds[0]} the printed number is off by more than a tenth of the loss over all "
        f"rows in "
        f"{far} of {len(off)} epochs; it is {min(times):.2f} to {max(times):.2f} times that loss.",
        (
            Point(
                "the printed number is not the loss over the training set: off by a tenth in most epochs",
                far > len(off) / 2,
            ),
            Point(
                "not even the average of the two over all epochs agrees to a hundredth",
                abs(fmean(printed) / fmean(whole) - 1) > 0.01,
            ),
        ),
        {"epochs_off_by_a_tenth": far, "epochs": len(off), "times_of_loss": [min(times), max(times)]},
        Sketch(
            "What is printed, and the loss over the training set",
            "epoch",
            "mean squared error",
            (Curve("printed", epochs, printed), Curve("whole set", epochs, whole)),
            small=f"the article's settings, ReLU, seed {lesson.seeds[0]}",
        ),
    )


def training_loop() -> Finding:
    """30: the loop lowers the loss in the end; a single step need not."""
    data = load_dataset("article")
    model = SimpleModel("relu")
    losses: list[float] = []
    with torch.inference_mode(False), torch.enable_grad():
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        loss = torch.nn.MSELoss()
        for _ in range(50):
            for x, y in zip(data.train_x.split(10), data.train_y.split(10), strict=True):
                with torch.no_grad():
                    losses.append(float(loss(model(data.train_x), data.train_y)))
                optimiser.zero_grad()
                loss(model(x), y).backward()
                optimiser.step()
    rises, steps = sum(b > a for a, b in pairwise(losses)), len(losses) - 1
    lesson = article_runs()
    curves_of_all = [curve for run in lesson.noise.runs for curve in run.train_curves]
    epochs = sum(len(curve) - 1 for curve in curves_of_all)
    worse = sum(b > a for curve in curves_of_all for a, b in pairwise(curve))
    return Finding(
        f"In {steps} steps of the article's loop (ReLU, seed 0) the loss over the training set went from "
        f"{digits(losses[0])} to "
        f"{digits(losses[-1])}; {rises} of the steps raised it. Over all activations and {len(lesson.seeds)} seeds it "
        f"rose in {worse} of "
        f"{epochs} epochs, so in at least one step of each of these.",
        (
            Point("zero_grad, backward, step lower the loss in the end", losses[-1] < losses[0]),
            Point("a single step need not: some raised it", rises + worse > 0 and rises < steps),
        ),
        {"first": losses[0], "last": losses[-1], "rises": rises, "steps": steps, "epochs": epochs, "epochs_up": worse},
        Sketch(
            "Loss over the training set before every step",
            "steps of Adam",
            "mean squared error",
            (Curve("ReLU", tuple(float(i) for i in range(len(losses))), tuple(losses)),),
            small="the article's settings, seed 0",
        ),
    )
