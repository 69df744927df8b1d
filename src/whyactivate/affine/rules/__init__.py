"""The table of rules: one entry per operation, found by `find_rule`."""

from whyactivate.affine.rules import (
    arithmetic,
    convolution,
    interpolation,
    linear_algebra,
    movement,
    nonlinear,
    normalisation,
    pooling,
    scatter,
)
from whyactivate.affine.rules.rule import CannotEvaluate, Label, Rule, depends
from whyactivate.affine.rules.table import RULES, find_rule

__all__ = [
    "RULES",
    "CannotEvaluate",
    "Label",
    "Rule",
    "arithmetic",
    "convolution",
    "depends",
    "find_rule",
    "interpolation",
    "linear_algebra",
    "movement",
    "nonlinear",
    "normalisation",
    "pooling",
    "scatter",
]
