"""Why do neural networks need activation functions? Train, collapse, prove.

A network without activations is a composition of affine maps, and a composition of affine maps is
one affine map. The public names below follow that story: data, model, training, the floor that no
affine model can pass, collapse, and proof. Each name is loaded when it is first used, so that
`import whyactivate` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whyactivate import claims, exercises, lessons
    from whyactivate.ablation import Ablation, ActivationCall, Losses, Retrained, Without, ablate
    from whyactivate.activations import ACTIVATIONS, Activation, get_activation
    from whyactivate.affine import analyze
    from whyactivate.affine.analysis import AffineRun, Analysis, Blame, Counterexample, Verdict
    from whyactivate.affine.rules.own import register_rule, unregister_rule
    from whyactivate.collapse import Collapse, Step, collapse_linear
    from whyactivate.comparison import ComparisonResult, compare
    from whyactivate.datasets import DATASETS, Dataset, Task, load_dataset
    from whyactivate.errors import (
        CannotCollapseError,
        CannotProveError,
        DivergedError,
        FoldingError,
        InputError,
        NotAffineError,
        RowsMixError,
        SettingError,
        UndecidedError,
        UnknownNameError,
        WhyActivateError,
        WorkerError,
    )
    from whyactivate.floor import Floor, linear_floor
    from whyactivate.folding import Plan, PlannedRun, collapse_runs, plan_runs
    from whyactivate.inspection import Inspection, inspect_module
    from whyactivate.models import MLP, SimpleModel, parameter_count
    from whyactivate.proof import Proof
    from whyactivate.training import History, TrainConfig, train

__version__ = "0.1.0"

__all__ = [
    # data
    "load_dataset", "Dataset", "Task", "DATASETS",
    # model
    "SimpleModel", "MLP", "parameter_count", "get_activation", "Activation", "ACTIVATIONS",
    # training, and the floor that no affine model passes
    "train", "TrainConfig", "History", "linear_floor", "Floor",
    # many seeds at once
    "compare", "ComparisonResult",
    # is it affine, and which one layer is it?
    "inspect_module", "Inspection", "analyze", "Analysis", "Verdict", "Blame", "AffineRun", "Counterexample",
    "register_rule", "unregister_rule",
    "collapse_linear", "Collapse", "Step",
    # fold every part that is affine
    "plan_runs", "Plan", "PlannedRun", "collapse_runs",
    # what does each activation of this module add?
    "ablate", "Ablation", "Without", "ActivationCall", "Losses", "Retrained",
    # why should I believe it?
    "Proof",
    # what activations add, what the article says, what you can try: chapters with names of their own
    "lessons", "claims", "exercises",
    # what can go wrong
    "WhyActivateError", "InputError", "UnknownNameError", "SettingError", "DivergedError", "CannotProveError",
    "WorkerError", "CannotCollapseError", "NotAffineError", "UndecidedError", "RowsMixError", "FoldingError",
]  # fmt: skip

_NAMES_OF_MODULE = {
    "ablation": ("Ablation", "ActivationCall", "Losses", "Retrained", "Without", "ablate"),
    "activations": ("ACTIVATIONS", "Activation", "get_activation"),
    "affine": ("analyze",),
    "affine.analysis": ("AffineRun", "Analysis", "Blame", "Counterexample", "Verdict"),
    "affine.rules.own": ("register_rule", "unregister_rule"),
    "collapse": ("Collapse", "Step", "collapse_linear"),
    "comparison": ("ComparisonResult", "compare"),
    "datasets": ("DATASETS", "Dataset", "Task", "load_dataset"),
    "errors": (
        "CannotCollapseError", "CannotProveError", "DivergedError", "FoldingError", "InputError", "NotAffineError",
        "RowsMixError", "SettingError", "UndecidedError", "UnknownNameError", "WhyActivateError", "WorkerError",
    ),
    "floor": ("Floor", "linear_floor"),
    "folding": ("Plan", "PlannedRun", "collapse_runs", "plan_runs"),
    "inspection": ("Inspection", "inspect_module"),
    "models": ("MLP", "SimpleModel", "parameter_count"),
    "proof": ("Proof",),
    "training": ("History", "TrainConfig", "train"),
}  # fmt: skip
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names}

_CHAPTERS = ("lessons", "claims", "exercises")
"""Submodules that are there without being imported."""


def __getattr__(name: str) -> object:
    """The public name, imported from its module on first use (PEP 562)."""
    if name in _CHAPTERS:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF_NAME:
        from whyactivate.errors import find_nearest

        nearest = find_nearest(name, __all__)
        hint = f". Did you mean {nearest!r}?" if nearest else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    value: object = getattr(import_module(f"{__name__}.{_MODULE_OF_NAME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, whether loaded or not, and nothing else."""
    return sorted([*__all__, "__version__"])
