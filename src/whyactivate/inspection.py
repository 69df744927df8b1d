"""A module looked at as a whole: how deep it is, what keeps its layers apart, and what folding would save."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from whyactivate._told import Told
from whyactivate.affine import Analysis, analyze
from whyactivate.affine.depth import Depth, count_depth
from whyactivate.affine.recording import check_module
from whyactivate.folding import Plan, plan_runs
from whyactivate.folding.tables import behind_tables


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Inspection(Told):
    """What `inspect_module` found.

    Attributes:
        analysis: the verdict on the module as a whole, with the blame for each break.
        depth: as written and effective; the chains of layers that are one.
        plan: what folding would change and save.
        complete: False where part of what the module does could not be followed, or it returns no tensor; then the
            depth and the plan speak only of what was followed.
    """

    analysis: Analysis
    depth: Depth
    plan: Plan
    complete: bool

    def __str__(self) -> str:
        analysis = self.analysis
        verdict = analysis.verdict.replace("_", " ")
        lines = f"{analysis.module}: {self.depth}".splitlines()
        lines.append(f"  as a whole: {verdict}{f': {analysis.counterexample}' if analysis.counterexample else ''}")
        lines += [f"  because {line}" if not i else f"  {line}" for each in analysis.blame
                  for i, line in enumerate(str(each).splitlines())]  # fmt: skip
        lines += [f"  note: {note}" for note in analysis.notes]
        if not self.complete:
            lines.append("  Part of what it does could not be followed; there may be more than is said here.")
        lines += str(self.plan).splitlines()
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The findings as JSON-able values."""
        analysis = self.analysis
        return {
            "module": analysis.module,
            "verdict": str(analysis.verdict),
            "per_example": analysis.per_example,
            "complete": self.complete,
            "depth": {"written": self.depth.written, "effective": self.depth.effective},
            "one_layer": [list(chain) for chain in self.depth.chains],
            "blame": [
                {"op": each.op, "module": each.module, "source": each.source, "line": each.line, "reason": each.reason}
                for each in analysis.blame
            ],
            "counterexample": str(analysis.counterexample) if analysis.counterexample else None,
            "notes": list(analysis.notes),
            "plan": self.plan.to_dict(),
        }


def inspect_module(module: nn.Module, example_input: Tensor | tuple[Any, ...] | dict[str, Any]) -> Inspection:
    """How deep a module is, as written and in effect, what keeps its layers apart, and what folding would save.

    A module that takes whole numbers alone is judged as a function of the rows that its embeddings look up.

    Args:
        module: any `nn.Module`, in the mode in which it is to be judged.
        example_input: what its forward takes, batch dimension first.

    Raises:
        InputError: not a module, an input that cannot be used, or a forward that raises on it.
    """
    check_module(module, "inspect_module")
    judged, judged_on, note = behind_tables(module, example_input)
    analysis = analyze(judged, judged_on)
    if note is not None:
        analysis = replace(analysis, notes=(note, *analysis.notes))
    recordings = analysis.recordings
    assert recordings is not None
    depth = count_depth(recordings.tapes[0], judged)
    return Inspection(analysis, depth, plan_runs(module, example_input), recordings.is_complete)
