"""Follows the memory that depends on the input, per storage, and keeps what a run is about to overwrite."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.affine import _torch_compat as compat
from whyactivate.affine._torch_compat import storage_key
from whyactivate.affine.pairs import real_dtype, real_geometry
from whyactivate.affine.tape import Argument, Constant, Geometry, Storage, Value
from whyactivate.affine.trees import tensors_in

Roots = frozenset[int]


class FollowedMemory:
    """The storages of one run: which depend on the input, which were made in it, which must be put back.

    Args:
        module: the module that runs.
        refuse: called with the reason where memory cannot be followed; raises.
        filler: what unwritten integers hold.

    Attributes:
        storages: the followed storages, by number.
    """

    def __init__(self, module: nn.Module, refuse: Callable[[str], Any], filler: int) -> None:
        self._module, self._refuse, self._filler = module, refuse, filler
        self.storages: dict[int, Storage] = {}
        self._followed: dict[int, tuple[int, torch.UntypedStorage]] = {}  # key -> (number, kept alive)
        self._versions: list[int] = []
        self._roots: list[Roots] = []
        self._shown: dict[int, tuple[Tensor, Value]] = {}  # the tensor last met, with its value
        self._geometries: dict[Geometry, Geometry] = {}  # each once, so that equal ones are quickly told
        self._extents: list[tuple[int, int]] = []  # of what is followed, sorted
        self._born_here: set[int] = set()
        self._unwritten: set[int] = set()
        self._lent: set[int] = set()  # memory that can be read and written where nobody sees it
        self._checked: set[int] = set()
        self._saved: dict[int, tuple[Tensor, Tensor]] = {}  # key -> (live bytes, their copy)
        self._constants: dict[int, list[Constant]] = {}

    def depends(self, tensor: Tensor) -> bool:
        """Whether a tensor shows memory that depends on the input."""
        return storage_key(tensor) in self._followed

    def holds(self, key: int) -> bool:
        """Whether the memory with this key depends on the input."""
        return key in self._followed

    def number(self, key: int) -> int | None:
        """The number of the followed storage with this key; None where that does not depend on the input."""
        seen = self._followed.get(key)
        return seen[0] if seen else None

    def is_own(self, tensor: Tensor) -> bool:
        """Whether a tensor shows memory that was made in this run, or that depends on the input."""
        key = storage_key(tensor)
        return key in self._followed or key in self._born_here

    @property
    def is_any_lent(self) -> bool:
        """Whether some memory can be read and written out of sight."""
        return bool(self._lent)

    # -- reading ----------------------------------------------------------------------------------------------

    def value(self, tensor: Tensor, key: int) -> Value:
        """A tensor that depends on the input, as the tape names it."""
        number = self._followed[key][0]
        shown = self._shown.get(number)
        if shown is not None and shown[0] is tensor and shown[1].version == self._versions[number]:
            return shown[1]
        found = real_geometry(tensor)
        geometry = self._geometries.setdefault(found, found)
        if geometry.dtype != self.storages[number].dtype:
            self._refuse(f"memory of {self.storages[number].dtype} numbers is read as {tensor.dtype}")
        if tensor.is_conj() or tensor.is_neg():
            self._refuse("a lazily conjugated or negated view")
        value = Value(number, self._versions[number], geometry, self._roots[number])
        self._shown[number] = tensor, value
        return value

    def look_anew(self) -> None:
        """Note that a tensor may have come to be read in another way, as by `t_`."""
        self._shown.clear()

    def argument(self, operand: Any) -> Argument:
        """What an operation is called with, as the tape names it."""
        if isinstance(operand, Tensor):
            key = storage_key(operand)
            return self.value(operand, key) if key in self._followed else self._constant(operand, key)
        if isinstance(operand, (list, tuple)):
            return [self.argument(item) for item in operand]
        return operand

    def _constant(self, tensor: Tensor, key: int) -> Constant:
        if tensor.layout != torch.strided or tensor.is_meta:
            self._refuse("a weight without ordinary memory (sparse, quantised or on the meta device) is used")
        self.check_alias(tensor, key)
        if key in self._lent:
            tensor = tensor.detach().clone()
        constant = Constant(tensor, compat.version(tensor))
        self._constants.setdefault(key, []).append(constant)
        return constant

    def check_alias(self, tensor: Tensor, key: int) -> None:
        """Refuse a tensor from elsewhere that is laid over memory that depends on the input."""
        if key in self._born_here or key in self._checked or key in self._followed or key == compat.NO_MEMORY:
            return
        self._checked.add(key)
        start, end = _extent(tensor.untyped_storage())
        if start == 0:  # tensors that stand for zeros have no memory
            return
        before = bisect.bisect_left(self._extents, (end, 0))
        if any(last > start for _, last in self._extents[max(0, before - 1) : before]):
            self._refuse("memory that depends on the input is read through another library's tensor")

    def contents(self, tensor: Tensor) -> Constant:
        """A copy of all that a tensor's memory holds, in one row."""
        flat = (
            torch.empty(0, dtype=real_dtype(tensor.dtype), device=tensor.device).set_(tensor.untyped_storage()).clone()
        )
        return Constant(flat, compat.version(flat))

    # -- writing ----------------------------------------------------------------------------------------------

    def adopt(self, tensor: Tensor, key: int, roots: Roots, initial: Constant | None = None) -> Value:
        """Follow a tensor's memory from now on."""
        if tensor.is_meta:
            self._refuse("numbers that depend on the input are sent to the meta device, which keeps none")
        storage = tensor.untyped_storage()
        number = len(self.storages)
        self._followed[key] = (number, storage)
        start, end = _extent(storage)
        if start < end:
            bisect.insort(self._extents, (start, end))
        dtype = real_dtype(tensor.dtype)
        self.storages[number] = Storage((end - start) // dtype.itemsize, dtype, initial)
        self._versions.append(0)
        self._roots.append(roots)
        return self.value(tensor, key)

    def write(self, tensor: Tensor, roots: Roots, before: Constant | None) -> Value:
        """Note that an operation has put numbers that depend on `roots` into `tensor`, over what was there `before`."""
        key = storage_key(tensor)
        if key == compat.NO_MEMORY:
            self._refuse("a tensor without ordinary memory (sparse, quantised or a subclass)")
        seen = self._followed.get(key)
        if seen is None:
            if before is not None and (key not in self._born_here or key in self._lent):
                owner = self._owners().get(key, "a tensor made elsewhere")
                self._refuse(
                    f"it writes numbers that depend on the input into {owner}, where they outlive the call or can be "
                    "read out of sight"
                )
            return self.adopt(tensor, key, roots, before)
        number, storage = seen
        if storage.nbytes() != self.storages[number].numel * real_dtype(tensor.dtype).itemsize:
            self._refuse("memory that depends on the input changes its size or its type")
        self._versions[number] += 1
        self._roots[number] |= roots
        return self.value(tensor, key)

    def before_write(self, tensor: Tensor) -> None:
        """Keep what a write is about to destroy: the caller's numbers, and constants that the tape refers to."""
        key = storage_key(tensor)
        if key in self._followed:
            return
        if key not in self._born_here and key not in self._saved:
            live = compat.raw_bytes(tensor)
            self._saved[key] = (live, live.clone())
        for constant in self._constants.pop(key, ()):
            constant.tensor = constant.tensor.clone()
            constant.version = compat.version(constant.tensor)

    def lend(self, tensor: Tensor) -> None:
        """Note that a tensor's memory can be read and written out of sight from now on."""
        if storage_key(tensor) != compat.NO_MEMORY:
            self.before_write(tensor)
            self._lent.add(storage_key(tensor))

    def own(self, tensor: Tensor) -> None:
        """Note that a tensor's memory was made for this run."""
        self._born_here.add(storage_key(tensor))

    def poison(self, result: Any) -> None:
        """Fill unwritten memory, so that reading it before writing it is noticed: NaN, and what differs each time."""
        for tensor in map(_with_gaps, tensors_in(result)):
            self._unwritten.add(storage_key(tensor))
            if tensor.is_floating_point() or tensor.is_complex():
                tensor.fill_(complex("nan+nanj") if tensor.is_complex() else float("nan"))
            elif tensor.layout == torch.strided and not tensor.is_quantized:
                tensor.fill_(self._filler % 2 if tensor.dtype == torch.bool else self._filler)

    def hides_unwritten(self, keys: Set[int], read: Iterable[Tensor], results: Sequence[Tensor]) -> bool:
        """Whether an operation on constants read unwritten memory, as `nan_to_num` does, and its results hide that.

        Args:
            keys: of the memory of all its operands.
            read: the operands that it reads.
            results: what it gives; a view shows what its operand does.
        """
        if self._unwritten.isdisjoint(keys) or any(storage_key(result) in keys for result in results):
            return False
        if not any(storage_key(one) in self._unwritten and _holds_nan(one) for one in read):
            return False
        showing = {storage_key(result) for result in results if _holds_nan(result)}
        self._unwritten |= showing
        return not showing

    def restore(self) -> list[str]:
        """Put back what was overwritten outside the run's own tensors; the result names parameters and buffers."""
        changed: list[str] = []
        for key, (live, saved) in self._saved.items():
            if not torch.equal(live, saved):
                live.copy_(saved)
                changed.append(self._owners().get(key, "a tensor made outside the module's call"))
        return changed

    def _owners(self) -> dict[int, str]:
        """The names of parameters and buffers by the memory that they lie in."""
        return {
            storage_key(tensor): name
            for name, tensor in [*self._module.named_parameters(), *self._module.named_buffers()]
            if not compat.is_uninitialised(tensor)
        }


def _with_gaps(tensor: Tensor) -> Tensor:
    """All the memory of a tensor: its strides may leave gaps, which another view may show."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_contiguous():
        return tensor
    return tensor.as_strided((tensor.untyped_storage().nbytes() // tensor.element_size(),), (1,), 0)


def _holds_nan(tensor: Tensor) -> bool:
    return (tensor.is_floating_point() or tensor.is_complex()) and bool((tensor != tensor).any())


def _extent(storage: torch.UntypedStorage) -> tuple[int, int]:
    start = storage.data_ptr()
    return start, start + storage.nbytes()
