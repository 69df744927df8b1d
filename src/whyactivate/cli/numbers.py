"""Checks of whole numbers that are given on the command line.

Typer's own `min` and `max` do the same, but the help then has the range beside every name, where the words need the
room.
"""

from __future__ import annotations

from collections.abc import Callable

import typer

from whyactivate._checks import LARGEST_SEED


def whole(least: int, most: int | None = None) -> Callable[[int | None], int | None]:
    """What checks an option to be no less than `least` and no more than `most`; one that was not given stays None."""
    wanted = f"of at least {least}" if most is None else f"from {least} to {most}"

    def check(value: int | None) -> int | None:
        if value is not None and (value < least or (most is not None and value > most)):
            raise typer.BadParameter(f"expected a whole number {wanted}, got {value}")
        return value

    return check


seed = whole(0, LARGEST_SEED)
