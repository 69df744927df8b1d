"""Views of a tensor are written in a graph as they were: whole, in part, and turned."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from folding.blocks import Spoken, becomes, close, folded, rows, settled
from whyactivate.affine.tape import Geometry
from whyactivate.folding.views import block


def geometry(tensor: Tensor) -> Geometry:
    return Geometry(tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


def shown(base: Tensor, view: Tensor) -> Tensor | None:
    """The view as its block says."""
    found = block(geometry(base), geometry(view))
    if found is None:
        return None
    tensor = base.reshape(found.shape)
    for axis, start, length in found.slices:
        tensor = tensor.narrow(axis, start, length)
    if found.entry is not None:
        tensor = tensor[..., found.entry]
    tensor = tensor.permute(found.order)
    return tensor if found.spread is None else tensor.expand(found.spread)


@pytest.mark.parametrize(
    "take",
    [
        lambda t: t.reshape(2, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)[1],
        lambda t: t.chunk(3, -1)[2].view(2, 6, 2, 4).transpose(1, 2),
        lambda t: t[..., 8:20].view(2, 6, 3, 4).permute(0, 2, 3, 1),
        lambda t: t[:, 1:4, 5],
        lambda t: t[:, ::2, 3::4],
        lambda t: t[1, 2:4].mT,
        lambda t: t[:, :, None, 7:9],
        lambda t: t[:, :, None, 7:9].expand(2, 6, 5, 2).mT,
    ],
)
def test_a_block_of_a_tensor_is_written_as_it_is(take):
    base = torch.arange(2 * 6 * 24.0).view(2, 6, 24)
    assert torch.equal(shown(base, take(base)), take(base))


def test_what_is_no_block_is_not_written():
    base = torch.arange(60.0).view(5, 12)
    for view in (base.unfold(1, 4, 2), base.flatten()[1:].unfold(0, 3, 7)):
        assert shown(base, view) is None
    assert shown(base.t(), base.t()[:2]) is None


@settings(max_examples=200)
@given(st.data())
def test_a_view_is_written_right_or_not_at_all(data):
    base = torch.arange(48.0).view(2, 4, 6)
    size = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    stride = tuple(data.draw(st.sampled_from([0, 1, 2, 3, 4, 6, 8, 12, 24])) for _ in size)
    reach = sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if reach < 48:
        view = base.as_strided(size, stride, data.draw(st.integers(0, 47 - reach)))
        found = shown(base, view)
        assert found is None or torch.equal(found, view)


class Attention(nn.Module):
    """A block as it is often written, all in one forward, with a factor for each channel at its end."""

    def __init__(self, *, split: bool) -> None:
        super().__init__()
        self.qkv, self.proj, self.scale = nn.Linear(8, 24), nn.Linear(8, 8), nn.Parameter(torch.rand(8))
        self.split = split

    def forward(self, x: Tensor) -> Tensor:
        count, length, width = x.shape
        if self.split:
            parts = [part.view(count, length, 2, 4).transpose(1, 2) for part in self.qkv(x).split(width, 2)]
        else:
            parts = self.qkv(x).reshape(count, length, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(*parts)
        return x + self.scale * self.proj(y.transpose(1, 2).reshape(count, length, width))


@pytest.mark.parametrize("split", [True, False])
def test_a_factor_behind_attention_goes_into_its_last_layer(split):
    net = settled(Attention(split=split))
    assert becomes(net, rows(2, 5, 8)) == ["Linear(8, 8)"]
    folded(net, rows(2, 5, 8))


def test_keys_and_values_that_several_heads_share_are_blocks():
    def forward(m, x):
        q, k, v = m.qkv(x).split([8, 4, 4], -1)
        y = torch.softmax(q.view(-1, 5, 2, 4).transpose(1, 2) @ k.view(-1, 5, 1, 4).permute(0, 2, 3, 1), -1)
        return x + m.scale * m.proj((y @ v[:, None]).transpose(1, 2).flatten(2))

    net = settled(Spoken(forward, qkv=nn.Linear(8, 16), proj=nn.Linear(8, 8), scale=nn.Parameter(torch.rand(8))))
    assert becomes(net, rows(2, 5, 8)) == ["Linear(8, 8)"]
    copied = folded(net, rows(2, 5, 8))
    close(copied(x := rows(9, 5, 8)), net(x))
