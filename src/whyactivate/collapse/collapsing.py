"""`collapse_linear`: analyse, multiply out, and refuse wherever the module is not proved to be affine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine import Analysis, Verdict, analyze
from whyactivate.affine.evaluating.replay import ExactConstants
from whyactivate.affine.multiply import AffineStep, TooLargeError, multiply_steps
from whyactivate.affine.recording import Example, check_module
from whyactivate.collapse.result import Collapse, Step, modes_of
from whyactivate.errors import CannotCollapseError, NotAffineError, RowsMixError, SettingError, UndecidedError
from whyactivate.proof import LinearRounding, RoundedStep

_OTHER_LAYERS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.Embedding, nn.EmbeddingBag, nn.Bilinear, nn.RNNBase,
)  # fmt: skip
"""What takes something else than the `nn.Linear` behind it."""


def collapse_linear(
    module: nn.Module, example_input: Tensor | tuple[Any, ...] | dict[str, Any] | None = None
) -> Collapse:
    """The one affine layer that the module is equal to; refuses wherever that is not proved.

    Args:
        module: any `nn.Module` with one floating input and one output.
        example_input: what its forward takes, batch dimension first; may be left out where the first layer is
            an `nn.Linear`.

    Raises:
        NotAffineError: the module is not affine; `.analysis.counterexample` shows it.
        UndecidedError: it is neither proved affine nor refuted; `.analysis.blame` says why.
        RowsMixError: it is affine, but no layer acts on each row alone.
        CannotCollapseError: the parent of these three; it is raised itself where the module has several inputs or
            outputs, or where the one layer would not fit into memory.
        InputError: the input cannot be used, or was left out and cannot be inferred.
    """
    check_module(module, "collapse_linear")
    if example_input is None:
        example_input = infer_input(module)
    analysis = analyze(module, example_input)
    _require_affine(analysis)
    tape = analysis.tape
    assert tape is not None
    if len(tape.inputs) != 1 or len(tape.outputs) != 1:
        raise CannotCollapseError(
            f"{analysis.module} has {len(tape.inputs)} floating inputs and {len(tape.outputs)} outputs; a layer has "
            "one of each. Wrap it in a module that takes and gives one tensor.",
            analysis,
        )
    try:
        constants = ExactConstants()
        steps = _with_floats(multiply_steps(tape, constants))
    except TooLargeError as error:
        raise CannotCollapseError(f"{error}. Collapse a smaller part of the module.", analysis) from error
    weights = [step.weight for step in reversed(steps)]
    weight = torch.linalg.multi_dot(weights) if len(weights) > 1 else weights[0].clone()
    bias = torch.zeros(steps[0].weight.shape[1], dtype=torch.float64, device="cpu")
    for step in steps:
        bias = step.weight @ bias
        if step.bias is not None:
            bias = bias + step.bias
    returned = tape.returned[0]
    return Collapse(
        module=analysis.module,
        weight=weight,
        bias=bias,
        steps=steps,
        analysis=analysis,
        parameters_before=sum(parameter.numel() * (1 + parameter.is_complex()) for parameter in module.parameters()),
        input_shape=tuple(tape.inputs[0].geometry.size[1:]),
        output_shape=_shape_of_one_row(analysis),
        dtype=returned.dtype,
        device=returned.device,
        _original=module,
        _example=Example.of(example_input),
        _modes=modes_of(module),
        _constants=constants,
    )


def _shape_of_one_row(analysis: Analysis) -> tuple[int, ...]:
    """As a batch of two rows tells it: of one row, `squeeze` leaves no batch axis."""
    assert analysis.recordings is not None
    return tuple(analysis.recordings.pairs[0].returned[0].shape[1:])


def infer_input(module: nn.Module) -> Tensor:
    """An example input for a module whose first layer is an `nn.Linear`: one row of zeros.

    Raises:
        InputError: the first layer is another, or there is none.
    """
    if isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance] (callers need not be typed)
        for part in module.modules():
            if isinstance(part, _OTHER_LAYERS):
                break
            if isinstance(part, nn.Linear):
                # Not part.weight: where that is computed (spectral_norm), asking for it changes the module.
                first = next(part.parameters(), torch.empty(0, device="cpu"))
                return torch.zeros(1, part.in_features, dtype=first.dtype, device=first.device)
    raise SettingError(
        f"cannot tell what {type(module).__name__} takes: its first layer is not an nn.Linear",
        "example_input",
        lead=". Pass a tensor with the batch dimension first as ",
    )


def _require_affine(analysis: Analysis) -> None:
    reasons = "\n".join(f"  {blame}" for blame in analysis.blame)
    if analysis.verdict is Verdict.NOT_AFFINE:
        raise NotAffineError(
            f"{analysis.module} is not affine, so no single layer equals it: {analysis.counterexample}\n{reasons}",
            analysis,
        )
    if analysis.verdict is Verdict.UNDECIDED:
        advice = f"\nTo settle it: {analysis.advice}."
        raise UndecidedError(f"{analysis.module} is not known to be affine:\n{reasons}{advice}", analysis)
    if not analysis.per_example:
        raise RowsMixError(
            f"{analysis.module} is affine in the whole batch, but no layer acts on each row: {analysis.notes[-1]}",
            analysis,
        )


def _with_floats(steps: tuple[AffineStep, ...]) -> tuple[Step, ...]:
    first = steps[0].exact_weight.shape[1]
    return tuple(
        Step(
            name=step.name,
            weight=step.exact_weight.to_float64()[0],
            bias=step.exact_bias.to_float64()[0] if step.exact_bias is not None else None,
            running_shape=(step.exact_weight.shape[0], first),
            exact_weight=step.exact_weight,
            exact_bias=step.exact_bias,
            rounded=RoundedStep.from_exact(
                step.exact_weight, step.exact_bias, LinearRounding(*step.stored) if step.stored else step.rounding
            ),
            algebraic=step.algebraic,
        )
        for step in steps
    )
