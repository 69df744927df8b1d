"""`whyactivate compare`: every activation with many seeds, trained as one batch, beside the linear floor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whyactivate.cli import numbers
from whyactivate.cli.console import AsJson, Progress, progress_bar, say, show_table, stdout, write_json
from whyactivate.cli.data import Delimiter, Drop, Encoding, Target, Task, load_data
from whyactivate.cli.exits import INTERRUPTED, complain, stop
from whyactivate.cli.train import check_writable
from whyactivate.errors import InputError

if TYPE_CHECKING:
    from whyactivate.comparison import ComparisonResult

FIVE = "identity,relu,sigmoid,tanh,leaky_relu"


def compare(
    data: Annotated[str, typer.Option(help="A data set by name (drawn anew for every seed), or a CSV file.")],
    activations: Annotated[
        str,
        typer.Option(
            show_default=False,
            help=f"See `whyactivate activations`; all for every one. Default: {FIVE.replace(',', ', ')}.",
        ),
    ] = FIVE,
    seeds: Annotated[int, typer.Option(callback=numbers.whole(1), help="How many, counted from 0.")] = 10,
    hidden: Annotated[str | None, typer.Option(help="Widths of the hidden layers, as in 18,18,4.")] = None,
    depths: Annotated[str | None, typer.Option(help="Numbers of hidden layers, as in 1,2,4.")] = None,
    widths: Annotated[str | None, typer.Option(help="Widths of all hidden layers, as in 8,32.")] = None,
    inits: Annotated[str, typer.Option(help="default, xavier, he.")] = "default",
    learning_rates: Annotated[str, typer.Option("--lr", "--learning-rates", help="Sizes of a step.")] = "0.001",
    epochs: Annotated[int, typer.Option(help="Passes over the training part.")] = 150,
    batch_size: Annotated[int, typer.Option(help="Rows per step.")] = 10,
    optimizer: Annotated[str, typer.Option(help="adam or sgd.")] = "adam",
    target: Target = None,
    drop: Drop = None,
    task: Task = None,
    delimiter: Delimiter = ",",
    encoding: Encoding = None,
    save: Annotated[Path | None, typer.Option(help="Write every network's numbers here, .json or .csv.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on from a .json file that --save wrote.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the figure here, .svg, .png or .pdf.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train every activation with many seeds, as one batch, and say what can be told apart."""
    for path, endings in ((save, (".json", ".csv")), (figure, (".svg", ".png", ".pdf"))):
        if path is not None:
            _check_ending(path, endings)
            check_writable(path)
    shape = None if hidden is None else _whole_numbers("--hidden", hidden, "18,18,4")
    deep = None if depths is None else _whole_numbers("--depths", depths, "1,2,4")
    wide = None if widths is None else _whole_numbers("--widths", widths, "8,32")
    rates = _numbers("--learning-rates", learning_rates)
    with progress_bar("loading PyTorch") as progress:
        from whyactivate.activations import ACTIVATIONS
        from whyactivate.comparison import compare as run
        from whyactivate.datasets import DATASETS
        from whyactivate.training import TrainConfig

        names = list(ACTIVATIONS) if activations.strip().lower() == "all" else _names(activations)
        config = TrainConfig(epochs, batch_size, optimizer=optimizer)  # type: ignore[arg-type]
        loaded = load_data(data, target, drop, task, delimiter, encoding, 0)
        # A file is one data set, split once; a name is drawn anew with each seed.
        source = loaded if target is not None and data not in DATASETS else loaded.name
        result = run(
            source, names, seeds, hidden=shape, depths=deep, widths=wide, inits=_names(inits),  # type: ignore[arg-type]
            learning_rates=rates, config=config, resume=resume, progress=_Teller(progress),
        )  # fmt: skip
        if save is not None:
            result.to_csv(save) if save.suffix.lower() == ".csv" else result.to_json(save)
        if figure is not None:
            progress("drawing")
            result.plot().savefig(figure, dpi=160)
    if as_json:
        write_json(result.to_dict())
    else:
        _show(result, save, figure)
    if result.interrupted:
        where = "" if save is None or save.suffix.lower() == ".csv" else f"; go on with --resume {save}"
        count = len(result.members)
        stop(complain(f"interrupted after {count} of {count + result.missing} networks{where}", INTERRUPTED))


class _Teller:
    """Says on the progress bar how far it is, and how long the rest may take."""

    def __init__(self, bar: Progress) -> None:
        self.bar, self.start = bar, time.monotonic()

    def __call__(self, done: int, planned: int, left: float | None) -> None:
        passed = time.monotonic() - self.start
        share = done / planned if left is None or passed <= 0 else passed / (passed + left)
        rest = "" if left is None else f", about {_duration(left)} left"
        self.bar(f"{done} of {planned} networks{rest}", round(1000 * share), 1000)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _show(result: ComparisonResult, save: Path | None, figure: Path | None) -> None:
    from whyactivate.comparison import words

    console = stdout()
    say(console, words.title(result), style="bold")
    for part, (columns, *rows) in enumerate(words.split(*result.table(), console.width - 4)):
        caption = "the same, further columns" if part else "medians with 95 % intervals, and the linear floor"
        show_table(console, caption, columns, [row for row in rows if any(row[1:])], follows=part > 0)
    for sentence in words.sentences(result, to_go_on=""):  # how to, says the line that ends an interrupted command
        say(console, sentence)
    for name, path in (("Networks", save), ("Figure", figure)):
        if path is not None:
            say(console, f"{name}: {path}")


def _check_ending(path: Path, endings: tuple[str, ...]) -> None:
    if path.suffix.lower() not in endings:
        raise InputError(f"cannot write {path}: the file's name must end in {' or '.join(endings)}")


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _whole_numbers(option: str, text: str, example: str) -> list[int]:
    parts = [] if text.strip().lower() == "none" else text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"{option} must be whole numbers, as in {example}; {text!r} came")
    return [int(part) for part in parts]


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} must be numbers, as in 0.001,0.01; {text!r} came") from error
