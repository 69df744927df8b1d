"""What several experiments look at is computed once."""

from __future__ import annotations

from functools import cache

from whyactivate.lessons import (
    Approximation,
    Gradients,
    Memorisation,
    Saturation,
    approximation,
    gradients,
    memorisation,
    saturation,
)


@cache
def article_runs() -> Memorisation:
    """The article's experiment over several seeds, and the same on a pattern."""
    return memorisation()


@cache
def deep_gradients() -> Gradients:
    """Gradients through twenty layers."""
    return gradients(depths=(20,))


@cache
def ends() -> Saturation:
    """Where sigmoid and tanh reach their ends."""
    return saturation()


@cache
def curves() -> Approximation:
    """What ReLU, sigmoid and polynomials can approximate."""
    return approximation()


def forget() -> None:
    """Everything is computed anew the next time."""
    for each in (article_runs, deep_gradients, ends, curves):
        each.cache_clear()
