"""Modules from installed packages: only code that runs is judged, and what that keeps or asks for is seen."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import whyactivate as wa

SOURCE = '''
import functools
import inspect
import logging
import os
import random
import time

import torch
from torch import nn

logger = logging.getLogger(__name__)
_calls = 0
_kept = {}
_seen = []


class Base(nn.Module):
    def __init_subclass__(cls):
        super().__init_subclass__()
        cls.asked = inspect.get_annotations(cls)

    def save(self, path):
        with open(path, "wb") as file:
            file.write(os.urandom(4))

    def wait(self):
        time.sleep(1)


class Honest(Base):
    """Leads by its names to much that never runs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        logger.info("forward")
        if len(inspect.signature(self.linear.forward).parameters) != 1:
            self.save("weights")
            self.wait()
        return self.linear(x)


class Counting(Honest):
    def forward(self, x):
        global _calls
        _calls += 1
        return x * (1 if _calls < 50 else 2)


class Remembering(Honest):
    def forward(self, x):
        _seen.append(1)
        return x * (1 if len(_seen) < 50 else 2)


class OnItsClass(Honest):
    calls = 0

    def forward(self, x):
        OnItsClass.calls += 1
        return x * (1 if OnItsClass.calls < 50 else 2)


class Asking(Honest):
    def forward(self, x):
        return x * (1 + _late())


def _late():
    return int(time.time() > 2e9)


class Rolling(Honest):
    def forward(self, x):
        return x if random.random() < 1 - 1e-9 else -x
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder: Path = tmp_path_factory.mktemp("somewhere") / "site-packages"
    (folder / "installed_layers").mkdir(parents=True)
    (folder / "installed_layers" / "__init__.py").write_text(SOURCE, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        import installed_layers
    finally:
        sys.path.remove(str(folder))
    return installed_layers


def test_what_never_runs_says_nothing_against_a_module(package: ModuleType) -> None:
    analysis = wa.analyze(package.Honest(), torch.randn(2, 3))
    assert analysis.verdict == "affine", analysis


@pytest.mark.parametrize("name", ["Counting", "Remembering", "OnItsClass"])
def test_what_code_that_runs_keeps_is_seen(package: ModuleType, name: str) -> None:
    analysis = wa.analyze(getattr(package, name)(), torch.randn(2, 3))
    assert analysis.verdict == "undecided"
    assert "changes itself" in analysis.blame[0].reason


@pytest.mark.parametrize(("name", "asked"), [("Asking", "time.time"), ("Rolling", "random")])
def test_what_code_that_runs_asks_for_is_seen_and_nothing_is_folded(package: ModuleType, name: str, asked: str) -> None:
    module, x = getattr(package, name)(), torch.randn(2, 3)
    analysis = wa.analyze(module, x)
    assert analysis.verdict == "undecided"
    assert asked in analysis.blame[0].reason
    assert not wa.plan_runs(module, x).runs
