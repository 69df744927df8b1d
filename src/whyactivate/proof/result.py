"""Proof: what was to be shown, whether it holds, and how it was shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from whyactivate._told import Told

ProofKind = Literal["theorem", "symbolic", "exact", "numeric"]


@dataclass(frozen=True, repr=False)
class Proof(Told):
    """The outcome of one attempt to prove one sentence.

    Attributes:
        kind: which of the four kinds of proof this is.
        statement: the sentence, true exactly where `holds`.
        holds: whether every check behind the sentence succeeded.
        steps: what was done, in words and in order.
        details: numbers and names behind it; everything in it can be written as JSON.
        formulas: gives the derivation as LaTeX formulas, for display, without delimiters.
    """

    kind: ProofKind
    statement: str
    holds: bool
    steps: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    formulas: Callable[[], tuple[str, ...]] = field(default=tuple, repr=False, compare=False)

    @property
    def verdict(self) -> str:
        """The outcome in words: "holds" or "does NOT hold"."""
        return "holds" if self.holds else "does NOT hold"

    def to_dict(self) -> dict[str, object]:
        """Everything, as plain data for JSON."""
        return {
            "kind": self.kind,
            "statement": self.statement,
            "holds": self.holds,
            "steps": list(self.steps),
            "details": dict(self.details),
        }

    def latex(self) -> str:
        r"""The derivation in LaTeX: small cases written out entry by entry, large ones in matrix form.

        Each formula stands in `\[ … \]`; nothing beyond amsmath and amssymb is needed, and MathJax shows it too.
        A proof that does not hold derives nothing, and says so.
        """
        formulas = self.formulas() if self.holds else (r"\text{This proof does not hold.}",)
        return "\n".join(f"\\[\n{formula}\n\\]" for formula in formulas) + "\n"

    def __str__(self) -> str:
        lines = [f"{self.kind} proof: {self.verdict}", f"  {self.statement}"]
        lines += [f"  {number}. {step}" for number, step in enumerate(self.steps, 1)]
        width = max((len(name) for name in self.details), default=0)
        lines += [f"  {name:<{width}}  {_words(value)}" for name, value in self.details.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        steps = "".join(f"<li>{escape(step)}</li>" for step in self.steps)
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>"
            f"{escape(_words(value))}</td></tr>"
            for name, value in self.details.items()
        )
        return (
            f"<div><p><b>{self.kind} proof: {self.verdict}</b><br>{escape(self.statement)}</p>"
            f"<ol>{steps}</ol><table>{rows}</table></div>"
        )


def _words(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)
