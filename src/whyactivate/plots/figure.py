"""`Figure`: matplotlib's, shown by a notebook without being told to."""

from __future__ import annotations

import io

import matplotlib.figure

from whyactivate.plots.style import style


class Figure(matplotlib.figure.Figure):
    """A figure that shows itself; matplotlib's own is shown only once a notebook has said `%matplotlib inline`."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with style():
            self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()
