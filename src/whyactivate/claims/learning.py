"""Experiments on what training finds: in wider networks, in single units, in weights and not in activations."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from whyactivate.activations import get_activation
from whyactivate.claims.claim import Curve, Finding, Point, Sketch
from whyactivate.claims.shared import ARTICLE_NAMES, train_relu
from whyactivate.datasets import load_dataset
from whyactivate.lessons.lesson import digits
from whyactivate.models import SimpleModel
from whyactivate.training import TrainConfig, train


def bigger_is_better() -> Finding:
    """2: wider networks on few noisy data, and on plenty of data with a pattern."""
    widths = (2, 8, 32, 128)
    few = [train_relu("diabetes", [10, w, 1], range(3), epochs=80, rate=1e-2) for w in widths]
    wave = [train_relu("sine", [1, w, 1], range(3), epochs=60, rate=1e-2) for w in widths]
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
            Point("on diabetes the widest network has the larger test error", test[-1] > test[0]),
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
    done = train_relu(name, layers, range(2), epochs=60, rate=1e-2)
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
            Point("another seed learns most of the same features again", wave.alike > 0.5),
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
            Point("training moves the weights", moved > 0),
        ),
        {"parameters": parameters, "largest_change_of_a_weight": moved},
        Sketch(
            "The same four functions before and after training",
            "pre-activation z",
            "φ(z)",
            tuple(Curve(name, tuple(z.tolist()), tuple(get_activation(name)(z).tolist())) for name in ARTICLE_NAMES),
        ),
    )
