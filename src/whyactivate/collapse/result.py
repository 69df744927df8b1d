"""`Collapse`: the one layer, the factors that it is the product of, and the proofs that it is right."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate._told import Told
from whyactivate.affine import Analysis
from whyactivate.affine.evaluating.coefficients import find_computed_weights, find_taken_coefficients
from whyactivate.affine.evaluating.modular import evaluate_modulo
from whyactivate.affine.evaluating.replay import ExactConstants, Part, Replay
from whyactivate.affine.pairs import as_complex, as_pairs
from whyactivate.affine.recording import Example
from whyactivate.affine.trees import tensors_in
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.modular import ModularArray
from whyactivate.collapse.layers import OnComplex, Reshaped, linear_of
from whyactivate.errors import CannotCollapseError, CannotProveError, InputError, UnknownNameError
from whyactivate.proof import (
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
from whyactivate.proof.result import ProofKind

_OPTIONS: dict[str, tuple[str, ...]] = {
    "theorem": ("rule",),
    "symbolic": ("engine", "formula"),
    "exact": ("points_budget", "rounds", "seed", "work_limit", "memory_limit"),
    "numeric": ("x", "radius", "seed", "effort"),
}


@dataclass(frozen=True, repr=False, eq=False)
class Step(Told):
    """One factor of the product: v ↦ weight·v + bias.

    Attributes:
        name: path of the layer in the module, as in `fc1`.
        weight: float64, shape `(out, in)`: the exact entries, each rounded once.
        bias: float64, shape `(out,)`; None where nothing is added.
        running_shape: `(out, in)` of the product of all steps up to this one.
        exact_weight: the weight without rounding.
        exact_bias: the bias without rounding.
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


@dataclass(frozen=True, repr=False, eq=False)
class Collapse(Told):
    """The one affine layer that a module is equal to as a function of real numbers: x ↦ weight·x + bias.

    Attributes:
        module: the name of the module's class.
        weight: float64, shape `(out, in)`, multiplied out in the cheapest order.
        bias: float64, shape `(out,)`.
        steps: the factors, the first to act first.
        analysis: the verdict and what it rests on.
        parameters_before: how many real numbers the module's parameters hold.
        input_shape: of one row; the layer acts on the flattened input. Complex numbers count as real and imaginary
            part, along a last axis of two; `as_module` takes and gives them as they are.
        output_shape: of one row, likewise.
        dtype: of the module's output (of the real and imaginary parts of a complex one), and of `layer`.
        device: where the output and `layer` are.
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
        layer = linear_of(self.weight.to(self.dtype).to(self.device), self.bias.to(self.dtype).to(self.device))
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
        `nn.Linear` on the last axis. Else it takes any number of rows of the one shape that the original was collapsed
        for, and raises InputError where it is given others.
        """
        places = prod(self.input_shape[:-1])
        takes, gives = self._is_complex
        if takes or gives:
            return OnComplex(Reshaped(copy.deepcopy(self.layer), self.input_shape, self.output_shape), takes, gives)
        if self._input_dtype == self.dtype and places > 1 and self.input_shape[:-1] == self.output_shape[:-1]:
            weight, bias = (part.to_float64()[0] for part in (self.exact.weight, self.exact.bias))
            blocks = weight.reshape(places, self.output_shape[-1], places, self.input_shape[-1]).transpose(1, 2)
            shifts = bias.reshape(places, -1)
            same = torch.block_diag(*[blocks[0, 0]] * places)
            if bool((weight == same).all()) and bool((shifts == shifts[0]).all()):
                return linear_of(blocks[0, 0].to(self.layer.weight), shifts[0].to(self.layer.bias))
        return Reshaped(copy.deepcopy(self.layer), self.input_shape, self.output_shape)

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
            convolves = any("convolution" in str(node.op) for node in tape.nodes)
            rounded = [step.rounded for step in self.steps]
            return prove_numeric(rounded, self._run, self.exact, self.layer, convolves=convolves, **options)
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
        if modes_of(self._original) != self._modes:
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
        lines.append(
            f"  {self.parameters_before:,} parameters before, {self.parameters_after:,} after; the same function."
        )
        return "\n".join(lines)


def modes_of(module: nn.Module) -> list[bool]:
    """Train or eval, for each part; scripted modules that are frozen have lost theirs."""
    return [getattr(part, "training", False) for part in module.modules()]


def _unit_roundoff(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps / 2
