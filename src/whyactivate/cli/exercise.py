"""`whyactivate exercise`: tasks, hints, and what holds of an answer."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from whyactivate.cli import numbers
from whyactivate.cli.console import AsJson, progress_bar, say, stdout, write_json
from whyactivate.cli.exits import FAILED, stop
from whyactivate.errors import InputError, find_nearest


def exercise(
    name: Annotated[str | None, typer.Argument(help="One exercise; all are listed where left out.")] = None,
    answer: Annotated[
        str | None,
        typer.Option(help="Your answer: JSON, as in '[1, 2.5]', or FILE.py:name, whose code is run."),
    ] = None,
    hint: Annotated[
        int | None, typer.Option(callback=numbers.whole(1), help="One hint by its number; 1 gives least away.")
    ] = None,
    solution: Annotated[bool, typer.Option("--solution", help="A worked solution, and why it is right.")] = False,
    as_json: AsJson = False,
) -> None:
    """Exercises, from two layers multiplied by hand to a network that fools a Jacobian test.

    Exit code 1: something does not hold of the answer.
    """
    if sum((answer is not None, hint is not None, solution)) > 1:
        raise InputError("give one of --answer, --hint and --solution")
    if name is None and (answer is not None or hint is not None or solution):
        raise InputError("name the exercise; `whyactivate exercise` lists them")
    with progress_bar("loading PyTorch"):
        from whyactivate.exercises import EXERCISES, find_exercise

        chosen = None if name is None else find_exercise(name)
    console = stdout()
    if chosen is None:
        if as_json:
            write_json({"exercises": [{"name": each.name, "title": each.title} for each in EXERCISES.values()]})
            return
        width = max(map(len, EXERCISES))
        narrow = console.width < width + 40
        for number, each in enumerate(EXERCISES.values(), 1):
            name = f"{each.name}:" if narrow else each.name.ljust(width + 1)
            say(console, f"{number:2d}. {name} {each.title}", indent=2)
        say(console, "`whyactivate exercise NAME` shows the task.")
    elif answer is not None:
        graded = chosen.check(_read(answer))
        if as_json:
            write_json(graded.to_dict())
        else:
            say(console, str(graded))
        if not graded:
            stop(FAILED)
    elif hint is not None:
        words = chosen.hint(hint)
        if as_json:
            write_json({"exercise": chosen.name, "hint": words, "hints": len(chosen.hints)})
        else:
            say(console, f"Hint {hint} of {len(chosen.hints)}: {words}")
    elif solution:
        from whyactivate.exercises.solutions import explain_solution

        words = explain_solution(chosen.name)
        if as_json:
            write_json({"exercise": chosen.name, "solution": words})
        else:
            console.print(words, markup=False, soft_wrap=True)
    elif as_json:
        write_json({"name": chosen.name, "title": chosen.title, "task": chosen.task, "hints": len(chosen.hints)})
    else:
        say(console, f"{chosen.name}: {chosen.title}", style="bold")
        say(console, chosen.task)
        say(console, f"Hints: {len(chosen.hints)} (--hint 1). Hand in with --answer JSON or --answer FILE.py:name.")


def _read(text: str) -> Any:
    """The answer that JSON says, or that a file makes.

    Raises:
        InputError: it is neither, or the file's code raises.
    """
    path, _, name = text.rpartition(":")
    if path.endswith(".py") and name.isidentifier():
        return _load(Path(path), name)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"--answer {text!r} is neither JSON, as in '[1, 2.5]', nor FILE.py:name, as in mine.py:answer ({error})"
        ) from error


def _load(path: Path, name: str) -> Any:
    if not path.is_file():
        raise InputError(f"{path} is not there; a Python file that defines {name} was expected")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.get(spec.name)
    sys.modules[spec.name] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the grade
            spec.loader.exec_module(module)
            if not hasattr(module, name):
                nearest = find_nearest(name, dir(module))
                hint = f"; did you mean {nearest!r}?" if nearest else ""
                raise InputError(f"{path} has no {name!r}{hint}")
            found: Any = getattr(module, name)
            return found() if type(found).__name__ == "function" else found
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{path}: its code raised {type(error).__name__}: {error}") from error
    finally:
        if known is None:
            sys.modules.pop(spec.name, None)
        else:
            sys.modules[spec.name] = known
