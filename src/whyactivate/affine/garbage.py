"""Lets Python look for garbage rarely while many small objects are made that all stay."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator

_RARELY = 100_000
"""New objects after which the youngest are looked through; 10 times that for the older ones."""


@contextlib.contextmanager
def rarely_collected() -> Generator[None]:
    """Collect garbage rarely meanwhile; a caller who never collects, or more rarely, is left alone."""
    before = gc.get_threshold()
    if 0 < before[0] < _RARELY:
        gc.set_threshold(_RARELY, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)
