"""The table of rules: one entry per operation, found by `find_rule`."""

from whyactivate.affine.rules import arithmetic, linear_algebra, movement, nonlinear, normalisation
from whyactivate.affine.rules.rule import CannotEvaluate, Label, Rule, depends
from whyactivate.affine.rules.table import RULES, find_rule

__all__ = [
    "RULES",
    "CannotEvaluate",
    "Label",
    "Rule",
    "arithmetic",
    "depends",
    "find_rule",
    "linear_algebra",
    "movement",
    "nonlinear",
    "normalisation",
]
