"""The laboratory's mathematics, in a browser, against the library's on the same numbers in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import whyactivate as wa
from browser.laboratory import needs_chromium, run_in_browser
from whyactivate.datasets import Dataset, Task
from whyactivate.lessons import regions_along
from whyactivate.training.optimisers import make_optimiser

pytestmark = [needs_chromium, pytest.mark.slow]

LAB_ACTIVATIONS = (
    "identity", "relu", "sigmoid", "tanh", "leaky_relu", "elu", "silu", "gelu_tanh", "softplus", "hardtanh",
)  # fmt: skip
STEPS = 20

SCRIPT = """
import { ACTIVATIONS } from "./lab/activations.js";
import { forward, forwardAll } from "./lab/network.js";
import { Run } from "./lab/train.js";
import { collapseSteps, compare, findBend } from "./lab/collapse.js";
import { parseFormula } from "./lab/formula.js";
import { labelRegions } from "./lab/regions.js";
import { linearFloor } from "./lab/floor.js";
import { makeRandom } from "./lab/random.js";
const data = await (await fetch("data.json")).json();
const { names, points } = data.activations;
const random = makeRandom(data.seed);
const refused = (text, variables) => {
  try { parseFormula(text, variables); return null; } catch (error) { return error.at ?? String(error); }
};
const wild = new Run(data.networks[1].network, data.networks[1].rows, "regression", "sgd", 1e6);
while (wild.step()) if (wild.steps > 1000) break;
window.result = {
  formulas: data.formulas.map(([text, x, y]) => parseFormula(text, ["x", "y"])(x, y)),
  refused: data.refused.map((text) => refused(text, ["x"])),
  wild: {
    diverged: wild.diverged, loss: wild.loss,
    output: wild.rows.x.map((x) => forward(wild.network, x).output[0]),
  },
  bend: findBend(data.networks[2].network, data.networks[2].rows.x, makeRandom(1)).gap,
  regions: data.regions.map(({ network, points }) => labelRegions(network, forwardAll(network, points))),
  activations: names.map((name) => points.map((z) => [ACTIVATIONS[name].value(z), ACTIVATIONS[name].slope(z)])),
  known: Object.keys(ACTIVATIONS),
  random: Array.from({ length: 50 }, () => random.uniform()),
  networks: data.networks.map(({ network, rows, task, optimiser, rate, steps }) => {
    const run = new Run(network, rows, task, optimiser, rate);
    const first = { output: rows.x.map((x) => forward(network, x).output[0]), ...run.measured };
    for (let n = 0; n < steps; n++) run.step();
    return { first, trained: run.network.layers, loss: run.loss };
  }),
  collapses: data.collapses.map(({ network, points }) => {
    const steps = collapseSteps(network);
    return { layer: steps.at(-1), distance: compare(network, steps.at(-1), points).distance };
  }),
  floors: data.floors.map(({ rows, task }) => linearFloor(rows, task)),
};
"""


class Chain(nn.Module):
    """Affine layers with an activation of its own after each but the last, in float64."""

    def __init__(self, widths, activations, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.names = list(activations)
        self.layers = nn.ModuleList(nn.Linear(a, b, dtype=torch.float64) for a, b in itertools.pairwise(widths))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
        self.between = [wa.ACTIVATIONS[name].module() for name in activations]

    def forward(self, x):
        for layer, activation in zip(self.layers[:-1], self.between, strict=True):
            x = activation(layer(x))
        return self.layers[-1](x)

    def plain(self):
        layers = [{"weight": lay.weight.tolist(), "bias": lay.bias.tolist()} for lay in self.layers]
        return {"layers": layers, "activations": self.names}


def make_rows(task, features, seed, rows=40):
    """Numbers that float32 holds, as a Dataset wants them, in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator, dtype=torch.float32)
    y = (x[:, 0] + torch.randn(rows, generator=generator, dtype=torch.float32)).double()
    x = x.double()
    return x, (y > 0).double() if task == "classification" else y


def loss_of(task, out, y):
    return F.binary_cross_entropy_with_logits(out, y) if task == "classification" else F.mse_loss(out, y)


def plain_rows(x, y):
    return {"x": x.tolist(), "y": y.tolist()}


CASES = [
    (task, optimiser, activations, seed)
    for seed, (activations, (task, optimiser)) in enumerate(
        itertools.product(
            [
                (name, other)
                for name, other in zip(LAB_ACTIVATIONS, LAB_ACTIVATIONS[3:] + LAB_ACTIVATIONS[:3], strict=True)
            ],
            [("classification", "adam"), ("regression", "sgd")],
        )
    )
]


