"""Random small networks of everything that folds: the copy equals the original, whatever was folded."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from folding.blocks import MobileOneBlock, RepMixer, RepVGGBlock, Residual, Spoken, folded, rows, settled


def twice(part):
    return Spoken(lambda m, x: m.part(m.part(x)), part=part)


def both(a, b):
    return Spoken(lambda m, x: m.a(x) - 0.5 * m.b(x), a=a, b=b)


def shared(a, b, c):
    def forward(m, x):
        h = m.a(x)
        return m.b(h) + torch.tanh(m.c(h))

    return Spoken(forward, a=a, b=b, c=c)


def scaled(channels, axes):
    own = Spoken(lambda m, x: x * m.gamma + m.beta)
    own.gamma, own.beta = (nn.Parameter(torch.rand(channels, *(1,) * axes)) for _ in range(2))
    return own


@st.composite
def dense_parts(draw, width, depth=0):
    linear, norm = nn.Linear(width, width, bias=draw(st.booleans())), nn.BatchNorm1d(width)
    simple = st.sampled_from(
        [linear, norm, nn.Dropout(), nn.ReLU(), nn.Identity(), scaled(width, 0), nn.Linear(width, width)]
    )
    if depth == 2 or draw(st.booleans()):
        return draw(simple)
    inner = dense_parts(width, depth + 1)
    kind = draw(st.sampled_from(["sequence", "sequence", "residual", "both", "shared", "twice"]))
    if kind == "sequence":
        return nn.Sequential(*[draw(inner) for _ in range(3)])
    if kind == "residual":
        return Residual(draw(inner))
    if kind == "both":
        return both(draw(inner), draw(inner))
    if kind == "shared":
        return shared(draw(inner), draw(inner), draw(inner))
    return twice(draw(inner))


@st.composite
def conv_parts(draw, width, depth=0):
    groups = draw(st.sampled_from([1, 2, width]))
    size = draw(st.sampled_from([1, 3]))
    conv = nn.Conv2d(width, width, size, padding=size // 2, groups=groups, bias=draw(st.booleans()))
    simple = [conv, conv, nn.BatchNorm2d(width), nn.ReLU(inplace=draw(st.booleans())), scaled(width, 2)]
    simple += [RepVGGBlock(width, width), MobileOneBlock(width, width, 3, 1, width, 2), RepMixer(width)]
    if depth == 2 or draw(st.booleans()):
        return draw(st.sampled_from(simple))
    inner = conv_parts(width, depth + 1)
    kind = draw(st.sampled_from(["sequence", "sequence", "residual", "both", "shared"]))
    if kind == "sequence":
        return nn.Sequential(*[draw(inner) for _ in range(3)])
    if kind == "residual":
        return Residual(nn.Sequential(nn.Identity(), draw(inner)))
    if kind == "both":
        return both(draw(inner), draw(inner))
    return shared(draw(inner), draw(inner), draw(inner))


def check(net, x):
    try:
        net(x.clone())
    except RuntimeError:  # batch normalisation over another number of channels
        return
    folded(net, x)


@settings(max_examples=10)
@given(st.lists(dense_parts(4), min_size=1, max_size=3), st.booleans())
def test_networks_of_linear_layers(parts, tokens):
    check(settled(nn.Sequential(*parts)), rows(2, 4, 4) if tokens else rows(2, 4))


@settings(max_examples=5)
@given(st.lists(conv_parts(4), min_size=1, max_size=2))
def test_networks_of_convolutions(parts):
    check(settled(nn.Sequential(*parts)), rows(2, 4, 5, 6))


@pytest.mark.slow
@settings(max_examples=15)
@given(st.lists(st.one_of(conv_parts(4)), min_size=2, max_size=4))
def test_larger_networks_of_convolutions(parts):
    check(settled(nn.Sequential(*parts, nn.Flatten(), nn.Linear(120, 6), nn.Linear(6, 3))), rows(2, 4, 5, 6))
