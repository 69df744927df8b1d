"""`whyactivate train`: one network on one data set, beside the linear floor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whyactivate.cli import numbers
from whyactivate.cli.console import AsJson, progress_bar, say, show_table, stdout, write_json
from whyactivate.cli.data import Delimiter, Drop, Encoding, Target, Task, load_data
from whyactivate.cli.exits import INTERRUPTED, complain, stop
from whyactivate.errors import InputError

if TYPE_CHECKING:
    from whyactivate.demo import Contest

HIDDEN = "18,18,4"


def train(
    data: Annotated[str, typer.Argument(help="A data set by name, or the path of a CSV file.")],
    target: Target = None,
    activation: Annotated[str, typer.Option(help="See `whyactivate activations`; none for none.")] = "relu",
    hidden: Annotated[
        str, typer.Option("--hidden", "--layers", help="Widths of the hidden layers; none for no hidden layer.")
    ] = HIDDEN,
    epochs: Annotated[int, typer.Option(help="Passes over the training part.")] = 150,
    batch_size: Annotated[int, typer.Option(help="Rows per step.")] = 10,
    learning_rate: Annotated[float, typer.Option("--lr", "--learning-rate", help="Size of a step.")] = 1e-3,
    optimizer: Annotated[str, typer.Option(help="adam or sgd.")] = "adam",
    seed: Annotated[int, typer.Option(callback=numbers.seed, help="Fixes data, weights and order.")] = 0,
    drop: Drop = None,
    task: Task = None,
    delimiter: Delimiter = ",",
    encoding: Encoding = None,
    save: Annotated[Path | None, typer.Option(help="Write the weights here (safetensors).")] = None,
    as_json: AsJson = False,
) -> None:
    """Train one network and set it beside the linear floor of its data."""
    between = read_widths(hidden)
    if save is not None:
        check_writable(save)
    with progress_bar("loading PyTorch") as progress:
        from whyactivate.activations import get_activation
        from whyactivate.demo import Contest, TrainedNetwork
        from whyactivate.floor import linear_floor
        from whyactivate.models import MLP
        from whyactivate.training import TrainConfig
        from whyactivate.training import train as train_model
        from whyactivate.weights import save_weights

        chosen = get_activation(activation)
        config = TrainConfig(epochs, batch_size, learning_rate, optimizer, seed=seed)  # type: ignore[arg-type]
        loaded = load_data(data, target, drop, task, delimiter, encoding, seed)
        widths = (loaded.features, *between, loaded.outputs)
        model = MLP(widths, activation=chosen.name, seed=seed)

        def count(epoch: int, total: int, metrics: object) -> None:
            progress(f"{chosen.title} on {loaded.name}: epoch {epoch}", epoch, total)

        history = train_model(model, loaded, config, callback=count)
        progress("looking for the linear floor")
        network = TrainedNetwork(chosen.name, chosen.title, model, history)
        contest = Contest(loaded, widths, linear_floor(loaded), (network,))
        if save is not None:
            save_weights(model, save)
    if as_json:
        write_json({**contest.to_dict(), "stopped": history.stopped, "saved": None if save is None else str(save)})
    else:
        _show(contest, save)
    if history.stopped == "interrupted":
        saved = "" if save is None else f"; the weights of then are in {save}"
        stop(complain(f"interrupted after epoch {history.epochs} of {config.epochs}{saved}", INTERRUPTED))


def read_widths(text: str) -> tuple[int, ...]:
    """The widths in "18,18,4"; () for "none".

    Raises:
        InputError: one of them is no whole number of at least 1.
    """
    if text.strip().lower() in ("none", ""):
        return ()
    widths = tuple(int(part) if part.strip().isdecimal() else 0 for part in text.split(","))
    if min(widths) < 1:
        raise InputError(f"--hidden must be whole numbers of at least 1, as in {HIDDEN}, or none; {text!r} came")
    return widths


def check_writable(path: Path) -> None:
    """Makes sure, before anything takes long, that a file can be written there.

    Raises:
        InputError: it cannot.
    """
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; name a file")
    new = not path.exists()
    try:
        with path.open("ab"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


def _show(contest: Contest, save: Path | None) -> None:
    from whyactivate.demo.story import contest_table, widths
    from whyactivate.demo.words import say_floor, say_network

    console = stdout()
    (network,) = contest.networks
    say(console, f"{widths(contest)}, {network.title}, on {contest.data}", style="bold")
    table = contest_table(contest)
    show_table(console, table.caption, table.columns, table.rows)
    say(console, f"{say_floor(contest)} {say_network(network, contest.floor)}")
    if contest.data.task == "regression" and contest.data.target_scale != 1:
        say(console, f"Losses are in units of the target's variance, {contest.data.target_scale**2:.6g}.")
    if save is not None:
        say(console, f"Weights: {save}")
