"""Numbers of rows that code makes a difference for, as far as they stand in it: `if len(x) == 7`."""

from __future__ import annotations

import dis
import functools
import itertools
import types

from whyactivate.affine.recording.uses import inner_codes

_MOST_REMEMBERED = 4096
_LARGEST = 64
_ASKS_FOR_SIZES = frozenset({"len", "shape", "size", "numel", "__len__"})
_GOES_BY_SIZES = _ASKS_FOR_SIZES | {
    "nelement", "nbytes", "stride", "split", "split_with_sizes", "tensor_split", "chunk", "hsplit", "vsplit", "unfold",
    "unbind", "enumerate", "zip", "map", "sum", "iter", "islice", "deque", "set", "sorted", "reduce", "list",
    "tuple", "ones_like", "zeros_like", "full_like", "new_ones", "new_zeros", "new_full",
}  # fmt: skip
_TAKES_APART = frozenset({
    "BINARY_SUBSCR", "UNPACK_SEQUENCE", "UNPACK_EX", "GET_ITER", "LIST_EXTEND", "CALL_FUNCTION_EX",
})  # fmt: skip
_TELLS_APART = ("COMPARE_OP", "CONTAINS_OP", "BINARY_OP")


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def asks_for_sizes(code: types.CodeType) -> bool:
    """Whether code may ask for the size of something, or cut it."""
    return (
        not _GOES_BY_SIZES.isdisjoint(code.co_names)
        or any("SLICE" in step.opname or step.opname in _TAKES_APART for step in dis.get_instructions(code))
        or any(map(asks_for_sizes, inner_codes(code)))
    )


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def sizes_in(code: types.CodeType) -> frozenset[int]:
    """The whole numbers that code compares with or divides by where it asks for sizes, and those after them."""
    found: set[int] = set()
    if not _ASKS_FOR_SIZES.isdisjoint(code.co_names):
        for constant, step in itertools.pairwise(dis.get_instructions(code)):
            if constant.opname == "LOAD_CONST" and step.opname in _TELLS_APART:
                numbers = constant.argval if isinstance(constant.argval, (tuple, frozenset)) else (constant.argval,)
                found.update(number for number in numbers if type(number) is int and 0 < number < _LARGEST)
    return frozenset(found | {number + 1 for number in found}).union(*map(sizes_in, inner_codes(code)))
