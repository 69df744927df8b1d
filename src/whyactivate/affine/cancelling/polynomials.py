"""Polynomials in the inputs and in kinks max(t - τ, 0), kept in a form in which equal functions mostly look equal."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from flint import fmpq

from whyactivate.affine.cancelling.pieces import Pieces
from whyactivate.affine.cancelling.variables import Exponential, Kink, Unknown, Variable
from whyactivate.affine.rules.rule import CannotEvaluate

Monomial = tuple[int, ...]
"""The numbers of its variables, ascending, each as often as it is a factor; () is 1."""
Terms = dict[Monomial, fmpq]
_ZERO = fmpq(0)


class TooManyTermsError(CannotEvaluate):
    """The canonical form would take more work than is allowed."""


@dataclass(eq=False)
class Forms:
    """Makes polynomials, and rewrites them by identities that hold for all real numbers.

    Variables 0, 1, …, `inputs` - 1 are the numbers of the input; further ones are kinks and unknown functions of
    polynomials made before. A direction is a polynomial without constant term whose first coefficient is 1, so that
    the maximum of 0 and c(t - τ) is one variable for all c > 0, and with max(-p, 0) = max(p, 0) - p for all c < 0.

    Attributes:
        inputs: how many numbers the input has.
        budget: how many more terms may be written before the attempt is given up.
    """

    inputs: int
    budget: int
    _variables: dict[int, Variable] = field(default_factory=dict[int, Variable])
    _numbers: dict[Hashable, int] = field(default_factory=dict[Hashable, int])
    _directions: list[Polynomial] = field(default_factory=list["Polynomial"])
    _direction_numbers: dict[frozenset[tuple[Monomial, fmpq]], int] = field(
        default_factory=dict[frozenset[tuple[Monomial, fmpq]], int]
    )
    _reduced: dict[Monomial, Terms | None] = field(default_factory=dict[Monomial, "Terms | None"])

    def constant(self, value: fmpq) -> Polynomial:
        """A number as a polynomial."""
        return Polynomial(self, {(): value} if value != 0 else {})

    def variable(self, number: int) -> Polynomial:
        """One variable as a polynomial."""
        return Polynomial(self, {(number,): fmpq(1)})

    def spend(self, terms: int) -> None:
        """Count work; raises TooManyTermsError beyond the budget."""
        self.budget -= terms
        if self.budget < 0:
            raise TooManyTermsError("its canonical form has too many terms")

    # -- the positive part -----------------------------------------------------------------------------------------

    def positive_part(self, p: Polynomial) -> Polynomial:
        """The maximum of p and 0."""
        low, high = self.bounds(p)
        if low is not None and low >= 0:
            return p
        if high is not None and high <= 0:
            return self.constant(_ZERO)
        for direction in self._directions_in(p):
            pieces = self._along(p, direction)
            if pieces is not None:
                return self._from_pieces(pieces.positive_part(), direction)
        direction, scale = self._direction_of(p)
        own = Pieces(p.terms.get((), _ZERO), scale, {})
        return self._from_pieces(own.positive_part(), direction)

    def _directions_in(self, p: Polynomial) -> list[int]:
        found: dict[int, None] = {}
        for monomial in p.terms:
            if len(monomial) == 1 and isinstance(kink := self._variables.get(monomial[0]), Kink):
                found[kink.direction] = None
        return list(found)

    def _direction_of(self, p: Polynomial) -> tuple[int, fmpq]:
        """The number of the direction t with p = scale·t + constant, and the scale."""
        terms = {monomial: c for monomial, c in p.terms.items() if monomial}
        scale = p.leading
        self.spend(len(terms))
        unit = {monomial: c / scale for monomial, c in terms.items()}
        key = frozenset(unit.items())
        if key not in self._direction_numbers:
            self._direction_numbers[key] = len(self._directions)
            self._directions.append(Polynomial(self, unit))
        return self._direction_numbers[key], scale

    def _along(self, p: Polynomial, direction: int) -> Pieces | None:
        """P as a piecewise affine function of one direction alone; None where it is none."""
        kinks: dict[fmpq, fmpq] = {}
        rest: Terms = {}
        self.spend(len(p.terms))
        for monomial, c in p.terms.items():
            kink = self._variables.get(monomial[0]) if len(monomial) == 1 else None
            if isinstance(kink, Kink) and kink.direction == direction:
                kinks[kink.threshold] = c
            elif monomial:
                rest[monomial] = c
        t = self._directions[direction].terms
        slope = _ZERO
        if rest:
            if rest.keys() != t.keys():
                return None
            slope = next(rest[monomial] / c for monomial, c in t.items())
            if any(rest[monomial] != slope * c for monomial, c in t.items()):
                return None
        return Pieces(p.terms.get((), _ZERO), slope, kinks)

    def _from_pieces(self, pieces: Pieces, direction: int) -> Polynomial:
        result = self._directions[direction] * pieces.slope + self.constant(pieces.offset)
        for threshold, change in pieces.kinks.items():
            variable = self._number(("kink", direction, threshold), Kink(direction, threshold))
            result = result + self.variable(variable) * change
        return result

    def _number(self, key: Hashable, variable: Variable) -> int:
        if key not in self._numbers:
            self._numbers[key] = self.inputs + len(self._numbers)
            self._variables[self._numbers[key]] = variable
        return self._numbers[key]

    def unknown(
        self,
        function: Hashable,
        p: Polynomial,
        low: fmpq | None,
        high: fmpq | None,
        square: Polynomial | None = None,
    ) -> Polynomial:
        """The variable f(p), the same whenever function and polynomial are."""
        return self.variable(self._number((function, frozenset(p.terms.items())), Unknown(low, high, square)))

    def exponential(self, p: Polynomial) -> Polynomial:
        """The variable exp(p); 1 where p is 0."""
        if not p.terms:
            return self.constant(fmpq(1))
        return self.variable(self._number(("exp", frozenset(p.terms.items())), Exponential(p)))

    def logarithm(self, p: Polynomial) -> Polynomial | None:
        """The q with p = exp(q); None where p is not seen to be an exponential."""
        (monomial, c), *more = p.terms.items() or [((), _ZERO)]
        variable = self._variables.get(monomial[0]) if len(monomial) == 1 else None
        return variable.exponent if isinstance(variable, Exponential) and c == 1 and not more else None

    # -- bounds ----------------------------------------------------------------------------------------------------

    def bounds(self, p: Polynomial) -> tuple[fmpq | None, fmpq | None]:
        """A lower and an upper bound of p over all inputs; None where there is none in sight."""
        self.spend(len(p.terms))
        parts: list[tuple[fmpq | None, fmpq | None]] = [(p.terms.get((), _ZERO), p.terms.get((), _ZERO))]
        by_direction: dict[int, dict[fmpq, fmpq]] = {}
        for monomial, c in p.terms.items():
            kink = self._variables.get(monomial[0]) if len(monomial) == 1 else None
            if isinstance(kink, Kink):
                by_direction.setdefault(kink.direction, {})[kink.threshold] = c
            elif monomial:
                low, high = self._range(monomial)
                parts.append(_scaled(low, high, c))
        parts += [Pieces(_ZERO, _ZERO, kinks).range() for kinks in by_direction.values()]
        lows, highs = [low for low, _ in parts], [high for _, high in parts]
        return (
            None if None in lows else sum((low for low in lows if low is not None), _ZERO),
            None if None in highs else sum((high for high in highs if high is not None), _ZERO),
        )

    def _range(self, monomial: Monomial) -> tuple[fmpq | None, fmpq | None]:
        variable = self._variables.get(monomial[0])
        if len(monomial) == 1:
            return variable.bounds if variable else (None, None)
        odd = [number for number in set(monomial) if monomial.count(number) % 2]
        return (_ZERO if all(self._is_nonnegative(number) for number in odd) else None), None

    def _is_nonnegative(self, number: int) -> bool:
        variable = self._variables.get(number)
        low = variable.bounds[0] if variable else None
        return low is not None and low >= 0

    # -- products --------------------------------------------------------------------------------------------------

    def reduced(self, monomial: Monomial) -> Terms | None:
        """The monomial rewritten so that neither kinks of one direction, exponentials nor known squares meet in it.

        None where none do. For σ ≤ τ, max(t - σ, 0)·max(t - τ, 0) = (t - σ)·max(t - τ, 0): where the second is not 0,
        t exceeds both.
        """
        if monomial not in self._reduced:
            self._reduced[monomial] = self._reduce(monomial)
        return self._reduced[monomial]

    def _reduce(self, monomial: Monomial) -> Terms | None:
        first: dict[int, tuple[int, Kink]] = {}
        powers = [place for place, n in enumerate(monomial) if isinstance(self._variables.get(n), Exponential)]
        if len(powers) > 1:
            return self._with_one_exponential(monomial, powers).terms
        for place, number in enumerate(monomial):
            kink = self._variables.get(number)
            if isinstance(kink, Unknown) and kink.square is not None and monomial[place + 1 : place + 2] == (number,):
                return (kink.square * Polynomial(self, {monomial[:place] + monomial[place + 2 :]: fmpq(1)})).terms
            if not isinstance(kink, Kink):
                continue
            if kink.direction not in first:
                first[kink.direction] = (place, kink)
                continue
            other_place, other = first[kink.direction]
            lower, dropped = (kink, place) if kink.threshold <= other.threshold else (other, other_place)
            rest = Polynomial(self, {monomial[:dropped] + monomial[dropped + 1 :]: fmpq(1)})
            factor = self._directions[lower.direction] - self.constant(lower.threshold)
            return (factor * rest).terms
        return None

    def _with_one_exponential(self, monomial: Monomial, powers: list[int]) -> Polynomial:
        exponent = self.constant(_ZERO)
        for place in powers:
            variable = self._variables[monomial[place]]
            assert isinstance(variable, Exponential)
            exponent = exponent + variable.exponent
        rest = tuple(number for place, number in enumerate(monomial) if place not in powers)
        return self.exponential(exponent) * Polynomial(self, {rest: fmpq(1)})


class Polynomial:
    """A polynomial of some `Forms`; immutable. Takes +, - and * with another or with a number."""

    __slots__ = ("forms", "terms")

    def __init__(self, forms: Forms, terms: Terms) -> None:
        self.forms, self.terms = forms, terms

    @property
    def is_constant(self) -> bool:
        """True where it is a number."""
        return not self.terms or self.terms.keys() == {()}

    @property
    def is_affine(self) -> bool:
        """True where it is an affine function of the input."""
        return all(len(m) == 0 or (len(m) == 1 and m[0] < self.forms.inputs) for m in self.terms)

    @property
    def leading(self) -> fmpq:
        """The coefficient of its lowest monomial beside 1; of a number, the number itself."""
        return self.terms[min(self.terms, key=lambda m: (not m, len(m), m))] if self.terms else _ZERO

    def __add__(self, other: Polynomial) -> Polynomial:
        small, large = sorted((self.terms, other.terms), key=len)
        self.forms.spend(len(small) + 1)
        return Polynomial(self.forms, _added(dict(large), small.items()))

    def __neg__(self) -> Polynomial:
        return self * fmpq(-1)

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self + -other

    def __mul__(self, other: Polynomial | fmpq) -> Polynomial:
        forms = self.forms
        factor = other.terms if isinstance(other, Polynomial) else {(): other} if other != 0 else {}
        if len(factor) == 1 and () in factor:
            forms.spend(len(self.terms))
            scale = factor[()]
            return self if scale == 1 else Polynomial(forms, {m: c * scale for m, c in self.terms.items()})
        terms: Terms = {}
        for m, c in self.terms.items():
            for n, d in factor.items():
                merged = tuple(sorted(m + n)) if m and n else m or n
                rewritten = forms.reduced(merged) if len(merged) > 1 else None
                forms.spend(1 + len(rewritten or ()))
                _added(terms, ((merged, fmpq(1)),) if rewritten is None else rewritten.items(), c * d)
        return Polynomial(forms, terms)

    def __eq__(self, other: object) -> bool:
        raise CannotEvaluate("whether two polynomials agree at an input depends on the input")

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def positive_part(self) -> Polynomial:
        """The maximum of this and 0."""
        return self.forms.positive_part(self)

    def multiple_of(self, other: Polynomial) -> fmpq | None:
        """The number k with self = k·other; None where there is none."""
        if not self.terms:
            return _ZERO
        if self.terms.keys() != other.terms.keys():
            return None
        ratios = {c / other.terms[m] for m, c in self.terms.items()}
        return ratios.pop() if len(ratios) == 1 else None


def _added(terms: Terms, more: Iterable[tuple[Monomial, fmpq]], scale: fmpq | None = None) -> Terms:
    """Add to `terms`, in place, and drop what cancels."""
    for monomial, c in more:
        total = terms.get(monomial, _ZERO) + (c if scale is None else c * scale)
        if total == 0:
            terms.pop(monomial, None)
        else:
            terms[monomial] = total
    return terms


def _scaled(low: fmpq | None, high: fmpq | None, c: fmpq) -> tuple[fmpq | None, fmpq | None]:
    ends = tuple(None if end is None else end * c for end in (low, high))
    return (ends[0], ends[1]) if c > 0 else (ends[1], ends[0])
