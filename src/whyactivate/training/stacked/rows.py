"""The rows that each member sees: which data set, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from whyactivate.datasets import Dataset
from whyactivate.training.stacked.activate import Array
from whyactivate.training.stacked.losses import targets


class Part:
    """The training or test parts of several data sets, stacked: (sets, rows, features + 1) with a last column of ones.

    Args:
        data: data sets of one shape.
        which: for each member, the index of its data set.
        part: "train" or "test".
        dtype: float32 or float64.
    """

    def __init__(self, data: Sequence[Dataset], which: Array, part: str, dtype: type) -> None:
        first, kind = data[0], np.dtype(dtype)
        x = np.stack([getattr(d, f"{part}_x").detach().cpu().numpy() for d in data]).astype(kind)
        self.x: Array = np.concatenate([x, np.ones((*x.shape[:2], 1), kind)], axis=2)
        self.y: Array = np.stack(
            [targets(getattr(d, f"{part}_y").detach().cpu(), d.task, first.outputs, kind) for d in data]
        )
        self.which = which
        self.rows = x.shape[1]

    def select(self, rows: Array) -> Part:
        """The same, for the members in `rows` only."""
        fewer = object.__new__(Part)
        fewer.x, fewer.y, fewer.rows, fewer.which = self.x, self.y, self.rows, self.which[rows]
        return fewer

    def pieces(self, most: int) -> Iterator[tuple[Array, Array]]:
        """All rows in order, at most so many at a time: (M or 1, features + 1, rows) and (M or 1, outputs, rows)."""
        for start in range(0, self.rows, most):
            x, y = self.x[:, start : start + most], self.y[:, start : start + most]
            if len(self.x) > 1:
                x, y = x[self.which], y[self.which]
            yield x.swapaxes(1, 2), y.swapaxes(1, 2)


class Orders:
    """The order of the rows in each epoch: for every seed the one that `train` draws."""

    def __init__(self, seeds: Sequence[int], rows: int) -> None:
        self.rows = rows
        distinct = sorted(set(seeds))
        self.which = np.array([distinct.index(seed) for seed in seeds])
        self.generators = [torch.Generator().manual_seed(seed) for seed in distinct]

    def draw(self) -> Array:
        """(M, rows) row numbers of the next epoch."""
        drawn = [torch.randperm(self.rows, generator=generator).numpy() for generator in self.generators]
        return np.stack(drawn)[self.which]

    def select(self, rows: Array) -> None:
        """Goes on for the members in `rows` only."""
        used, which = np.unique(self.which[rows], return_inverse=True)
        self.generators, self.which = [self.generators[i] for i in used], which


class Batches:
    """The batches of an epoch as views of one buffer, which `shuffle` fills anew."""

    def __init__(self, part: Part, batch: int, *, gather: bool) -> None:
        self.part = part
        members = len(part.which)
        shared = len(part.x) == 1 and not gather
        x = part.x if shared else np.empty((members, *part.x.shape[1:]), part.x.dtype)
        y = part.y if shared else np.empty((members, *part.y.shape[1:]), part.y.dtype)
        if not shared and not gather:
            x[:], y[:] = part.x[part.which], part.y[part.which]
        self.x, self.y = x, y
        self.views = [
            (x[:, start : start + batch].swapaxes(1, 2), y[:, start : start + batch].swapaxes(1, 2))
            for start in range(0, part.rows, batch)
        ]

    def shuffle(self, order: Array) -> None:
        """Puts the rows in this order, (M, rows)."""
        part = self.part
        flat = (order + (part.which * part.rows)[:, None]).ravel()
        for values, room in ((part.x, self.x), (part.y, self.y)):
            columns = values.shape[2]
            np.take(values.reshape(-1, columns), flat, axis=0, out=room.reshape(-1, columns), mode="clip")
