"""What a module's own code does with the sizes of tensors that two recordings at two batch sizes cannot tell.

A graph holds what was recorded at two batch sizes, with whole numbers written as a·B + c. That is right for sums and
products of sizes; a comparison, a remainder or a look-up may come out differently at a third batch size. So while a
program is recorded, sizes are numbers that report such questions (see `asking`); PyTorch's functions get plain ones.
So is what len() gives (see `lengths`).
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from whyactivate.affine.recording.size_watch import Asked


def told_apart(here: tuple[Asked, ...], there: tuple[Asked, ...]) -> dict[str, str]:
    """The modules whose questions may have other answers at other batch sizes, with what they do, in words.

    The arguments are the questions at two batch sizes. Numbers that are the same at both do not grow with the batch;
    and where two numbers are compared that are equally far apart at both, they are so at every batch size.
    """
    found: dict[str, str] = {}
    same_questions = [(one.path, one.what) for one in here] == [(one.path, one.what) for one in there]
    if not same_questions:
        return {one.path: "asks other questions about sizes at another batch size" for one in (*here, *there)}
    for one, other in zip(here, there, strict=True):
        if one.numbers == other.numbers:
            continue
        if one.what == "product" and any(a == b for a, b in zip(one.numbers, other.numbers, strict=True)):
            continue
        if one.what == "comparison" and _distance(one) == _distance(other) is not None:
            continue
        if one.what == "made" and one.numbers[-1] != other.numbers[-1]:
            continue  # a tensor with the rows among its axes, which a graph does not hold
        found.setdefault(one.path, _WORDS[one.what])
    return found


_WORDS = {
    "comparison": "compares the number of rows with something",
    "truth": "asks whether a number that grows with the rows is 0",
    "product": "multiplies the number of rows by itself",
    "cut": "cuts the rows into parts",
    "division": "divides the number of rows with a remainder",
    "number": "does more with the number of rows than add and multiply",
    "layout": "asks how the rows lie in memory",
    "error": "tries what raises for some numbers of rows",
    "made": "computes numbers from the number of rows in a tensor",
    "len": "asks for the length of a tensor in a way of its own, and what it does with that cannot be followed",
}


def branches_at(asked: tuple[Asked, ...], other: tuple[Asked, ...], paths: Set[str]) -> list[int]:
    """The numbers of the questions with two answers that modules asked about sizes that do not grow with the batch.

    Of those that one module asks about the same numbers, the first.
    """
    found: dict[Asked, int] = {}
    for number, (one, two) in enumerate(zip(asked, other, strict=True)):
        if one.what in ("comparison", "truth") and one.path in paths and one.numbers == two.numbers:
            found.setdefault(one, number)
    return [*found.values()]


def _distance(asked: Asked) -> Any:
    a, b = asked.numbers
    return a - b if isinstance(a, int) and isinstance(b, int) else None
