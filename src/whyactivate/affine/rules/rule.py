"""What the table says about one operation: through which operands it is affine, and what it computes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import torch

from whyactivate.affine._torch_compat import OpOverload, argument_names, short_name
from whyactivate.affine.tape import Argument, Constant, Location, Value

Form = tuple[tuple[str, ...], ...]
"""A sum of products of operands: `(("self",), ("mat1", "mat2"))` stands for self + mat1*mat2."""


class CannotEvaluate(Exception):
    """A formula has no exact or enclosed value for these operands; the message says why.

    Attributes:
        location: where the operation was asked for; None where that is not known.
    """

    location: Location | None = None


class NoValue(CannotEvaluate):
    """The operation has no value that PyTorch fixes for these operands; for others it may have one."""


class Label(StrEnum):
    """What the formula of a rule is made of."""

    RATIONAL = "rational"  # sums and products of stored numbers
    PIECEWISE = "piecewise"  # the same, with comparisons
    ALGEBRAIC = "algebraic"  # a square root on the way to a coefficient
    SMOOTH = "smooth"  # exponentials and kin: enclosed in balls
    KERNEL = "kernel"  # coefficients taken as the numbers that PyTorch computes for them


UNBOUNDED = 1 << 40
"""How many roundings a term goes through where nobody can bound what they do, as in solving a system of equations."""
EVERY_OUTPUT = range(1 << 30)
"""For operations whose results are all alike, however many."""


@dataclass(frozen=True, slots=True)
class Call:
    """How an operation was called: what a formula may ask for beside the numbers, by a parameter named `call`."""

    op: OpOverload
    arguments: Mapping[str, Argument]
    left_out: torch.Tensor | None = None
    """Which scores a softmax leaves out."""
    wanted: Container[int] = (0,)
    """Which results anything reads: others need not be given."""

    def dtype(self, name: str) -> torch.dtype:
        """The dtype of a tensor operand."""
        argument = self.arguments[name]
        if isinstance(argument, Value):
            return argument.geometry.dtype
        assert isinstance(argument, Constant)
        return argument.tensor.dtype

    def others(self, name: str) -> list[Argument]:
        """What the operation was given beside one operand, in the order of its schema."""
        return [self.arguments[other] for other in argument_names(self.op) if other not in (name, "implicit")]

    def is_contiguous(self, name: str) -> bool:
        """True where a tensor operand fills its memory in row-major order, from the very start."""
        argument = self.arguments[name]
        if isinstance(argument, Value):
            return argument.geometry.is_contiguous and argument.geometry.offset == 0
        assert isinstance(argument, Constant)
        return argument.tensor.is_contiguous() and argument.tensor.storage_offset() == 0


@dataclass(frozen=True)
class Rule:
    """One operation of the table.

    Attributes:
        op: the operation in its functional form.
        form: the operands through which it is affine, as a sum of products; None where it never is.
        formula: its value on exact or ball arrays, a function of the operands that it names; None for views.
        label: what the formula is made of.
        passive: operands whose shape alone matters.
        when: a further condition on the operands; gives the reason where it fails. The formula does not hold there
            either, unless it `always` holds.
        note: words for `Analysis.notes` where this operation is used.
        is_view: the result shares memory with its operand.
        constant_result: the result does not depend on the numbers in any operand.
        uninitialised: the result is memory that nobody has written yet.
        wide: operands that the operation takes in float32 where its result has half precision; every other number
            is rounded to the dtype of the result.
        selectors: operands that say which numbers go where (an index, a mask); the formula gets them as tensors.
        power: the degree of the formula as a polynomial in one operand: a number, or a function of the operands.
        roundings: how many roundings a term goes through at most, in whatever order PyTorch adds up: a number, or a
            function of the operands. Numbers that are only moved go through none.
        kinks: operands or numbers at which the operation changes from one affine piece to another.
        row_product: where the operation multiplies a row by a stored matrix: the operands that hold row and matrix,
            and whether the matrix is stored as (out, in).
        affine_outputs: which results the form speaks of; the others must stay unused.
        constant_outputs: which results do not depend on the operands of the form, only on the others.
        unbounded: operands that may be infinity.
        masks: selectors that may depend on the input; the formula then gets them as numbers, truth as 1 and 0.
        gives_whole: the formula also tells results that are whole numbers, or true (1) and false (0).
        smooth_when: for which operands the value is no fraction, although the label does not say so.
        work: how many terms an entry of the result has, where `roundings` does not tell.
        widens: in balls its coefficients are enclosed together with unrounded ones, so a counterexample must be
            verified there.
    """

    op: OpOverload
    form: Form | None = None
    formula: Callable[..., Any] | None = None
    label: Label = Label.RATIONAL
    passive: frozenset[str] = frozenset()
    when: Callable[[Mapping[str, Argument]], str | None] | None = None
    always: bool = False
    note: str | None = None
    is_view: bool = False
    constant_result: bool = False
    uninitialised: bool = False
    wide: frozenset[str] = frozenset()
    selectors: frozenset[str] = frozenset()
    power: int | Callable[[Mapping[str, Argument]], int] = 1
    roundings: int | Callable[[Mapping[str, Argument]], int] = 0
    kinks: tuple[str | float, ...] = ()
    row_product: tuple[str, str, bool] | None = None
    affine_outputs: Container[int] = frozenset({0})
    constant_outputs: frozenset[int] = frozenset()
    unbounded: frozenset[str] = frozenset()
    masks: frozenset[str] = frozenset()
    gives_whole: bool = False
    smooth_when: Callable[[Mapping[str, Argument]], bool] | None = None
    work: Callable[[Mapping[str, Argument]], int] | None = None
    widens: bool = False

    def __post_init__(self) -> None:
        names = set(argument_names(self.op))
        used = {name for term in self.form or () for name in term} | set(self.passive | self.wide | self.selectors)
        if self.formula is not None:
            used |= set(self.parameters)
        if not used <= names:
            raise ValueError(f"{self.op} has no operand {sorted(used - names)}; it has {sorted(names)}")

    @property
    def is_algebraic(self) -> bool:
        """True where a square root is on the way to a coefficient."""
        return self.label is Label.ALGEBRAIC

    @property
    def parameters(self) -> tuple[str, ...]:
        """The operands that the formula takes."""
        return tuple(name for name in _signature(self.formula) if name != "call") if self.formula else ()

    def count_roundings(self, arguments: Mapping[str, Argument]) -> int:
        """How many roundings a term goes through at most, for these operands."""
        return self.roundings if isinstance(self.roundings, int) else self.roundings(arguments)

    def count_terms(self, arguments: Mapping[str, Argument]) -> int:
        """About how many numbers are added up for one entry of the result."""
        if self.work is not None:
            return self.work(arguments)
        terms = self.count_roundings(arguments)
        return 1 if terms >= UNBOUNDED else max(1, terms)

    def degree(self, arguments: Mapping[str, Argument]) -> int:
        """The degree of the result as a polynomial, piece by piece, in the operands that depend on the input."""
        factors = [sum(depends(arguments.get(key)) for key in term) for term in self.form or ()]
        return max([1, *factors]) * (self.power if isinstance(self.power, int) else self.power(arguments))

    def needs_enclosures(self, arguments: Mapping[str, Argument]) -> bool:
        """True where the value, for these operands, is not a fraction."""
        return self.label is Label.SMOOTH or (self.smooth_when is not None and self.smooth_when(arguments))

    def notes(self) -> tuple[str, ...]:
        """What to say where this operation is used."""
        return (self.note,) if self.note else ()

    def objection(self, arguments: Mapping[str, Argument]) -> str | None:
        """Why the operation is not known to be affine in the operands that depend on the input; None if it is."""
        if self.is_view or self.constant_result:
            return None
        name = short_name(self.op)
        free = {key for key, argument in arguments.items() if depends(argument)} - self.passive
        if self.form is None:
            return f"{name} is not an affine operation"
        stray = free - {key for term in self.form for key in term}
        if stray:
            return f"{name} is not affine in its operand {sorted(stray)[0]!r}"
        for term in self.form:
            both = [key for key in term if key in free]
            if len(both) > 1:
                return f"{name} multiplies {' and '.join(map(repr, both))}, and both depend on the input"
            if not both and term[0] in {key for other in self.form if free & {*other} for key in other}:
                return f"{name} uses {term[0]!r} both as a factor and as an addend"
        return self.when(arguments) if self.when else None

    def value_at(
        self,
        operands: Mapping[str, Any],
        arguments: Mapping[str, Argument],
        left_out: torch.Tensor | None = None,
        wanted: Container[int] = (0,),
    ) -> tuple[Any, ...]:
        """What the operation, called with `arguments`, gives for these exact or enclosed `operands`.

        A softmax leaves some scores out where it is told so; results that are not `wanted` may be missing.

        Raises:
            CannotEvaluate: there is no formula, or it has no value here.
        """
        if self.formula is None:
            raise CannotEvaluate(f"{self.op} has no formula here")
        if self.when is not None and not self.always and (reason := self.when(arguments)) is not None:
            raise CannotEvaluate(reason)
        asked = {"call": Call(self.op, arguments, left_out, wanted)} if "call" in _signature(self.formula) else {}
        try:
            result = self.formula(**operands, **asked)
        except (ZeroDivisionError, IndexError) as error:  # an extreme of no numbers, as well
            raise CannotEvaluate(f"{self.op}: {error}") from error
        except (RuntimeError, ValueError) as error:  # shapes that were not thought of
            raise CannotEvaluate(f"the formula of {self.op} does not cover these operands ({error})") from error
        return result if isinstance(result, tuple) else (result,)

    def constant_terms(self, arguments: Mapping[str, Argument]) -> frozenset[str]:
        """Operands to set to zero so that only the linear part is left."""
        return frozenset(term[0] for term in self.form or () if not any(depends(arguments.get(key)) for key in term))


@cache
def _signature(formula: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(formula).parameters)


def shape_of(argument: Argument) -> tuple[int, ...]:
    """The shape of a tensor operand; empty for anything else."""
    if isinstance(argument, Value):
        return argument.geometry.size
    return tuple(argument.tensor.shape) if isinstance(argument, Constant) else ()


def depends(argument: Argument) -> bool:
    """True where an operand, or an item of a list of operands, depends on the input."""
    if isinstance(argument, (list, tuple)):
        return any(depends(item) for item in argument)
    return isinstance(argument, Value)


def is_real(dtype: torch.dtype | None) -> bool:
    """True for the floating dtypes whose casts count as the identity on the reals."""
    return dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def computed(number: float, dtype: torch.dtype) -> float:
    """A number of an operation's own as its kernel takes it: in float32 at least."""
    wide = dtype if dtype == torch.float64 else torch.float32
    return torch.tensor(number, dtype=torch.float64, device="cpu").to(wide).item()


def constant_tensor(argument: Argument) -> torch.Tensor | None:
    """The tensor of a constant operand, None for anything else."""
    return argument.tensor if isinstance(argument, Constant) else None
