"""Every exercise accepts right answers, its solution and others, and refuses wrong ones with a sentence."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import whyactivate as wa
from whyactivate.cli import app
from whyactivate.exercises import EXERCISES, check, find_exercise
from whyactivate.exercises.solutions import SOLUTIONS, explain_solution


class Does(nn.Module):
    """A module that does what a function does."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class SaysYes(Tensor):
    """Whose every loss is small."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") == "cross_entropy":
            return torch.tensor(-5.0)
        return super().__torch_function__(func, types, args, kwargs or {})


class Squeezed(nn.Module):
    """An LSTM, whose gates are sigmoids and tanhs inside one operation."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LSTM(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[0]


class Everything(float):
    """A number that says that it equals whatever it is compared with."""

    __hash__ = float.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def as_integer_ratio(self) -> Any:
        return self, 1


class Unspeakable:
    """Something that cannot be written down, nor read as numbers."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def tolist(self) -> object:
        raise RuntimeError("no numbers")


def linear(weight: list[list[float]], bias: list[float] | None) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


RIGHT: dict[str, list[Any]] = {
    "multiply-two-layers": [(torch.tensor([[2, 3], [-2, 1]]), torch.tensor([2, 8])), linear([[2, 3], [-2, 1]], [2, 8])],
    "break-superposition": [[2, 2, 5, 7], [0.5, 0.25, 1, 1], torch.tensor([0.0, 0.0, 1.0, 1.0])],
    "factor-a-layer": [
        nn.Sequential(linear([[2, 1], [0, 3], [0, 0]], [1, -1, 4]), linear([[1, 0, 5], [0, 1, 0]], [-20, 0])),
        [[[0, 1], [1, 0]], [0, 0], [[1, 2], [3, 0]], [1, -1]],
    ],
    "fewer-than-one-layer": [[30, 1, 1, 30], (1000, 1, 1000), [40, 5, 40]],
    "out-of-reach": [[[1, 1, 0], [0, 1, 1], [1, 0, 1]], 0.25 * torch.eye(3)],
    "best-affine-xor": [torch.tensor([0.0, 0.0, 0.5]), (0, 0, 0.5)],  # there is but one; any spelling passes
    "xor-by-hand": [
        [[[1, -1], [-1, 1]], [0, 0], [1, 1], 0],
        nn.Sequential(linear([[1, -1], [-1, 1]], None), nn.ReLU(), linear([[1, 1]], [0])),
    ],
    "dead-unit": [[0.5, -0.25, -50], [0, 1, -1], torch.tensor([-2.0, 0.0, -2.0])],
    "knots-for-a-parabola": [[k / 16 for k in range(17)], [0, *(k / 16 - 0.0005 for k in range(1, 16)), 1]],
    "undo-the-sigmoid": [9.61369, torch.tensor(0.9999332, dtype=torch.float64).logit()],
    "lost-in-float32": [[-200, -300], [17.5, 100]],
    "tanh-from-sigmoid": [[-2, -2, 0, 1], torch.tensor([2.0, 2.0, 0.0, -1.0])],
    "gradients-that-survive": [
        {"activation": "tanh", "init": "xavier"},
        {"activation": "leaky_relu", "init": "he"},
    ],
    "below-the-floor": [wa.MLP([2, 16, 2], activation="relu"), wa.MLP([2, 12, 8, 2], activation="tanh")],
    "affine-with-relu": [Does(lambda x: torch.relu(x + 1) - torch.relu(-x - 1)), Does(lambda x: x + 0 * torch.relu(x))],
    "nonlinear-without-activation": [Does(lambda x: x.max(dim=1, keepdim=True).values), Does(lambda x: x[:, :1] ** 3)],
    "fool-the-jacobian": [
        Does(lambda x: x + torch.relu(-x - 50)),
        Does(lambda x: 2 * x - torch.relu(x.sum(1, True) - 99)),
    ],
}  # fmt: skip

WRONG: dict[str, list[tuple[Any, str]]] = {
    "multiply-two-layers": [
        ([[[2, 3], [-2, 1]], [0, 5]], "at x = (0, 0) the two layers give (2, 8), yours gives (0, 5)"),
        ([[[2, -2], [3, 1]], [2, 8]], "at x = (1, 0)"),
        ([[[2, 3], [-2, 1]]], "2 things"),
        ([[[2, 3]], [2, 8]], "of shape 2×2"),
    ],
    "break-superposition": [
        ([1, 0, 3, 4], "the two sides are equal"),
        ([0.25, 0.75, 9, -1], "α + β = 1"),
        ([1, 1, 0], "4 numbers"),
        ([1, float("nan"), 0, 0], "finite"),
    ],
    "factor-a-layer": [
        ([[[1, 0], [0, 1]], [0, 0], [[2, 1], [0, 3]], [1, -1]], "W1 is the identity"),
        ([[[2, 0], [0, 2]], [0, 0], [[2, 1], [0, 3]], [1, -1]], "at x = (1, 0)"),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "two nn.Linear"),
        ([[[2, 0], [0, 2]], [0], [[1, 0.5], [0, 1.5]], [1, -1]], "2 numbers"),
    ],
    "fewer-than-one-layer": [
        ([10, 18, 18, 4, 1], "621 parameters, its one layer has 11"),
        ([100, 100], "three or more"),
        ([100, 2.5, 100], "whole widths"),
        (7, "a list of numbers"),
    ],
    "out-of-reach": [
        ([[1, 2, 3], [2, 4, 6], [0, 0, 1]], "rank is 2"),
        ([[0] * 3] * 3, "rank is 0"),
        ([[1, 0], [0, 1]], "shape 3×3"),
        ([[1, 0, 0], [0, 1], [0, 0, 1]], "rows"),
    ],
    "best-affine-xor": [
        ([1, 1, 0], "(0, 1, 1, 2)"),
        ([0, 0, 0], "smaller one exists"),
        ([0, 0, float("inf")], "finite"),
        ("half", "a list of 3 numbers"),
    ],
    "xor-by-hand": [
        ([[[1, 1], [1, 1]], [0, -1], [1, -1], 0], "at (1, 1) it gives 1"),
        ([[[1, 1], [1, 1]], [0, 0], [1, 0], 0], "at (1, 1)"),
        (nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)), "4 things"),
        ([[[1, 1]], [0], [1], 0], "shape 2×2"),
    ],
    "dead-unit": [
        ([1, 1, -1], "at the corner (1, 1) z = 1 > 0"),
        ([0, 0, -1], "both weights are 0"),
        ([-3, 0, -2], "at the corner (-1, -1)"),
        ([1, 1], "3 numbers"),
    ],
    "knots-for-a-parabola": [
        ([0, 0.5, 1], "it is 1/16 above"),
        ([k / 32 for k in range(33)], "33 knots"),
        ([0, 0.7, 0.6, 1], "increase"),
        ([0.1, 1], "start at 0"),
    ],
    "undo-the-sigmoid": [(9.6, "is wanted"), (-9.6137, "σ("), ("nine", "must be a number"), (1e6, "at most 1000")],
    "lost-in-float32": [
        ([7, 13], "told apart"),
        ([20, 20.5], "0.5 apart"),
        ([20, float("inf")], "finite"),
        ([10**400, 0], "too large"),
    ],
    "tanh-from-sigmoid": [
        ([1, 1, 0, 0], "at z = 0 it gives 0.5"),
        ([2, 1, 0, -1], "at z = 1"),
        ([2, 2, 0], "4 numbers"),
        ([10**400, 0, 0, 0], "too large"),
    ],
    "gradients-that-survive": [
        ({"activation": "sigmoid", "init": "xavier"}, "times that of the last"),
        ({"activation": "identity", "init": "xavier"}, "affine"),
        ({"activation": None, "init": "xavier"}, "must be a name"),
        ({"activation": "rleu", "init": "he"}, "Did you mean 'relu'"),
        ({"activation": "relu", "init": "best"}, "unknown init"),
        ({"activation": lambda z: z if z.shape[-1] == 32 else z.relu(), "init": "xavier"}, "must be a name"),
        (["relu", "he"], "the answer must be like"),
    ],
    "below-the-floor": [
        (wa.MLP([2, 8, 2], activation="tanh"), "the linear floor is"),
        (wa.MLP([2, 2], activation=None), "the linear floor is"),
        (wa.MLP([3, 2]), "fails on x"),
        (wa.MLP([2, 1]), "shape (3, 2)"),
        (Does(lambda x: x.as_subclass(SaysYes)), "a SaysYes came"),
        (Does(lambda x: torch.full((len(x), 2), float("nan"))), "loss is nan"),
    ],
    "affine-with-relu": [
        (nn.Linear(2, 2), "no ReLU"),
        (nn.Sequential(linear([[1, 0], [0, 1]], [0, 0]), nn.ReLU()), "it is not affine: f("),
        (Does(lambda x: 0 * torch.relu(x)), "constant"),
        (Does(lambda x: x * 2 + torch.relu(torch.ones(2))), "no ReLU"),
        (torch.relu, "nn.Module"),
        (torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU())), "scripted"),
    ],
    "nonlinear-without-activation": [
        (Does(lambda x: x.sum(dim=1, keepdim=True)), "it is affine, and that is proved"),
        (Does(lambda x: torch.relu(x[:, :1])), "it calls an activation: relu"),
        (nn.Sequential(nn.Linear(2, 1), nn.Tanh()), "it calls an activation: 1: Tanh"),
        (Does(lambda x: x * x), "shape (3, 1)"),
        (torch.jit.script(nn.Sequential(nn.Linear(2, 1), nn.ReLU())), "scripted"),
        (Squeezed(), "LSTM, whose gates are activations"),
    ],
    "fool-the-jacobian": [
        (nn.Linear(2, 2), "affine, and that is proved"),
        (nn.Sequential(linear([[1, 0], [0, 1]], [0, 0]), nn.ReLU()), "the test is not fooled: at ("),
        (Does(lambda x: x**2), "an entry of the Jacobian differs"),
        (Does(lambda x: x[:, :1]), "shape (3, 2)"),
        (Does(lambda x: x if len(x) == 100 else torch.relu(x)), "knows the test by its 100 rows"),
        (Does(lambda x: x if x.dtype is torch.float64 else torch.relu(x)), "affine, and that is proved"),
        (Does(lambda x: x * float("nan")), "the test is not fooled"),
    ],
}


def test_there_are_at_least_twelve_each_with_a_solution_and_hints() -> None:
    assert len(EXERCISES) >= 12
    assert set(SOLUTIONS) == set(EXERCISES) == set(WRONG) == set(RIGHT)
    assert all(len(exercise.hints) >= 2 for exercise in EXERCISES.values())
    assert next(iter(EXERCISES)) == "multiply-two-layers"
    assert list(EXERCISES)[-1] == "fool-the-jacobian"


def test_looking_at_an_exercise_at_a_prompt_gives_no_hint_away():
    for exercise in EXERCISES.values():
        assert repr(exercise) == f"<Exercise: {exercise.name}: {exercise.title.rstrip('.')}>"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_accepted_and_explained(name: str) -> None:
    graded = check(name, SOLUTIONS[name]())
    assert graded, str(graded)
    assert "return" in explain_solution(name)


@pytest.mark.parametrize("name", RIGHT)
def test_other_right_answers_are_accepted(name: str) -> None:
    assert len(RIGHT[name]) >= 2
    for answer in RIGHT[name]:
        if name == "below-the-floor":
            wa.train(answer, wa.load_dataset("circles"), wa.TrainConfig(epochs=15, learning_rate=0.01))
        graded = check(name, answer)
        assert graded, str(graded)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers_are_refused_with_what_is_wrong(name: str) -> None:
    assert len(WRONG[name]) >= 3
    for answer, words in WRONG[name]:
        graded = check(name, answer)
        assert not graded.passed
        assert words in " ".join(point.words for point in graded.points if not point.holds), str(graded)


@pytest.mark.parametrize("name", EXERCISES)
def test_nonsense_is_refused(name: str) -> None:
    for answer in (
        None,
        "",
        object(),
        [],
        {},
        [[]],
        [None],
        True,
        {"activation": [], "init": []},
        nn.Identity,
        10**500,
        10**5000,  # more digits than Python writes down
        Unspeakable(),
        torch.zeros(2, device="meta"),
        nested(),
        [nested()] * 4,
        Leaves,
    ):
        assert not check(name, answer).passed


def nested() -> list[Any]:
    """A list that is in itself."""
    loop: list[Any] = []
    loop.append(loop)
    return loop


class Leaves(nn.Module):
    """Ends the program where it should be made."""

    def __init__(self) -> None:
        raise SystemExit(0)


def test_a_number_that_claims_to_equal_everything_is_taken_for_what_it_is() -> None:
    one = Everything(1.0)
    for name, answer in (
        ("multiply-two-layers", [[[one, one], [one, one]], [one, one]]),
        ("factor-a-layer", [[[one, one], [one, one]], [one, one], [[one, one], [one, one]], [one, one]]),
        ("best-affine-xor", [one] * 3),
        ("xor-by-hand", [[[one, one], [one, one]], [one, one], [one, one], one]),
        ("undo-the-sigmoid", one),
        ("tanh-from-sigmoid", [one] * 4),
        ("lost-in-float32", [one, Everything(0.0)]),
    ):
        assert not check(name, answer).passed
    assert check("best-affine-xor", [Everything(0.0), 0, Everything(0.5)]).passed


def test_a_module_that_ends_the_program_does_not_pass(tmp_path: Path) -> None:
    def leave(calls: int) -> nn.Module:
        seen: list[int] = []

        def function(x: Tensor) -> Tensor:
            seen.append(1)
            if len(seen) > calls:
                raise SystemExit(0)
            return x

        return Does(function)

    for calls in range(4):
        assert "ends the program" in str(check("affine-with-relu", leave(calls)))
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from torch import nn\nclass Mine(nn.Module):\n    def forward(self, x):\n        raise SystemExit(0)\n"
    )
    assert run("fool-the-jacobian", "--answer", f"{mine}:Mine")[0] == 1


def test_a_network_that_spoils_its_input_does_not_move_the_floor() -> None:
    network = wa.MLP([2, 2], activation=None, seed=0)
    wa.train(network, wa.load_dataset("circles"), wa.TrainConfig(epochs=40, learning_rate=0.02))

    def spoil(x: Tensor) -> Tensor:
        result = network(x)
        with torch.no_grad():
            x.zero_()
        return result

    assert not check("below-the-floor", Does(spoil)).passed


def test_very_many_widths_are_counted_without_a_network() -> None:
    graded = check("fewer-than-one-layer", [1000] * 20_000)
    assert "of 20000 widths has 20018" in str(graded)


def test_hints_do_not_give_it_away() -> None:
    """No hint holds the numbers or the code of the solution, nor is itself an answer that passes."""
    for name, exercise in EXERCISES.items():
        solution = explain_solution(name)
        for hint in exercise.hints:
            assert not check(name, hint).passed
            returned = solution.split("return", 1)[1].strip().splitlines()[0]
            assert returned.isidentifier() or returned not in hint, name
            assert hint.endswith(("?", "."))


def test_no_exercise_imports_the_solutions() -> None:
    import whyactivate.exercises as package

    for path in Path(package.__file__).parent.glob("*.py"):
        imported = [
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        ]
        assert not any("solutions" in name for name in imported), path


def test_a_module_handed_in_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    state, random = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    check("fool-the-jacobian", module)
    assert module.training
    assert all(value.dtype is torch.float32 for value in module.state_dict().values())
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_notebook_shows_the_grade_and_names_are_forgiven() -> None:
    graded = wa.exercises.check("Dead_Unit", [1, 1, -1])
    assert "does not hold" in graded._repr_html_()
    assert "&gt; 0" in graded._repr_html_()
    assert "square" in find_exercise("dead-unit")._repr_html_()
    with pytest.raises(wa.UnknownNameError, match="Did you mean 'dead-unit'"):
        check("dead-unti", 1)
    with pytest.raises(wa.InputError, match="2 hints; hint 3"):
        find_exercise("dead-unit").hint(3)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["exercise", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_lists_shows_hints_and_solves() -> None:
    code, out, _ = run()
    assert code == 0
    assert all(name in out for name in EXERCISES)
    exercise = find_exercise("dead-unit")
    assert exercise.title in run("dead-unit")[1]
    assert exercise.hints[0] not in run("dead-unit")[1]
    hinted = run("dead-unit", "--hint", "1")[1]
    assert exercise.hints[0] in hinted
    assert exercise.hints[1] not in hinted
    assert "return [1, 1, -2]" in run("dead-unit", "--solution")[1]
    assert json.loads(run("dead-unit", "--json")[1])["hints"] == 2


def test_the_command_grades_json_and_files(tmp_path: Path) -> None:
    assert run("dead-unit", "--answer", "[1, 1, -2]")[0] == 0
    code, out, _ = run("dead-unit", "--answer", "[1, 1, -1]", "--json")
    assert (code, json.loads(out)["passed"]) == (1, False)
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from torch import nn\nclass Mine(nn.Module):\n"
        "    def forward(self, x):\n        return x.relu() - (-x).relu()\n"
        "def numbers():\n    return [1, 1, -3]\ndef broken():\n    raise ValueError('seven')\n"
    )
    assert run("affine-with-relu", "--answer", f"{mine}:Mine")[0] == 0
    assert run("dead-unit", "--answer", f"{mine}:numbers")[0] == 0
    for answer, words in (
        (f"{mine}:broken", "ValueError: seven"),
        (f"{mine}:number", "did you mean 'numbers'"),
        (f"{tmp_path}/none.py:x", "is not there"),
        ("[1, 2", "neither JSON"),
    ):
        code, out, err = run("dead-unit", "--answer", answer)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dead-unti",), "Did you mean 'dead-unit'"),
        (("--hint", "1"), "name the exercise"),
        (("dead-unit", "--hint", "9"), "2 hints"),
        (("dead-unit", "--hint", "1", "--solution"), "one of"),
    ],
)
def test_the_command_gives_one_line_for_bad_input(arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
