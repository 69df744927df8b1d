"""Experiments on what networks learn, and what they can represent."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import torch
from torch import Tensor

from whyactivate.claims.claim import Curve, Finding, Point, Sketch
from whyactivate.claims.shared import article_runs, curves
from whyactivate.datasets import load_dataset
from whyactivate.lessons.approximation import relu_interpolant
from whyactivate.lessons.batched import Stack, Trained, train_stack
from whyactivate.lessons.lesson import digits, listing, title_of
from whyactivate.lessons.memorisation import ARTICLE, run_trial
from whyactivate.models import SimpleModel


def _train(name: str, layers: list[int], seeds: range, *, epochs: int, rate: float) -> Trained:
    data = load_dataset(name)
    stack = Stack.start(layers, "relu", seeds)
    parts = (data.train_x, data.train_y), (data.test_x, data.test_y)
    return train_stack(stack, *parts, epochs=epochs, batch_size=50, rate=rate)


def bigger_is_better() -> Finding:
    """2: wider networks on few noisy data, and on plenty of data with a pattern."""
    widths = (2, 8, 32, 128)
    few = [_train("diabetes", [10, w, 1], range(3), epochs=80, rate=1e-2) for w in widths]
    wave = [_train("sine", [1, w, 1], range(3), epochs=60, rate=1e-2) for w in widths]
    train = [float(t.train_loss[-1].mean()) for t in few]
    test = [float(t.test_loss.mean()) for t in few]
    on_wave = [float(t.test_loss.mean()) for t in wave]
    x = tuple(float(w) for w in widths)
    return Finding(
        f"On diabetes, from {widths[0]} to {widths[-1]} hidden units the training error goes from {digits(train[0])} "
        f"to {digits(train[-1])} and the test error from "
        f"{digits(test[0])} to {digits(test[-1])}. On two waves of a sine the test error goes from "
        f"{digits(on_wave[0])} to {digits(on_wave[-1])}.",
        (
            Point("on diabetes the widest network has the smaller training error", train[-1] < train[0]),
            Point("and the larger test error", test[-1] > test[0]),
            Point("on the sine the widest has the smaller test error", on_wave[-1] < on_wave[0]),
        ),
        {"widths": list(widths), "diabetes_train": train, "diabetes_test": test, "sine_test": on_wave},
        Sketch(
            "Error against width, one hidden layer of ReLU units",
            "hidden units",
            "mean squared error",
            (
                Curve("diabetes, training", x, tuple(train)),
                Curve("diabetes, held out", x, tuple(test)),
                Curve("sine, held out", x, tuple(on_wave)),
            ),
            log=True,
            small="mean of seeds 0, 1, 2",
        ),
    )


@dataclass(frozen=True)
class _Layer:
    """How redundant a trained hidden layer is: shares of its units, and its spectrum."""

    units: int
    twins: float
    alike: float
    carried: tuple[float, ...]

    @property
    def needed(self) -> int:
        """Directions that carry 99 % of the variance."""
        return sum(share < 0.99 for share in self.carried) + 1


def _hidden_layer(name: str, layers: list[int]) -> _Layer:
    """The hidden layer of a network trained from seed 0, beside that of one from seed 1, on held-out data."""
    done = _train(name, layers, range(2), epochs=60, rate=1e-2)
    _, inputs, _ = done.networks.forward(load_dataset(name).test_x)
    varied = [h[:, h.std(dim=0) > 1e-6] for h in inputs[1].double()]
    first, second = ((h - h.mean(0)) / h.std(0) for h in varied)
    within = (first.T @ first / (len(first) - 1)).abs().fill_diagonal_(0)
    across = (first.T @ second / (len(first) - 1)).abs()
    twins, alike = (float((c.max(dim=1).values > 0.9).double().mean()) for c in (within, across))
    spectrum = torch.linalg.svdvals(first).square()
    return _Layer(first.shape[1], twins, alike, tuple((spectrum.cumsum(0) / spectrum.sum()).tolist()))


def unique_features() -> Finding:
    """3: how redundant the units of a trained layer are, within a network and across seeds."""
    wave, patients = _hidden_layer("sine", [1, 32, 1]), _hidden_layer("diabetes", [10, 64, 1])
    told = [
        f"trained on {name}, {100 * layer.twins:.0f} % of the {layer.units} hidden units that vary have another one "
        f"in the same layer with a correlation above 0.9, {100 * layer.alike:.0f} % have one in a network from another "
        f"seed, and {layer.needed} directions carry 99 % of their variance"
        for name, layer in (("sine (one feature)", wave), ("diabetes (ten features)", patients))
    ]
    return Finding(
        f"{told[0][0].upper()}{told[0][1:]}; {told[1]}.",
        (
            Point("on sine most units are nearly copies of others in the same layer", wave.twins > 0.5),
            Point("and another seed learns most of the same features again", wave.alike > 0.5),
            Point("on diabetes it is far less, so it depends on the data", patients.twins < wave.twins / 2),
            Point(
                "on both fewer directions than units carry 99 % of the variance",
                all(layer.needed < layer.units for layer in (wave, patients)),
            ),
        ),
        {
            name: {"units": layer.units, "twins": layer.twins, "alike": layer.alike, "directions": layer.needed}
            for name, layer in (("sine", wave), ("diabetes", patients))
        },
        Sketch(
            "How much of a hidden layer its first directions carry",
            "directions",
            "share of the variance",
            tuple(
                Curve(name, tuple(float(i + 1) for i in range(32)), (*layer.carried, *[1.0] * 32)[:32])
                for name, layer in (
                    (f"sine, {wave.units} units", wave),
                    (f"diabetes, {patients.units} units", patients),
                )
            ),
            small="ReLU, seeds 0 and 1",
        ),
    )


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
            Point("two ReLU units do", lesson.relu_on_absolute < 1e-12),
        ),
        {"barriers": {str(b.degree): float(b.distance) for b in lesson.barriers}},
        lesson,
    )


def every_function() -> Finding:
    """26: continuous functions on an interval, to O(h²) for smooth ones; not jumps, not beyond the interval."""
    lesson = curves()

    def step(x: Tensor) -> Tensor:
        return (x > 0.1).to(x.dtype)

    network = relu_interpolant(step, 1000, -1.0, 1.0)
    edge = torch.tensor([[0.1]], dtype=torch.float64)
    with torch.no_grad():
        near = torch.cat([edge, torch.nextafter(edge, torch.ones_like(edge))])
        jump = float((network(near)[:, 0] - step(near[:, 0])).abs().max())
        far = torch.linspace(lesson.high, 4 * lesson.high, 301, dtype=torch.float64)[:, None]
        beyond = float((relu_interpolant(torch.sin, 128, lesson.low, lesson.high)(far) - far.sin()).abs().max())
    kept = all(fit.error <= (lesson.bound(fit) or 0.0) * (1 + 1e-9) + 1e-12 for fit in lesson.relu)
    return Finding(
        f"The ReLU interpolant of the sine, by hand, has an error of order h^{lesson.order:.2f} and keeps the bound "
        f"h²/8·max|f″|. With 1000 units a jump is "
        f"still missed by {digits(jump)}, and three intervals further on the sine by {digits(beyond)}.",
        (
            Point("the error of the interpolant falls like h²", 1.9 < lesson.order < 2.1),
            Point("and keeps the bound h²/8·max|f″|", kept),
            Point("a jump is missed by nearly 1/2 or more", jump > 0.45),
            Point("outside the interval nothing is promised: an error above 1", beyond > 1),
        ),
        {"order": lesson.order, "jump": jump, "beyond": beyond},
        lesson,
    )


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
    none = noise.run("identity")
    gap = max(loss / floor - 1 for loss, floor in zip(none.train_loss, noise.floor, strict=True))
    return Finding(
        lesson.explain(),
        (
            Point("without activations no seed goes below the linear floor", reach["identity"] == 0),
            Point("and each ends within a thousandth of it", gap < 1e-3),
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
        {"epochs_off_by_a_tenth": far, "epochs": len(off)},
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
            Point("so does sin", below["sin"] == len(seeds)),
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


def weights_and_activations() -> Finding:
    """35: which zeros are whose: ReLU's change with the input, pruned weights do not."""
    data = load_dataset("sine")
    done = _train("sine", [1, 32, 32, 1], range(1), epochs=60, rate=1e-2)
    network = done.networks
    _, inputs, _ = network.forward(data.test_x)
    hidden = torch.cat([h[0] for h in inputs[1:]], dim=1)
    silent = (hidden == 0).double()
    share, some = float(silent.mean()), float(((silent.mean(0) > 0) & (silent.mean(0) < 1)).double().mean())
    zero_weights = sum(int((w == 0).sum()) for w in network.weights)
    losses = [_pruned_loss(network, part, data.test_x, data.test_y) for part in (0.0, 0.5, 0.9)]
    return Finding(
        f"In a trained network {100 * share:.0f} % of the hidden activations on the test data are 0 and {zero_weights} "
        f"of its weights are; {100 * some:.0f} % of the units are 0 "
        f"for some inputs and not for others. Setting the smallest half of the weights to 0 takes the test error from "
        f"{digits(losses[0])} to {digits(losses[1])}, the "
        f"smallest nine tenths to {digits(losses[2])}.",
        (
            Point("many activations are 0 while no weight is", share > 0.1 and zero_weights == 0),
            Point("which ones depends on the input", some > 0.5),
            Point(
                "pruning nine tenths of the weights is another thing: it changes the result",
                losses[2] > 1.5 * losses[0],
            ),
        ),
        {"zero_activations": share, "zero_weights": zero_weights, "pruned_loss": losses},
        Sketch(
            "Zeros that come with the input, and zeros that stay",
            "share (%)",
            bars={
                "activations that are 0": 100 * share,
                "weights that are 0": 100.0 * zero_weights / sum(w.numel() for w in network.weights),
                "units 0 for some inputs only": 100 * some,
            },
            small="sine, 1 → 32 → 32 → 1, ReLU, seed 0",
        ),
    )


def _pruned_loss(network: Stack, part: float, x: Tensor, y: Tensor) -> float:
    """The test error where this part of the weights, the smallest, is set to 0."""
    sizes = torch.cat([w.abs().flatten() for w in network.weights])
    limit = sizes.sort().values[int(part * len(sizes))] if part else -1.0
    pruned = Stack(network.activation, [torch.where(w.abs() < limit, 0.0, w) for w in network.weights], network.biases)
    return float(pruned.losses(x, y)[0])
