"""Is it affine? Which layers are one?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from whyactivate.affine.analysis import AffineRun, Analysis, Blame, Counterexample, Verdict
from whyactivate.affine.garbage import rarely_collected
from whyactivate.affine.recording import Example, check_module, record_all
from whyactivate.affine.verdict import decide

_HELD_FIXED = "the verdict is about the floating inputs; integer and boolean ones are held fixed, as in the example"

__all__ = ["AffineRun", "Analysis", "Blame", "Counterexample", "Verdict", "analyze"]


@rarely_collected()
def analyze(module: nn.Module, example_input: Tensor | tuple[Any, ...] | dict[str, Any]) -> Analysis:
    """Whether a module is an affine map of its input, with the evidence.

    The module's own forward is run on several inputs like the example, and every operation that touches them
    is recorded. The verdict is about the module as a function of real numbers, in the mode (train or eval)
    that it is in. The module itself stays as it is.

    Args:
        module: any `nn.Module`.
        example_input: what its forward takes, batch dimension first: a tensor, a tuple of several arguments,
            or a dict of keywords. Its numbers do not matter, its shapes do.

    Raises:
        InputError: not a module, an input that cannot be used, or a forward that raises on it.
    """
    check_module(module, "analyze")
    example = Example.of(example_input)
    analysis = decide(module, record_all(module, example))
    return replace(analysis, notes=(_HELD_FIXED, *analysis.notes)) if example.holds_integers else analysis
