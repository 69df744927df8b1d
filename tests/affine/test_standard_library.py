"""What honest modules ask of the standard library leaves them affine; what need not follow from the input is told."""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import cProfile
import dataclasses
import enum
import functools
import itertools
import logging
import math
import os
import os.path
import pathlib
import random
import sys
import threading
import time
import types
import typing
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.affine.recording.standard_library import objection_to_use, objection_to_value

LOGGER = logging.getLogger("whyactivate.honest")
CLOCK = types.SimpleNamespace(now=time.perf_counter)


class Kind(enum.Enum):
    PLAIN = 1


@dataclasses.dataclass
class Settings:
    factor: float = 2.0
    kind: Kind = Kind.PLAIN


@functools.singledispatch
def scale(factor: object) -> float:
    return 1.0


@scale.register
def _(factor: float) -> float:
    return factor


@contextlib.contextmanager
def quietly() -> typing.Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Honest(nn.Module):
    """An affine module that has the things about it that modules have."""

    def __init__(self, extra: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.settings, self.config = Settings(), argparse.Namespace(factor=2.0, time=1, path=["a"], modules=3)
        self.lock, self.slow = threading.Lock(), threading.RLock()
        self.random, self.path = random.Random(0), pathlib.Path("weights")
        self.logger = logging.getLogger("whyactivate.honest.own")
        self.sizes = collections.Counter(a=4)
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        self.extra(self, x)
        return self.linear(x) * self.settings.factor


def expect(holds: object) -> None:
    """An assertion that pytest does not rewrite."""
    if not holds:
        raise AssertionError


def _logs(m: Any, x: Tensor) -> None:
    LOGGER.debug("rows: %s", x.shape)
    m.logger.info("rows: %d", len(x))
    logging.getLogger("whyactivate.honest.made.within").log(logging.DEBUG, "rows")
    if LOGGER.isEnabledFor(logging.DEBUG):
        LOGGER.debug("in full: %s", m.config)


def _logs_aloud(m: Any, x: Tensor) -> None:
    LOGGER.warning("rows: %s", x.shape)
    logging.getLogger("whyactivate.honest").error("rows")


def _warns(m: Any, x: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("rows", stacklevel=2)
    with quietly():
        warnings.warn("rows", stacklevel=2)


def _asks_the_environment(m: Any, x: Tensor) -> None:
    expect(os.environ.get("WHYACTIVATE_NOTHING") is None)
    expect(os.getenv("WHYACTIVATE_NOTHING", "0") == "0")
    expect(os.path.join("a", "b"))
    expect(sys.version_info >= (3, 11))
    print("rows", file=sys.stderr, end="")


def _locks(m: Any, x: Tensor) -> None:
    with m.lock, m.slow:
        pass


def _computes(m: Any, x: Tensor) -> None:
    expect(math.prod(x.shape) == functools.reduce(lambda a, b: a * b, x.shape))
    expect([*itertools.chain([1], (2,))] == [1, 2])
    expect(copy.copy(m.settings) == dataclasses.replace(m.settings))
    expect(scale(2.0) == 2.0)
    expect(collections.OrderedDict(a=1) == {"a": 1})
    expect(typing.cast("int", 1) == 1)
    expect(isinstance(x, Tensor))
    expect(isinstance([1], collections.abc.Sequence))
    expect(hasattr(m, "linear"))
    expect(getattr(m, "".join(("lin", "ear"))) is m.linear)
    expect(f"{m.settings.factor:.1f}" == "2.0")


def _imports(m: Any, x: Tensor) -> None:
    import math as numbers
    from collections import deque
    from math import prod

    import torch.nn.functional as functional

    expect(numbers.prod((1, 2)) == prod((1, 2)))
    expect(len(deque([1])) == 1)
    expect(functional.linear is not None)


def _uses_names_of_modules(m: Any, x: Tensor) -> None:
    expect(m.config.time == 1)
    expect(m.config.path == ["a"])
    expect(len([*m.modules()]) == 2)
    signal = random = m.config.modules
    expect(signal == random == 3)


HONEST = [_logs, _logs_aloud, _warns, _asks_the_environment, _locks, _computes, _imports, _uses_names_of_modules]


@pytest.mark.parametrize("extra", HONEST)
def test_an_honest_module_is_affine(extra: Callable[[Any, Tensor], Any]) -> None:
    analysis = wa.analyze(Honest(extra), torch.randn(3, 4))
    assert analysis.verdict == "affine", str(analysis)


def test_a_batch_that_is_refused_is_no_question() -> None:
    class Small(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 12:
                raise ValueError("too many rows")
            return 2 * x

    analysis = wa.analyze(Small(), torch.randn(3, 4))
    assert analysis.verdict == "affine", str(analysis)
    assert {tape.given[0].shape[0] for tape in analysis.recordings.tapes} == {1, 2, 3, 12}


def test_the_line_that_asks_is_told() -> None:
    class Asking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 1.0 if getattr(time, "_".join(("perf", "counter")))() > 0 else x.relu()

    class AskingWhatItHolds(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            now = getattr(CLOCK, "".join(("n", "ow")))
            return x * 1.0 if now() > 0 else x.relu()

    assert "`time`" in wa.analyze(Asking(), torch.randn(3, 4)).blame[0].reason
    (blame, *_) = wa.analyze(AskingWhatItHolds(), torch.randn(3, 4)).blame
    assert "perf_counter" in blame.reason


def test_a_profiler_at_work_stays_at_work() -> None:
    seen: list[str] = []

    def look(frame: types.FrameType, event: str, argument: Any) -> None:
        seen.append(frame.f_code.co_name)

    sys.setprofile(look)
    try:
        verdict = wa.analyze(nn.Linear(4, 4), torch.randn(3, 4)).verdict
        assert sys.getprofile() is look
    finally:
        sys.setprofile(None)
    assert verdict == "affine"
    assert "find_mismatch" in seen

    profiler = cProfile.Profile()
    profiler.enable()
    verdict = wa.analyze(nn.Linear(4, 4), torch.randn(3, 4)).verdict
    profiler.disable()
    assert verdict == "affine"
    assert any("find_mismatch" in str(entry.code) for entry in profiler.getstats())


@pytest.mark.parametrize(
    ("home", "name", "is_fine"),
    [
        ("math", "sin", True),
        ("math", "", True),
        ("posix", "getpid", False),
        ("os", "getenv", True),
        ("os", "", False),
        ("_io", "open", False),
        ("_functools", "partial", True),
        ("collections.abc", "Sized", True),
        ("builtins", "len", True),
        ("builtins", "id", False),
        ("gc", "collect", False),
        ("somebody.else", "anything", True),
        (None, "anything", True),
    ],
)
def test_what_may_be_used(home: str | None, name: str, is_fine: bool) -> None:
    assert (objection_to_use(home, name) is None) == is_fine


@pytest.mark.parametrize("value", [time.time, random.getstate, object.__subclasses__, threading.get_ident, open, time])
def test_values_that_are_objected_to(value: Any) -> None:
    assert objection_to_value(value) is not None


@pytest.mark.parametrize("value", [len, [].append, {}.get, math.sin, torch.relu, Tensor.add, nn.Linear, math, torch])
def test_values_that_are_not(value: Any) -> None:
    assert objection_to_value(value) is None
