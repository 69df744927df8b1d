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

BAGS = (TO([0, 2, 2, 1, 4]), TO([0, 2, 2]))
PLACES: dict[OpOverload, list[Sample]] = {
    aten.scatter.src: [
        s(t(3, 4), 1, TO([[0, 2], [3, 1]]), t(3, 4)), s(t(3, 4), 0, TO([[2, 0, 1, 0]]), t(1, 4)),
        s(t(3, 4), -1, TO([[3]]), t(2, 2)), s(t(4), 0, TO([2, 0]), t(2)),
    ],
    aten.scatter.value: [s(t(3, 4), 1, TO([[0, 2], [3, 1]]), 0.3), s(t(4), 0, TO([2, 2]), -1)],
    aten.scatter_add.default: [
        s(t(3, 4), 1, TO([[0, 0], [3, 1]]), t(3, 4)), s(t(3, 4), 0, TO([[2, 0, 1, 0], [2, 2, 1, 0]]), t(2, 4)),
        s(t(3), -1, TO([2, 2, 2]), t(5)), s(t(4, 3).t(), 0, TO([[1, 1], [1, 0]]), t(2, 2)),
    ],
    aten.scatter_reduce.two: [
        s(t(3, 4), 1, TO([[0, 0], [3, 1]]), t(3, 4), how, include_self=own)
        for how in ("sum", "mean") for own in (True, False)
    ] + [s(t(3), 0, TO([2, 2]), t(2), "sum")],
    aten.index_reduce.default: [
        s(t(3, 4), 0, TO([2, 0, 2]), t(3, 4), "mean"), s(t(3, 4), -1, TO([1, 1]), t(3, 2), "mean", include_self=False),
        s(t(), 0, TO([0]), t(), "mean"), s(t(4), 0, TO([3]), t(1), "prod"), s(t(4), 0, TO([3, 3]), t(2), "amax"),
    ],
    aten._unsafe_masked_index.default: [
        s(t(3, 4), TO([[True, False], [True, True]]), [TO([[2], [0]]), TO([[1, 7]])], 0.3),
        s(t(5), TO([True, False, True]), [TO([4, 9, 4])], -2),
    ],
    aten._unsafe_masked_index_put_accumulate.default: [
        s(t(3, 4), TO([[True, False], [True, True]]), [TO([[2], [0]]), TO([[1, 1]])], t(2, 2)),
        s(t(5), TO([True, False, True]), [TO([4, 9, 4])], t(3)),
    ],
    aten.native_dropout_backward.default: [s(t(3, 4), TO([True, False, True, True]).expand(3, 4), 1.25)],
    aten.tanh_backward.default: [s(t(2, 3), t(2, 3))], aten.sigmoid_backward.default: [s(t(2, 3), t(2, 3))],
    aten.threshold_backward.default: [s(t(2, 3), t(2, 3), 0), s(t(3), TO([-0.5, 0.25, 1.0]).double(), 0.25)],
    aten.hardtanh_backward.default: [s(t(2, 4), TO([-1.0, 0.5, 2.0, 3.0]).double().expand(2, 4), -1.0, 2.0)],
    aten.leaky_relu_backward.default: [s(t(2, 3), t(2, 3), 0.25, False), s(t(3), t(3), 0.01, True)],
    aten._softmax_backward_data.default: [
        s(t(3, 4), t(3, 4), 1, torch.float64), s(t(3, 4), t(3, 4), -2, torch.float64), s(t(), t(), 0, torch.float64),
    ],
    aten.index_add.default: [
        s(t(3, 4), 0, TO([2, 0, 2]), t(3, 4)), s(t(3, 4), -1, TO([1, 1]), t(3, 2), alpha=-2.5), s(t(), 0, TO(0), t()),
        s(t(3, 4), 1, TO([], dtype=torch.int64), t(3, 0)),
    ],
    aten.index_copy.default: [
        s(t(3, 4), 0, TO([], dtype=torch.int64), t(0, 4)), s(t(3, 4), 0, TO([2, 0]), t(2, 4)),
        s(t(3, 4), -1, TO([1]), t(3, 1)),
    ],
    aten.index_fill.int_Scalar: [s(t(3, 4), 0, TO([2, 0, 2]), 0.3), s(t(3), -1, TO(1), 2)],
    aten.index_fill.int_Tensor: [s(t(3, 4), 1, TO([2, 0]), t())],
    aten.put.default: [
        s(t(3, 4), TO([11, -12, 5]), t(3)), s(t(3, 4), TO([[1, 1], [-1, 0]]), t(2, 2), True), s(t(3), TO(1), t()),
    ],
    aten.index_put.default: [
        s(t(4), [TO([3, 1])], t(2)), s(t(2, 3), [TO([[True, False, True], [False, True, True]])], t(4)),
        s(t(3, 4), [None, TO([0, 2])], t(3, 1)), s(t(3, 4), [TO([1]), TO([2])], t()),
        s(t(3, 4), [TO([1, 1, -2]), TO([2, 2, 0])], t(3), True), s(t(3, 4), [TO([1, 1])], t(4), True),
    ],
    aten._unsafe_index_put.default: [s(t(4), [TO([3, 1])], t(2)), s(t(3, 4), [TO([1, 1])], t(4), True)],
    aten._unsafe_index.Tensor: [s(t(3, 4), [None, TO([3, 3, 1])])],
    aten.masked_scatter.default: [
        s(t(2, 3), TO([[True, False, True], [False, True, False]]), t(4)),
        s(t(2, 3), TO([True, False, False]), t(2, 3)),
    ],
    aten.diagonal_scatter.default: [s(t(3, 4), t(3)), s(t(2, 3, 4), t(2, 3), 1, -2, -1)],
    aten.as_strided_scatter.default: [s(t(4, 3), t(2, 2), [2, 2], [3, 2], 1), s(t(6), t(2), [2], [3])],
    aten.take.default: [s(t(3, 4), TO([[0, 11], [-1, 5]])), s(t(4, 3).t(), TO([1, 1]))],
    aten.masked_select.default: [
        s(t(2, 3), TO([True, False, True])), s(t(3), TO([[True, False, True], [False, True, False]])),
    ],
    aten.embedding.default: [s(t(5, 3), TO([[0, 4], [2, 2]])), s(t(5, 3), TO(1), 1)],
    aten._embedding_bag_forward_only.default: [
        s(t(5, 3), *BAGS), s(t(5, 3), *BAGS, False, 1), s(t(5, 3), *BAGS, False, 0, False, t(5)),
        s(t(5, 3), *BAGS, False, 1, False, None, False, 2),
        s(t(5, 3), TO([1, 1]), TO([0, 1, 2]), False, 0, False, None, True),
    ],
    aten._embedding_bag.default: [s(t(5, 3), *BAGS), s(t(5, 3), *BAGS, False, 0, False, t(5), False, 2)],
    aten.rot90.default: [s(t(3, 4)), s(t(2, 3, 4), 3, [2, 0]), s(t(3, 4), 2)],
    aten.pixel_shuffle.default: [s(t(2, 8, 3, 2), 2), s(t(9, 1, 2), 3)],
    aten.pixel_unshuffle.default: [s(t(2, 2, 4, 6), 2), s(t(1, 3, 6), 3)],
    aten.channel_shuffle.default: [s(t(2, 6, 2, 3), 3), s(t(2, 4, 3), 2)],
    aten.native_channel_shuffle.default: [s(t(2, 6, 2, 3), 3)],
    aten.reflection_pad1d.default: [s(t(2, 3, 5), [2, 1]), s(t(3, 4), [0, 3])],
    aten.reflection_pad2d.default: [s(t(1, 2, 3, 4), [2, 1, 0, 2])],
    aten.reflection_pad3d.default: [s(t(1, 2, 3, 4, 2), [1, 0, 2, 1, 0, 2])],
    aten.replication_pad1d.default: [s(t(2, 3, 5), [2, 7]), s(t(3, 4), [-1, 3])],
    aten.replication_pad2d.default: [s(t(1, 2, 3, 4), [2, 5, 0, 2])],
    aten.replication_pad3d.default: [s(t(1, 2, 3, 4, 2), [1, 0, 2, 1, 0, 2])],
    aten.diag_embed.default: [s(t(3)), s(t(2, 3), 1, 0, 2)],
    aten.resize_as.default: [s(t(2, 3), t(3, 2)), s(t(2, 3), t(6))],
    aten.block_diag.default: [s([t(2, 3), t(1, 2)]), s([t(3), t(), t(2, 1)])],
    aten._chunk_cat.default: [s([t(4, 3), t(3, 2)], 0, 2), s([t(2, 3)], 1, 2)],
    aten.alias_copy.default: [s(t(2, 3))],
    aten.expand_copy.default: [s(t(3, 1), [2, 3, 4])],
    aten.permute_copy.default: [s(t(2, 3, 4), [2, 0, 1])],
    aten.view_copy.default: [s(t(2, 6), [3, 4])],
    aten.t_copy.default: [s(t(2, 3))],
    aten.transpose_copy.int: [s(t(2, 3, 4), 0, -1)],
    aten.squeeze_copy.default: [s(t(1, 3, 1))],
    aten.squeeze_copy.dim: [s(t(1, 3, 1), -1)],
    aten.squeeze_copy.dims: [s(t(1, 3, 1), [0, -1])],
    aten.unsqueeze_copy.default: [s(t(2, 3), -1)],
    aten.diagonal_copy.default: [s(t(3, 4)), s(t(2, 3, 4), 1, -1, -2)],
    aten.unfold_copy.default: [s(t(5, 2), 0, 3, 1)],
    aten.narrow_copy.default: [s(t(4, 3), 0, 1, 2)],
    aten.slice_copy.Tensor: [s(t(4, 3), 0, 1, None, 2)],
    aten.select_copy.int: [s(t(4, 3), 0, -1)],
    aten.detach_copy.default: [s(t(2, 3))],
    aten._reshape_copy.default: [s(t(2, 6), [3, -1])],
    aten.as_strided_copy.default: [s(t(4, 3), [2, 2], [3, 2], 1), s(t(4, 3), [3, 2], [1, 1])],
    aten.unbind_copy.int: [s(t(2, 3), -1)],
    aten.split_copy.Tensor: [s(t(5, 3), 3)],
    aten.split_with_sizes_copy.default: [s(t(4, 3), [1, 3]), s(t(4, 3), [2, 1], -1)],
    aten.unsafe_split.Tensor: [s(t(5, 3), 3), s(t(4, 3), 2, -1)],
    aten.unsafe_split_with_sizes.default: [s(t(4, 3), [1, 3])],
    aten.unsafe_chunk.default: [s(t(5, 3), 2), s(t(4, 3), 3, 1)],
}  # fmt: skip

