"""Numbers that came of sizes: they know how, and report where a program asks them something."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from whyactivate.affine.recording.forms import Form


class Listener(Protocol):
    """Whoever is told."""

    def question(self, form: Form, answer: bool) -> None:
        """A question with two answers."""
        ...

    def taken(self, form: Form, what: str) -> None:
        """The number itself is put to a use in which it cannot be followed."""
        ...

    def repeated(self, things: Any, times: Any) -> Any:
        """A sequence, so many times in a row."""
        ...


class Count(torch.SymInt):
    """A whole number that came of sizes.

    It is no `int`, which Python's own code would read without asking, but says that it is one. PyTorch's functions
    take it for one of their symbols, and hand it to a mode before they look inside.
    """

    __class__ = property(lambda self: int)  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, listener: Listener, value: int, form: Form) -> None:
        super().__init__(None)
        self.listener, self.value, self.form = listener, value, form

    def __getattr__(self, name: str) -> Any:
        """What else a whole number has."""
        return _attribute(self, name)

    def bit_length(self) -> Any:
        """How many bits it takes."""
        return Count(self.listener, self.value.bit_length(), ("bit_length", self.form))


class Ratio(torch.SymFloat):
    """A float that came of sizes; what holds for `Count` holds for it as well."""

    __class__ = property(lambda self: float)  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, listener: Listener, value: float, form: Form) -> None:
        super().__init__(None)
        self.listener, self.value, self.form = listener, value, form

    def __getattr__(self, name: str) -> Any:
        """What else a float has."""
        return _attribute(self, name)

    def is_integer(self) -> Any:
        """Whether it is a whole number."""
        answer = self.value.is_integer()
        self.listener.question(("eq", self.form, ("floor", self.form)), answer)
        return answer


def is_counted(thing: Any) -> bool:
    """Whether something is a number that came of sizes."""
    return type(thing) is Count or type(thing) is Ratio


def number(like: Any, value: Any, form: Form) -> Any:
    """A number with the listener of another one; anything but a number as it is."""
    if type(value) is int:
        return Count(like.listener, value, form)
    return Ratio(like.listener, value, form) if type(value) is float else value


def plain_number(thing: Any) -> Any:
    """A number that came of sizes as a plain one; anything else as it is."""
    return thing.value if is_counted(thing) else thing


def form_of(thing: Any) -> Form:
    """The form of a number."""
    return thing.form if is_counted(thing) else thing


def _attribute(one: Any, name: str) -> Any:
    found = getattr(one.value, name)
    if name in ("real", "numerator"):
        return one
    if name not in ("imag", "denominator"):
        one.listener.taken(one.form, name)
    return found


def _operand(thing: Any) -> Any:
    """The other operand as a plain number or a counted one; None for anything else."""
    if isinstance(thing, np.generic):
        thing = thing.item()
    return thing if is_counted(thing) or isinstance(thing, (int, float)) else None


def _binary(name: str, *, swapped: bool = False) -> Callable[..., Any]:
    carry_out = getattr(operator, name)

    def method(self: Any, other: Any, *modulus: Any) -> Any:
        if name == "mul" and isinstance(other, (list, tuple, str, bytes)) and type(self.value) is int:
            return self.listener.repeated(other, self)
        known = _operand(other)
        if known is None or modulus:
            return NotImplemented
        one, two = (known, self) if swapped else (self, known)
        return number(self, carry_out(plain_number(one), plain_number(two)), (name, form_of(one), form_of(two)))

    return method


def _comparison(name: str) -> Callable[..., Any]:
    compare = getattr(operator, name)

    def method(self: Any, other: Any) -> Any:
        known = _operand(other)
        if known is None:
            return NotImplemented
        answer = bool(compare(self.value, plain_number(known)))
        self.listener.question((name, self.form, form_of(known)), answer)
        return answer

    return method


def _unary(name: str, carry_out: Callable[[Any], Any]) -> Callable[..., Any]:
    def method(self: Any) -> Any:
        return number(self, carry_out(self.value), (name, self.form))

    return method


def _round(self: Any, digits: Any = None) -> Any:
    if digits is None:
        return number(self, round(self.value), ("round", self.form))
    self.listener.taken(self.form, "round")
    return round(self.value, plain_number(digits))


def _divided(self: Any, other: Any) -> Any:
    return (self // other, self % other) if _operand(other) is not None else NotImplemented


def _dividing(self: Any, other: Any) -> Any:
    return (other // self, other % self) if _operand(other) is not None else NotImplemented


def _truth(self: Any) -> bool:
    answer = bool(self.value)
    self.listener.question(("ne", self.form, 0), answer)
    return answer


def _taken(name: str, as_plain: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *given: Any) -> Any:
        self.listener.taken(self.form, name)
        return as_plain(self.value, *given)

    return method


def _array(value: Any, *_: Any) -> Any:
    return np.array(value)


def _rebuilt(value: Any) -> Any:
    return type(value), (value,)


def _copied(value: Any, memo: Any) -> Any:
    return value


_BITWISE = ("and", "or", "xor", "lshift", "rshift")
_methods: dict[str, Callable[..., Any]] = {"bool": _truth, "round": _round, "divmod": _divided, "rdivmod": _dividing}
for _name in ("add", "sub", "mul", "floordiv", "mod", "truediv", "pow", *_BITWISE):
    _spelt = _name + "_" if _name in ("and", "or") else _name
    _methods |= {_name: _binary(_spelt), f"r{_name}": _binary(_spelt, swapped=True)}
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    _methods[_name] = _comparison(_name)
for _name in ("neg", "pos", "abs", "invert"):
    _methods[_name] = _unary(_name, getattr(operator, _name))
for _name in ("trunc", "floor", "ceil"):
    _methods[_name] = _unary(_name, getattr(math, _name))
for _name, _as_plain in (
    ("hash", hash), ("int", int), ("index", operator.index), ("float", float), ("str", str), ("repr", repr),
    ("format", format), ("array", _array), ("reduce", _rebuilt), ("deepcopy", _copied),
):  # fmt: skip
    _methods[_name] = _taken(_name, _as_plain)
_OF_WHOLE_NUMBERS = frozenset({"invert", "index", *_BITWISE, *(f"r{name}" for name in _BITWISE)})
for _name, _method in _methods.items():
    setattr(Count, f"__{_name}__", _method)
    if _name not in _OF_WHOLE_NUMBERS:
        setattr(Ratio, f"__{_name}__", _method)
