"""Calls of the table's operations on which each rule is tried; the further families."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from whyactivate.affine._torch_compat import bind

aten = torch.ops.aten
_RANDOM = torch.Generator().manual_seed(6)
TO = torch.tensor


def t(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=_RANDOM, dtype=torch.float64).to(dtype)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One call of an operation."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def operands(self, op: OpOverload) -> dict[str, Any]:
        return bind(op, self.args, self.kwargs)


def s(*args: Any, **kwargs: Any) -> Sample:
    return Sample(args, kwargs)


CONVOLUTIONS = [
    s(t(2, 3, 6), t(4, 3, 3), t(4), [1], [0], [1], False, [0], 1),
    s(t(2, 4, 7), t(6, 2, 3), None, [2], [1], [2], False, [0], 2),
    s(t(1, 2, 5, 6), t(3, 2, 2, 3), t(3), [2, 1], [1, 0], [1, 2], False, [0, 0], 1),
    s(t(2, 4, 4, 4), t(4, 1, 3, 3), t(4), [1, 1], [1, 1], [1, 1], False, [0, 0], 4),
    s(t(1, 2, 3, 4, 3), t(2, 2, 2, 3, 1), t(2), [1, 2, 1], [0, 1, 0], [1, 1, 1], False, [0, 0, 0], 1),
    s(t(2, 3, 4), t(3, 2, 3), t(2), [2], [1], [1], True, [1], 1),
    s(t(1, 4, 3, 3), t(4, 1, 2, 3), t(2), [2, 1], [0, 1], [1, 2], True, [1, 0], 2),
    s(t(1, 2, 2, 3, 2), t(2, 2, 2, 2, 2), None, [2, 1, 2], [0, 0, 1], [1, 1, 1], True, [0, 0, 0], 1),
    s(t(2, 2, 3), t(3, 2, 1), t(3), [1], [0], [1], False, [0], 1),
]
POOLINGS_2D = [
    s(t(2, 3, 5, 6), [2, 3]), s(t(3, 5, 6), [2]), s(t(1, 2, 5, 6), [3, 2], [2, 1], [1, 1]),
    s(t(1, 2, 5, 6), [3, 2], [2, 2], [1, 0], True), s(t(1, 2, 5, 6), [3, 3], [2, 3], [1, 1], True, False),
    s(t(1, 2, 5, 6), [2], [2], [0], False, True, 3), s(t(1, 1, 4, 4), [2, 2], [3, 3], [1, 1], True, True, -2),
]  # fmt: skip
GRID_2D = torch.cat([t(2, 3, 2, 2) / 2, TO([[[-1.0, -1.0], [1.0, 1.0]]]).double().expand(2, 1, 2, 2)], 1)

SPACE: dict[OpOverload, list[Sample]] = {
    aten.convolution.default: CONVOLUTIONS,
    aten._convolution.default: [
        Sample((*one.args, False, False, True, True), {}) for one in CONVOLUTIONS[1:6:2]
    ],
    aten._convolution.deprecated: [Sample((*one.args, False, False, True), {}) for one in CONVOLUTIONS[:6:3]],
    aten.avg_pool2d.default: POOLINGS_2D,
    aten.avg_pool3d.default: [
        s(t(1, 2, 4, 5, 3), [2, 2, 1]), s(t(2, 4, 5, 3), [2], [2], [1], True, False),
        s(t(1, 1, 4, 5, 3), [2, 3, 2], [1, 2, 2], [1, 1, 0], True, True, 5),
    ],
    aten._adaptive_avg_pool2d.default: [s(t(2, 3, 5, 6), [2, 4]), s(t(3, 5, 6), [1, 1]), s(t(1, 2, 3, 3), [5, 3])],
    aten._adaptive_avg_pool3d.default: [s(t(1, 2, 4, 5, 3), [2, 3, 2]), s(t(2, 4, 5, 3), [1, 7, 3])],
    aten.im2col.default: [
        s(t(2, 3, 5, 6), [2, 3], [1, 1], [0, 0], [1, 1]), s(t(3, 5, 6), [2, 2], [2, 1], [1, 2], [2, 3]),
    ],
    aten.col2im.default: [
        s(t(2, 12, 4), [4, 4], [2, 2], [1, 1], [0, 0], [2, 2]), s(t(8, 30), [4, 5], [2, 2], [1, 1], [1, 1], [1, 1]),
        s(t(1, 12, 6), [5, 4], [2, 3], [2, 1], [0, 1], [1, 2]),
    ],
    aten.max_unpool2d.default: [
        s(t(1, 2, 2, 2), TO([[0, 3, 9, 15], [1, 2, 4, 11]]).reshape(1, 2, 2, 2), [4, 4]),
        s(t(1, 1, 2), TO([[[5, 0]]]), [2, 3]),
    ],
    aten.max_unpool3d.default: [
        s(t(1, 1, 1, 2, 2), TO([0, 13, 9, 15]).reshape(1, 1, 1, 2, 2), [2, 2, 4], [2, 1, 2], [0, 0, 0]),
    ],
    aten.upsample_nearest1d.default: [s(t(2, 3, 5), [8]), s(t(1, 2, 5), [3], 0.7), s(t(1, 2, 3), [9], 3.0)],
    aten._upsample_nearest_exact1d.default: [s(t(2, 3, 5), [8]), s(t(1, 2, 5), [3], 0.7)],
    aten.upsample_nearest2d.default: [s(t(2, 3, 3, 5), [4, 8]), s(t(1, 2, 5, 4), [3, 9], 0.7, 2.3)],
    aten._upsample_nearest_exact2d.default: [s(t(2, 3, 3, 5), [4, 8]), s(t(1, 2, 5, 4), [3, 9], 0.7, 2.3)],
    aten.upsample_nearest3d.default: [s(t(1, 2, 2, 3, 4), [3, 2, 7]), s(t(1, 2, 2, 3, 4), [3, 6, 7], 1.5, 2.0, 1.9)],
    aten._upsample_nearest_exact3d.default: [s(t(1, 2, 2, 3, 4), [3, 2, 7])],
    aten.upsample_linear1d.default: [
        s(t(2, 3, 5), [8], False), s(t(2, 3, 5), [8], True), s(t(1, 2, 5), [3], False, 0.7),
        s(t(1, 2, 40), [80], False),
    ],
    aten.upsample_bilinear2d.default: [
        s(t(2, 3, 3, 5), [4, 8], False), s(t(1, 2, 3, 5), [2, 9], True), s(t(1, 2, 5, 4), [3, 9], False, 0.7, 2.3),
        s(t(2, 3, 3, 5).contiguous(memory_format=torch.channels_last), [4, 8], False),
    ],
    aten.upsample_trilinear3d.default: [
        s(t(1, 2, 2, 3, 4), [3, 2, 7], False), s(t(1, 2, 2, 3, 4), [3, 6, 7], True),
        s(t(1, 1, 2, 3, 4), [3, 6, 7], False, 1.5, 2.0, 1.9),
    ],
    aten.upsample_bicubic2d.default: [
        s(t(2, 3, 3, 5), [4, 8], False), s(t(1, 2, 6, 5), [2, 9], True), s(t(1, 2, 5, 4), [3, 9], False, 0.7, 2.3),
    ],
    aten._upsample_bilinear2d_aa.default: [
        s(t(2, 3, 7, 5), [4, 8], False), s(t(1, 2, 6, 9), [2, 4], True), s(t(1, 2, 5, 4), [3, 9], False, 0.7, 2.3),
    ],
    aten._upsample_bicubic2d_aa.default: [s(t(2, 3, 7, 5), [4, 8], False), s(t(1, 2, 6, 9), [2, 4], True)],
    aten.grid_sampler_2d.default: [
        s(t(2, 2, 4, 3), GRID_2D, 0, 0, False), s(t(2, 2, 4, 3), GRID_2D, 1, 1, True),
        s(t(2, 1, 4, 3), GRID_2D, 2, 2, False), s(t(2, 2, 4, 3), GRID_2D, 0, 2, True),
    ],
    aten.grid_sampler_3d.default: [
        s(t(1, 2, 2, 3, 2), t(1, 2, 2, 1, 3) / 2, 0, 0, False), s(t(1, 1, 2, 3, 2), t(1, 2, 2, 1, 3) / 2, 1, 1, True),
    ],
}  # fmt: skip
