"""One self-contained HTML file from a run: no request to any host, readable without JavaScript."""

from __future__ import annotations

from whyactivate.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
