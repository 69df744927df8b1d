"""The GitHub workflows: what a linter says, and what this project wants besides."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINTER = [Path(sys.executable).with_name("zizmor"), "--offline", "--strict-collection", "--quiet", "--no-progress"]
by_name = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def lint(folder: Path) -> int:
    return subprocess.run([*LINTER, folder], capture_output=True, check=False).returncode


def test_the_linter_finds_nothing():
    assert lint(ROOT / ".github") == 0


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("    permissions:\n      contents: read\n", "    permissions: write-all\n"),
        ("        with:\n          persist-credentials: false\n", ""),
        ("    runs-on: ubuntu-latest\n", "    runs-upon: ubuntu-latest\n"),
        ("run: make docs", "run: echo ${{ github.event.head_commit.message }}; make docs"),
    ],
)
def test_the_linter_finds_what_is_wrong(tmp_path: Path, good: str, bad: str):
    folder = shutil.copytree(ROOT / ".github", tmp_path / ".github")
    path = folder / "workflows" / "docs.yml"
    text = path.read_text(encoding="utf-8")
    assert good in text
    path.write_text(text.replace(good, bad), encoding="utf-8")
    assert lint(folder) != 0


@by_name
def test_every_action_is_named_by_its_full_version(path: Path):
    uses = re.findall(r"uses: *(\S+)", path.read_text(encoding="utf-8"))
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+\.\d+\.\d+", use)] == []


@by_name
def test_no_secrets_one_run_at_a_time_and_few_permissions(path: Path):
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert "secrets" not in text
    assert "group" in workflow["concurrency"]
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job in workflow["jobs"].values():
        writes = {name for name, level in job.get("permissions", {}).items() if level == "write"}
        assert writes <= ({"id-token", "pages"} if "environment" in job else set())
        assert job["timeout-minutes"] <= 60


def test_a_site_is_looked_at_in_a_browser_before_it_is_published():
    jobs = yaml.safe_load((ROOT / ".github/workflows/docs.yml").read_text(encoding="utf-8"))["jobs"]
    steps = [step.get("run") or step["uses"] for step in jobs["build"]["steps"]]
    places = [
        next(place for place, step in enumerate(steps) if wanted in step)
        for wanted in ("make docs", "google-chrome", "tests/docs tests/browser", "upload-pages-artifact")
    ]
    assert places == sorted(places)
    assert jobs["deploy"]["needs"] == "build"
    assert jobs["deploy"]["if"] == "github.ref == 'refs/heads/main'"


def test_the_lowest_python_that_is_allowed_and_three_systems_are_tried():
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]["test"]
    matrix = matrix["strategy"]["matrix"]
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert f">={matrix['python'][0]}" == lowest
    assert len(matrix["python"]) == 2
    assert {name.partition("-")[0] for name in matrix["system"]} == {"ubuntu", "macos", "windows"}
