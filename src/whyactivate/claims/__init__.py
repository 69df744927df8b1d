"""The article's statements, one by one: a verdict, what is true instead, and the experiment that says so."""

from __future__ import annotations

from whyactivate.claims.claim import Claim, Curve, Evidence, Finding, Point, Sketch, Verdict
from whyactivate.claims.lookup import check_claims, find_claim
from whyactivate.claims.table import CLAIMS

__all__ = [
    "CLAIMS",
    "Claim",
    "Curve",
    "Evidence",
    "Finding",
    "Point",
    "Sketch",
    "Verdict",
    "check_claims",
    "find_claim",
]
