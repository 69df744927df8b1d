"""scikit-learn, imported where it is needed: it takes a second, and draws from Python's random numbers."""

from __future__ import annotations

import random
from importlib import import_module
from typing import Any


def import_scikit(module: str) -> Any:
    """`sklearn.<module>`; the caller's `random` is afterwards where it was, which rich, imported along, moves on."""
    state = random.getstate()
    try:
        return import_module(f"sklearn.{module}")
    finally:
        random.setstate(state)
