"""The table of rules: one entry per operation, found by `find_rule`."""

from whyactivate.affine.rules import (
    arithmetic,
    attention,
    convolution,
    fourier,
    gradients,
    interpolation,
    linear_algebra,
    masks,
    movement,
    nonlinear,
    normalisation,
    orthogonal,
    pooling,
    recurrence,
    reductions,
    scatter,
)
from whyactivate.affine.rules.own import register_rule, unregister_rule
from whyactivate.affine.rules.rule import CannotEvaluate, Label, Rule, depends
from whyactivate.affine.rules.table import RULES, find_rule

__all__ = [
    "RULES",
    "CannotEvaluate",
    "Label",
    "Rule",
    "arithmetic",
    "attention",
    "convolution",
    "depends",
    "find_rule",
    "fourier",
    "gradients",
    "interpolation",
    "linear_algebra",
    "masks",
    "movement",
    "nonlinear",
    "normalisation",
    "orthogonal",
    "pooling",
    "recurrence",
    "reductions",
    "register_rule",
    "scatter",
    "unregister_rule",
]
