"""Intervals cover what they say they cover, and pairs are pairs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from whyactivate.comparison.statistics import (
    FEWEST,
    Estimate,
    estimate_difference,
    estimate_median,
    values_outside,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]


def stuck(random: np.random.Generator, count: int) -> np.ndarray:
    """As the losses of networks of which one in twenty gets stuck."""
    return np.where(random.random(count) < 0.05, 0.69, 0.01 * random.random(count))


class TestMedian:
    @pytest.mark.parametrize(("values", "median"), [([3.0], 3.0), ([1.0, 2.0, 9.0], 2.0), ([4.0, 1.0, 2.0, 3.0], 2.5)])
    def test_few_seeds_give_a_median_and_no_interval(self, values: list[float], median: float):
        assert estimate_median(values) == Estimate(median, None, None, len(values))

    @pytest.mark.parametrize("count", [*range(1, 120), 500, 10_000])
    def test_the_interval_is_the_narrowest_that_covers(self, count: int):
        tail = float(stats.binom.ppf(0.025, count, 0.5))
        outside = values_outside(count)
        assert stats.binom.cdf(outside, count, 0.5) <= 0.025 < stats.binom.cdf(outside + 1, count, 0.5)
        assert (outside >= 0) == (count >= FEWEST)
        assert outside in (tail, tail - 1)

    @pytest.mark.parametrize("count", [6, 7, 10, 15, 20, 50])
    @pytest.mark.parametrize(
        ("draw", "median"),
        [
            (lambda random, count: random.exponential(size=count), math.log(2)),
            (lambda random, count: random.standard_cauchy(count), 0.0),
            (stuck, 0.01 * 0.5 / 0.95),
        ],
    )
    def test_covers_the_true_median_as_often_as_it_says(self, draw: Draw, median: float, count: int):
        random = np.random.default_rng(0)
        estimates = [estimate_median(draw(random, count).tolist()) for _ in range(1500)]
        hits = sum(e.low <= median <= e.high for e in estimates) / 1500
        assert 0.94 <= hits <= 0.996

    def test_the_same_numbers_in_any_order_give_the_same_interval(self):
        assert estimate_median([5.0, 1.0, 4.0, 2.0, 3.0, 9.0]) == estimate_median([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])

    def test_networks_that_diverged_count(self):
        assert estimate_median([1.0, 2.0] + [math.inf] * 4) == Estimate(math.inf, 1.0, math.inf, 6)

    def test_nothing_at_all(self):
        assert estimate_median([]).count == 0


class TestDifference:
    def test_is_the_median_of_the_differences(self):
        random = np.random.default_rng(2)
        a, b = random.standard_normal(12), random.standard_normal(12) + 0.3
        ordered = np.sort(a - b)
        assert estimate_difference(a.tolist(), b.tolist()) == Estimate(np.median(a - b), ordered[2], ordered[9], 12)

    @pytest.mark.parametrize("count", [6, 10, 20])
    def test_covers_where_some_networks_get_stuck(self, count: int):
        random = np.random.default_rng(1)
        median, hits = np.median(stuck(random, 100_000) - stuck(random, 100_000)), 0
        for _ in range(1500):
            estimate = estimate_difference(stuck(random, count).tolist(), stuck(random, count).tolist())
            hits += estimate.low <= median <= estimate.high
        assert hits / 1500 >= 0.94

    def test_there_students_t_misses_more_often_than_it_hits(self):
        random, mean = np.random.default_rng(2), 0.05 * 0.69 + 0.95 * 0.005
        drawn = stuck(random, 15_000).reshape(1500, 10)
        reach = stats.t.ppf(0.975, 9) * drawn.std(axis=1, ddof=1) / math.sqrt(10)
        assert (abs(drawn.mean(axis=1) - mean) <= reach).mean() < 0.5

    def test_needs_pairs(self):
        with pytest.raises(ValueError, match=r"shorter|longer"):
            estimate_difference([1.0], [])

    def test_few_pairs_give_no_interval(self):
        assert estimate_difference([2.0, 4.0], [1.0, 1.0]) == Estimate(2.0, None, None, 2)
        assert math.isnan(estimate_difference([], []).value)

    def test_as_often_infinitely_worse_as_infinitely_better(self):
        estimate = estimate_difference([math.inf] * 3 + [1.0] * 3, [1.0] * 3 + [math.inf] * 3)
        assert estimate == Estimate(0.0, -math.inf, math.inf, 6)

    def test_pairs_see_what_the_medians_do_not(self):
        common = 10 * np.random.default_rng(0).standard_normal(20)
        noise = 0.01 * np.random.default_rng(1).standard_normal(20)
        first, second = list(common + 0.1 + noise), list(common)
        assert estimate_median(first).overlaps(estimate_median(second))
        assert estimate_difference(first, second).excludes_zero


@pytest.mark.parametrize(
    ("mine", "other", "overlap"),
    [((0, 2), (1, 3), True), ((0, 1), (1, 2), True), ((0, 1), (1.1, 2), False), ((3, 4), (1, 2), False)],
)
def test_overlap(mine: tuple[float, float], other: tuple[float, float], overlap: bool):
    first, second = Estimate(0, *mine, 9), Estimate(0, *other, 9)
    assert first.overlaps(second) is overlap
    assert second.overlaps(first) is overlap
    assert first.overlaps(Estimate(0, None, None, 2)), "what is not known cannot be told apart"
