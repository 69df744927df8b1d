"""`whyactivate compare`: table, figure, JSON, files, resuming, and one clear line for every bad input."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from whyactivate.cli import app
from whyactivate.cli.compare import _duration, _Teller
from whyactivate.cli.console import Progress

SMALL = ("--data", "article", "--activations", "identity,relu", "--seeds", "6", "--epochs", "2")


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["compare", *map(str, arguments)])


def test_prints_the_table_with_the_floor_and_what_can_be_said():
    result = run(*SMALL)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "article: 12 networks, 2 activations, 6 seeds" in result.stdout
    assert "linear floor" in result.stdout
    assert "none of 6 networks went below the linear floor" in result.stdout


@pytest.mark.parametrize("columns", [80, 100])
def test_in_a_narrow_terminal_the_table_is_cut_between_columns(columns: int):
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, ["compare", *SMALL])
    assert max(map(len, result.stdout.splitlines())) <= columns
    heads = [line for line in result.stdout.splitlines() if "train loss" in line or "test loss − none" in line]
    assert len(heads) == 2
    assert "ReLU" in result.stdout[result.stdout.index("further columns") :]
    assert "\n\n\n" not in result.stdout


def test_json_is_all_there_is_on_stdout():
    result = run(*SMALL, "--depths", "1,2", "--widths", "3", "--lr", "0.01,0.1", "--inits", "he", "--json")
    values = json.loads(result.stdout)
    assert len(values["members"]) == 2 * 6 * 2 * 2
    assert {member["init"] for member in values["members"]} == {"he"}
    assert {tuple(member["hidden"]) for member in values["members"]} == {(3,), (3, 3)}


def test_saves_draws_and_goes_on(tmp_path: Path):
    saved, table, figure = tmp_path / "a.json", tmp_path / "a.csv", tmp_path / "a.svg"
    assert run(*SMALL, "--save", saved, "--figure", figure).exit_code == 0
    assert figure.read_text(encoding="utf-8").startswith("<?xml")
    result = run(*SMALL, "--activations", "identity,relu,tanh", "--resume", saved, "--save", table)
    assert result.exit_code == 0
    with table.open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 18


def test_a_file_is_one_data_set_and_a_name_is_drawn_for_every_seed(tmp_path: Path):
    path = tmp_path / "some.csv"
    path.write_text("a,y\n" + "".join(f"{i},{i % 5 + i / 3}\n" for i in range(24)), encoding="utf-8")
    one = json.loads(run("--data", path, "--target", "y", "--seeds", 2, "--epochs", 1, "--json").stdout)
    many = json.loads(run("--data", "Moons", "--seeds", 2, "--epochs", 1, "--json").stdout)
    assert list(one["fingerprints"]) == ["-1"]
    assert list(many["fingerprints"]) == ["0", "1"]


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(self: _Teller, done: int, planned: int, left: float | None) -> None:
        raise KeyboardInterrupt

    saved = tmp_path / "a.json"
    monkeypatch.setattr(_Teller, "__call__", interrupt)
    result = run(*SMALL, "--save", saved)
    assert result.exit_code == 130
    assert f"interrupted after 0 of 12 networks; go on with --resume {saved}" in result.stderr
    monkeypatch.undo()
    assert run(*SMALL, "--resume", saved).exit_code == 0


def test_ctrl_c_before_anything_is_trained_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("whyactivate.cli.compare.load_data", interrupt)
    result = run(*SMALL)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "whyactivate: interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "moon"), "Did you mean 'moons'"),
        (("--data", "moons", "--activations", "rleu"), "Did you mean 'relu'"),
        (("--data", "moons", "--depths", "1,two"), "--depths must be whole numbers, as in 1,2,4; '1,two' came"),
        (("--data", "moons", "--lr", "fast"), "--learning-rates must be numbers"),
        (("--data", "moons", "--hidden", "3", "--depths", "1"), "give either hidden"),
        (("--data", "moons", "--inits", "hee"), "Did you mean 'he'"),
        (("--data", "moons", "--save", "a.txt"), "must end in .json or .csv"),
        (("--data", "moons", "--figure", "a.gif"), "must end in .svg or .png or .pdf"),
        (("--data", "moons", "--resume", "none.json"), "cannot read none.json: no such file"),
        (("--data", "moons", "--seeds", "0"), "expected a whole number of at least 1"),
        ((), "Missing option"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: tuple[str, ...], message: str):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


def test_progress_says_how_far_and_how_long():
    said: list[tuple[str, int | None, int | None]] = []

    class Bar(Progress):
        def __call__(self, what: str, done: int | None = None, total: int | None = None) -> None:
            said.append((what, done, total))

    teller = _Teller(Bar())
    teller(0, 10, None)
    teller.start -= 30
    teller(3, 10, 30.0)
    assert said[0] == ("0 of 10 networks", 0, 1000)
    assert said[1][0] == "3 of 10 networks, about 30 s left"
    assert said[1][1] == pytest.approx(500, abs=2)
    assert [_duration(s) for s in (5, 600, 9000)] == ["5 s", "10 min", "2.5 h"]


def test_an_interrupted_command_names_its_option_and_nothing_of_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from whyactivate import comparison

    whole = comparison.compare

    def stopped(*arguments: Any, **options: Any) -> comparison.ComparisonResult:
        result = whole(*arguments, **options)
        return replace(result, members=result.members[:-1])

    monkeypatch.setattr(comparison, "compare", stopped)
    path = tmp_path / "part.json"
    result = run(*SMALL, "--save", path)
    assert result.exit_code == 130
    assert "1 network is still to be trained.\n" in result.stdout
    assert "resume=" not in result.stdout
    assert result.stderr == f"whyactivate: interrupted after 11 of 12 networks; go on with --resume {path}\n"