MATRIX = t(3, 3) + 4 * torch.eye(3, dtype=torch.float64)
MATRICES = t(2, 3, 3) + 4 * torch.eye(3, dtype=torch.float64)
UPPER = MATRIX.triu()
TRILINEAR = s(t(2, 3), t(4, 3, 5), t(2, 5), [1, 3], [0], [1, 2], [2, 3])
PRODUCTS: dict[OpOverload, list[Sample]] = {
    aten.vdot.default: [s(t(4), t(4))],
    aten.addr.default: [s(t(3, 4), t(3), t(4)), s(t(4), t(3), t(4), beta=0.5, alpha=-2)],
    aten.addbmm.default: [
        s(t(3, 5), t(2, 3, 4), t(2, 4, 5)), s(t(5), t(2, 3, 4), t(2, 4, 5), beta=2, alpha=0.5),
    ],
    aten.linalg_cross.default: [s(t(2, 3), t(2, 3)), s(t(3, 4), t(3, 4), dim=0), s(t(1, 3), t(4, 3))],
    aten._trilinear.default: [TRILINEAR, s(t(2, 3), t(2, 3), t(2, 3), [], [], [], [1])],
    aten._linalg_solve_ex.default: [
        s(MATRIX, t(3, 2)), s(MATRIX, t(3)), s(MATRIX, t(2, 3), left=False), s(MATRICES, t(2, 3, 2)),
        s(MATRICES, t(2, 3)),
    ],
    aten.linalg_solve_triangular.default: [
        s(UPPER, t(3, 2), upper=True), s(UPPER.t(), t(2, 3), upper=False, left=False),
        s(UPPER, t(3, 1), upper=True, unitriangular=True), s(MATRICES.tril(), t(2, 3, 2), upper=False),
    ],
    aten.triangular_solve.default: [s(t(3, 2), UPPER), s(t(3, 1), UPPER, True, True), s(t(2, 3, 2), MATRICES.triu())],
    aten.cholesky_solve.default: [s(t(3, 2), UPPER, True), s(t(3, 1), UPPER.t())],
    aten.linalg_lu_solve.default: [
        s(*torch.linalg.lu_factor(MATRIX), t(3, 2)),
        s(*torch.linalg.lu_factor(MATRIX), t(2, 3), left=False, adjoint=True),
    ],
    aten.affine_grid_generator.default: [s(t(2, 2, 3), [2, 1, 3, 4], False), s(t(1, 3, 4), [1, 2, 2, 3, 2], True)],
    aten.addcdiv.default: [s(t(3), t(3), t(3).abs() + 1), s(t(2, 3), t(3), t(2, 1).abs() + 1, value=-2.5)],
    aten.cumsum.default: [s(t(2, 5), 1), s(t(2, 3, 2), -3), s(t(), 0), s(t(40), 0)],
    aten.trace.default: [s(t(3, 4)), s(t(4, 3).t())],
    aten.nansum.default: [s(t(2, 3, 4), [1]), s(t(2, 3), None)],
    aten.nan_to_num.default: [s(t(2, 3)), s(t(3), 1.0, 2.0, 3.0)],
    aten.deg2rad.default: [s(t(2, 3))],
    aten.rad2deg.default: [s(t(2, 3))],
    aten.nll_loss_forward.default: [
        s(t(3, 4), TO([0, 3, 1]), None, 1, -100), s(t(3, 4), TO([0, 3, 1]), t(4).abs() + 1, 1, 3),
        s(t(3, 4), TO([0, 3, 1]), t(4), 0, -100), s(t(4), TO(2), None, 2, -100),
    ],
    aten.nll_loss2d_forward.default: [
        s(t(2, 3, 2, 2), TO([0, 2, 1, 1, 2, 2, 0, 1]).reshape(2, 2, 2), t(3).abs() + 1, 1, 1),
        s(t(1, 3, 1, 2), TO([0, 2]).reshape(1, 1, 2), None, 0, -100),
    ],
}  # fmt: skip

