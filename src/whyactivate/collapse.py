"""The collapse: the one affine layer that a composition of affine maps is equal to."""

from __future__ import annotations

import copy
import html
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from whyactivate.affine import Analysis, Verdict, analyze
from whyactivate.affine.evaluating.coefficients import find_computed_weights, find_taken_coefficients
from whyactivate.affine.evaluating.modular import evaluate_modulo
from whyactivate.affine.evaluating.replay import ExactConstants, Part, Replay
from whyactivate.affine.multiply import AffineStep, TooLargeError, multiply_steps
from whyactivate.affine.pairs import as_complex, as_pairs
from whyactivate.affine.recording import Example
from whyactivate.affine.trees import tensors_in
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.modular import ModularArray
from whyactivate.errors import (
    CannotCollapseError,
    CannotProveError,
    InputError,
    NotAffineError,
    RowsMixError,
    UndecidedError,
    UnknownNameError,
)
from whyactivate.proof import (
    LinearRounding,
    Proof,
    RoundedStep,
    Rounding,
    bound_product,
    prove_exact,
    prove_numeric,
    prove_symbolic,
    prove_theorem,
    write_certificate,
)

ProofKind = Literal["theorem", "symbolic", "exact", "numeric"]
_OPTIONS: dict[str, tuple[str, ...]] = {
    "theorem": ("rule",),
    "symbolic": ("engine", "formula"),
    "exact": ("points_budget", "rounds", "seed", "work_limit", "memory_limit"),
    "numeric": ("x", "radius", "seed", "effort"),
}


@dataclass(frozen=True)
class Step:
    """One factor of the product: v ↦ weight·v + bias.

    Attributes:
        name: path of the layer in the module, as in `fc1`.
        weight: float64, shape `(out, in)`: the exact entries, each rounded once.
        bias: float64, shape `(out,)`; None where nothing is added.
        running_shape: `(out, in)` of the product of all steps up to this one.
        exact_weight, exact_bias: the same without rounding.
        rounded: the same with a bound of what rounding does to it in PyTorch's evaluation.
        algebraic: True where a coefficient came out of a square root (batch normalisation) and is taken as computed.
    """

    name: str
    weight: Tensor
    bias: Tensor | None
    running_shape: tuple[int, int]
    exact_weight: ExactArray
    exact_bias: ExactArray | None
    rounded: RoundedStep
    algebraic: bool

    def __str__(self) -> str:
        out, into = self.weight.shape
        plus = " + b" if self.bias is not None else ""
        rows, columns = self.running_shape
        return f"{self.name}: {into} → {out} numbers, W{plus} with W {out}×{into}; product so far {rows}×{columns}"


