"""Intervals from a few seeds: a bootstrap for medians, Student's t for paired differences."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 5
"""With fewer seeds than this no interval is given: a bootstrap of four numbers is too narrow to be believed."""

CONFIDENCE = 0.95
_RESAMPLES = 4000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number estimated from several seeds, with its 95 % interval.

    Attributes:
        value: the median, or the mean of paired differences.
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
    """The median, with a percentile bootstrap interval (Efron 1979; 4000 resamples, always the same ones).

    Infinite values, as of networks that diverged, count as such: a median does not mind.
    """
    numbers = np.sort(np.asarray(values, dtype=np.float64))
    count = len(numbers)
    if not count:
        return Estimate(math.nan, None, None, 0)
    middle = _middle(numbers)
    if count < FEWEST:
        return Estimate(middle, None, None, count)
    drawn = np.sort(np.random.default_rng(0).integers(0, count, (_RESAMPLES, count)), axis=1)
    # The numbers are sorted, so the median of a resample is found from its sorted row numbers.
    low, high = numbers[drawn[:, (count - 1) // 2]], numbers[drawn[:, count // 2]]
    medians = np.sort(np.where(low == high, low, (low + high) / 2))
    tail = (1 - CONFIDENCE) / 2
    first, last = math.floor(tail * (_RESAMPLES - 1)), math.ceil((1 - tail) * (_RESAMPLES - 1))
    return Estimate(middle, float(medians[first]), float(medians[last]), count)


def estimate_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The mean of first − second, pair by pair, with Student's t interval (1908).

    Raises:
        ValueError: the sequences are not equally long.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    count = len(differences)
    if not count:
        return Estimate(math.nan, None, None, 0)
    mean = math.fsum(differences) / count
    if count < FEWEST:
        return Estimate(mean, None, None, count)
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (count - 1) / count)
    reach = student_reach(count - 1) * spread
    return Estimate(mean, mean - reach, mean + reach, count)


@functools.cache
def student_reach(freedom: int) -> float:
    """The t that Student's t with so many degrees of freedom stays below in size with probability 0.95.

    With t = √ν·tan θ the probability is a finite sum of powers of cos θ, all of them positive (Abramowitz & Stegun
    1964, 26.7.3 and 26.7.4); θ is found by halving. SciPy has this too, and takes half a second to be imported.
    """
    odd = freedom % 2
    steps = np.arange(2 + odd, freedom, 2.0)  # cᵏ has the factors 1/2·3/4·5/6 …, and for odd ν 2/3·4/5 …
    factors = np.concatenate([np.ones(min(1, freedom // 2)), np.cumprod((steps - 1) / steps)])
    powers = np.arange(len(factors)) * 2 + odd

    def probability(theta: float) -> float:
        sum_of_powers = math.sin(theta) * float((factors * math.cos(theta) ** powers).sum())
        return 2 / math.pi * (theta + sum_of_powers) if odd else sum_of_powers

    low, high = 0.0, math.pi / 2
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) < CONFIDENCE else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _middle(numbers: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    low, high = float(numbers[(len(numbers) - 1) // 2]), float(numbers[len(numbers) // 2])
    return low if low == high else (low + high) / 2
