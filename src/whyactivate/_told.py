"""`Told`: a result that says the same in a terminal and in a notebook, and is named by the first line of it."""

from __future__ import annotations

import html


class Told:
    """Shows a result by its `__str__`: whole in a notebook, where long lines wrap; by its first line within others."""

    __slots__ = ()

    def __repr__(self) -> str:
        title, _, _ = str(self).partition("\n")
        return f"<{type(self).__name__}: {title.rstrip('.:')}>"

    def _repr_html_(self) -> str:
        return f'<pre style="white-space: pre-wrap">{html.escape(str(self))}</pre>'