@dataclass(frozen=True)
class Collapse:
    """The one affine layer that a module is equal to as a function of real numbers: x ↦ weight·x + bias.

    Attributes:
        module: the name of the module's class.
        weight: float64, shape `(out, in)`, multiplied out in the cheapest order.
        bias: float64, shape `(out,)`.
        steps: the factors, the first to act first.
        analysis: the verdict and what it rests on.
        parameters_before: how many real numbers the module's parameters hold.
        input_shape, output_shape: of one row; the layer acts on the flattened input. Complex numbers count as real and
            imaginary part, along a last axis of two; `as_module` takes and gives them as they are.
        dtype, device: of the module's output (of the real and imaginary parts of a complex one), and of `layer`.
    """

    module: str
    weight: Tensor
    bias: Tensor
    steps: tuple[Step, ...]
    analysis: Analysis
    parameters_before: int
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    _original: nn.Module = field(repr=False)
    _example: Example = field(repr=False)
    _modes: list[bool] = field(repr=False)
    _constants: ExactConstants = field(repr=False)

    @property
    def parameters_after(self) -> int:
        """How many numbers the one layer holds."""
        return self.weight.numel() + self.bias.numel()

    @cached_property
    def layer(self) -> nn.Linear:
        """The one layer, in the module's dtype: `weight` and `bias` rounded; acts on the flattened input.

        Raises:
            CannotCollapseError: an entry is too large for the dtype.
        """
        layer = _linear(self.weight.to(self.dtype).to(self.device), self.bias.to(self.dtype).to(self.device))
        for name, tensor in layer.named_parameters():
            if not bool(torch.isfinite(tensor).all()):
                raise CannotCollapseError(
                    f"an entry of the collapsed {name} is too large for {self.dtype}; use .weight and .bias (float64)",
                    self.analysis,
                )
        return layer

    @cached_property
    def exact(self) -> ExactAffine:
        """The map without any rounding: integers times a power of two wherever the module only adds and multiplies."""
        return ExactAffine.multiply_out(self.steps)

    def _claim(self, product: ExactAffine) -> ExactAffine:
        """The exact map as it was read before, or else this product, which then is it."""
        return self.__dict__.setdefault("exact", product)

    @property
    def weight_error(self) -> Tensor:
        """A bound of |weight - exact weight|, entry by entry, float64: by rounding analysis, not by looking."""
        return self._errors[0]

    @property
    def bias_error(self) -> Tensor:
        """A bound of |bias - exact bias|, entry by entry, float64: by rounding analysis, not by looking."""
        return self._errors[1]

    @cached_property
    def _errors(self) -> tuple[Tensor, Tensor]:
        return bound_product([step.weight for step in self.steps], [step.bias for step in self.steps])

    def _roundings(self) -> tuple[Rounding, Rounding]:
        """What `weight`, `bias` and `layer` are claimed to be: the exact map within these bounds."""
        layer = self.layer
        once_more = [
            error + tensor.abs() * _unit_roundoff(self.dtype) * (1 + 2.0**-50) + torch.finfo(self.dtype).smallest_normal
            for tensor, error in ((self.weight, self.weight_error), (self.bias, self.bias_error))
        ]
        weight, bias = (parameter.detach().cpu() for parameter in (layer.weight, layer.bias))
        return (
            Rounding(".weight and .bias", self.weight, self.bias, self.weight_error, self.bias_error),
            Rounding(".layer", weight, bias, *once_more),
        )

    @property
    def _input_dtype(self) -> torch.dtype:
        tape = self.analysis.tape
        assert tape is not None
        return tape.inputs[0].geometry.dtype

    @property
    def _is_complex(self) -> tuple[bool, bool]:
        """Whether the module takes complex numbers, and whether it gives them."""
        tape = self.analysis.tape
        assert tape is not None
        return tape.complex_inputs[0], tape.complex_outputs[0]

    def as_module(self) -> nn.Module:
        """The one layer as a module that takes and gives the shapes of the original, complex numbers included.

        Where the map does the same to each place of the leading axes (each token of a text, say), it is an
        `nn.Linear` on the last axis.
        """
        places = prod(self.input_shape[:-1])
        takes, gives = self._is_complex
        if takes or gives:
            return _Complex(_Reshaped(copy.deepcopy(self.layer), self.output_shape), takes, gives)
        if self._input_dtype == self.dtype and places > 1 and self.input_shape[:-1] == self.output_shape[:-1]:
            weight, bias = (part.to_float64()[0] for part in (self.exact.weight, self.exact.bias))
            blocks = weight.reshape(places, self.output_shape[-1], places, self.input_shape[-1]).transpose(1, 2)
            shifts = bias.reshape(places, -1)
            same = torch.block_diag(*[blocks[0, 0]] * places)
            if bool((weight == same).all()) and bool((shifts == shifts[0]).all()):
                return _linear(blocks[0, 0].to(self.layer.weight), shifts[0].to(self.layer.bias))
        return _Reshaped(copy.deepcopy(self.layer), self.output_shape)

    def prove(self, kind: ProofKind, **options: Any) -> Proof:
        """One of the four proofs that this collapse is right.

        Args:
            kind: "theorem" (every depth and width), "symbolic" (every weight of this architecture), "exact" (these
                weights, every input, no rounding) or "numeric" (how far floating point may be off).
            options: passed on to the proof; see `whyactivate.proof`.

        Raises:
            UnknownNameError: there is no proof of that kind, or it has no such option.
            CannotProveError: this kind cannot be carried out here.
        """
        tape = self.analysis.tape
        assert tape is not None
        tape.check_unchanged()
        if kind in list(_OPTIONS) and (unknown := [name for name in options if name not in _OPTIONS[kind]]):
            raise UnknownNameError(f"option of the {kind} proof", unknown[0], _OPTIONS[kind])
        if kind == "theorem":
            return prove_theorem(**options)
        if kind == "symbolic":
            widths = [self.steps[0].weight.shape[1], *(step.weight.shape[0] for step in self.steps)]
            return prove_symbolic(widths, [step.bias is not None for step in self.steps], **options)
        if kind == "exact":
            coefficients = (*find_taken_coefficients(tape), *find_computed_weights(self._original, tape))
            taken = [str(one) for one in coefficients]
            options = {"taken": taken, **options}
            return prove_exact(self.steps, self._evaluate, self._claim, self._roundings(), **options)
        if kind == "numeric":
            if self._input_dtype != self.dtype:
                raise CannotProveError(
                    f"{self.module} takes {self._input_dtype} and gives {self.dtype}; a numeric proof is for modules "
                    "that compute in one dtype"
                )
            if not self.weight.numel():
                raise CannotProveError(
                    f"{self.module} takes or gives no numbers at all, so there is nothing to measure"
                )
            return prove_numeric([step.rounded for step in self.steps], self._run, self.exact, self.layer, **options)
        raise UnknownNameError("kind of proof", kind, ("theorem", "symbolic", "exact", "numeric"))

    def save(self, path: str | Path) -> Path:
        """Writes a certificate: steps, exact result and claim, for `whyactivate verify` or the bare `checker.py`.

        Returns the path.

        Raises:
            CannotProveError: it would be larger than the checker reads.
            InputError: the module was changed since, or the file cannot be written.
        """
        tape = self.analysis.tape
        assert tape is not None
        tape.check_unchanged()
        return write_certificate(path, self.steps, self.exact, self.dtype, self.analysis.notes)

    def _evaluate(self, points: Any) -> Any:
        """The recorded program at exact or modular points of logical shape `(in,)`, operation by operation."""
        tape = self.analysis.tape
        assert tape is not None
        row = points.reshape(1, *self.input_shape)
        if isinstance(points, ModularArray):
            return evaluate_modulo(tape, self._constants, [row])[0].flatten()
        outputs = Replay(tape, Part.WHOLE, self._constants).outputs([row])
        if not isinstance(outputs[0], ExactArray):  # exponentials that cancel
            raise CannotProveError("the program has no exact values: exponentials or roots are on the way")
        return outputs[0].flatten()

    def _run(self, rows: Tensor) -> Tensor:
        """The original module on flattened rows, flattened again."""
        if _modes_of(self._original) != self._modes:
            raise InputError(f"{self.module} was switched between train and eval since; collapse it again")
        inputs = rows.reshape(rows.shape[0], *self.input_shape)
        call = self._example.given(as_complex(inputs) if self._is_complex[0] else inputs)
        (output,) = tensors_in(self._original(*call.args, **call.kwargs))
        return as_pairs(output).reshape(rows.shape[0], prod(self.output_shape))

    def __str__(self) -> str:
        out, into = self.weight.shape
        lines = [f"{self.module} is one affine layer: {into} numbers in, {out} out."]
        lines += [f"  {number}. {step}" for number, step in enumerate(self.steps, 1)]
        names = [f"W{number}" for number in range(len(self.steps), 0, -1)]
        shown = "·".join(names if len(names) <= 6 else [*names[:2], "…", *names[-2:]])
        lines.append(f"  W = {shown} is {out}×{into}; b follows b ← Wₖ·b + bₖ from b = 0.")
        lines.append(f"  {self.parameters_before} parameters before, {self.parameters_after} after; the same function.")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _modes_of(module: nn.Module) -> list[bool]:
    """Train or eval, for each part; scripted modules that are frozen have lost theirs."""
    return [getattr(part, "training", False) for part in module.modules()]


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(1, 1, device="meta")  # draws no random numbers, and does not warn where there are none
    layer.out_features, layer.in_features = weight.shape
    layer.weight, layer.bias = nn.Parameter(weight.contiguous()), nn.Parameter(bias)
    return layer


