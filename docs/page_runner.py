"""Runs the code on the pages, once for both languages; MkDocs loads this file as a hook.

A page and its translation run the same blocks; only words differ: a caption, the head of a table. So when an English
page is built, the blocks of its translation are run beside it, on the same trained networks, and when the translation
is built its results are there. What is not there is run then, after all blocks before it, in names of its own.
"""

from __future__ import annotations

import ast
import contextlib
import io
import random
import re
import sys
import textwrap
import traceback
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import markdown_exec

ORIGINAL, TRANSLATION = "en", "fa"
BLOCK = re.compile(r'^( *)```python\b([^\n]*\bexec="true"[^\n]*)\n(.*?)^\1```', re.M | re.S)
SESSION = re.compile(r'\bsession="([^"]+)"')
COLUMN = 80
"""Characters in a line of code on a page; a browser would break a longer one and begin again at its left edge."""


class Names:
    """What the blocks so far have defined, as the module that libraries expect it to be."""

    def __init__(self, session: str) -> None:
        self.module = ModuleType("page_" + re.sub(r"\W+", "_", session))
        self.values = vars(self.module)

    def run(self, code: str, title: str) -> str:
        """What the code prints."""
        sys.modules[self.module.__name__] = self.module
        printed = io.StringIO()
        self.values["print"] = partial(print, file=printed)
        exec(compile(code, title, "exec"), self.values)
        return printed.getvalue()


class Session:
    """The blocks of one page that share their names, and of its translation."""

    def __init__(self, name: str, translated: list[str]) -> None:
        self.name = name
        self.translated = translated
        self.codes: list[str] = []
        self.names: Names | None = None  # None: nothing had to be run yet
        self.beside = Names(name)
        self.apart: set[str] = set()  # names that mean something else in the translation

    def run(self, code: str) -> str:
        """What the next block prints."""
        self.codes.append(code)
        if self.names is None:
            self.names = Names(self.name)
            for earlier in self.codes[:-1]:
                self.names.run(earlier, self.title)
        before = {name: _copied(value) for name, value in self.names.values.items()}
        output = self.names.run(code, self.title)
        _outputs[_key(self.name, self.codes)] = output
        if len(self.codes) <= len(self.translated):
            self.run_beside(code, before, output)
        return output

    def run_beside(self, code: str, before: dict[str, Any], output: str) -> None:
        """The translation's block: the same result where it is the same block, and else its own."""
        twin = self.translated[len(self.codes) - 1]
        key = _key(self.name, self.translated[: len(self.codes)])
        used, bound = _names_in(twin)
        if twin == code and not used & self.apart:
            _outputs[key] = output
            return
        kept = {name: self.beside.values[name] for name in self.apart if name in self.beside.values}
        self.beside.values.update(before | kept)
        self.apart |= bound
        # An error is told where it belongs: when the translation is built.
        with contextlib.suppress(Exception), _same_random_numbers():
            _outputs[key] = self.beside.run(twin, self.title)

    def recall(self, code: str) -> str | None:
        """The result of this block after those before it, where it is known."""
        output = _outputs.get(_key(self.name, [*self.codes, code])) if self.names is None else None
        if output is not None:
            self.codes.append(code)
        return output

    @property
    def title(self) -> str:
        """Where an error was."""
        return f"<code block: session {self.name}; n{len(self.codes)}>"


_outputs: dict[tuple[str, ...], str] = {}
_sessions: dict[str, Session] = {}
_translated: dict[str, list[str]] = {}


def on_config(config: Any) -> None:
    """Blocks of Python are run here."""
    for language in ("py", "python"):
        markdown_exec.formatters[language] = format_block


def format_block(*, result: str = "", **options: Any) -> Any:
    """A block as HTML; what it prints for reading fits its column."""

    def run(code: str, **told: Any) -> str:
        return wrapped(run_block(code, **told)) if result == "text" else run_block(code, **told)

    return markdown_exec.base_format(**(options | {"language": "python", "run": run, "result": result}))


def wrapped(printed: str) -> str:
    """The same lines, those that are too long broken between words, their rest two characters further in."""
    lines = []
    for line in printed.splitlines():
        rest = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(
            line, COLUMN, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
        ) or [line]  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> None:
    """A page begins: no name of another page is left."""
    _sessions.clear()
    _translated.clear()
    language, _slash, path = page.file.src_uri.partition("/")
    twin = Path(page.file.abs_src_path).parents[path.count("/") + 1] / TRANSLATION / path
    if language == ORIGINAL and twin.is_file():
        _translated.update(blocks_of(twin.read_text(encoding="utf-8")))


def run_block(code: str, session: str = "", **_: Any) -> str:
    """What a block prints, after those before it on its page that name the same session."""
    if session and session in _sessions:
        place = _sessions[session]
    else:
        place = Session(session, _translated.get(session, []))
        if session:
            _sessions[session] = place
        elif place.translated:
            # Blocks without a session know nothing of each other: each is the first.
            place.translated = [_translated[""].pop(0)]
    known = place.recall(code)
    if known is not None:
        return known
    try:
        return place.run(code)
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        raise markdown_exec.ExecutionError(markdown_exec.code_block("python", trace)) from error


def blocks_of(markdown: str) -> dict[str, list[str]]:
    """The blocks of a page that are run, by session."""
    blocks: dict[str, list[str]] = defaultdict(list)
    for _indent, options, code in BLOCK.findall(markdown):
        session = SESSION.search(options)
        blocks[session[1] if session else ""].append(textwrap.dedent(code).rstrip("\n"))
    return blocks


def _key(session: str, codes: list[str]) -> tuple[str, ...]:
    return (session, *(code.rstrip("\n") for code in codes))


def _names_in(code: str) -> tuple[set[str], set[str]]:
    """The names that a block uses, and those that it gives a meaning at its top level or inside."""
    used, bound = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    return used, bound


def _copied(value: Any) -> Any:
    """What a block may add to, so that two blocks do not add to the same thing."""
    return value.copy() if type(value) in (list, dict, set) else value


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    """The numbers that are drawn inside are drawn again outside."""
    import numpy as np
    import torch

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
