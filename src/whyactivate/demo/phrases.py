"""Numbers and names as a reader wants them."""

from __future__ import annotations

from collections.abc import Sequence


def number(value: float) -> str:
    """The number with as many digits as a reader can use: 0.7985, 12.3, 3.10e-09."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3 or abs(value) >= 1e5:
        return f"{value:.2e}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"


def share(value: float) -> str:
    """The share as a percentage: 97.5 %."""
    return f"{100 * value:.1f} %"


def two_numbers(first: float, second: float) -> tuple[str, str]:
    """Both numbers with as few digits, but at least four, as tell them apart."""
    for digits in range(4, 18):
        texts = f"{first:.{digits}g}", f"{second:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(first), repr(second)


def listing(names: Sequence[str]) -> str:
    """The names as a phrase: "ReLU, Tanh and Sigmoid"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def spread(values: Sequence[float]) -> str:
    """The smallest and the largest: "1.135 to 1.646", or the one value there is."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"
