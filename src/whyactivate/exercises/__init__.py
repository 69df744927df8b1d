"""Exercises: from two layers multiplied by hand to a network that fools a Jacobian test; graded by property."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from whyactivate.errors import UnknownNameError
from whyactivate.exercises.by_hand import BY_HAND
from whyactivate.exercises.exercise import Exercise, Graded, Point
from whyactivate.exercises.networks import ACTIVATIONS, NETWORKS

__all__ = ["EXERCISES", "Exercise", "Graded", "Point", "check", "find_exercise"]

EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {exercise.name: exercise for exercise in (*BY_HAND, *ACTIVATIONS, *NETWORKS)}
)
"""Each exercise by its name, the easiest first."""


def find_exercise(name: str) -> Exercise:
    """The exercise of that name.

    Raises:
        UnknownNameError: there is none; the nearest is suggested.
    """
    key = str(name).strip().lower().replace("_", "-").replace(" ", "-")
    if key not in EXERCISES:
        raise UnknownNameError("exercise", name, EXERCISES)
    return EXERCISES[key]


def check(name: str, answer: object) -> Graded:
    """What holds of an answer to an exercise and what does not, with the first counterexample found.

    Args:
        name: of the exercise; `EXERCISES` has them all.
        answer: what its task asks for: numbers, lists of them, tensors, or a module, which stays as it is. The code
            of a module is run.

    Raises:
        UnknownNameError: there is no such exercise; the nearest is suggested.
    """
    return find_exercise(name).check(answer)
