"""`whyactivate verify`: a certificate, checked with the standard library alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whyactivate.cli.console import AsJson, say, stdout, write_json
from whyactivate.cli.exits import BAD_INPUT, OK, stop
from whyactivate.errors import InputError


def verify(
    certificate: Annotated[Path, typer.Argument(help="A file that `collapse.save` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Check a certificate: are the layers in it, one after another, the one layer that it claims?

    Runs proof/checker.py, which is as good by itself: a file of 150 lines that needs no library. Exit code 1 means that
    the claim does not hold, 2 that the file is damaged or is no certificate.
    """
    from whyactivate.proof.checker import check

    if not certificate.is_file():
        what = "a folder" if certificate.is_dir() else "no such file"
        raise InputError(f"{certificate}: refused: {what}; expected a certificate, as collapse.save writes it")
    code, words = check(str(certificate))
    if code == BAD_INPUT:
        raise InputError(f"{certificate}: {words}")
    if as_json:
        verdict, how, notes = words.split("\n", 2)
        write_json({"file": str(certificate), "holds": code == OK, "verdict": verdict, "how": how, "notes": notes})
    else:
        say(stdout(), words, style="" if code == OK else "bold red")
    if code != OK:
        stop(code)
