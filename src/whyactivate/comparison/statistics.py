"""Intervals from a few seeds that hold what they promise, however the losses are distributed."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95

FEWEST = 6
"""With fewer values than this there is no interval: even from the lowest of five to the highest is too narrow."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median estimated from several seeds, with its 95 % interval.

    Attributes:
        value: the median of the values, or of the paired differences.
        low: lower end of the interval; None where there are too few seeds for one.
        high: upper end.
        count: how many seeds it rests on.
    """

    value: float
    low: float | None
    high: float | None
    count: int

    def overlaps(self, other: Estimate) -> bool:
        """Whether the two intervals share a number; True where one of them is not known."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return True
        return self.low <= other.high and other.low <= self.high

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def estimate_median(values: Sequence[float]) -> Estimate:
    """The median, and the values between which the true median lies with a probability of at least 0.95.

    A value is as often below the true median as above it, so how many of them are below is a matter of tossing coins:
    no shape of the distribution is assumed (Thompson 1936). A bootstrap picks two of the sorted values as well, but
    with ten of them it misses the median more often than it says; Student's t fails where a few networks get stuck
    far from the rest. Infinite values, as of networks that diverged, count as such.
    """
    numbers = np.sort(np.asarray(values, dtype=np.float64))
    count = len(numbers)
    if not count:
        return Estimate(math.nan, None, None, 0)
    low, high = float(numbers[(count - 1) // 2]), float(numbers[count // 2])
    middle = low if low == high else 0.0 if low == -high else low / 2 + high / 2
    if count < FEWEST:
        return Estimate(middle, None, None, count)
    outside = values_outside(count)
    return Estimate(middle, float(numbers[outside]), float(numbers[-1 - outside]), count)


def estimate_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The median of first − second, pair by pair, with its interval.

    Raises:
        ValueError: the sequences are not equally long.
    """
    return estimate_median([a - b for a, b in zip(first, second, strict=True)])


@functools.cache
def values_outside(count: int) -> int:
    """How many of so many sorted values may be cut off at each end.

    The interval misses on one side where at most that many values are below the true median: the lower tail of a
    binomial distribution with probability 1/2, which must not be more than 0.025.
    """
    below = np.arange(1, count // 2 + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((count + 1 - below) / below))]) - count * math.log(2)
    return int(np.searchsorted(np.cumsum(np.exp(logs)), (1 - CONFIDENCE) / 2, side="right")) - 1
