"""What each activation of a module adds: taken out one at a time, and all together."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

import whyactivate as wa
from figure_checks import told_by_colour_alone, untidy
from whyactivate.ablation.calls import find_activation_modules, find_calls, without
from whyactivate.cli import app

ROW = torch.zeros(2, 6)


class Swish(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)


class Mixed(nn.Module):
    """An activation of one's own, one of a weight, functions in three spellings, and what is no activation."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.fc4 = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.swish, self.scale, self.norm = Swish(), nn.Parameter(torch.ones(8)), nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.swish(self.fc1(x)) * torch.tanh(self.scale)
        x = torch.relu(self.fc2(x))
        x = self.norm(self.fc3(x)).clamp(min=0)
        return F.softmax(self.fc4(x).relu_(), dim=1)


def copy_without(module: nn.Module, example: torch.Tensor, *indices: int) -> nn.Module:
    return without(module, indices, find_activation_modules(module, (example,), {}))


def test_the_articles_network_becomes_one_layer_of_eleven_parameters() -> None:
    ablation = wa.ablate(wa.SimpleModel("relu"), torch.zeros(2, 10))
    assert [single.newly_one_layer for single in ablation.singles] == [
        (("fc1", "fc2"),), (("fc2", "fc3"),), (("fc3", "fc4"),)
    ]  # fmt: skip
    folded = [[10, 18, 4, 1], [10, 18, 4, 1], [10, 18, 18, 1]]
    assert [single.parameters for single in ablation.singles] == [wa.parameter_count(wa.MLP(w)) for w in folded]
    assert (ablation.parameters, ablation.none_left.parameters, ablation.none_left.surplus) == (621, 11, 610)
    assert (ablation.none_left.verdict, ablation.none_left.effective) == (wa.Verdict.AFFINE, 1)
    assert (ablation.whole.surplus, ablation.whole.effective, ablation.stays) == (0, 4, ())


def test_what_is_taken_out_is_that_call_and_nothing_else() -> None:
    torch.manual_seed(0)
    module, x = wa.MLP([6, 8, 8, 3], activation="tanh"), torch.randn(5, 6)
    first, second, third = module.layers
    for left_out, hidden in (
        ((0,), lambda: third(second(first(x)).tanh())),
        ((1,), lambda: third(second(first(x).tanh()))),
        ((0, 1), lambda: third(second(first(x)))),
    ):
        own = copy_without(module, x, *left_out)
        assert torch.equal(own(x), hidden())
        assert torch.equal(own(x), hidden())  # and the next run counts anew


def test_activations_are_found_however_they_are_spelt() -> None:
    ablation = wa.ablate(Mixed(), ROW)
    assert [str(call) for call in ablation.activations] == ["swish: Swish", "relu, call 1", "clamp", "relu, call 2"]
    assert ablation.none_left.newly_one_layer == (("fc1", "fc2", "fc3"),)
    assert len(ablation.stays) == 2
    assert "layer_norm" in ablation.stays[0]
    assert "softmax" in ablation.stays[1]
    assert ablation.none_left.verdict is wa.Verdict.NOT_AFFINE


def test_what_is_no_activation_is_not_taken_out() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten(), nn.Softmax(1)).eval()
    ablation = wa.ablate(module, torch.zeros(2, 1, 8, 8))
    assert ablation.singles == ()
    assert ablation.none_left is ablation.whole
    assert len(ablation.stays) == 2
    assert "No activation was found" in str(ablation)


def test_the_inside_of_a_fused_layer_stays_and_is_named() -> None:
    ablation = wa.ablate(nn.LSTM(4, 3, batch_first=True), torch.zeros(2, 5, 4))
    assert ablation.singles == ()
    assert "lstm" in ablation.stays[0]


def test_a_prelu_goes_with_its_parameters() -> None:
    ablation = wa.ablate(nn.Sequential(nn.Linear(4, 4), nn.PReLU(4), nn.Linear(4, 4)), torch.zeros(2, 4))
    assert (ablation.parameters, ablation.none_left.parameters) == (44, 20)


class Traced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.act = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 2), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc3(torch.relu(self.fc2(self.act(self.fc1(x)))))


