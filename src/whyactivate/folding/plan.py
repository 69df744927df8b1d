"""What folding would do: each affine run, what it becomes, what that saves, or why it is left alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from whyactivate._told import Told
from whyactivate.affine.analysis import AffineRun


@dataclass(frozen=True, slots=True)
class Cost:
    """What it takes to compute something.

    Attributes:
        multiply_adds: per row of the batch; one for each number that is only added or scaled, none for what weights
            are computed from.
        kernels: operations that run, each a pass over memory.
    """

    multiply_adds: int
    kernels: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.multiply_adds + other.multiply_adds, self.kernels + other.kernels)

    def __str__(self) -> str:
        return f"{self.multiply_adds:,} multiply-adds in {self.kernels} kernel{'s' if self.kernels != 1 else ''}"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One maximal affine run, and what is to become of it.

    Attributes:
        run: the modules in it, and the operation that ends it.
        before: its cost as it stands; shared values are priced once.
        after: its cost as it will be.
        becomes: the layers that its folded parts become, in words; empty where it is left alone.
        reason: why it, or the rest of it, is left alone; None where there is nothing to say.
        notes: what the copy holds fixed.
    """

    run: AffineRun
    before: Cost
    after: Cost
    becomes: tuple[str, ...]
    reason: str | None
    notes: tuple[str, ...] = ()

    @property
    def folds(self) -> bool:
        """True where something in it becomes one layer."""
        return bool(self.becomes)

    def __str__(self) -> str:
        lines = [str(self.run)]
        if self.folds:
            lines.append(f"  becomes {', '.join(self.becomes)}: {self.before} → {self.after}")
        else:
            lines.append(f"  left alone: {self.before}")
        if self.reason:
            lines.append(f"  because {self.reason}" if not self.folds else f"  the rest stays: {self.reason}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, repr=False)
class Plan(Told):
    """What `collapse_runs` does to a module.

    Attributes:
        module: the name of the module's class.
        runs: its affine runs that hold weights, in program order.
        reason: why nothing at all can be folded; None where runs were looked for.
    """

    module: str
    runs: tuple[PlannedRun, ...]
    reason: str | None = None

    @property
    def before(self) -> Cost:
        """Of all runs, as they stand."""
        return sum((run.before for run in self.runs), Cost(0, 0))

    @property
    def after(self) -> Cost:
        """Of all runs, folded."""
        return sum((run.after for run in self.runs), Cost(0, 0))

    @property
    def folds(self) -> bool:
        """True where something is to be folded."""
        return any(run.folds for run in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain dicts, lists, numbers and texts, fit for JSON."""
        return {**asdict(self), "before": asdict(self.before), "after": asdict(self.after)}

    def __str__(self) -> str:
        if self.reason is not None:
            return f"{self.module}: nothing is folded, because {self.reason}"
        if not self.runs:
            return f"{self.module}: nothing is folded, because no affine part of it holds the weights of a layer"
        folding = sum(run.folds for run in self.runs)
        plural = "s" if len(self.runs) != 1 else ""
        head = f"{self.module}: {len(self.runs)} affine run{plural}, {folding} to fold; {self.before} → {self.after}"
        body = "\n".join(str(run) for run in self.runs)
        return head + "".join(f"\n  {line}" for line in body.splitlines())
