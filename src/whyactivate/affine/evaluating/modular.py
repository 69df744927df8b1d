"""Evaluates a tape modulo a prime."""

from __future__ import annotations

from typing import Any, cast

import torch

from whyactivate.affine.evaluating.replay import ExactConstants, Part, Replay
from whyactivate.affine.rules.rule import CannotEvaluate
from whyactivate.affine.tape import Constant, Tape
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.modular import ModularArray


def evaluate_modulo(tape: Tape, constants: ExactConstants, inputs: list[ModularArray]) -> list[ModularArray]:
    """The tape's outputs at points modulo a prime.

    Raises:
        CannotEvaluate: an operation on the way compares numbers, or has no formula.
    """
    replay = Replay(tape, Part.WHOLE, cast(Any, _Modulo(type(inputs[0]), constants)))
    try:
        outputs = replay.outputs(cast(Any, inputs))
    except (AttributeError, TypeError) as error:  # residues have no order, no absolute value, no square root
        raise CannotEvaluate(f"an operation on the way is no sum or product: {error}") from error
    kind = type(inputs[0])
    return [kind.from_exact(output) if isinstance(output, ExactArray) else cast(Any, output) for output in outputs]


class _Modulo:
    """Constants as exact numbers, with zeros and initial memory as residues."""

    def __init__(self, arithmetic: type[ModularArray], exact: ExactConstants) -> None:
        self.arithmetic, self._exact = arithmetic, exact

    def of(self, constant: Constant, dtype: torch.dtype | None = None) -> ExactArray:
        """The numbers of a constant, as `ExactConstants.of`."""
        return self._exact.of(constant, dtype)
