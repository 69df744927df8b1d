"""How a command ends: an exit code, and where it went wrong one clear line on stderr."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from whyactivate.errors import (
    CannotCollapseError,
    CannotProveError,
    DivergedError,
    NotAffineError,
    RowsMixError,
    WhyActivateError,
)

OK, FAILED, BAD_INPUT, UNDECIDED, OUR_FAULT, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 70, 130, 141
TRACEBACK = "WHYACTIVATE_TRACEBACK"


def _without_types(params: list[Any]) -> list[Any]:
    """The options as the help is to show them: a flag takes nothing, one that is repeated takes a text each time."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
        elif getattr(param, "multiple", False):
            param.metavar = "<str>"
    return params


class PlainCommand(TyperCommand):
    """A command whose help says of an option what to write, not how Python takes it."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, --help among them."""
        return _without_types(super().get_params(ctx))


class OneLineGroup(TyperGroup):
    """Commands whose errors are one line on stderr and an exit code, never a traceback."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, --help among them."""
        return _without_types(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; Ctrl-C, which Typer would end without a word, is one line as well."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            stop(complain("interrupted", INTERRUPTED))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command and exits; with `standalone_mode=False` errors are left to the caller."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # closed by whoever called us
                setattr(sys, name, io.StringIO())
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            code: object = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
            sys.stdout.flush()
        except SystemExit:
            raise
        except BrokenPipeError:
            close_pipe()
        except KeyboardInterrupt:
            code = complain("interrupted", INTERRUPTED)
        except Exception as error:
            code = complain(*_judge(error))
        sys.exit(code if isinstance(code, int) else OK)


def complain(message: str, code: int) -> int:
    """Writes the message as one line on stderr and gives the exit code back."""
    line = " ".join(message.split())
    print(f"whyactivate: {line}", file=sys.stderr, flush=True)
    return code


def stop(code: int) -> NoReturn:
    """Ends the command with this exit code."""
    raise typer.Exit(code)


def code_of(error: WhyActivateError) -> int:
    """The exit code for one of the library's own errors."""
    if isinstance(error, NotAffineError | RowsMixError | DivergedError):
        return FAILED
    if isinstance(error, CannotCollapseError | CannotProveError):
        return UNDECIDED
    return BAD_INPUT


def _judge(error: Exception) -> tuple[str, int]:
    """What to say about an error, and the exit code."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, WhyActivateError):
        return str(error), code_of(error)
    if isinstance(error, typer.TyperException):
        return _usage(error), BAD_INPUT
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", BAD_INPUT
    return (
        f"internal error, which is our fault and not yours: {type(error).__name__}: {error} "
        f"(set {TRACEBACK}=1 to see where)",
        OUR_FAULT,
    )


def _usage(error: Exception) -> str:
    """A usage error, with the nearest option where one was misspelt and where to read on."""
    message = error.format_message() if isinstance(error, typer.TyperException) else str(error)
    near: Sequence[str] | None = getattr(error, "possibilities", None)
    option: str | None = getattr(error, "option_name", None)
    if near and option:
        message = f"No such option: {option}. Did you mean {near[0]}?"
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "whyactivate")
    return f"{message.rstrip('.?')}{message[-1] if message.endswith('?') else '.'} See {path} --help."


def close_pipe() -> NoReturn:
    """The reader of our output went away: say nothing more, to nobody."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(PIPE_CLOSED)