def test_a_recorded_program_is_rewritten() -> None:
    ablation = wa.ablate(torch.fx.symbolic_trace(Traced()), ROW)
    assert [str(call) for call in ablation.activations] == ["act: ReLU", "relu"]
    assert [single.newly_one_layer for single in ablation.singles] == [(("fc1", "fc2"),), (("fc2", "fc3"),)]
    assert [single.parameters for single in ablation.singles] == [74, 74]
    assert (ablation.none_left.parameters, ablation.none_left.verdict) == (14, wa.Verdict.AFFINE)


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_an_exported_relu6_is_called_one() -> None:
    """Export writes it as the operation that it shares with hardtanh."""
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU6(), nn.Linear(4, 4), nn.Hardtanh(), nn.Linear(4, 4))
    exported = torch.export.export(network, (torch.zeros(3, 4),)).module()
    assert [str(call) for call in find_calls(exported, (torch.zeros(3, 4),), {}, {})] == ["relu6", "hardtanh"]


def test_a_scripted_module_says_what_stays() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)))
    ablation = wa.ablate(scripted, torch.zeros(2, 3))
    assert ablation.singles == ()
    assert "relu" in ablation.stays[0]


def test_a_shared_activation_is_taken_out_call_by_call() -> None:
    x = torch.randn(3, 10)
    module = wa.SimpleModel("sigmoid")
    calls = find_calls(module, (x,), {}, find_activation_modules(module, (x,), {}))
    assert [(call.module, call.number, call.repeated) for call in calls] == [
        ("activation", number, True) for number in (1, 2, 3)
    ]


def test_the_losses_are_those_of_the_network_and_of_retraining_it() -> None:
    data, config = wa.load_dataset("moons"), wa.TrainConfig(epochs=3, seed=1)
    module = wa.MLP([2, 8, 8, 2], activation="tanh")
    ablation = wa.ablate(module, data=data, config=config)
    with torch.no_grad():
        loss = F.cross_entropy(module(data.train_x), data.train_y).item()
    for each in (ablation.whole, *ablation.singles, ablation.none_left):
        assert each.losses is not None
    assert ablation.whole.losses.train == pytest.approx(loss, rel=1e-6)
    twin = copy.deepcopy(module)
    alone = wa.train(twin, data, config).train_loss[-1]  # a plain MLP: another order of sums
    assert [run.seed for run in ablation.whole.losses.retrained] == [1, 2, 3] == list(ablation.seeds)
    assert ablation.whole.losses.retrained[0].train == pytest.approx(alone, rel=1e-5)
    plain = wa.MLP([2, 8, 8, 2], activation=None)
    plain.load_state_dict(module.state_dict(), strict=False)
    history = wa.train(plain, data, config)
    assert ablation.none_left.losses.train == pytest.approx(history.train_loss[0], rel=1e-6)
    assert ablation.none_left.losses.retrained[0].train == pytest.approx(history.train_loss[-1], rel=1e-5)
    assert ablation.floor == wa.linear_floor(data).loss
    assert ablation.none_left.losses.retrained_train > ablation.floor


def test_what_an_activation_is_worth_is_told_seed_by_seed() -> None:
    data, config = wa.load_dataset("moons"), wa.TrainConfig(epochs=2)
    ablation = wa.ablate(wa.MLP([2, 8, 2], activation="tanh"), data=data, config=config, seeds=[5, 9])
    (single,) = ablation.singles
    own, whole = (each.losses.retrained for each in (single, ablation.whole))
    assert ablation.cost(single) == tuple(a.train - b.train for a, b in zip(own, whole, strict=True))
    assert len(set(ablation.cost(single))) == 2
    low, high = sorted(run.train for run in own)
    assert single.losses.retrained_train == pytest.approx((low + high) / 2)
    assert f"({low:.4g} to {high:.4g} over 2 seeds" in str(ablation)
    assert "beside the module as it is, retrained alike:" in str(ablation)
    assert ablation.to_dict()["seeds"] == [5, 9]


