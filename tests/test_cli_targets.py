"""`whyactivate inspect` and `whyactivate collapse` on modules that somebody's code makes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner, Result

import whyactivate as wa
from whyactivate.cli import app

CODE = """
import torch
from torch import nn

class Slip(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.hidden, self.head = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.hidden(torch.relu(self.stem(x))))

def sound():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))

def convolutions():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))

class Peeks(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum().item() > 0 else x

class Talks(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        print("I was given", len(x), "rows")
        return self.b(torch.relu(self.a(x)))

def tokens():
    return nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))

def loads():
    raise RuntimeError("there are no weights at model.ckpt")

def lazy():
    return nn.Sequential(nn.LazyLinear(2))

def takes(path):
    return nn.Linear(2, 2)

number = 3

class Names(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, ids, x):
        return self.layer(x) + ids[:, :1]
"""


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "their_nets", raising=False)
    (tmp_path / "their_nets.py").write_text(CODE)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments])


class TestInspect:
    def test_a_forgotten_activation_is_named_and_ends_with_1(self) -> None:
        result = run("inspect", "their_nets:Slip", "--input", "8,6")
        assert result.exit_code == 1
        assert "Slip: 3 layers deep as written, 2 in effect" in result.stdout
        assert "one layer: hidden · head" in result.stdout
        assert "stem's output goes through relu here" in result.stdout
        assert "becomes Linear(5, 2)" in result.stdout

    def test_a_sound_network_ends_with_0(self) -> None:
        result = run("inspect", "their_nets:sound", "--input", "8,6")
        assert result.exit_code == 0
        assert "2 layers deep as written, 2 in effect" in result.stdout

    def test_the_input_may_be_left_out_where_the_first_layer_tells_it(self) -> None:
        assert run("inspect", "their_nets:sound").exit_code == 0
        result = run("inspect", "their_nets:convolutions")
        assert result.exit_code == 2

    @pytest.mark.parametrize(("pattern", "ends"), [("head", 0), ("h*", 0), ("hidden", 0), ("stem", 1), ("HEAD", 1)])
    def test_layers_that_are_meant_to_be_one_are_allowed_by_pattern(self, pattern: str, ends: int) -> None:
        assert run("inspect", "their_nets:Slip", "--allow", pattern).exit_code == ends

    def test_a_pattern_that_covers_nothing_is_named(self):
        named = run("inspect", "their_nets:Slip", "--allow", "encoder.*", "--allow", "hidden").stdout
        assert "--allow encoder.*: no layer of that name" in named
        assert "--allow hidden: no layer" not in named

    def test_what_cannot_be_followed_ends_with_3(self) -> None:
        result = run("inspect", "their_nets:Peeks", "--input", "2,3")
        assert result.exit_code == 3
        assert "could not be followed" in result.stdout

    def test_named_inputs_and_dtypes(self) -> None:
        assert run("inspect", "their_nets:Names", "--input", "ids=2,3:int64", "--input", "x=2,4").exit_code == 0

    def test_json_says_the_same_to_machines(self) -> None:
        result = run("inspect", "their_nets:Slip", "--input", "8,6", "--json")
        assert result.exit_code == 1
        found = json.loads(result.stdout)
        assert found["depth"] == {"written": 3, "effective": 2}
        assert found["one_layer"] == found["not_allowed"] == [["hidden", "head"]]
        assert (found["verdict"], found["complete"]) == ("not_affine", True)
        (blame,) = found["blame"]
        assert blame["op"] == "aten.relu.default"
        assert blame["source"].rpartition(":")[0].endswith("their_nets.py")
        assert found["plan"]["before"]["multiply_adds"] > found["plan"]["after"]["multiply_adds"]

    def test_the_keys_of_json_stay_as_the_page_says(self) -> None:
        found = json.loads(run("inspect", "their_nets:Slip", "--json").stdout)
        assert list(found) == [
            "target", "module", "verdict", "per_example", "complete", "depth", "one_layer", "blame", "counterexample",
            "notes", "plan", "not_allowed",
        ]  # fmt: skip
        assert list(found["plan"]) == ["module", "runs", "reason", "before", "after"]
        assert list(found["plan"]["runs"][0]) == ["run", "before", "after", "becomes", "reason", "notes"]
        page = (Path(__file__).parents[1] / "docs/en/how-to/check-your-model.md").read_text()
        assert all(f"`{key}`" in page for key in (*found, *found["plan"]["runs"][0]))

    @pytest.mark.parametrize("command", ["inspect", "collapse", "ablate"])
    def test_what_a_forward_prints_does_not_get_into_the_answer(self, command: str) -> None:
        result = run(command, "their_nets:Talks", "--json")
        json.loads(result.stdout)
        assert "I was given" in result.stderr

    def test_an_exported_program_is_inspected(self, code: Path) -> None:
        module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2)).eval()
        program = torch.export.export(
            module, (torch.randn(2, 3),), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},)
        )
        torch.export.save(program, "net.pt2")
        result = run("inspect", "net.pt2")
        assert result.exit_code == 1
        assert "one layer: 2 · 3" in result.stdout

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["their_nets:Slipp"], "did you mean 'Slip'?"),
            (["their_nets:Slip", "--input", "8;6"], "is not a shape"),
            (["their_nets:Slip", "--input", "8,7"], "forward raised"),
            (["their_nets"], "is not a target"),
            (["their_nets:tokens"], "no --input was given"),
            (["their_nets:convolutions"], "no --input was given"),
            (["their_nets:loads"], "RuntimeError: there are no weights at model.ckpt (" + os.sep),
            (["their_nets:takes"], "missing 1 required positional argument: 'path'; if it needs arguments"),
            (["their_nets:number"], "is of type int"),
            (["bad.pt2"], "is not an exported program"),
        ],
    )
    def test_nonsense_is_one_line_and_2(self, arguments: list[str], words: str) -> None:
        Path("bad.pt2").write_bytes(b"no archive")
        result = run("inspect", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


class TestCollapse:
    def test_the_folded_weights_are_those_of_the_folded_copy(self, code: Path) -> None:
        torch.manual_seed(0)
        result = run("collapse", "their_nets:convolutions", "--input", "1,3,8,8", "--out", "slim.safetensors")
        assert result.exit_code == 0, result.stderr
        assert "0 · 1 → relu" in result.stdout
        torch.manual_seed(0)
        namespace: dict[str, object] = {}
        exec(CODE, namespace)
        module = namespace["convolutions"]().eval()  # type: ignore[operator]
        slim = wa.collapse_runs(module, torch.zeros(1, 3, 8, 8))
        slim.load_state_dict(load_file("slim.safetensors"))
        x = torch.randn(2, 3, 8, 8)
        torch.testing.assert_close(slim(x), module(x))

    def test_nothing_to_fold_is_said(self) -> None:
        result = run("collapse", "their_nets:sound")
        assert result.exit_code == 0
        assert "Nothing to fold" in result.stdout

    def test_json(self) -> None:
        found = json.loads(run("collapse", "their_nets:Slip", "--json").stdout)
        assert found["parameters_after"] < found["parameters_before"]
        assert found["saved"] is None

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["their_nets:Slip", "--prove", "exact"], "for a file of weights"),
            (["weights.safetensors", "--input", "1,2"], "is a file of weights"),
            (["their_nets:Slip", "--out", "no/such/folder/x"], "no/such/folder"),
        ],
    )
    def test_nonsense_is_one_line_and_2(self, arguments: list[str], words: str) -> None:
        result = run("collapse", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr


def test_a_lazy_module_is_to_be_run_by_the_function_that_makes_it() -> None:
    result = run("inspect", "their_nets:lazy", "--input", "1,6")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "their_nets:lazy: 0.weight has no shape yet (a lazy module); write a function that makes" in result.stderr


@pytest.mark.parametrize("command", ["inspect", "collapse", "ablate"])
def test_what_is_wrong_with_an_input_is_said_of_the_option(command: str) -> None:
    for shapes, words in (
        ((), "its first layer is not an nn.Linear; no --input was given: say what it takes, as in --input 1,3,224,224"),
        (("--input", "0,3,8,8"), "--input '0,3,8,8': the batch dimension comes first and has at least one row"),
    ):
        result = run(command, "their_nets:convolutions", *shapes)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr
        assert "example_input" not in result.stderr
    result = run("inspect", "their_nets:sound", "--input", "2,6:int64")
    assert result.stderr.startswith("whyactivate: --input must hold at least one floating tensor")
