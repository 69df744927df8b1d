"""`whyactivate ablate`: what is left of a module as each of its activations is taken out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whyactivate.cli import numbers
from whyactivate.cli.console import AsJson, progress_bar, say, stdout, write_json
from whyactivate.cli.demo import make_folder
from whyactivate.cli.exits import UNDECIDED, stop
from whyactivate.cli.targets import INPUT_HELP, TARGET_HELP, load_target, read_inputs, their_code
from whyactivate.errors import InputError


def ablate(
    target: Annotated[str, typer.Argument(help=TARGET_HELP)],
    shapes: Annotated[list[str] | None, typer.Option("--input", help=INPUT_HELP)] = None,
    data: Annotated[
        str | None, typer.Option(help="A data set by name: the loss as each activation is taken out, and retrained.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(callback=numbers.whole(1), help="Of retraining; with --data. Default: 50.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--lr", "--learning-rate", help="Of retraining; with --data. Default: 0.001.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(callback=numbers.seed, help="Of the data and the first order of its rows; with --data."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(callback=numbers.whole(1), help="How many orders to retrain in; with --data. Default: 3."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figure, as SVG and PNG; none where left out.")
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Keep the mode the module comes in; default: eval.")] = False,
    as_json: AsJson = False,
) -> None:
    """What does each activation of a module add? Take it out: which layers become one, and what the loss does.

    A target package.module:factory is code, and this command runs it. The module itself stays as it is.

    Exit code 3: part of what the module does could not be followed, so there may be more than is said.
    """
    given = [("--epochs", epochs), ("--learning-rate", learning_rate), ("--seed", seed), ("--seeds", seeds)]
    for option, value in given:
        if data is None and value is not None:
            raise InputError(f"{option} is for retraining, which needs data: add --data with the name of a data set")
    with progress_bar("loading PyTorch") as progress:
        from whyactivate.ablation import ablate as take_out
        from whyactivate.datasets import load_dataset
        from whyactivate.training import TrainConfig

        found = load_target(target, train=train)
        example = read_inputs(shapes) if shapes else found.inputs
        loaded = None if data is None else load_dataset(data, seed or 0)
        rate = 1e-3 if learning_rate is None else learning_rate
        config = None if loaded is None else TrainConfig(epochs=epochs or 50, learning_rate=rate, seed=seed or 0)
        with their_code(guessed=example is None and loaded is None):
            ablation = take_out(found.module, example, loaded, config, seeds=seeds, progress=progress)
        files: tuple[Path, ...] = ()
        if out is not None:
            from whyactivate.plots import save_figure

            progress("drawing")
            make_folder(out)
            files = save_figure(ablation.plot(), out, "ablation")
    if as_json:
        write_json({"target": target, **ablation.to_dict(), "files": [str(path) for path in files]})
    else:
        console = stdout()
        say(console, target, style="bold")
        say(console, str(ablation))
        if files:
            say(console, "Written: " + ", ".join(str(path) for path in files))
    if not ablation.complete:
        stop(UNDECIDED)
