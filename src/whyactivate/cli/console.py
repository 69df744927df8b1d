"""What the commands share: text and tables on stdout, a progress bar on stderr, JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, cast

import typer

from whyactivate.cli.exits import close_pipe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, nothing else on stdout.")]


class Progress:
    """Says what is being done; here, where stderr is no terminal, to nobody."""

    def __call__(self, what: str, done: int | None = None, total: int | None = None) -> None:
        """Takes note of what is being done, and of how far it is: so much of so much (None: as before)."""

    @contextmanager
    def paused(self) -> Generator[None]:
        """Makes room for other output on the terminal."""
        yield


def stdout() -> Console:
    """The terminal (or file) for results; colours only where wanted (NO_COLOR is honoured)."""
    return _console(to_stderr=False)


def stderr() -> Console:
    """The terminal for whatever is not a result."""
    return _console(to_stderr=True)


def _console(*, to_stderr: bool) -> Console:
    from rich.console import Console

    class QuietConsole(Console):
        """A console that stops without a word when its reader goes away."""

        def on_broken_pipe(self) -> None:
            close_pipe()

    console = QuietConsole(stderr=to_stderr, highlight=False, emoji=False)
    if console.width < 1:  # COLUMNS=0, where nobody knows; Rich would print nothing
        console.width = 80
    return console


@contextmanager
def progress_bar(first: str) -> Generator[Progress]:
    """A live bar on stderr, gone when the block ends; nothing at all where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield Progress()
        return
    from rich import progress

    columns = (
        progress.SpinnerColumn(),
        progress.BarColumn(bar_width=20),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.description}", markup=False),
    )
    with progress.Progress(*columns, console=stderr(), transient=True, refresh_per_second=6) as bar:
        yield _Bar(bar, bar.add_task(first, total=None))


class _Bar(Progress):
    """A live bar."""

    def __init__(self, bar: Bar, task: TaskID) -> None:
        self.bar, self.task = bar, task

    def __call__(self, what: str, done: int | None = None, total: int | None = None) -> None:
        self.bar.update(self.task, description=what, completed=done, total=total)

    @contextmanager
    def paused(self) -> Generator[None]:
        self.bar.stop()
        try:
            yield
        finally:
            self.bar.start()


def say(console: Console, text: str, style: str = "", indent: int = 0) -> None:
    """Prints text, wrapped to the terminal, with nothing in it taken for markup.

    A line that starts with spaces goes on below its first word.
    """
    from rich.text import Text

    for line in text.splitlines():
        words = line.lstrip()
        lead = len(line) - len(words)
        hang = indent + lead + (2 if lead else 0)
        for position, part in enumerate(Text(words).wrap(console, max(1, console.width - hang))):
            part.rstrip()
            margin = hang if position else indent + lead
            console.print(Text(" " * margin + part.plain, style=style), soft_wrap=True)


def show_table(
    console: Console, caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, follows: bool = False
) -> None:
    """Prints a table of texts between empty lines; row by row where the terminal is too narrow for it.

    Args:
        console: where.
        caption: the line above it.
        columns: their names.
        rows: a text for each column.
        follows: it comes after another table, which has left an empty line.
    """
    from rich import box
    from rich.measure import Measurement
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    indented = Padding(table, (0, 0, 0, 2), expand=False)
    if not follows:
        console.print()
    say(console, caption, style="italic", indent=2)
    room = console.options.update(max_width=10_000)
    if Measurement.get(console, room, indented).maximum <= console.width:
        console.print(indented)
    else:
        for name, *cells in rows:
            pairs = zip(columns[1:], cells, strict=True)
            say(console, f"{name}: " + ", ".join(f"{column} {cell}" for column, cell in pairs if cell), indent=4)
    console.print()


def write_json(value: Mapping[str, object]) -> None:
    """Writes the value as JSON on stdout; numbers that JSON does not know become null."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in cast("list[object]", value)]
    return value
