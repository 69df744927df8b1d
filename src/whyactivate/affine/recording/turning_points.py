"""Numbers of rows at which the answer to a question changes that a module's code asks about sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from torch import nn

from whyactivate.affine._torch_compat import eager
from whyactivate.affine.recording.guards import same_surroundings
from whyactivate.affine.recording.size_watch import Asked, SizeWatch
from whyactivate.affine.recording.state import State
from whyactivate.affine.trees import fresh_as_it_lies, map_leaves


def questions(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], state: State) -> tuple[Asked, ...]:
    """What `module(*args, **kwargs)` asks about sizes, up to where it raises."""
    watch = SizeWatch(lambda: "", None, lambda tensor: False)
    try:
        with same_surroundings(lambda words: None), eager(), watch:
            module(*map_leaves(fresh_as_it_lies, list(args)), **map_leaves(fresh_as_it_lies, dict(kwargs)))
    except KeyboardInterrupt:
        raise
    except BaseException:  # a size that reports is no `int` to everybody
        pass
    finally:
        state.restore(lambda tensor: False)
    return tuple(watch.asked)


def turning_points(asked: Mapping[int, Sequence[Asked]]) -> set[int]:
    """The numbers of rows at which answers change, and those after them, from the questions at two numbers of rows.

    Sizes are taken to grow evenly with the rows, so that two numbers that are compared, or of which one is divided by
    the other, meet at one number of rows.
    """
    (rows, here), (others, there) = asked.items()
    found: set[int] = set()
    for one, other in itertools.takewhile(_is_same_question, zip(here, there, strict=False)):
        for near, far in zip(_distances(one), _distances(other), strict=True):
            if near != far:
                meeting = math.floor(rows - near * (others - rows) / (far - near))
                found |= {meeting, meeting + 1}
    return {number for number in found if number > 0}


def _is_same_question(asked: tuple[Asked, Asked]) -> bool:
    one, other = asked
    return one.what == other.what and len(one.numbers) == len(other.numbers)


_TOLD_APART = frozenset({"comparison", "truth", "division", "cut", "number"})


def _distances(asked: Asked) -> Iterator[Fraction]:
    """How far the first number is from each of the others; from 0 where there is none."""
    if asked.what not in _TOLD_APART:
        return
    first, *others = (*asked.numbers, 0) if len(asked.numbers) == 1 else asked.numbers
    for number in others:
        yield Fraction(first) - Fraction(number) if _is_finite(first) and _is_finite(number) else Fraction(0)


def _is_finite(number: Any) -> bool:
    return isinstance(number, (int, float)) and math.isfinite(number)
