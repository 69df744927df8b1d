"""The private PyTorch interfaces that the analysis needs, in one place. Tried on PyTorch 2.13."""

# pyright: reportPrivateUsage=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from functools import cache
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.parameter import UninitializedTensorMixin
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "DispatchMode",
    "MODULE_CALL_CODE",
    "NO_MEMORY",
    "OpOverload",
    "TORCH_FOLDER",
    "TorchFunctionMode",
    "argument_names",
    "bind",
    "caller_frame",
    "eager",
    "functional_form",
    "is_random",
    "is_uninitialised",
    "is_view",
    "needs_data",
    "number_operands",
    "short_name",
    "storage_key",
    "version",
    "written_names",
]

MODULE_CALL_CODE = nn.Module._call_impl.__code__
"""The code object of the frame in which every call of a module happens; its `self` is the module."""

TORCH_FOLDER = str(torch.__file__).rsplit("__init__", 1)[0]


class DispatchMode(TorchDispatchMode):
    """A dispatch mode whose first use does not import torch._dynamo (which takes about a second)."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


NO_MEMORY = 0
"""The key of tensors that have no storage of their own (sparse ones, some subclasses)."""


def storage_key(tensor: Tensor) -> int:
    """The identity of a tensor's memory, shared by all views of it."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return NO_MEMORY


def version(tensor: Tensor) -> int:
    """A count of the writes into a tensor's memory."""
    return tensor._version


def is_uninitialised(tensor: Tensor) -> bool:
    """True for the parameters of lazy modules that have not run yet."""
    return isinstance(tensor, UninitializedTensorMixin)


def caller_frame() -> FrameType | None:
    """The frame of the function that called the caller."""
    return sys._getframe(2)


@cache
def short_name(op: OpOverload) -> str:
    """An operation's bare name: `relu` for `aten.relu_.default`."""
    return op._schema.name.split("::")[-1].strip("_")


@cache
def argument_names(op: OpOverload) -> tuple[str, ...]:
    """The operand names of an operation, in order."""
    return tuple(argument.name for argument in op._schema.arguments)


@cache
def _defaults(op: OpOverload) -> dict[str, Any]:
    return {argument.name: argument.default_value for argument in op._schema.arguments if argument.has_default_value()}


def bind(op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All operands of a call by name, defaults included."""
    return {**_defaults(op), **dict(zip(argument_names(op), args, strict=False)), **kwargs}


@cache
def written_names(op: OpOverload) -> tuple[str, ...]:
    """The operands that an operation writes into."""
    return tuple(
        argument.name
        for argument in op._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    )


@cache
def is_view(op: OpOverload) -> bool:
    """True where the results may share memory with an operand that the operation leaves unchanged."""
    if op is torch.ops.aten._unsafe_view.default:
        return True
    return any(
        argument.alias_info is not None and not argument.alias_info.is_write for argument in op._schema.arguments
    )


@cache
def functional_form(op: OpOverload) -> OpOverload:
    """The form of an operation that writes into nothing: `add.Tensor` for `add_.Tensor` and `add.out`."""
    if not written_names(op):
        return op
    namespace, name = op._schema.name.split("::")
    packet = getattr(getattr(torch.ops, namespace), name.rstrip("_") if not name.startswith("_") else name, None)
    wanted = [operand for operand in _operands(op) if operand[0] != "out"]
    for overload in packet.overloads() if packet is not None else ():
        candidate = getattr(packet, overload)
        if not written_names(candidate) and _operands(candidate) == wanted:
            return candidate
    return op


def _operands(op: OpOverload) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in op._schema.arguments]


@cache
def is_random(op: OpOverload) -> bool:
    """True where two equal calls may give different results."""
    return torch.Tag.nondeterministic_seeded in op.tags


@cache
def needs_data(op: OpOverload) -> bool:
    """True where the shape of the result, or a Python number, is read off the values of an operand."""
    return torch.Tag.data_dependent_output in op.tags or torch.Tag.dynamic_output_shape in op.tags


@contextlib.contextmanager
def eager() -> Generator[None]:
    """Run compiled modules as they were written; does nothing where nothing can have been compiled."""
    if "torch._dynamo" in sys.modules:
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


@cache
def number_operands(op: OpOverload) -> frozenset[str]:
    """The operands that take numbers: tensors, lists of tensors, and plain numbers standing for one."""
    return frozenset(
        argument.name
        for argument in op._schema.arguments
        if any(word in str(argument.type) for word in ("Tensor", "number", "Scalar"))
    )
