"""Carries out a program on the unknown input: every number becomes a polynomial in canonical form."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from flint import fmpq

from whyactivate.affine._torch_compat import OpOverload, short_name, version
from whyactivate.affine.cancelling.conditions import Conditions, both, choose
from whyactivate.affine.cancelling.functions import apply_function
from whyactivate.affine.cancelling.polynomial_array import PolynomialArray, to_fmpq
from whyactivate.affine.cancelling.polynomials import Forms, Monomial, Polynomial, TooManyTermsError
from whyactivate.affine.cancelling.reductions import apply_reduction
from whyactivate.affine.evaluating.replay import ExactConstants, Memory, Numbers, Part, Replay
from whyactivate.affine.rules import CannotEvaluate, Label, find_rule
from whyactivate.affine.rules.rule import is_real
from whyactivate.affine.tape import Argument, Constant, Node, Tape, Value
from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.points import Cells

aten = torch.ops.aten

MOST_CELLS = 1_500_000
"""How many coefficients the program may hold at once."""
MOST_TERMS = 1_500_000
"""How many terms of polynomials may be written."""

_COMPARISONS: Mapping[OpOverload, Callable[[Any, Any], bool]] = {
    overload: holds
    for packet, holds in (
        (aten.gt, operator.gt), (aten.ge, operator.ge), (aten.lt, operator.lt), (aten.le, operator.le),
        (aten.eq, operator.eq), (aten.ne, operator.ne),
    )
    for overload in (packet.Scalar, packet.Tensor)
}  # fmt: skip
_NOT_A_NUMBER = (aten.isnan.default, aten.isinf.default)
_BOTH = (aten.logical_and.default, aten.bitwise_and.Tensor, aten.mul.Tensor)
_EITHER = (aten.logical_or.default, aten.bitwise_or.Tensor)
_NEITHER = (aten.logical_not.default, aten.bitwise_not.default)
_CHOICES: Mapping[OpOverload, tuple[str, str, str]] = {
    aten.where.self: ("condition", "self", "other"),
    aten.masked_fill.Scalar: ("mask", "value", "self"),
    aten.masked_fill.Tensor: ("mask", "value", "self"),
}


class CanonicalProgram:
    """A tape, carried out on the unknown input.

    A storage holds, for each monomial, the coefficients of that monomial in all its entries; an operation that is
    affine acts on the coefficients of each monomial as it does on numbers, with its constant addends for the
    monomial 1 alone. Any other operation acts on the polynomials one by one.
    """

    def __init__(self, tape: Tape, constants: ExactConstants) -> None:
        self._tape, self._constants = tape, constants
        self._inputs = sum(value.geometry.numel for value in tape.inputs)
        self._cells = sum(storage.numel for storage in tape.storages.values())
        self._forms = Forms(self._inputs, MOST_TERMS)
        self._monomials: list[Monomial] = [(number,) for number in range(self._inputs)]
        self._numbers = {monomial: number for number, monomial in enumerate(self._monomials)}
        self._linear = Replay(tape, Part.LINEAR, constants)
        self._whole = Replay(tape, Part.WHOLE, constants)
        self._polynomials = _OnPolynomials(tape, Part.WHOLE, _PolynomialConstants(constants, self._forms), self)
        self._coefficients: Memory = {}
        self._added: Memory = {}
        self._conditions = Conditions()

    def affine_map(self) -> ExactAffine:
        """The program as one affine map.

        Raises:
            CannotEvaluate: it is not known to be one; the message says why.
        """
        self._begin()
        for node in self._tape.needed():
            self._step(node)
        parts: list[tuple[ExactArray, ExactArray]] = []
        for output in self._tape.outputs:
            coefficients, added = self._read(output)
            left = np.argwhere(coefficients.ints[self._inputs :].reshape(-1, coefficients.size))
            if len(left):
                raise CannotEvaluate(self._words(self._monomials[self._inputs + int(left[0][0])]))
            parts.append((coefficients.at(slice(0, self._inputs)).flatten(), added.flatten()))
        columns = ExactArray.concatenate([columns.at_points(self._inputs) for columns, _ in parts])
        bias = ExactArray.concatenate([added for _, added in parts])
        return ExactAffine(ExactArray(columns.ints.T[None], columns.unit), bias)

    def _words(self, monomial: Monomial) -> str:
        if all(number < self._inputs for number in monomial):
            return "a product of inputs is left over"
        return "a kink, or a function that is not affine, is left over"

    def _begin(self) -> None:
        if not self._inputs:
            raise CannotEvaluate("there is no number in the input")
        self._check_size()
        first = 0
        for value in self._tape.inputs:
            count = value.geometry.numel
            ints = np.zeros((len(self._monomials), count), dtype=object)
            ints[np.arange(first, first + count), np.arange(count)] = 1
            self._coefficients[value.storage] = ExactArray(ints)
            self._added[value.storage] = ExactArray.zeros(1, (count,))
            first += count

    def _check_size(self) -> None:
        if len(self._monomials) * self._cells > MOST_CELLS:
            raise TooManyTermsError(
                f"a canonical form of {len(self._monomials)} terms in each of {self._cells} numbers is too large"
            )

    # -- one operation ---------------------------------------------------------------------------------------------

    def _step(self, node: Node) -> None:
        if node.op is aten._to_copy.default and self._copy_mask(node):
            return
        for value in (*node.values(), *(output for output in node.outputs if output is not None)):
            self._pad(value.storage)
        if node.reason is None:
            for output, coefficients, added in zip(
                node.outputs,
                self._linear.evaluate(node, self._coefficients),
                self._whole.evaluate(node, self._added),
                strict=False,
            ):
                if output is not None:
                    self._write(output, coefficients, added)
        elif node.op in _COMPARISONS or node.op in _NOT_A_NUMBER:
            self._compare(node)
        elif all(map(self._conditions.hold, node.values())) and self._combine(node):
            return
        else:
            for output, result in zip(node.outputs, self._results(node), strict=False):
                if output is not None:
                    self._write(output, *self._split(result.expand(output.geometry.size)))

    def _results(self, node: Node) -> Sequence[PolynomialArray]:
        if node.op is aten.mul.Tensor:
            for mask, factor in (("self", "other"), ("other", "self")):
                if self._conditions.hold(node.arguments[mask]):
                    return (self._choose(node, node.arguments[mask], node.arguments[factor], None),)
        choice = _choice_of(node)
        if choice is not None:
            return (self._choose(node, *choice),)
        rule = find_rule(node.op)
        operand = node.arguments.get("self")
        others = {name: argument for name, argument in node.arguments.items() if name != "self"}
        if isinstance(operand, Value) and not any(isinstance(one, (Constant, Value)) for one in others.values()):
            rounded = operand.geometry.dtype if any(isinstance(one, float) for one in others.values()) else None
            numbers = self.polynomials(operand)
            applied = apply_reduction(node.op, others, numbers)
            if applied is None:
                applied = apply_function(node.op, tuple(others.items()), numbers, rounded)
            if applied is not None:
                return (applied,)
        if rule is None or rule.label not in (Label.RATIONAL, Label.PIECEWISE):
            raise CannotEvaluate(f"{short_name(node.op)} has no canonical form")
        try:
            results: Any = self._polynomials.evaluate(node, {})
        except (AttributeError, TypeError, ValueError, IndexError) as error:  # what arrays of polynomials do not offer
            raise CannotEvaluate(f"{short_name(node.op)} has no canonical form") from error
        if not all(isinstance(result, PolynomialArray) for result in results):
            raise CannotEvaluate(f"{short_name(node.op)} has no canonical form")
        return results

    def _compare(self, node: Node) -> None:
        """Note the polynomial p for which a mask says whether p > 0 (or p ≥ 0: both sides of a choice agree at 0)."""
        (output,) = node.outputs
        if output is None:
            return
        left = self._operand(node.arguments["self"], node)
        if node.op in _NOT_A_NUMBER:
            holds, other = operator.eq, math.inf
        else:
            holds, other = _COMPARISONS[node.op], node.arguments["other"]
        if isinstance(other, float) and math.isinf(other):
            if any(value.geometry.dtype == torch.float16 for value in node.values()):
                raise CannotEvaluate("in float16 numbers beyond 65504 are infinite, and so no longer real")
            mask = left * 0 + _told(holds(0, other))
        else:
            difference = left - self._operand(other, node)
            cells = np.empty(difference.size, dtype=object)
            cells[:] = [self._condition(p, holds) for p in difference.flat_list()]
            mask = PolynomialArray(cells.reshape(difference.cells.shape), self._forms)
        self._write_mask(output, mask.expand(output.geometry.size).polynomials)

    def _condition(self, p: Polynomial, holds: Callable[[Any, Any], bool]) -> Polynomial:
        """The polynomial that is positive where p compares so with 0."""
        if p.is_constant:
            return self._forms.constant(fmpq(_told(holds(p.leading, 0))))
        if holds in (operator.eq, operator.ne):
            raise CannotEvaluate("whether numbers are equal has no canonical form")
        return p if holds(1, 0) else -p

    def _combine(self, node: Node) -> bool:
        """Follow an operation on masks alone; False where it is not known here."""
        (output,) = node.outputs
        if output is None or not any(node.op in known for known in (_BOTH, _EITHER, _NEITHER)):
            return False
        if node.op is aten.bitwise_not.default and output.geometry.dtype != torch.bool:
            return False
        masks = [np.broadcast_to(self._conditions.read(value), output.geometry.size) for value in node.values()]
        if len(masks) != (1 if node.op in _NEITHER else 2):
            return False
        rows = zip(*(mask.ravel().tolist() for mask in masks), strict=True)
        if node.op in _NEITHER:
            found = [-p for (p,) in rows]
        elif node.op in _BOTH:
            found = [both(p, q) for p, q in rows]
        else:
            found = [-both(-p, -q) for p, q in rows]
        cells = np.empty(len(found), dtype=object)
        cells[:] = found
        self._write_mask(output, cells)
        return True

    def _write_mask(self, output: Value, polynomials: Cells) -> None:
        self._conditions.write(output, self._tape.storages[output.storage], polynomials.ravel())
        self._coefficients.pop(output.storage, None)
        self._added.pop(output.storage, None)

    def _copy_mask(self, node: Node) -> bool:
        """Follow a mask into numbers 0 and 1 of another type; False where no mask is copied."""
        operand: Any = node.arguments["self"]
        (output,) = node.outputs
        if output is None or not self._conditions.hold(operand):
            return False
        self._write_mask(output, self._conditions.read(operand))
        return True

    def _choose(self, node: Node, condition: Argument, yes: Argument, no: Argument | None) -> PolynomialArray:
        """The choice between a and b by p > 0 is b + max(kp, 0) where a - b = kp with k ≥ 0, and so on."""
        (output,) = node.outputs
        assert output is not None
        if not self._conditions.hold(condition):
            raise CannotEvaluate("a mask has no canonical form")
        size = output.geometry.size
        conditions = np.broadcast_to(self._conditions.read(condition), size).ravel().tolist()
        first = self._operand(yes, node).expand(size).flat_list()
        zeros = ExactArray.zeros(1, size)
        otherwise = PolynomialArray.from_exact(zeros, self._forms) if no is None else self._operand(no, node)
        second = otherwise.expand(size).flat_list()
        cells = np.empty(len(first), dtype=object)
        cells[:] = [choose(p, a, b) for p, a, b in zip(conditions, first, second, strict=True)]
        return PolynomialArray(cells.reshape(1, *size), self._forms)

    def _operand(self, argument: Argument, node: Node) -> PolynomialArray:
        """An operand of a comparison or of a choice; a constant must be a number of the dtype that takes part."""
        if isinstance(argument, Value):
            return self.polynomials(argument)
        values = [output for output in node.outputs if output is not None] + list(node.values())
        dtype = next((value.geometry.dtype for value in values if is_real(value.geometry.dtype)), None)
        if isinstance(argument, Constant):
            given = argument
        elif isinstance(argument, (int, float)):
            given = Constant(tensor := torch.tensor(argument, dtype=torch.float64, device="cpu"), version(tensor))
        else:
            raise CannotEvaluate("an operand has no canonical form")
        exact = self._constants.of(given)
        if dtype is None or not exact.equals(self._constants.of(given, dtype)):
            raise CannotEvaluate("a constant is rounded on the way")
        return PolynomialArray.from_exact(exact, self._forms)

    # -- memory ----------------------------------------------------------------------------------------------------

    def polynomials(self, value: Value) -> PolynomialArray:
        """The numbers of a value, as polynomials."""
        coefficients, added = self._read(value)
        ints = coefficients.ints.reshape(coefficients.points, -1)
        terms: list[dict[Monomial, fmpq]] = [{} for _ in range(ints.shape[1])]
        unit = to_fmpq(coefficients.unit)
        rows, columns = np.nonzero(ints)
        self._forms.spend(len(rows))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            terms[column][self._monomials[row]] = fmpq(int(ints[row, column])) * unit
        unit = to_fmpq(added.unit)
        for column, number in enumerate(added.ints.ravel().tolist()):
            if number:
                terms[column][()] = fmpq(int(number)) * unit
        cells = np.empty(len(terms), dtype=object)
        cells[:] = [Polynomial(self._forms, one) for one in terms]
        return PolynomialArray(cells.reshape(1, *added.shape), self._forms)

    def _split(self, array: PolynomialArray) -> tuple[ExactArray, ExactArray]:
        """Coefficients of each monomial, and the constant terms."""
        polynomials = array.flat_list()
        for polynomial in polynomials:
            for monomial in polynomial.terms:
                if monomial and monomial not in self._numbers:
                    self._numbers[monomial] = len(self._monomials)
                    self._monomials.append(monomial)
        self._check_size()
        common = math.lcm(*{int(c.q) for polynomial in polynomials for c in polynomial.terms.values()})
        ints = np.zeros((len(self._monomials) + 1, len(polynomials)), dtype=object)
        for column, polynomial in enumerate(polynomials):
            for monomial, c in polynomial.terms.items():
                row = self._numbers[monomial] if monomial else -1
                ints[row, column] = int(c.p) * (common // int(c.q))
        unit = Fraction(1, common)
        return (
            ExactArray(ints[:-1].reshape(-1, *array.shape), unit),
            ExactArray(ints[-1:].reshape(1, *array.shape), unit),
        )

    def _read(self, output: Value | Constant) -> tuple[ExactArray, ExactArray]:
        if isinstance(output, Value):
            self._pad(output.storage)
        coefficients, added = self._linear.read(output, self._coefficients), self._whole.read(output, self._added)
        assert isinstance(coefficients, ExactArray)
        assert isinstance(added, ExactArray)
        return coefficients, added

    def _write(self, output: Value, coefficients: Numbers, added: Numbers) -> None:
        assert isinstance(coefficients, ExactArray)
        assert isinstance(added, ExactArray)
        points = len(self._monomials)
        self._conditions.overwrite(output)
        if coefficients.points != points and coefficients.ints.any():
            raise CannotEvaluate("an operation does not keep the terms apart")
        self._pad(output.storage)
        self._linear.write(output, coefficients.at_points(points), self._coefficients)
        self._whole.write(output, added, self._added)
        self._pad(output.storage)

    def _pad(self, storage: int) -> None:
        """Give a storage coefficients, 0, of the monomials that came up since it was written."""
        known = self._coefficients.get(storage)
        missing = len(self._monomials) - known.points if isinstance(known, ExactArray) else 0
        if isinstance(known, ExactArray) and missing:
            self._coefficients[storage] = ExactArray.stack_points([known, ExactArray.zeros(missing, known.shape)])


def _told(answer: bool) -> int:
    """The condition that comes out so for all inputs, as a number."""
    return 1 if answer else -1


def _choice_of(node: Node) -> tuple[Value, Argument, Argument] | None:
    """By which mask a node chooses, and between what; None where it does nothing of the kind."""
    arguments = node.arguments
    if node.op is aten.index_put.default and not arguments["accumulate"]:  # x[mask] = 0
        indices: Any = arguments["indices"]
        mask, put, own = indices[0], arguments["values"], arguments["self"]
        is_one = isinstance(put, Constant) and put.tensor.numel() == 1
        if len(indices) == 1 and isinstance(mask, Value) and isinstance(own, Value) and is_one:
            is_mask = mask.geometry.dtype == torch.bool and mask.geometry.size == own.geometry.size
            return (mask, put, own) if is_mask else None
    names = _CHOICES.get(node.op)
    if names is None:
        return None
    condition, yes, no = (arguments[name] for name in names)
    return (condition, yes, no) if isinstance(condition, Value) else None


class _PolynomialConstants(ExactConstants):
    """Weights and buffers as constant polynomials."""

    def __init__(self, constants: ExactConstants, forms: Forms) -> None:
        super().__init__()
        self._exact, self._forms = constants, forms

    def of(self, constant: Constant, dtype: torch.dtype | None = None) -> Any:
        return PolynomialArray.from_exact(self._exact.of(constant, dtype), self._forms)


@dataclass(frozen=True)
class _OnPolynomials(Replay):
    """Evaluates operations on the polynomials that a canonical program holds."""

    program: CanonicalProgram | None = field(default=None)

    def read(self, output: Value | Constant, memory: Mapping[int, Numbers]) -> Any:
        assert isinstance(output, Value)
        assert self.program is not None
        return self.program.polynomials(output)