def chain_of(task, activations, seed):
    return Chain([2 if task == "classification" else 1, 5, 4, 1], activations, seed)


def floor_cases():
    """Overlapping classes, separable ones, regression, and regression on one x alone."""
    x, y = make_rows("classification", 2, 1)
    yield x, y, "classification"
    yield x, (x[:, 0] + 0.5 * x[:, 1] > 0.2).double(), "classification"
    yield *make_rows("regression", 1, 2), "regression"
    yield torch.ones(5, 1, dtype=torch.float64), torch.arange(5, dtype=torch.float64), "regression"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """All of it in one visit: starting Chromium takes longer than the arithmetic."""
    networks = []
    for task, optimiser, activations, seed in CASES:
        chain = chain_of(task, activations, seed)
        x, y = make_rows(task, chain.layers[0].in_features, seed)
        networks.append(
            {"network": chain.plain(), "rows": plain_rows(x, y), "task": task, "optimiser": optimiser, "rate": 0.01,
             "steps": STEPS}
        )  # fmt: skip
    data = {
        "seed": 7,
        "formulas": FORMULAS,
        "refused": REFUSED,
        "activations": {"names": LAB_ACTIVATIONS, "points": POINTS},
        "networks": networks,
        "collapses": [
            {"network": collapse_case(depth).plain(), "points": make_rows("regression", 2, depth)[0].tolist()}
            for depth in range(1, 6)
        ],
        "regions": [{"network": network, "points": points} for network, points in REGIONS],
        "floors": [{"rows": plain_rows(x, y), "task": task} for x, y, task in floor_cases()],
    }
    return run_in_browser(tmp_path_factory.mktemp("lab"), SCRIPT, data)


FORMULAS = [
    ["1 + 2 * 3", 0, 0], ["-x^2", 3, 0], ["2^3^2", 0, 0], ["2^-1", 0, 0], ["x − y − 1", 5, 2], ["8 / 4 / 2", 0, 0],
    ["sin(3*x) + abs(y)", 0.5, -2], ["sqrt(x) * exp(-y)", 2, 1], ["(x + y) * (x - y)", 3, 2], ["tanh(π) + e", 0, 0],
    ["sign(x) * .5", -3, 0], ["--x", 2, 0],
]  # fmt: skip
ANSWERS = [
    7, -9, 512, 0.5, 2, 1, math.sin(1.5) + 2, math.sqrt(2) * math.exp(-1), 5, math.tanh(math.pi) + math.e, -0.5, 2,
]  # fmt: skip
REFUSED = [
    "", "1 +", "alert(1)", "x.constructor", "(x", "2 x", "sin x", "y", "constructor", "__proto__", "x; x", "x => 1",
    "toString(x)", "1" * 200,
]  # fmt: skip


def line_network():
    return Chain([1, 5, 5, 1], ["relu", "leaky_relu"], 3)


LAYER = {"weight": [[1], [1]], "bias": [1, -1]}
REGIONS = [
    ({"layers": [LAYER, {"weight": [[1, 1]], "bias": [0]}], "activations": ["relu"]}, [[-3], [-2], [0], [0.5], [2]]),
    # The second layer is off up to 4: what bends before makes no difference to the output.
    (
        {"layers": [LAYER, {"weight": [[1, 1]], "bias": [-8]}, {"weight": [[1]], "bias": [0]}],
         "activations": ["relu", "relu"]},
        [[-3], [0], [3], [5]],
    ),
    (line_network().plain(), [[-2.4 + 4.8 * n / 4000] for n in range(4001)]),
]  # fmt: skip
POINTS = [-40.0, -3.0, -1.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 1.0, 3.0, 40.0]


def collapse_case(depth):
    return Chain([2, *[6] * depth, 1], ["identity"] * depth, depth)


def near(found, wanted):
    np.testing.assert_allclose(np.asarray(found, dtype=float), np.asarray(wanted, dtype=float), rtol=1e-9, atol=1e-9)