def test_the_figures_show_losses_with_data_and_layers_without() -> None:
    module, data = wa.MLP([2, 8, 8, 2], activation="tanh"), wa.load_dataset("moons")
    ablation = wa.ablate(module, data=data, config=wa.TrainConfig(epochs=1), seeds=[0])
    axes = ablation.plot().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "as it is", "without activation: Tanh, call 1", "without activation: Tanh, call 2", "without all of them"
    ]  # fmt: skip
    drawn = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "s" and len(line.get_xdata())]
    assert drawn == [each.losses.train for each in (ablation.whole, *ablation.singles, ablation.none_left)]
    plain = wa.ablate(module, torch.zeros(2, 2)).plot()
    assert untidy(ablation.plot()) == untidy(plain) == []
    assert told_by_colour_alone(ablation.plot()) == []
    assert [bar.get_width() for bar in plain.axes[0].patches] == [3, 2, 2, 1]
    assert plain._supxlabel.get_text().startswith(f"whyactivate {wa.__version__}, MLP, 114 parameters")


def test_retraining_that_diverges_is_told() -> None:
    data, config = wa.load_dataset("sine"), wa.TrainConfig(epochs=30, optimizer="sgd", learning_rate=100.0)
    ablation = wa.ablate(wa.MLP([1, 4, 1], activation=None), data=data, config=config)
    assert ablation.whole.losses.retrained_train is None
    assert "diverged" in str(ablation)


def test_the_module_and_the_random_state_stay_as_they_were() -> None:
    module = Mixed()
    kinds = [type(part) for part in module.modules()]
    state, random = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    wa.ablate(module, ROW)
    assert [type(part) for part in module.modules()] == kinds
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert module.training
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("relu",), "nn.Module; what came is of type str"),
        ((wa.SimpleModel(), "rows"), "example"),
        ((wa.SimpleModel(), torch.zeros(2, 9)), "forward raised"),
        ((wa.SimpleModel(), None, wa.load_dataset("moons")), "10"),
        ((wa.SimpleModel(), None, [1, 2]), "data must be a Dataset"),
        ((wa.SimpleModel(), None, wa.load_dataset("article"), 50), "config must be a TrainConfig"),
        ((wa.SimpleModel(), torch.zeros(2, 10), None, wa.TrainConfig()), "retraining needs data"),
        ((wa.SimpleModel(), torch.zeros(2, 10), None, None, [1]), "retraining needs data"),
        ((wa.SimpleModel(), None, wa.load_dataset("article"), None, []), "seeds is empty"),
        ((wa.SimpleModel(), None, wa.load_dataset("article"), None, 0), "seeds"),
        ((wa.SimpleModel(), None, wa.load_dataset("article"), None, [-1]), "seed"),
    ],
)
def test_nonsense_gets_a_clear_line(arguments: tuple[object, ...], words: str) -> None:
    *arguments, seeds = (*arguments, None) if len(arguments) < 5 else arguments
    with pytest.raises(wa.InputError, match=words):
        wa.ablate(*arguments, seeds=seeds)


def run(*arguments: str, folder: Path | None = None) -> tuple[int, str, str]:
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["ablate", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_answers_for_the_articles_network(tmp_path: Path) -> None:
    code, out, _ = run("whyactivate:SimpleModel")
    assert code == 0
    assert "610 parameters are surplus" in out
    folder = ["--out", str(tmp_path / "figures")]
    code, out, _ = run(
        "whyactivate:SimpleModel", "--data", "article", "--epochs", "2", "--seeds", "2", "--json", *folder
    )
    answer = json.loads(out)
    assert (code, answer["none_left"]["parameters_folded"], answer["epochs"]) == (0, 11, 2)
    assert answer["none_left"]["losses"]["retrained_train"] >= answer["floor"]
    assert math.isfinite(answer["whole"]["losses"]["test"])
    assert answer["seeds"] == [0, 1]
    assert sorted(Path(name).name for name in answer["files"]) == ["ablation.png", "ablation.svg"]
    assert all(Path(name).stat().st_size > 5000 for name in answer["files"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("whyactivate:SimpleModel", "--epochs", "3"), "--epochs is for retraining"),
        (("whyactivate:SimpleModel", "--seeds", "3"), "--seeds is for retraining"),
        (("whyactivate:SimpleModel", "--data", "moon"), "Did you mean 'moons'"),
        (("whyactivate:SimpleModel", "--data", "moons"), "10"),
        (("whyactivate:SimplModel",), "did you mean"),
    ],
)
def test_the_command_gives_one_line_for_bad_input(arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