POSITIVE = t(2, 3).abs() + 0.5
HEADS = tuple(t(1, 2, 3, 4) for _ in range(3))
SIZES = ((3, 2, 4), (12, 4), (12, 3), (12,), (12,), (1, 2, 3), (1, 2, 3))
LSTM = [t(*size, dtype=torch.float32) for size in SIZES]
_NEAR = TO([-2.5, -1.5, -0.75, -0.5, 0.0, 0.25, 0.5, 1.5, 2.0, 2.5, 7.0]).double()
_INSIDE = t(2, 3).tanh()
_DEGREES = TO([0, 1, 2, 5, -1])
_POLYNOMIALS = [
    getattr(aten, f"special_{name}")
    for name in (
        "chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w",
        "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
        "shifted_chebyshev_polynomial_w", "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l",
        "legendre_polynomial_p",
    )
]  # fmt: skip

CURVES: dict[OpOverload, list[Sample]] = {
    **{packet.default: [s(t(5), _DEGREES), s(t(3, 1), _DEGREES), s(t(2), TO(3))] for packet in _POLYNOMIALS},
    **{packet.n_scalar: [s(t(5), 3), s(t(2, 3), 1.9), s(t(2), 0)] for packet in _POLYNOMIALS},
    aten.isnan.default: [s(t(2, 3))], aten.isinf.default: [s(t(2, 3))],
    aten.logical_xor.default: [s(TO([0.0, 0.0, 2.0, 1.0]).double(), TO([0.0, 3.0, 0.0, 1.0]).double())],
    aten.bitwise_not.default: [s(TO([True, False]))],
    aten.bitwise_and.Tensor: [s(TO([True, False]), TO([True, True]))],
    aten.bitwise_or.Tensor: [s(TO([True, False]), TO([True, True]))],
    aten.bitwise_xor.Tensor: [s(TO([True, False]), TO([True, True]))],
    aten.gt.Scalar: [s(_NEAR, 0.5)], aten.gt.Tensor: [s(t(2, 3), t(3))], aten.ge.Scalar: [s(_NEAR, 0.5)],
    aten.ge.Tensor: [s(t(2, 3), t(3))], aten.lt.Scalar: [s(_NEAR, 0.5)], aten.lt.Tensor: [s(t(2, 3), t(3))],
    aten.le.Scalar: [s(_NEAR, 0.5)], aten.le.Tensor: [s(t(2, 3), t(3))], aten.eq.Scalar: [s(_NEAR, 0.5)],
    aten.eq.Tensor: [s(_NEAR, _NEAR.flip(0))], aten.ne.Scalar: [s(_NEAR, 0.5)],
    aten.ne.Tensor: [s(_NEAR, _NEAR.flip(0))],
    aten.logical_not.default: [s(_NEAR)], aten.logical_and.default: [s(_NEAR, _NEAR.flip(0) + 1)],
    aten.logical_or.default: [s(_NEAR, _NEAR.flip(0) * 0)],
    aten.count_nonzero.default: [s(t(2, 3).relu())],
    aten.count_nonzero.dim_IntList: [s(t(2, 3).relu(), [1]), s(t(2, 3, 2).relu(), [0, -1])],
    aten.any.default: [s(t(3) * 0)], aten.any.dim: [s(t(2, 3) * 0, 1), s(_NEAR, 0, True)], aten.all.default: [s(_NEAR)],
    aten.all.dim: [s(_NEAR, 0)],
    aten.sign.default: [s(_NEAR)], aten.sgn.default: [s(_NEAR)], aten.heaviside.default: [s(_NEAR, t(1))],
    aten.floor.default: [s(_NEAR)], aten.ceil.default: [s(_NEAR)], aten.trunc.default: [s(_NEAR)],
    aten.frac.default: [s(_NEAR)], aten.round.default: [s(_NEAR)],
    aten.div.Tensor_mode: [s(_NEAR, TO(0.75), rounding_mode=mode) for mode in ("floor", "trunc", None)],
    aten.div.Scalar_mode: [s(_NEAR, 0.75, rounding_mode="floor")],
    aten.floor_divide.default: [s(_NEAR, TO(-0.75))], aten.floor_divide.Scalar: [s(_NEAR, 0.75)],
    aten.remainder.Tensor: [s(_NEAR, TO(-0.75))], aten.remainder.Scalar: [s(_NEAR, 0.75)],
    aten.fmod.Tensor: [s(_NEAR, TO(-0.75))], aten.fmod.Scalar: [s(_NEAR, 0.75)],
    aten.softshrink.default: [s(_NEAR), s(_NEAR, 0.3)],
    aten.hardshrink.default: [s(_NEAR), s(_NEAR, 0.3), s(_NEAR, -0.3)],
    aten.threshold.default: [s(_NEAR, 0.5, 20.0)],
    aten.fmax.default: [s(t(5, 3), t(3))], aten.fmin.default: [s(t(5, 3), t(3))],
    aten.log.default: [s(POSITIVE)], aten.log1p.default: [s(POSITIVE - 0.9)], aten.expm1.default: [s(_NEAR)],
    aten.log2.default: [s(POSITIVE)], aten.log10.default: [s(POSITIVE)], aten.exp2.default: [s(_NEAR)],
    aten.sqrt.default: [s(POSITIVE)], aten.rsqrt.default: [s(POSITIVE)], aten.reciprocal.default: [s(POSITIVE)],
    aten.sin.default: [s(_NEAR)], aten.cos.default: [s(_NEAR)], aten.tan.default: [s(_NEAR)],
    aten.sinh.default: [s(_NEAR)], aten.cosh.default: [s(_NEAR)], aten.erfc.default: [s(_NEAR)],
    aten.silu_backward.default: [s(_NEAR, _NEAR)],
    aten.gelu_backward.default: [s(_NEAR, _NEAR), s(_NEAR, _NEAR, approximate="tanh")],
    aten.softplus_backward.default: [s(_NEAR, _NEAR, 1, 20), s(_NEAR, _NEAR, 2.0, 1.2)],
    aten.elu_backward.default: [s(_NEAR, 0.7, 1.1, 1.3, False, _NEAR), s(t(2, 3), 1.0, 1.0, 1.0, True, _INSIDE)],
    aten._log_softmax_backward_data.default: [s(t(2, 4), t(2, 4), 1, torch.float64)],
    aten.log_sigmoid_forward.default: [s(_NEAR)], aten.celu.default: [s(_NEAR), s(_NEAR, 0.4)],
    aten.glu.default: [s(t(2, 6)), s(t(4, 3), 0)], aten.logaddexp.default: [s(t(2, 3), t(3))],
    aten.hypot.default: [s(t(2, 3), t(3))], aten.pow.Tensor_Tensor: [
        s(POSITIVE, t(3)), s(t(2, 3), TO([2, 0, 3])), s(t(2, 1), TO([1, 2, 3])),
    ],
    aten.pow.Scalar: [s(2.5, t(2, 3))], aten.xlogy.Tensor: [s(t(2, 3), POSITIVE)],
    aten.xlogy.Scalar_Self: [s(2.5, POSITIVE)],
    aten.asin.default: [s(_INSIDE)], aten.acos.default: [s(_INSIDE)], aten.atan.default: [s(_NEAR)],
    aten.asinh.default: [s(_NEAR)], aten.acosh.default: [s(POSITIVE + 1)], aten.atanh.default: [s(_INSIDE)],
    aten.sinc.default: [s(_NEAR)], aten.lgamma.default: [s(POSITIVE), s(_INSIDE - 3)],
    aten.digamma.default: [s(POSITIVE)], aten.erfinv.default: [s(_INSIDE)],
    aten.logit.default: [s(POSITIVE / 4), s(_NEAR, 0.1)],
    aten.i0.default: [s(_NEAR)], aten.special_i0e.default: [s(_NEAR)],
    aten.special_i1.default: [s(_NEAR)], aten.special_i1e.default: [s(_NEAR)],
    aten.special_bessel_j0.default: [s(_INSIDE)], aten.special_bessel_j1.default: [s(_INSIDE)],
    aten.special_modified_bessel_i0.default: [s(_NEAR)], aten.special_modified_bessel_i1.default: [s(_NEAR)],
    aten.special_erfcx.default: [s(_NEAR)], aten.special_log_ndtr.default: [s(_NEAR)],
    aten.special_ndtri.default: [s(POSITIVE / 4)], aten.special_entr.default: [s(POSITIVE)],
    aten.atan2.default: [s(t(2, 3), t(3))], aten.angle.default: [s(_NEAR)],
    aten.copysign.Tensor: [s(t(2, 3), t(3))], aten.copysign.Scalar: [s(_NEAR, -2.0)],
    aten.round.decimals: [s(_NEAR + 0.01, decimals=1), s(_NEAR * 100 + 1, decimals=-1)],
    aten.logaddexp2.default: [s(t(2, 3), t(3))], aten.special_xlog1py.default: [s(t(2, 3), POSITIVE)],
    aten.special_xlog1py.self_scalar: [s(2.5, POSITIVE)],
    aten.argmax.default: [s(t(2, 5), 1), s(t(2, 5), 0, True), s(t(2, 3))],
    aten.argmin.default: [s(t(2, 5), -1), s(t(3))],
    aten.bucketize.Tensor: [s(_NEAR, TO([-1.5, 0.0, 2.0])), s(_NEAR, TO([-1.5, 0.0, 2.0]), right=True)],
    aten.searchsorted.Tensor: [
        s(TO([-1.5, 0.0, 2.0]).double(), _NEAR), s(TO([-1.5, 0.0, 2.0]).double(), _NEAR, side="right"),
    ],
    aten.fake_quantize_per_tensor_affine_cachemask.default: [s(_NEAR.float() + 0.01, 0.5, 1, -3, 4)],
    aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams.default: [
        s(_NEAR.float() + 0.01, TO(0.5), TO(1, dtype=torch.int32), TO([enabled]), -3, 4) for enabled in (0, 1)
    ],
    aten.fake_quantize_per_channel_affine_cachemask.default: [
        s(t(2, 3, dtype=torch.float32), TO([0.5, 0.25, 0.125]), TO([1, 0, -2], dtype=torch.int32), 1, -8, 7),
    ],
    aten._linalg_det.default: [s(MATRIX), s(MATRICES), s(t(1, 1))], aten._linalg_slogdet.default: [s(MATRICES)],
    aten.linalg_inv_ex.default: [s(MATRIX), s(MATRICES)],
    aten.linalg_cholesky_ex.default: [s(MATRIX @ MATRIX.T), s(MATRICES @ MATRICES.mT, upper=True)],
    aten.mse_loss.default: [s(t(2, 3), t(2, 3)), s(t(2, 3), t(2, 3), 0), s(t(2, 3), t(2, 3), 2)],
    aten.huber_loss.default: [s(t(2, 3), t(2, 3)), s(t(2, 3), t(2, 3), 0, 0.5)],
    aten.smooth_l1_loss.default: [s(t(2, 3), t(2, 3)), s(t(2, 3), t(2, 3), 0, 0.5), s(t(2, 3), t(2, 3), 2, 0.0)],
    aten.soft_margin_loss.default: [s(t(3), TO([1.0, -1.0, 1.0])), s(t(3), TO([1.0, -1.0, 1.0]), 0)],
    aten.binary_cross_entropy_with_logits.default: [
        s(t(2, 3), POSITIVE / 3), s(t(2, 3), POSITIVE / 3, POSITIVE, t(3).abs(), 2),
    ],
    aten.amax.default: [s(t(2, 3, 5), [1]), s(t(2, 3, 5), [0, 2], True), s(t(2, 3))],
    aten.amin.default: [s(t(2, 3, 5), [1]), s(t(2, 3, 5), [-1, 0], True), s(t(2, 3))],
    aten.max.default: [s(t(2, 3))], aten.min.default: [s(t(2, 3))],
    aten.max.dim: [s(t(2, 3, 5), 1), s(t(2, 3), 0, True)], aten.min.dim: [s(t(2, 3, 5), -1), s(t(2, 3), 0, True)],
    aten.aminmax.default: [s(t(2, 3), dim=1), s(t(2, 3))],
    aten.sort.default: [s(t(2, 7)), s(t(5, 3), 0, True)],
    aten.sort.stable: [s(t(2, 7), stable=True), s(t(5, 3), stable=False, dim=0, descending=True)],
    aten.topk.default: [s(t(2, 7), 3), s(t(5, 3), 2, 0, False)],
    aten.kthvalue.default: [s(t(2, 7), 3), s(t(5, 3), 2, 0, True)],
    aten.median.default: [s(t(2, 3)), s(t(5))], aten.median.dim: [s(t(2, 4), 1), s(t(5, 2), 0, True)],
    aten.nanmedian.default: [s(t(2, 3))], aten.nanmedian.dim: [s(t(2, 4), 1)],
    aten.cummax.default: [s(t(2, 5), 1), s(t(4, 2), 0)], aten.cummin.default: [s(t(2, 5), 1)],
    aten.prod.default: [s(t(2, 3))], aten.prod.dim_int: [s(t(2, 3), 1), s(t(4, 3), 0, True)],
    aten.cumprod.default: [s(t(2, 4), 1), s(t(3, 2), 0)],
    aten._softmax.default: [s(t(2, 4), 1, False),
    s(t(3, 2) * 9, 0, False)], aten._safe_softmax.default: [s(t(2, 4), -1)],
    aten._log_softmax.default: [s(t(2, 4), 1, False), s(t(3, 2) * 9, 0, False)],
    aten.logsumexp.default: [s(t(2, 4), [1]), s(t(2, 3, 2), [0, 2], True)], aten.logcumsumexp.default: [s(t(2, 4), 1)],
    aten.linalg_vector_norm.default: [
        s(t(2, 3), 3, [1]), s(t(2, 3), 6.0),
        s(t(2, 4)), s(t(2, 4), 1, [1]), s(t(2, 4), float("inf"), [0], True), s(t(2, 4), float("-inf")), s(t(2, 4), 0),
    ],
    aten.norm.ScalarOpt_dim: [s(t(2, 4), 2, [1]), s(t(2, 4), None, [0], True), s(t(2, 4), 1, [1])],
    aten.norm.Scalar: [s(t(2, 4)), s(t(2, 4), 1)],
    aten._cdist_forward.default: [s(t(3, 4), t(2, 4), 2.0, None), s(t(2, 3, 4), t(2, 5, 4), 1.0, None)],
    aten.dist.default: [s(t(2, 3), t(2, 3)), s(t(2, 3), t(3), 1)],
    aten.var.correction: [s(t(2, 4), [1]), s(t(2, 4), None, correction=0), s(t(2, 4), [0], correction=0, keepdim=True)],
    aten.std.correction: [s(t(2, 5), [1]), s(t(2, 4), None, correction=0)],
    aten.var_mean.correction: [s(t(2, 4), [1])], aten.std_mean.correction: [s(t(2, 4), [1], keepdim=True)],
    aten.max_pool2d_with_indices.default: [
        s(t(1, 2, 5, 6), [2]), s(t(2, 5, 6), [3, 2], [2, 1], [1, 1]),
        s(t(1, 1, 6, 6), [2, 2], [2, 2], [1, 0], [2, 1], True),
    ],
    aten.max_pool3d_with_indices.default: [s(t(1, 1, 4, 5, 3), [2, 2, 1]),
    s(t(1, 1, 4, 5, 3), [3], [2], [1], [1], True)],
    aten.adaptive_max_pool2d.default: [s(t(1, 2, 5, 6), [2, 4])],
    aten.adaptive_max_pool3d.default: [s(t(1, 2, 4, 5, 3), [2, 3, 2])],
    aten.native_layer_norm.default: [s(t(2, 3, 4), [4], t(4), t(4), 1e-5), s(t(2, 3, 4), [3, 4], None, None, 1e-3)],
    aten.native_group_norm.default: [
        s(t(2, 4, 3), t(4), t(4), 2, 4, 3, 2, 1e-5), s(t(2, 4, 2, 2), None, None, 2, 4, 4, 4, 1e-5),
    ],
    aten._fused_rms_norm.default: [s(t(2, 4), [4], t(4), 1e-5), s(t(2, 2, 4), [2, 4], None, None)],
    aten._scaled_dot_product_flash_attention_for_cpu.default: [
        s(*HEADS), s(*HEADS, 0.0, True), s(*HEADS, attn_mask=t(3, 3), scale=0.7),
        s(t(1, 4, 3, 2), t(1, 2, 3, 2), t(1, 2, 3, 2)),
    ],
    aten.mkldnn_rnn_layer.default: [
        s(*LSTM, back, [], 2, 3, 1, True, False, first, False) for back in (False, True) for first in (False, True)
    ],
}  # fmt: skip
FLAT = {
    aten.isnan.default, aten.isinf.default, aten.bitwise_not.default, aten.bitwise_and.Tensor,
    aten.bitwise_or.Tensor, aten.bitwise_xor.Tensor,
}  # fmt: skip
"""What takes masks, or is the same for all real numbers: tried in whole modules instead."""

JUMPS = {
    aten.round.default, aten.div.Tensor_mode, aten.div.Scalar_mode, aten.floor_divide.default, aten.floor_divide.Scalar,
    aten.remainder.Tensor, aten.remainder.Scalar, aten.fmod.Tensor, aten.fmod.Scalar, aten.count_nonzero.default,
    aten.count_nonzero.dim_IntList,
}  # fmt: skip
"""Operations that are tried at their jumps, where no enclosure is narrow."""