def test_each_activation_and_its_slope_is_the_librarys(browser):
    assert set(browser["known"]) == set(LAB_ACTIVATIONS)
    z = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    for name, found in zip(LAB_ACTIVATIONS, browser["activations"], strict=True):
        value = wa.ACTIVATIONS[name].module()(z)
        (slope,) = torch.autograd.grad(value.sum(), z)
        near(found, torch.stack([value, slope], dim=1).tolist())


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda n: "-".join(map(str, CASES[n])))
def test_forward_backward_and_training_are_torchs(browser, case):
    task, optimiser, activations, seed = CASES[case]
    chain = chain_of(task, activations, seed)
    x, y = make_rows(task, chain.layers[0].in_features, seed)
    found = browser["networks"][case]
    moves = make_optimiser(optimiser, list(chain.parameters()), 0.01, 0.0)
    for step in range(STEPS):
        moves.clear()
        output = chain(x)[:, 0]
        loss = loss_of(task, output, y)
        loss.backward()
        if step == 0:
            near(found["first"]["output"], output.tolist())
            near(found["first"]["loss"], loss.item())
            for layer, ours in zip(chain.layers, found["first"]["gradient"], strict=True):
                near(ours["weight"], layer.weight.grad.tolist())
                near(ours["bias"], layer.bias.grad.tolist())
        moves.step()
    for layer, ours in zip(chain.layers, found["trained"], strict=True):
        near(ours["weight"], layer.weight.tolist())
        near(ours["bias"], layer.bias.tolist())
    near(found["loss"], loss_of(task, chain(x)[:, 0], y).item())


@pytest.mark.parametrize("depth", range(1, 6))
def test_the_one_matrix_is_the_librarys(browser, depth):
    chain = nn.Sequential(*collapse_case(depth).layers)
    collapse = wa.collapse_linear(chain)
    found = browser["collapses"][depth - 1]
    near(found["layer"]["weight"], collapse.weight.tolist())
    near(found["layer"]["bias"], collapse.bias.tolist())
    assert found["distance"] < 1e-9


@pytest.mark.parametrize("case", range(4), ids=["overlapping", "separable", "regression", "one x"])
def test_the_linear_floor_is_the_librarys(browser, case):
    x, y, task = list(floor_cases())[case]
    found = browser["floors"][case]
    kind = Task.CLASSIFICATION if task == "classification" else Task.REGRESSION
    labels = y.long() if task == "classification" else y[:, None].float()
    x = x.float()
    classes = {"classes": ("0", "1")} if task == "classification" else {}
    floor = wa.linear_floor(Dataset("points", x, labels, x, labels, kind, **classes))
    near(found["loss"], floor.loss)
    assert found["attained"] is (floor.attained is True)
    if floor.attained:
        line = torch.cat([floor.weight, floor.bias[:, None]], dim=1)
        line = line[1] - line[0] if task == "classification" else line[0]
        near(found["weight"] + [found["bias"]], line.tolist())


def test_the_generator_is_mulberry32(browser):
    mask, state, wanted = 0xFFFFFFFF, 7, []
    for _ in range(50):
        state = (state + 0x6D2B79F5) & mask
        t = ((state ^ (state >> 15)) * (1 | state)) & mask
        t = ((t + (((t ^ (t >> 7)) * (61 | t)) & mask)) & mask) ^ t
        wanted.append(((t ^ (t >> 14)) & mask) / 2**32)
    assert browser["random"] == wanted
    assert 0.3 < math.fsum(wanted) / 50 < 0.7


def test_a_formula_is_read_as_it_is_meant(browser):
    near(browser["formulas"], ANSWERS)


def test_what_is_no_formula_is_refused_at_its_place(browser):
    assert all(isinstance(place, int) for place in browser["refused"]), dict(
        zip(REFUSED, browser["refused"], strict=True)
    )
    assert browser["refused"][REFUSED.index("2 x")] == 3
    assert browser["refused"][REFUSED.index("x.constructor")] == 2


def test_a_run_that_diverges_stops_while_all_is_finite(browser):
    assert browser["wild"]["diverged"]
    assert math.isfinite(browser["wild"]["loss"])  # JSON would have made null of NaN
    assert all(isinstance(value, (int, float)) for value in browser["wild"]["output"])


def test_a_bend_is_found_where_there_is_an_activation(browser):
    assert browser["bend"] > 1e-3


def test_two_kinks_on_a_line_make_three_regions(browser):
    assert browser["regions"][0] == {"labels": [0, 0, 1, 1, 2], "count": 3}


def test_where_the_map_stays_the_same_it_is_one_region(browser):
    assert browser["regions"][1] == {"labels": [0, 0, 0, 1], "count": 2}


def test_the_linear_regions_are_the_librarys(browser):
    ends = (torch.tensor([end], dtype=torch.float64) for end in (-2.4, 2.4))
    wanted = len(regions_along(line_network(), *ends).regions)
    assert wanted > 4
    assert browser["regions"][2]["count"] == wanted
