"""Intervals cover what they say they cover, and pairs are pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from whyactivate.comparison.statistics import Estimate, estimate_difference, estimate_median, student_reach


class TestMedian:
    @pytest.mark.parametrize(("values", "median"), [([3.0], 3.0), ([1.0, 2.0, 9.0], 2.0), ([4.0, 1.0, 2.0, 3.0], 2.5)])
    def test_few_seeds_give_a_median_and_no_interval(self, values: list[float], median: float):
        assert estimate_median(values) == Estimate(median, None, None, len(values))

    def test_as_scipy(self):
        values = np.random.default_rng(3).standard_normal(21)
        mine = estimate_median(list(values))
        theirs = stats.bootstrap(
            (values,), np.median, n_resamples=4000, method="percentile", random_state=np.random.default_rng(1)
        ).confidence_interval
        assert mine.value == np.median(values)
        gaps = np.diff(np.sort(values)).max()
        assert mine.low == pytest.approx(theirs.low, abs=gaps)
        assert mine.high == pytest.approx(theirs.high, abs=gaps)

    @pytest.mark.parametrize("count", [8, 25])
    def test_covers_the_true_median_about_as_often_as_it_says(self, count: int):
        random = np.random.default_rng(0)
        hits = 0
        for _ in range(300):
            estimate = estimate_median(list(random.exponential(size=count)))
            hits += estimate.low <= math.log(2) <= estimate.high
        assert 0.90 <= hits / 300 <= 0.995

    def test_the_same_numbers_in_any_order_give_the_same_interval(self):
        assert estimate_median([5.0, 1.0, 4.0, 2.0, 3.0]) == estimate_median([1.0, 2.0, 3.0, 4.0, 5.0])

    def test_networks_that_diverged_count(self):
        estimate = estimate_median([1.0, 2.0, math.inf, math.inf, math.inf, math.inf])
        assert (estimate.value, estimate.high) == (math.inf, math.inf)
        assert estimate.low in (1.0, 1.5, 2.0, math.inf)

    def test_nothing_at_all(self):
        assert estimate_median([]).count == 0


class TestDifference:
    def test_as_scipy(self):
        random = np.random.default_rng(2)
        a, b = random.standard_normal(12), random.standard_normal(12) + 0.3
        mine = estimate_difference(list(a), list(b))
        theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
        assert mine.value == pytest.approx((a - b).mean())
        assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high))

    @pytest.mark.parametrize("freedom", [*range(1, 40), 99, 100, 999, 5000])
    def test_students_t_is_scipys(self, freedom: int):
        assert student_reach(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-12)

    def test_needs_pairs(self):
        with pytest.raises(ValueError, match=r"shorter|longer"):
            estimate_difference([1.0], [])

    def test_few_pairs_give_no_interval(self):
        assert estimate_difference([2.0, 4.0], [1.0, 1.0]) == Estimate(2.0, None, None, 2)
        assert math.isnan(estimate_difference([], []).value)

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
