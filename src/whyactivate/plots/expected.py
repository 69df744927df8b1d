"""Says what a figure is drawn of, where something else came."""

from __future__ import annotations

from whyactivate._checks import show_value
from whyactivate.errors import InputError


def check_kind(name: str, value: object, kind: str, source: str) -> None:
    """Makes sure that a value is of the class of that name, or of one derived from it.

    The class is not imported for that: a module that draws a result may lie below the one that the result comes from.

    Args:
        name: of the argument.
        value: what came.
        kind: the name of the class.
        source: where such a thing comes from, in words.

    Raises:
        InputError: it is something else.
    """
    if kind not in {each.__name__ for each in type(value).__mro__}:
        article = "an" if kind[0] in "AEIOU" else "a"
        raise InputError(f"{name} must be {article} {kind}, {source}, but {show_value(value)} came")
