"""Every error that the library raises on purpose."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whyactivate.affine.analysis import Analysis
    from whyactivate.comparison import ComparisonResult
    from whyactivate.training import History


class WhyActivateError(Exception):
    """The parent of every error that the library raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        # Exception would call the class with the message alone; a process pool breaks where that fails.
        return _restore, (type(self), *self.args), self.__dict__


def _restore(kind: type[WhyActivateError], *args: object) -> WhyActivateError:
    return kind.__new__(kind, *args)


class InputError(WhyActivateError, ValueError):
    """An argument, a file or a data set cannot be used; the message says what was expected."""


class SettingError(InputError):
    """Another value of a setting would do; the message names it as Python spells it, and a command as its option.

    Args:
        problem: what was expected, what came, where, and what else would do.
        setting: the name of the parameter.
        value: what to set it to; None where that is for the caller to choose.
        lead: the words between the problem and the setting.
    """

    def __init__(self, problem: str, setting: str, value: object = None, *, lead: str = "; pass ") -> None:
        self.problem, self.setting, self.value, self.lead = problem, setting, value, lead
        super().__init__(f"{problem}{lead}{setting}{'' if value is None else f'={value!r}'}")


class UnknownNameError(InputError):
    """A name is not in the table; the message lists the known ones and suggests the nearest.

    Args:
        kind: what is being named, as in "activation".
        name: what came.
        known: the names that would have been accepted.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        names = sorted(known)
        self.kind, self.name, self.nearest = kind, name, find_nearest(name, names)
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        super().__init__(f"unknown {kind} {shorten(repr(name))}.{hint} Known: {', '.join(names)}.")


def find_nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant, in whatever case; None where no name is like it."""
    if not isinstance(name, str):
        return None
    names = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return names[near[0]] if near else None


def shorten(text: str, most: int = 60) -> str:
    """The text, or its start where it is longer than an error should quote."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


class DivergedError(WhyActivateError):
    """Training reached a loss that is not finite; `.history` holds every epoch before it."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


class WorkerError(WhyActivateError):
    """An executor failed in the middle of a comparison; `.result` holds every network that had ended by then."""

    def __init__(self, message: str, result: ComparisonResult) -> None:
        super().__init__(message)
        self.result = result


class CannotProveError(WhyActivateError):
    """A proof of this kind cannot be carried out here; the message says why and what would do."""


class CannotCollapseError(WhyActivateError):
    """No single affine layer is known to equal the module; `.analysis` says where it stopped."""

    def __init__(self, message: str, analysis: Analysis) -> None:
        super().__init__(message)
        self.analysis = analysis


class NotAffineError(CannotCollapseError):
    """The module is not affine: a verified counterexample is in `.analysis.counterexample`."""


class UndecidedError(CannotCollapseError):
    """The module is neither proved affine nor refuted; `.analysis.blame` says what stands in the way."""


class RowsMixError(CannotCollapseError):
    """The module is affine, but one row of a batch changes another, so no layer acts on each row."""


class FoldingError(WhyActivateError):
    """A folded copy does not do what the original does, beyond what rounding explains; nothing is returned."""