class _Complex(nn.Module):
    """A module on pairs of reals, for complex numbers."""

    def __init__(self, on_pairs: nn.Module, takes: bool, gives: bool) -> None:
        super().__init__()
        self.on_pairs, self.takes, self.gives = on_pairs, takes, gives

    def forward(self, x: Tensor) -> Tensor:
        result = self.on_pairs(as_pairs(x) if self.takes else x)
        return as_complex(result) if self.gives else result


class _Reshaped(nn.Module):
    """A layer on flattened rows, between the shapes of the module that it replaces."""

    def __init__(self, layer: nn.Linear, output_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.output_shape = layer, output_shape

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(x.shape[0], self.layer.in_features).to(
            self.layer.weight.dtype
        )  # which is that of the output, not always that of the input
        return self.layer(rows).reshape(x.shape[0], *self.output_shape)


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
        InputError: the input cannot be used, or was left out and cannot be inferred.
    """
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
        raise CannotCollapseError(str(error), analysis) from error
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
        _modes=_modes_of(module),
        _constants=constants,
    )


def _shape_of_one_row(analysis: Analysis) -> tuple[int, ...]:
    """As a batch of two rows tells it: of one row, `squeeze` leaves no batch axis."""
    assert analysis.recordings is not None
    return tuple(analysis.recordings.pairs[0].returned[0].shape[1:])


def _unit_roundoff(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps / 2


def infer_input(module: nn.Module) -> Tensor:
    """An example input for a module whose first layer is an `nn.Linear`: one row of zeros.

    Raises:
        InputError: the first layer is another, or there is none.
    """
    if isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance] (callers need not be typed)
        for part in module.modules():
            if isinstance(part, nn.Linear):
                # Not part.weight: where that is computed (spectral_norm), asking for it changes the module.
                first = next(part.parameters(), torch.empty(0, device="cpu"))
                return torch.zeros(1, part.in_features, dtype=first.dtype, device=first.device)
    raise InputError(
        f"cannot tell what {type(module).__name__} takes: its first layer is not an nn.Linear. "
        "Pass example_input, a tensor with the batch dimension first."
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
