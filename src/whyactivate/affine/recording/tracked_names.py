"""What int, float, range, list and others stand for in a module's code while its sizes are listened to.

Python's own turn a number that knows where it came from into one that does not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import Any, Protocol

from torch import Size, Tensor

from whyactivate.affine.recording.counts import is_counted, number, plain_number


class Listened(Protocol):
    """Whoever listens."""

    def count(self, things: Any) -> Any:
        """How long something is, as a number that reports."""
        ...

    def parts(self, things: Any) -> Any:
        """What something is made of; of rows, without a word."""
        ...

    def listed(self, parts: Any, things: Any) -> Any:
        """A list or tuple, and what it was made of, as one that reports."""
        ...

    def is_rows(self, things: Any) -> bool:
        """Whether something is made of the rows of a tensor, or counts them."""
        ...

    def pair(self, rows: Any) -> None:
        """Rows are told apart in a way that is not followed."""
        ...


class _Stands(type):
    """The type of what stands for a type of Python's own: it makes numbers of it, and tells them as that does."""

    own: type

    def __call__(cls, *given: Any, **named: Any) -> Any:
        return cls.make(*given, **named)  # pyright: ignore[reportAttributeAccessIssue]

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.own)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.own)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.own, name)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls.own

    def __hash__(cls) -> int:
        return hash(cls.own)


class _Int(metaclass=_Stands):
    own = int

    @staticmethod
    def make(*given: Any, **named: Any) -> Any:
        """What int() gives, knowing where it came from."""
        if len(given) != 1 or named or not is_counted(given[0]):
            return int(*given, **named)
        (one,) = given
        return one if type(one.value) is int else number(one, int(one.value), ("trunc", one.form))


class _Float(metaclass=_Stands):
    own = float

    @staticmethod
    def make(*given: Any) -> Any:
        """What float() gives, knowing where it came from."""
        if len(given) != 1 or not is_counted(given[0]):
            return float(*given)
        (one,) = given
        return number(one, float(one.value), ("float", one.form))


class Counting(Sequence[int]):
    """A range whose end came of sizes. The last of its numbers knows that; whether it has more is asked."""

    __class__ = property(lambda self: range)  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, start: Any, stop: Any, step: Any) -> None:
        self._bounds = start, stop, step
        self._plain = range(plain_number(start), plain_number(stop), plain_number(step))
        steps = (stop - start + step - (1 if plain_number(step) > 0 else -1)) // step
        self._length = steps
        self._last = start + step * (steps - 1)

    def __len__(self) -> int:
        return len(self._plain)

    def counted_length(self) -> Any:
        """How many numbers it has; it knows where that came from."""
        return max(self._length, 0)

    def __iter__(self) -> Iterator[Any]:
        several = bool(self._length > 1)
        if not several and not self._length > 0:
            return
        yield from self._plain[:-1]
        yield self._last

    def __eq__(self, other: object) -> bool:
        self._take()
        return self._plain == (other._plain if type(other) is Counting else other)

    def __hash__(self) -> int:
        self._take()
        return hash(self._plain)

    def _take(self) -> None:
        if is_counted(length := self.counted_length()):
            length.listener.taken(length.form, "index")

    def __reversed__(self) -> Iterator[Any]:
        return reversed([*self])

    def __contains__(self, one: object) -> bool:
        start, stop, step = self._bounds
        if not isinstance(one, int):
            return one in self._plain
        inside = (start <= one < stop) if plain_number(step) > 0 else (stop < one <= start)
        return bool(inside and (one - start) % step == 0)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [*self][index]
        at = self._length + index if index < 0 else index
        if not 0 <= at < self._length:
            raise IndexError("range object index out of range")
        start, _, step = self._bounds
        return start + step * at


class _Range(metaclass=_Stands):
    own = range

    @staticmethod
    def make(*bounds: Any) -> Any:
        """A range, which knows where its end came from."""
        if not any(map(is_counted, bounds)) or len(bounds) > 3:
            return range(*bounds)
        start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
        return Counting(start, stop, step)


def _enumerate_with(told: Listened) -> type:
    class _Enumerate(metaclass=_Stands):
        own = enumerate

        @staticmethod
        def make(things: Iterable[Any], start: Any = 0) -> Any:
            """What enumerate() gives; the last number knows where it came from."""
            counted = told.count(things) if isinstance(things, Sized) else None
            if not is_counted(counted):
                return enumerate(things, start)
            return zip(Counting(start, start + counted, 1), told.parts(things), strict=False)

    return _Enumerate


def _with_others(told: Listened, make: Callable[..., Any]) -> Callable[..., Any]:
    """zip() and map(): rows that go along with something else are told apart by it."""

    def together(*things: Any, **named: Any) -> Any:
        rows = [thing for thing in things if told.is_rows(thing)]
        if rows and len(rows) < len(things) - (make is map):
            told.pair(rows[0])
        return make(*map(told.parts, things), **named)

    return together


def _sum_with(told: Listened) -> Callable[..., Any]:
    def added(things: Iterable[Any], /, start: Any = 0) -> Any:
        parts = told.parts(things)
        if told.is_rows(things) and not all(isinstance(part, Tensor) for part in parts):
            told.pair(things)
        return sum(map(plain_number, parts), plain_number(start))

    return added


def _print(*things: Any, **named: Any) -> None:
    """What print() does, but that nobody is told of the numbers that are shown."""
    print(*map(_shown, things), **named)


def _shown(thing: Any) -> Any:
    if type(thing) is tuple or isinstance(thing, Size):
        return type(thing)(map(_shown, thing))
    return plain_number(thing)


def _list_with(told: Listened, kind: type) -> type:
    class _Listed(metaclass=_Stands):
        own = kind

        @staticmethod
        def make(*things: Any) -> Any:
            """What list() or tuple() gives; the rows of a tensor report where their number makes a difference."""
            return told.listed(kind(*map(told.parts, things)), things[0]) if things else kind()

    return _Listed


def _type_among(stands: Mapping[type, type]) -> type:
    class _Type(metaclass=_Stands):
        own = type

        @staticmethod
        def make(*given: Any, **named: Any) -> Any:
            """What type() gives, and what stands for that."""
            if len(given) != 1 or named:
                return type(*given, **named)
            kind = given[0].__class__ if type(given[0]).__module__.startswith(_HERE) else type(given[0])
            return stands.get(kind, kind)

    return _Type


_HERE = __name__.rpartition(".")[0]


@contextmanager
def tracked_names(spaces: Iterable[dict[str, Any]], told: Listened) -> Generator[None]:
    """Within it, code that looks up names in some namespaces finds these in place of Python's own."""
    stands: dict[type, type] = {int: _Int, float: _Float, range: _Range, enumerate: _enumerate_with(told)}
    stands |= {kind: _list_with(told, kind) for kind in (list, tuple)}
    stands[type] = _type_among(stands)
    names: dict[str, Any] = {kind.__name__: stand for kind, stand in stands.items()}
    names |= {"print": _print, "sum": _sum_with(told), "zip": _with_others(told, zip), "map": _with_others(told, map)}
    changed = [(space, name) for space in spaces for name in names if name not in space]
    for space, name in changed:
        space[name] = names[name]
    try:
        yield
    finally:
        for space, name in changed:
            del space[name]


def as_python_knows_it(thing: Any) -> Any:
    """What stands for a type of Python's own as that type; anything else as it is."""
    return thing.own if isinstance(thing, _Stands) else thing
