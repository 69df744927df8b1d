"""The collapse: the one affine layer that a composition of affine maps is equal to."""

from __future__ import annotations

from whyactivate.collapse.collapsing import collapse_linear, infer_input
from whyactivate.collapse.result import Collapse, Step

__all__ = ["Collapse", "Step", "collapse_linear", "infer_input"]
