"""Whether a graph is right for inputs of any size, or only for those that it was recorded with.

What a graph holds of sizes other than that of the batch is what they were in the recording: the 5 in a reshape, the
end of a slice, the size that an image is scaled to. So a graph is taken to be right for others only where nothing in
it can hold such a number.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import torch
from torch import fx

from whyactivate.affine._torch_compat import OpOverload

aten = torch.ops.aten

_OTHERS = frozenset({
    aten._adaptive_avg_pool2d,
    aten._log_softmax,
    aten._native_batch_norm_legit_no_training,
    aten._softmax,
    aten._to_copy,
    aten.addmm,
    aten.amax,
    aten.amin,
    aten.avg_pool2d,
    aten.baddbmm,
    aten.bmm,
    aten.cat,
    aten.constant_pad_nd,
    aten.convolution,
    aten.glu,
    aten.hardswish,
    aten.masked_fill,
    aten.max_pool2d_with_indices,
    aten.mean,
    aten.mm,
    aten.native_batch_norm,
    aten.native_layer_norm,
    aten.permute,
    aten.pixel_shuffle,
    aten.prelu,
    aten._prelu_kernel,
    aten.reflection_pad1d,
    aten.reflection_pad2d,
    aten.reflection_pad3d,
    aten.replication_pad1d,
    aten.replication_pad2d,
    aten.replication_pad3d,
    aten.squeeze,
    aten.stack,
    aten.sum,
    aten.t,
    aten.transpose,
    aten.unsqueeze,
})  # fmt: skip
"""Operations that are told nothing that may come from a size, beside those that act entry by entry."""


def fits_any_size(graph: fx.Graph, but: Set[fx.Node]) -> bool:
    """True where no operation of the graph, `but` for some, is told what may be a size that it was recorded with."""
    return all(node in but or _fits(node) for node in graph.nodes)


def _fits(node: fx.Node) -> bool:
    if node.op == "call_method":
        return False  # views are written with their sizes
    if node.op != "call_function":
        return True
    target: Any = node.target
    if not isinstance(target, OpOverload):
        return True  # the library's own: arithmetic on the batch size, items of lists, checks
    return torch.Tag.pointwise in target.tags or target.overloadpacket in _OTHERS
