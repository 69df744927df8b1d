"""How long a test waits for a page on a machine that has other work, and how it asks.

Chromium draws no frames while the machine is busy, so nothing here is asked once a frame.
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

PATIENCE = 120_000  # milliseconds


def wait_until(page: Page, condition: str, arg: Any = None) -> None:
    """Return when the JavaScript condition holds."""
    page.wait_for_function(condition, arg=arg, polling=50)
