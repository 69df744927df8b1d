"""Lets Python look for garbage rarely while many small objects are made that all stay."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Generator

_RARELY = 100_000
"""New objects after which the youngest are looked through; 10 times that for the older ones."""


_lock = threading.Lock()
_under_way = 0
_before = (0, 0, 0)


@contextlib.contextmanager
def rarely_collected() -> Generator[None]:
    """Collect garbage rarely meanwhile; a caller who never collects, or more rarely, is left alone.

    Where several threads ask for it, the last to end puts back what the first has met.
    """
    global _under_way, _before
    with _lock:
        _under_way += 1
        if _under_way == 1:
            _before = gc.get_threshold()
            if 0 < _before[0] < _RARELY:
                gc.set_threshold(_RARELY, 10, 10)
    try:
        yield
    finally:
        with _lock:
            _under_way -= 1
            if not _under_way:
                gc.set_threshold(*_before)
