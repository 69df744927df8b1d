"""How far PyTorch's floating-point evaluation of a step may be from the step as a map of real numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import number_operands, short_name
from whyactivate.affine.evaluating.replay import ExactConstants, Memory, Numbers, Part, Replay, around_zero
from whyactivate.affine.rules import find_rule
from whyactivate.affine.rules.rule import UNBOUNDED
from whyactivate.affine.tape import Constant, Node, Tape, Value
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.errors import CannotProveError


@dataclass(frozen=True)
class StepRounding:
    """Bounds the rounding of one step of a program, in any order in which PyTorch may add up.

    A term that goes through k roundings comes out multiplied by k factors between 1 - u and 1 + u, so each operation
    is charged (1 + u)ᵏ - 1 times the sum of the absolute values of its terms (Higham 2002, section 3.1; any order,
    fused multiply-add included), and what underflow, gradual or to zero, can add. Errors made before are carried
    along by the absolute values of the linear part. Where a number on the way may overflow, the bound is inf.

    Attributes:
        tape: the program.
        nodes: the operations of the step.
        entry: the storage in which the step finds its vector.
        exit: where it leaves its result: a storage, or the value that is the output.
        outputs: how many numbers that result has.
        constants: weights and buffers as exact numbers.
    """

    tape: Tape
    nodes: Sequence[Node]
    entry: int
    exit: int | Value | Constant
    outputs: int
    constants: ExactConstants = field(repr=False)

    def __call__(self, magnitude: Tensor) -> Tensor:
        """An entrywise bound of the error, float64, where the computed vector is entrywise at most `magnitude`.

        Raises:
            CannotProveError: nobody knows here how an operation of the step rounds.
        """
        sizes = Replay(self.tape, Part.MAGNITUDE, self.constants)
        errors = Replay(self.tape, Part.LINEAR, self.constants)
        size: Memory = {self.entry: around_zero(ExactArray.from_tensor(magnitude.double()))}
        error: Memory = {self.entry: BallArray.zeros(1, magnitude.shape)}
        for node in self.nodes:
            for output, terms, carried in zip(
                node.outputs, sizes.evaluate(node, size), errors.evaluate(node, error), strict=False
            ):
                if output is None:
                    continue
                if self._count(node) >= UNBOUNDED:
                    raise CannotProveError(
                        f"no bound: how PyTorch rounds within {short_name(node.op)} is not known here"
                    )
                made = self._made(node, output, terms, size)
                if not bool((around_zero(terms) + made).upper().max() <= torch.finfo(output.geometry.dtype).max):
                    return torch.full((self.outputs,), torch.inf, dtype=torch.float64, device="cpu")
                sizes.write(output, around_zero(around_zero(terms) + made), size)
                errors.write(output, around_zero(around_zero(carried) + made), error)
        found: Numbers = error[self.exit] if isinstance(self.exit, int) else errors.read(self.exit, error).flatten()
        return around_zero(found).upper()[0]

    def _count(self, node: Node) -> int:
        rule = find_rule(node.op)
        assert rule is not None
        return rule.count_roundings(node.arguments)

    def _made(self, node: Node, output: Value, terms: Numbers, size: Memory) -> BallArray:
        """A ball around 0 that holds the rounding that one operation makes."""
        count = self._count(node)
        info = torch.finfo(output.geometry.dtype)
        growth = math.expm1(count * math.log1p(info.eps / 2)) * (1 + 1e-12)
        # What underflows is off by the smallest normal number at most, which two more factors may magnify.
        underflow = count * info.smallest_normal * (1 + self._largest(node, size)) ** 2
        return around_zero(around_zero(terms) * growth + underflow)

    def _largest(self, node: Node, size: Memory) -> float:
        found = [1.0]
        for name, argument in node.arguments.items():
            for item in argument if isinstance(argument, list) else [argument]:
                if isinstance(item, Value) and size[item.storage].size:
                    found.append(float(around_zero(size[item.storage]).upper().max()))
                elif isinstance(item, Constant) and item.tensor.is_floating_point() and item.tensor.numel():
                    found.append(float(item.read().abs().max()))
                elif isinstance(item, (int, float)) and name in number_operands(node.op):
                    found.append(abs(float(item)))
        return max(found)
