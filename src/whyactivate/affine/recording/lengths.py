"""Who hears of len(): Python's own gives plain integers, so it is another function while somebody listens."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_listening = threading.local()  # only what the listener's own thread asks is passed on
_listeners = 0
_plain: Callable[[Any], int] = len


def plain_length(thing: Any) -> int:
    """What len() gives where nobody listens."""
    return _plain(thing)


@contextmanager
def told_of_lengths(answer: Callable[[Any], Any]) -> Generator[None]:
    """Within it, len() in this thread gives what `answer` gives."""
    global _listeners, _plain
    outer = getattr(_listening, "answer", None)
    with _lock:
        if not _listeners:
            _plain, builtins.len = builtins.len, _asked
        _listeners += 1
    _listening.answer = answer
    try:
        yield
    finally:
        _listening.answer = outer
        with _lock:
            _listeners -= 1
            if not _listeners:
                builtins.len = _plain


def _asked(thing: Any, /) -> Any:
    answer = getattr(_listening, "answer", None)
    return _plain(thing) if answer is None else answer(thing)
