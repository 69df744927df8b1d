"""What a command is pointed at: a module that some code makes, or an exported program in a file."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whyactivate.errors import InputError, SettingError, find_nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

_CODE = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*")
_SHAPE = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>\d+(?:,\d+)*)(?::(?P<dtype>\w+))?")
_DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")

TARGET_HELP = (
    "package.module:factory (a class, a function without arguments, or a module; its code is run), "
    "or a .pt2 file of an exported program."
)
INPUT_HELP = (
    "Shape of one argument of forward, batch dimension first, as in 1,3,224,224; repeat it for several arguments. "
    r"In full: \[name=]shape[:dtype], as in mask=1,16:bool."
)


@dataclass(frozen=True, slots=True)
class Target:
    """A module to be looked at.

    Attributes:
        module: in evaluation mode, unless its own mode was asked for.
        inputs: what its forward takes, where the target itself knows; None otherwise.
    """

    module: nn.Module
    inputs: tuple[Any, ...] | dict[str, Any] | None


def is_target(text: str) -> bool:
    """Whether this names code or an exported program, and not a file of weights."""
    return text.endswith(".pt2") or (_CODE.fullmatch(text) is not None and not Path(text).exists())


def load_target(text: str, *, train: bool = False) -> Target:
    """The module that `package.module:factory` makes, or that a `.pt2` file holds.

    Args:
        text: the target. Code that it names is imported and run, from the current folder as well.
        train: leave the module in the mode in which it comes, instead of `eval()`.

    Raises:
        InputError: there is no such thing, its code raises, or it does not give an `nn.Module`.
    """
    if text.endswith(".pt2"):
        return _load_exported(Path(text))
    if _CODE.fullmatch(text) is None:
        raise InputError(f"{text!r} is not a target: {TARGET_HELP}")
    with their_code():
        module = _make(text)
    _refuse_lazy(module, text)
    return Target(module if train else module.eval(), None)


@contextlib.contextmanager
def their_code(*, guessed: bool = False) -> Generator[None]:
    """While a target's code runs: what it prints goes to stderr, since stdout is for the answer.

    Raises:
        InputError: as before, about --input; where the input had to be `guessed`, with how to say what it is.
    """
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        except InputError as error:
            said = error.problem if isinstance(error, SettingError) else str(error).replace("example_input", "--input")
            hint = "no --input was given: say what it takes, as in --input 1,3,224,224 or --input 1,16:int64"
            raise InputError(f"{said.rstrip('.')}; {hint}" if guessed else said) from error


def read_inputs(shapes: list[str]) -> tuple[Tensor, ...] | dict[str, Tensor]:
    """Example inputs of these shapes: random floating numbers, zeros for integers, True for booleans.

    Raises:
        InputError: a shape that cannot be read, or named and unnamed ones together.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    found: list[tuple[str | None, Tensor]] = []
    for text in shapes:
        match = _SHAPE.fullmatch(text.replace(" ", ""))
        if match is None:
            raise InputError(f"--input {text!r} is not a shape; expected something like 1,3,224,224 or ids=1,16:int64")
        name = match["dtype"] or "float32"
        if name not in _DTYPES:
            nearest = find_nearest(name, _DTYPES)
            hint = f" Did you mean {nearest!r}?" if nearest else ""
            raise InputError(f"--input {text!r}: unknown dtype {name!r}.{hint} Known: {', '.join(_DTYPES)}.")
        shape, dtype = tuple(map(int, match["shape"].split(","))), getattr(torch, name)
        if shape[0] == 0:
            raise InputError(f"--input {text!r}: the batch dimension comes first and has at least one row")
        try:
            if dtype.is_floating_point:
                tensor = torch.randn(shape, generator=generator).to(dtype)
            else:
                tensor = torch.ones(shape, dtype=dtype) if dtype is torch.bool else torch.zeros(shape, dtype=dtype)
        except (RuntimeError, TypeError) as error:  # too much memory, or a width beyond 64 bits
            raise InputError(f"--input {text!r}: a tensor of that shape does not fit into memory") from error
        found.append((match["name"], tensor))
    named = [name for name, _ in found if name is not None]
    if not named:
        return tuple(tensor for _, tensor in found)
    if len(named) < len(found) or len(set(named)) < len(named):
        raise InputError("name each --input once, or none of them")
    return {name: tensor for name, tensor in found if name is not None}


def _refuse_lazy(module: nn.Module, text: str) -> None:
    from whyactivate.affine._torch_compat import is_uninitialised

    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_uninitialised(tensor):
            raise InputError(
                f"{text}: {name} has no shape yet (a lazy module); write a function that makes the module, runs it "
                "once and returns it, and name that"
            )


def _make(text: str) -> nn.Module:
    from torch import nn

    path, _, attributes = text.partition(":")
    if path.endswith(".py"):
        name = path.removesuffix(".py")
        raise InputError(f"{text}: a module is named as it is imported, not as a file: {name}:{attributes}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is not None and (path == error.name or path.startswith(f"{error.name}.")):
            raise InputError(
                f"{text}: there is no module {error.name!r} here; run the command in the folder that holds it, "
                "or install it"
            ) from error
        raise InputError(f"{text}: importing {path} needs {error.name!r}, which is not installed") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{text}: importing {path} raised {_words(error)}{_place(error)}") from error
    for name in attributes.split("."):
        if not hasattr(found, name):
            nearest = find_nearest(name, dir(found))
            hint = f"; did you mean {nearest!r}?" if nearest else ""
            raise InputError(f"{text}: {path} has no {name!r}{hint}")
        found = getattr(found, name)
    if not isinstance(found, nn.Module):
        if not callable(found):
            raise InputError(f"{text} is of type {type(found).__name__}; an nn.Module, or what makes one, was expected")
        try:
            found = found()
        except (Exception, SystemExit) as error:
            place = _place(error)
            hint = place or "; if it needs arguments, write a function without any that makes the module, and name that"
            raise InputError(f"{text}: calling it without arguments raised {_words(error)}{hint}") from error
    if not isinstance(found, nn.Module):
        raise InputError(f"{text} gives something of type {type(found).__name__}; an nn.Module was expected")
    return found


def _load_exported(path: Path) -> Target:
    import torch

    if not path.is_file():
        raise InputError(f"{path} is not there; a .pt2 file that torch.export.save wrote was expected")
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it would write a traceback of its own
    try:
        program = torch.export.load(path)
        module = program.module(check_guards=False)
    except Exception as error:
        raise InputError(f"{path} is not an exported program that this PyTorch can read: {_words(error)}") from error
    finally:
        logger.setLevel(level)
    inputs: tuple[Any, ...] | dict[str, Any] | None = None
    if program.example_inputs is not None:
        args, kwargs = program.example_inputs
        inputs = args or kwargs or None
    return Target(module, inputs)


def _words(error: BaseException) -> str:
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _place(error: BaseException) -> str:
    """Where in the user's code an error arose, in words; empty where it did not get there."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_NOT_THEIRS)
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


_NOT_THEIRS = ("<", str(Path(__file__).parents[1]), os.path.dirname(os.__file__))
"""What the names of files begin with whose code users did not write; what they installed lies there, too."""
