"""Arrays of exact or enclosed numbers with a hidden leading axis of points; the shape logic, once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from whyactivate.errors import InputError

Cells = NDArray[Any]
"""A numpy array: Python ints, flint balls, or midpoints and radii, one per entry."""
Mask = NDArray[np.bool_]
"""True or False per entry, with the axis of points in front."""
Shape = tuple[int, ...]


def objects(array: Any) -> Cells:
    """The array with Python objects for entries (an int64 array becomes one of Python ints)."""
    return np.asarray(array).astype(object, copy=False)


def align(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """The arrays with 1-axes inserted after their points axis until all have equally many axes."""
    axes = max(a.ndim for a in arrays)
    return [a.reshape(a.shape[:1] + (1,) * (axes - a.ndim) + a.shape[1:]) for a in arrays]


def strided_index(offset: int, size: Sequence[int], stride: Sequence[int], length: int) -> NDArray[np.int64]:
    """Positions in a flat buffer of `length` elements that a view of this geometry reads, in the view's shape.

    Raises:
        InputError: the view reaches outside the buffer.
    """
    index = np.full(tuple(size), offset, dtype=np.int64)
    for axis, (n, step) in enumerate(zip(size, stride, strict=True)):
        index += (np.arange(n) * step).reshape((n,) + (1,) * (len(size) - axis - 1))
    if index.size and (index.min() < 0 or index.max() >= length):
        raise InputError(
            f"a view of size {tuple(size)}, stride {tuple(stride)} at offset {offset} reaches elements "
            f"{index.min()} to {index.max()} of a buffer of {length}"
        )
    return index


class PointsArray(ABC):
    """Numbers with a logical shape, held at `points` places at once.

    The cells have shape `[points, *shape]`. A constant has `points == 1` and meets `points == n` by broadcasting.
    `shape`, `ndim` and every `dim` argument leave the points axis out; logical axes are aligned from the right,
    so a bias of shape `(3,)` meets a batch of shape `(5, 3)` whatever their points.
    """

    __slots__ = ()
    __array_ufunc__ = None  # numpy must let `ndarray * PointsArray` come to us

    @property
    @abstractmethod
    def cells(self) -> Cells:
        """The raw entries, shape `[points, *shape]`; what they mean is the subclass's affair."""

    @abstractmethod
    def _with_cells(self, cells: Cells) -> Self:
        """The same kind of array (unit, precision) around other cells."""

    @abstractmethod
    def _alike(self, others: Sequence[Self]) -> list[Self]:
        """This array and the others in one unit or precision, so that their cells can be mixed."""

    @abstractmethod
    def _zero_cell(self) -> Any:
        """The cell that stands for 0."""

    # -- shape ------------------------------------------------------------------------------------------------

    @property
    def points(self) -> int:
        """At how many places the array is held; 1 for a constant."""
        return self.cells.shape[0]

    @property
    def shape(self) -> Shape:
        """The logical shape, without the points axis."""
        return self.cells.shape[1:]

    @property
    def ndim(self) -> int:
        """The number of logical axes."""
        return self.cells.ndim - 1

    @property
    def size(self) -> int:
        """The number of logical entries."""
        return prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-dimensional array has no length")
        return self.shape[0]

    def reshape(self, *shape: int | Sequence[int]) -> Self:
        """The same entries in another logical shape; one entry of it may be -1."""
        wanted = _flatten(shape)
        if -1 in wanted:
            known = prod(n for n in wanted if n != -1)
            wanted = tuple(self.size // known if n == -1 and known else max(n, 0) for n in wanted)
        if prod(wanted) != self.size:
            raise InputError(f"cannot reshape {self.shape} ({self.size} entries) to {_flatten(shape)}")
        return self._with_cells(self.cells.reshape(self.points, *wanted))

    def flatten(self) -> Self:
        """All logical entries in one axis, row by row."""
        return self.reshape(self.size)

    def transpose(self, *perm: int | Sequence[int]) -> Self:
        """The logical axes in the order `perm`; reversed where none is given."""
        order = tuple(self._axis(d) for d in _flatten(perm)) if perm else tuple(reversed(range(self.ndim)))
        return self._with_cells(self.cells.transpose(0, *(d + 1 for d in order)))

    def swap(self, first: int, second: int) -> Self:
        """Two logical axes exchanged."""
        return self._with_cells(self.cells.swapaxes(self._axis(first) + 1, self._axis(second) + 1))

    def expand(self, *shape: int | Sequence[int]) -> Self:
        """Broadcast to a logical shape, right-aligned; -1 keeps an axis, as in torch."""
        wanted = _flatten(shape)
        own = (1,) * (len(wanted) - self.ndim) + self.shape
        target = tuple(have if want == -1 else want for want, have in zip(wanted, own, strict=True))
        cells = self.cells.reshape(self.points, *own)
        return self._with_cells(np.broadcast_to(cells, (self.points, *target)))

    def at(self, points: int | slice | Sequence[int]) -> Self:
        """The array at one of its points, as a constant; or at several of them."""
        chosen = slice(points, points + 1 or None) if isinstance(points, int) else points
        return self._with_cells(self.cells[chosen])

    def at_points(self, points: int) -> Self:
        """A constant repeated at `points` places; an array that has them already is returned as it is."""
        return self._with_cells(np.broadcast_to(self.cells, (points, *self.shape)))

    def points_to_axis(self) -> Self:
        """A constant with the points as its first logical axis."""
        return self._with_cells(self.cells[None])

    def axis_to_points(self) -> Self:
        """A constant's first logical axis as points; undoes `points_to_axis`."""
        if self.points != 1 or not self.shape:
            raise InputError(f"expected a constant with an axis, got shape {self.shape} at {self.points} points")
        return self._with_cells(self.cells[0])

    # -- reading and writing ----------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Self:
        """Logical indexing with ints, slices, None, ... or integer arrays, as in numpy."""
        inner = cast(tuple[Any, ...], key) if isinstance(key, tuple) else (key,)
        return self._with_cells(self.cells[(slice(None), *inner)])

    def gather_flat(self, index: NDArray[np.integer[Any]]) -> Self:
        """Entries of the flattened logical array at `index`, in the index's shape; index -1 gives 0."""
        flat = self.cells.reshape(self.points, self.size)
        if index.size and (index.min() < -1 or index.max() >= flat.shape[1]):
            raise InputError(f"an index from {index.min()} to {index.max()} into {flat.shape[1]} entries")
        if (index < 0).any():
            zeros = np.full((self.points, 1), self._zero_cell(), dtype=self.cells.dtype)
            flat = np.concatenate([flat, zeros], axis=1)
        return self._with_cells(flat[:, index])

    def strided(self, offset: int, size: Sequence[int], stride: Sequence[int]) -> Self:
        """The view with this geometry (in elements) of a flat buffer of shape `(length,)`."""
        index = strided_index(offset, size, stride, self._buffer_length())
        return self._with_cells(self.cells[:, index])

    def with_strided_written(self, offset: int, size: Sequence[int], stride: Sequence[int], value: Self) -> Self:
        """A new flat buffer, equal to this one except where the view with this geometry now holds `value`."""
        index = strided_index(offset, size, stride, self._buffer_length())
        own, new = self._alike([value])
        points = max(self.points, value.points)
        cells = np.array(np.broadcast_to(own.cells, (points, *self.shape)))
        cells[:, index] = new.expand(tuple(size)).cells
        return own._with_cells(cells)

    @classmethod
    def concatenate(cls, arrays: Sequence[Self], dim: int = 0) -> Self:
        """The arrays joined along one existing logical axis."""
        if not arrays:
            raise InputError("nothing to concatenate: expected at least one array")
        alike = arrays[0]._alike(arrays[1:])
        points = max(a.points for a in alike)
        cells = [a.at_points(points).cells for a in alike]
        return alike[0]._with_cells(np.concatenate(cells, axis=alike[0]._axis(dim) + 1))

    @classmethod
    def stack(cls, arrays: Sequence[Self], dim: int = 0) -> Self:
        """The arrays of one shape joined along a new logical axis."""
        if not arrays:
            raise InputError("nothing to stack: expected at least one array")
        axis = dim if dim >= 0 else dim + arrays[0].ndim + 1
        return cls.concatenate([a._with_cells(np.expand_dims(a.cells, axis + 1)) for a in arrays], axis)

    @classmethod
    def stack_points(cls, arrays: Sequence[Self]) -> Self:
        """The arrays of one shape set side by side along the points axis."""
        alike = arrays[0]._alike(arrays[1:])
        return alike[0]._with_cells(np.concatenate([a.cells for a in alike], axis=0))

    # -- helpers for subclasses -------------------------------------------------------------------------------

    def _axis(self, dim: int) -> int:
        if not -self.ndim <= dim < self.ndim:
            raise InputError(f"axis {dim} of an array of shape {self.shape}")
        return dim % self.ndim

    def _axes(self, dims: int | Sequence[int] | None) -> tuple[int, ...]:
        """Cell axes for the logical axes `dims`; all of them for None."""
        chosen = range(self.ndim) if dims is None else [dims] if isinstance(dims, int) else dims
        return tuple(self._axis(d) + 1 for d in chosen)

    def _buffer_length(self) -> int:
        if self.ndim != 1:
            raise InputError(f"a strided view needs a flat buffer of shape (length,), not {self.shape}")
        return self.shape[0]


def _flatten(shape: Sequence[int | Sequence[int]]) -> Shape:
    """`f(2, 3)` and `f((2, 3))` mean the same shape."""
    if len(shape) == 1 and not isinstance(shape[0], int):
        return tuple(int(n) for n in shape[0])
    return tuple(int(n) for n in shape if isinstance(n, int))
