"""What the reference shows of a signature; MkDocs loads this file as a hook, and griffe as an extension."""

from __future__ import annotations

import re
from typing import Any

import griffe

BLANK = re.compile(r"(, default: <code>(?:(?!</code>).)*</code>)\s+\)", re.S)


class PublicParameters(griffe.Extension):
    """A dataclass is shown without the fields that only the library gives: those whose name begins with `_`."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Looks at every class of the package, once its dataclasses have their signatures."""
        waiting: list[griffe.Object] = [pkg]
        while waiting:
            for member in waiting.pop().members.values():
                if member.is_alias:
                    continue
                if member.is_class and "__init__" in member.members and not member.members["__init__"].is_alias:
                    made = member.members["__init__"]
                    made.parameters = griffe.Parameters(*(p for p in made.parameters if not p.name.startswith("_")))
                if member.is_module or member.is_class:
                    waiting.append(member)


def on_page_content(html: str, **_: Any) -> str:
    """No blank before a bracket that closes."""
    return BLANK.sub(r"\1)", html)
