"""What the tests of the pages share."""

from __future__ import annotations

from docs.built import site

__all__ = ["site"]
