"""The whole answer in one run: `run_demo` does it, `DemoResult` holds it, `words` says it."""

from __future__ import annotations

from whyactivate.demo.results import (
    ArticlePart,
    Check,
    ClassesPart,
    CollapsePart,
    Contest,
    DecisionMap,
    Disagreement,
    Line,
    Part,
    RefutationPart,
    TrainedNetwork,
)
from whyactivate.demo.run import DemoResult, demo_parts, join_parts, run_demo

__all__ = [
    "ArticlePart", "Check", "ClassesPart", "CollapsePart", "Contest", "DecisionMap", "DemoResult", "Disagreement",
    "Line", "Part", "RefutationPart", "TrainedNetwork", "demo_parts", "join_parts", "run_demo",
]  # fmt: skip
