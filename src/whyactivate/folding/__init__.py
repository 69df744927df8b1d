"""Fold what is affine: every maximal affine run that pays becomes one layer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine.recording import Example, check_module
from whyactivate.errors import InputError
from whyactivate.folding.building import Misfit, carry_out
from whyactivate.folding.copies import copied, in_float64
from whyactivate.folding.folding import Folding, find_folding
from whyactivate.folding.layers import Filling
from whyactivate.folding.maps import CannotFold
from whyactivate.folding.plan import Cost, Plan, PlannedRun
from whyactivate.folding.tables import WholeNumbers
from whyactivate.folding.verifying import verify

__all__ = ["Cost", "Plan", "PlannedRun", "collapse_runs", "plan_runs"]


def plan_runs(module: nn.Module, example_input: Tensor | tuple[Any, ...] | dict[str, Any]) -> Plan:
    """What `collapse_runs` would do: each affine run, what it becomes and saves, or why it is left alone.

    Args:
        module: any `nn.Module`, in the mode (train or eval) it is to be folded in; it stays as it is.
        example_input: what its forward takes, batch dimension first: a tensor, a tuple of several arguments, or a
            dict of keywords. Its numbers do not matter, its shapes do.

    Raises:
        InputError: not a module, an input that cannot be used, or a forward that raises on it.
    """
    return _find(module, example_input, "plan_runs")[0].plan


def collapse_runs(module: nn.Module, example_input: Tensor | tuple[Any, ...] | dict[str, Any]) -> nn.Module:
    """A copy of the module in which every affine run that pays is one layer, the same function but for rounding.

    A run pays where one layer takes fewer multiply-adds, or as many in fewer kernels. Linear layers stay
    `nn.Linear`, convolutions (transposed ones, too) stay convolutions of PyTorch; an `nn.Embedding` and the layers
    behind it become one table where that holds no more numbers. What is folded away becomes `nn.Identity`. Where
    operations of a module's own forward are folded (two branches, added up or concatenated, or an exported program),
    the smallest module around them becomes a `torch.fx.GraphModule`. Everything else keeps its name, dtype and device;
    any batch size works. `plan_runs` tells what becomes of each run, and why others are left alone.

    A run is left alone where the code around it

    - compares the batch size, loops over it or looks something up by it, so that two recordings do not settle what it
      does with a third;
    - keeps gradients from passing from one layer to the next, or looks at them there;
    - looks at a layer other than by calling it, or fails with another layer in its place;

    and where the one layer would hold a number too large for its dtype (`plan_runs` does not look at numbers).

    Three things stay in the copy as they were recorded: the mode (train or eval); whether gradients are recorded,
    where that changes nothing; and what the code reads from outside the module. Images and sequences may have other
    sizes than the example's, except where a forward became a graph that holds such a size: it refuses others with
    an AssertionError, and the plan says so; any graph refuses other numbers of axes. What sizes compiled code of
    others goes by cannot be seen; the comparison below finds that out for the batch sizes that it tries.

    The copy is run beside the original on random inputs of several batch sizes (1, 2, 5, that of the example, and 67
    where rows are small), with and without gradients, before it is returned. In the
    module's own dtype, of unit roundoff u, no output may be further from that of a float64 copy of the original
    than 32 times the original itself, plus 256·u times the largest output; a float64 copy of the folded module,
    with layers that were not rounded, must keep within 128 times that, with the unit roundoff of float64 (of the
    module's own dtype where its forward computes the weights, as weight_norm does).

    Args:
        module: any `nn.Module`, in the mode (train or eval) it is to be folded in; it stays as it is.
        example_input: what its forward takes, batch dimension first: a tensor, a tuple of several arguments, or a
            dict of keywords. Its numbers do not matter, its shapes do.

    Raises:
        InputError: not a module, an input that cannot be used, or a forward that raises on it.
        FoldingError: the copy does not give the original's outputs, or these have no finite number to compare; nothing
            is returned then.
    """
    return fold_runs(module, example_input)[1]


def fold_runs(
    module: nn.Module, example_input: Tensor | tuple[Any, ...] | dict[str, Any], asked: str = "collapse_runs"
) -> tuple[Plan, nn.Module]:
    """The plan, and the copy that `collapse_runs` gives; `asked` is the name of whoever asks.

    Raises:
        InputError: as for `collapse_runs`.
        FoldingError: as for `collapse_runs`.
    """
    kept: dict[int, str] = {}
    while True:
        folding, example = _find(module, example_input, asked, kept)
        try:
            own = copied(module)
        except Exception as error:
            raise InputError(f"{type(module).__name__} cannot be copied, so it cannot be folded: {error}") from error
        try:
            folded = carry_out(folding.replacements, folding.regions, own, Filling())
            break
        except Misfit as misfit:
            kept |= dict.fromkeys(misfit.nodes, str(misfit))
    if folding.plan.folds:
        computed = any("computed" in note for run in folding.plan.runs for note in run.notes)
        computed = computed or any(region.constants for region in folding.regions) or folding.reads_dtype()
        verify(module, folded, _in_float64(folding, module), example, computed=computed)
    return folding.plan, folded


def _find(
    module: nn.Module, example_input: Any, asked: str, kept: Mapping[int, str] = MappingProxyType({})
) -> tuple[Folding, Example]:
    check_module(module, asked)
    whole = WholeNumbers.is_meant(example_input)
    example = WholeNumbers.of(example_input) if whole else Example.of(example_input)
    folding = find_folding(module, example, kept)
    return folding, folding.example or example


def _in_float64(folding: Folding, module: nn.Module) -> nn.Module | None:
    try:
        target = in_float64(module)
        return carry_out(folding.replacements, folding.regions, target, Filling(torch.float64))
    except (CannotFold, TypeError, RuntimeError):  # some modules do not let themselves be cast
        return None
