"""Masks in canonical form: each entry says of a polynomial whether it is positive."""

from __future__ import annotations

from typing import TypeGuard

from whyactivate.affine.cancelling.polynomials import Polynomial
from whyactivate.affine.rules import CannotEvaluate
from whyactivate.affine.tape import Argument, Storage, Value
from whyactivate.arithmetic.points import Cells, strided_index


class Conditions:
    """For each storage that holds a mask, the polynomials p of which it says whether p > 0.

    Whether p > 0 or p ≥ 0 is not kept: canonical forms know choices alone whose two sides agree where p is 0.
    """

    def __init__(self) -> None:
        self._held: dict[int, Cells] = {}

    def hold(self, argument: Argument) -> TypeGuard[Value]:
        """True where an operand is such a mask."""
        return isinstance(argument, Value) and argument.storage in self._held

    def read(self, mask: Value) -> Cells:
        """The polynomials of a mask, in its shape."""
        flat, geometry = self._held[mask.storage], mask.geometry
        return flat[strided_index(geometry.offset, geometry.size, geometry.stride, len(flat))]

    def write(self, output: Value, storage: Storage, polynomials: Cells) -> None:
        """Make the whole storage of `output` a mask."""
        if not output.geometry.covers(storage.numel):
            raise CannotEvaluate("a mask is written in parts")
        self._held[output.storage] = polynomials

    def overwrite(self, output: Value) -> None:
        """Note that numbers are put where a mask may have been."""
        overwritten = self._held.pop(output.storage, None)
        if overwritten is not None and output.geometry.numel != len(overwritten):
            raise CannotEvaluate("a mask is overwritten in parts")


def choose(p: Polynomial, yes: Polynomial, no: Polynomial) -> Polynomial:
    """`yes` where p > 0, else `no`: no + k·max(p, 0) where yes - no = kp.

    Of a number p it is known which; it is not 0.

    Raises:
        CannotEvaluate: the difference is no multiple of p.
    """
    difference = yes - no
    if not difference.terms:
        return yes
    if p.is_constant:
        return yes if p.leading > 0 else no
    factor = difference.multiple_of(p)
    if factor is None:
        raise CannotEvaluate("a choice between two pieces that do not meet has no canonical form")
    return no + p.positive_part() * factor


def both(p: Polynomial, q: Polynomial) -> Polynomial:
    """The condition that both hold.

    Raises:
        CannotEvaluate: neither of them comes out alike for all inputs.
    """
    if not p.is_constant:
        p, q = q, p
    if not p.is_constant:
        raise CannotEvaluate("two conditions at once have no canonical form")
    return q if p.leading > 0 else p
