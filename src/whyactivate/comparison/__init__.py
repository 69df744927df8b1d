"""Comparison: every activation with many seeds, trained as one batch, with intervals and the linear floor."""

from __future__ import annotations

from whyactivate.comparison.member import Member, Place
from whyactivate.comparison.result import ComparisonResult
from whyactivate.comparison.run import compare
from whyactivate.comparison.statistics import Estimate
from whyactivate.comparison.summary import Summary

__all__ = ["ComparisonResult", "Estimate", "Member", "Place", "Summary", "compare"]
