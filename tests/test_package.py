from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import whyactivate as wa

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
]
PINNED = {
    canonicalize_name(name): pin
    for name, _, pin in (line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    if not name.startswith("#")
}


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_guide_lists_the_chapters_in_the_order_of_their_imports():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    table = (ROOT / "CONTRIBUTING.md").read_text().split("## How to add")[0]
    firsts = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    listed = [re.split(r"[./]", name)[0] for row in firsts for name in re.findall("`([^`]+)`", row)]
    places = {name: listed.index(name) for name in told}
    first_row = {"errors", "_checks", "_told"}  # three that are one row
    assert [name for name in sorted(places, key=places.get) if name not in first_row] == [
        name for name in reversed(told) if name not in first_row
    ]
    assert set(listed) == set(told)


class TestLazyImport:
    heavy = ("torch", "numpy", "sympy", "flint", "sklearn", "matplotlib", "rich", "typer")

    def test_importing_the_package_imports_nothing_heavy(self):
        code = f"import sys, whyactivate; dir(whyactivate); print([n for n in {self.heavy} if n in sys.modules])"
        assert run(code).strip() == "[]"

    def test_catching_an_error_imports_nothing_heavy(self):
        code = f"import sys, whyactivate as wa; wa.InputError; print([n for n in {self.heavy} if n in sys.modules])"
        assert run(code).strip() == "[]"

    def test_a_name_is_the_one_of_its_module(self):
        assert wa.InputError is importlib.import_module("whyactivate.errors").InputError

    @pytest.mark.parametrize("name", wa.__all__)
    def test_every_public_name_loads(self, name):
        assert getattr(wa, name) is not None

    def test_an_unknown_name_is_an_attribute_error(self):
        with pytest.raises(AttributeError, match=r"no attribute 'frobnicate'$"):
            wa.frobnicate  # noqa: B018

    def test_a_misspelt_name_is_told_the_nearest(self):
        with pytest.raises(AttributeError, match=r"no attribute 'colapse_linear'\. Did you mean 'collapse_linear'"):
            wa.colapse_linear  # noqa: B018

    def test_dir_lists_the_public_names_alone(self):
        assert set(dir(wa)) == {*wa.__all__, "__version__"}

    def test_what_type_checkers_see_is_what_loads(self):
        tree = ast.parse(Path(wa.__file__).read_text())
        guarded = next(node for node in tree.body if isinstance(node, ast.If)).body
        seen = {
            alias.name: str(node.module).removeprefix("whyactivate.")
            for node in guarded
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        chapters = {name for name, module in seen.items() if module == "whyactivate"}
        assert chapters == set(wa._CHAPTERS)
        assert {name: module for name, module in seen.items() if name not in chapters} == wa._MODULE_OF_NAME
        assert set(seen) == set(wa.__all__)
        assert len(wa.__all__) == len(set(wa.__all__))


class TestMetadata:
    def test_one_version_everywhere(self):
        assert version("whyactivate") == wa.__version__
        assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == wa.__version__
        assert f"\n## {wa.__version__} - " in (ROOT / "CHANGELOG.md").read_text()

    def test_the_package_is_marked_as_typed(self):
        assert Path(wa.__file__).with_name("py.typed").exists()

    def test_the_citation_has_what_the_format_demands(self):
        citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
        assert {"cff-version", "message", "title", "authors"} <= set(citation)
        assert citation["license"] == PROJECT["license"]

    @pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
    def test_every_requirement_is_pinned_to_a_version_it_allows(self, requirement):
        pin = PINNED[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin)
        assert version(requirement.name).split("+")[0] == pin

    def test_no_pin_names_a_local_build(self):
        assert all(re.fullmatch(r"[0-9][0-9a-z.]*", pin) for pin in PINNED.values())

    @pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
    def test_contributing_says_why_each_requirement_is_there(self, requirement):
        assert re.search(rf"^\| `{re.escape(requirement.name)}` \| \w", (ROOT / "CONTRIBUTING.md").read_text(), re.M)


class TestFrontDoor:
    @pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
    def test_every_link_within_the_repository_leads_somewhere(self, name):
        targets = re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
        assert targets
        assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []

    def test_every_make_target_that_is_named_is_there(self):
        named = set[str]()
        for name in ("README.md", "CONTRIBUTING.md", "docs/en/how-to/make-a-release.md"):
            named |= set(re.findall(r"(?:`|\$ )make ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8")))
        makefile = (ROOT / "Makefile").read_text()
        assert {"demo", "test", "picture"} <= named
        assert [target for target in named if f"\n{target}:" not in makefile] == []


@pytest.mark.skipif(sys.platform == "win32", reason="make and sh")
class TestMake:
    @pytest.fixture
    def old_python(self, tmp_path):
        """A Python that takes itself for 3.9."""
        script = tmp_path / "old-python"
        pretend = 'import sys; sys.version_info = (3, 9, 1, \\"final\\", 0); exec(sys.argv[1])'
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}" "$2"\n')
        script.chmod(0o755)
        return script

    def test_another_python_gets_one_clear_line_and_no_environment(self, tmp_path, old_python):
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            (tmp_path / name).write_text((ROOT / name).read_text())
        made = subprocess.run(["make", "demo", f"PYTHON={old_python}"], cwd=tmp_path, capture_output=True, text=True)
        assert made.returncode != 0
        said = [line for line in made.stderr.splitlines() if not line.startswith("make")]
        assert said == [
            f"whyactivate needs Python 3.11 or later; {old_python} is 3.9: run make PYTHON=/path/to/python3.11"
        ]
        assert not (tmp_path / ".venv").exists()
