"""What a command can be pointed at, and the clear line where that is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from whyactivate.cli.targets import is_target, load_target, read_inputs
from whyactivate.errors import InputError

CODE = """
import sys
from torch import nn
print("chatter on import")

class Net(nn.Sequential):
    def __init__(self):
        print("chatter on call")
        super().__init__(nn.Linear(3, 4), nn.Linear(4, 2))

def make():
    return Net()

class Zoo:
    net = Net()

def needs(width):
    return nn.Linear(width, 1)

def wrong():
    return 3

def leaves():
    sys.exit(5)

def fails():
    raise RuntimeError("no weights here\\nsecond line")

number = 3
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a user's module in it, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("their_models", "their_broken", "their_needs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "their_models.py").write_text(CODE)
    (tmp_path / "their_broken.py").write_text("1 / 0\n")
    (tmp_path / "their_needs.py").write_text("import a_package_that_nobody_has\n")
    return tmp_path


class TestCode:
    @pytest.mark.parametrize("name", ["Net", "make", "Zoo.net"])
    def test_a_class_a_function_or_a_module_gives_the_module_in_evaluation_mode(self, code: Path, name: str) -> None:
        module = load_target(f"their_models:{name}").module
        assert isinstance(module, nn.Sequential)
        assert not module.training

    def test_its_own_mode_is_kept_where_that_is_asked_for(self, code: Path) -> None:
        assert load_target("their_models:Net", train=True).module.training

    def test_what_the_code_prints_does_not_get_into_the_answer(
        self, code: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        load_target("their_models:Net")
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "chatter on import" in printed.err
        assert "chatter on call" in printed.err

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("their_model:Net", "no module 'their_model' here"),
            ("their_models.inner:Net", "no module 'their_models.inner' here"),
            ("their_models:Nett", "did you mean 'Net'?"),
            ("their_models.py:Net", "not as a file: their_models:Net"),
            ("their_models:number", "is of type int"),
            ("their_models:wrong", "gives something of type int"),
            ("their_models:needs", "write a function without any"),
            ("their_models:fails", "raised RuntimeError: no weights here"),
            ("their_models:leaves", "raised SystemExit: 5"),
            ("their_broken:Net", "raised ZeroDivisionError"),
            ("their_needs:Net", "'a_package_that_nobody_has', which is not installed"),
            ("their_models", "is not a target"),
            ("their models:Net", "is not a target"),
            ("nowhere.pt2", "is not there"),
        ],
    )
    def test_what_is_not_there_is_said_in_one_line(self, code: Path, target: str, words: str) -> None:
        with pytest.raises(InputError) as caught:
            load_target(target)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_file_of_weights_is_no_target(self, code: Path) -> None:
        (code / "weights.pt").touch()
        (code / "odd:name").touch()
        assert not is_target("weights.pt")
        assert not is_target("odd:name")
        assert not is_target("C:\\weights.safetensors")
        assert is_target("their_models:Net")
        assert is_target("exported.pt2")


class TestExported:
    def test_an_exported_program_knows_its_inputs(self, tmp_path: Path) -> None:
        module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
        example = torch.randn(2, 3)
        program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("rows")},))
        torch.export.save(program, tmp_path / "net.pt2")
        target = load_target(str(tmp_path / "net.pt2"))
        assert isinstance(target.inputs, tuple)
        x = torch.randn(5, 3)
        torch.testing.assert_close(target.module(x), module(x))

    def test_a_damaged_one_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "net.pt2").write_bytes(b"PK\x03\x04 nothing")
        with pytest.raises(InputError, match="not an exported program"):
            load_target(str(tmp_path / "net.pt2"))


class TestInputs:
    def test_shapes_become_tensors(self) -> None:
        first, second, third = read_inputs(["1,3,4", "2,5:int64", "2:bool"])
        assert (first.shape, first.dtype) == ((1, 3, 4), torch.float32)
        assert torch.equal(second, torch.zeros(2, 5, dtype=torch.int64))
        assert torch.equal(third, torch.ones(2, dtype=torch.bool))
        assert read_inputs(["7"])[0].shape == (7,)

    def test_the_same_ones_each_time_and_no_other_random_number_is_drawn(self) -> None:
        before = torch.random.get_rng_state()
        assert torch.equal(read_inputs(["2,3"])[0], read_inputs(["2,3"])[0])
        assert torch.equal(before, torch.random.get_rng_state())

    def test_named_ones_become_keywords(self) -> None:
        found = read_inputs(["x=1,4", "mask=1,4:bool"])
        assert isinstance(found, dict)
        assert list(found) == ["x", "mask"]

    @pytest.mark.parametrize(
        ("shapes", "words"),
        [
            (["1x3"], "is not a shape"),
            (["1,3,"], "is not a shape"),
            (["-1,3"], "is not a shape"),
            ([""], "is not a shape"),
            (["1,3:flot32"], "Did you mean 'float32'?"),
            (["x=1,3", "1,3"], "name each --input once"),
            (["x=1,3", "x=1,3"], "name each --input once"),
        ],
    )
    def test_nonsense_is_said_to_be_so(self, shapes: list[str], words: str) -> None:
        with pytest.raises(InputError, match=words.replace("?", r"\?")):
            read_inputs(shapes)


@pytest.mark.parametrize("shape", ["9999999999,9999999999", "9999999999,9999999999:bool", f"{10**30},1"])
def test_a_shape_too_large_for_any_memory_is_refused(shape: str) -> None:
    with pytest.raises(InputError, match="does not fit into memory"):
        read_inputs([shape])
