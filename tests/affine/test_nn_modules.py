"""Verdicts on every module class of torch.nn, in both modes, against superposition of the module in float64."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from whyactivate.affine import Verdict, analyze
from whyactivate.affine.rules import RULES
from whyactivate.errors import InputError

_RANDOM = torch.Generator().manual_seed(11)
MOST_UNDECIDED = 0


def x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_RANDOM)


def classes(*shape: int, count: int = 3) -> Tensor:
    return torch.randint(0, count, shape, generator=_RANDOM)


def signs(*shape: int) -> Tensor:
    return torch.randint(0, 2, shape, generator=_RANDOM) * 2.0 - 1.0


class OnlyInput(nn.Module):
    """A module of several arguments as one of its first; the others are held fixed, for as many rows as come."""

    def __init__(self, module: nn.Module, *others: Any) -> None:
        super().__init__()
        self.module, self.others = module, others

    def forward(self, x: Tensor) -> Any:
        rows = torch.arange(len(x))
        return self.module(x, *(o[rows % len(o)] if isinstance(o, Tensor) else o for o in self.others))


class FirstOfSeveral(nn.Module):
    """A module whose answer is a tuple, as its first part."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Tensor) -> Tensor:
        return self.module(*args)[0]


Made = tuple[nn.Module, tuple[Tensor, ...]]
LINE, PLANE, SPACE = (2, 4, 6), (2, 4, 4, 6), (2, 4, 4, 4, 4)

CASES: dict[str, Callable[[], Made]] = {
    "AdaptiveAvgPool1d": lambda: (nn.AdaptiveAvgPool1d(2), (x(*LINE),)),
    "AdaptiveAvgPool2d": lambda: (nn.AdaptiveAvgPool2d(2), (x(*PLANE),)),
    "AdaptiveAvgPool3d": lambda: (nn.AdaptiveAvgPool3d(2), (x(*SPACE),)),
    "AdaptiveLogSoftmaxWithLoss": lambda: (
        FirstOfSeveral(OnlyInput(nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2]), classes(2))), (x(2, 4),)),
    "AdaptiveMaxPool1d": lambda: (nn.AdaptiveMaxPool1d(2), (x(*LINE),)),
    "AdaptiveMaxPool2d": lambda: (nn.AdaptiveMaxPool2d(2), (x(*PLANE),)),
    "AdaptiveMaxPool3d": lambda: (nn.AdaptiveMaxPool3d(2), (x(*SPACE),)),
    "AlphaDropout": lambda: (nn.AlphaDropout(), (x(2, 4),)),
    "AvgPool1d": lambda: (nn.AvgPool1d(2), (x(*LINE),)),
    "AvgPool2d": lambda: (nn.AvgPool2d(2), (x(*PLANE),)),
    "AvgPool3d": lambda: (nn.AvgPool3d(2), (x(*SPACE),)),
    "BCELoss": lambda: (OnlyInput(nn.BCELoss(), torch.rand(2, 3, generator=_RANDOM)), (torch.sigmoid(x(2, 3)),)),
    "BCEWithLogitsLoss": lambda: (OnlyInput(nn.BCEWithLogitsLoss(), torch.ones(2, 3)), (x(2, 3),)),
    "BatchNorm1d": lambda: (used(nn.BatchNorm1d(4)), (x(2, 4),)),
    "BatchNorm2d": lambda: (used(nn.BatchNorm2d(4)), (x(*PLANE),)),
    "BatchNorm3d": lambda: (used(nn.BatchNorm3d(4)), (x(*SPACE),)),
    "Bilinear": lambda: (nn.Bilinear(3, 4, 2), (x(2, 3), x(2, 4))),
    "CELU": lambda: (nn.CELU(), (x(2, 4),)),
    "CTCLoss": lambda: (
        OnlyInput(nn.CTCLoss(), torch.ones(2, 3, dtype=torch.long), torch.tensor([5, 5]), torch.tensor([3, 3])),
        (x(5, 2, 4),)),
    "ChannelShuffle": lambda: (nn.ChannelShuffle(2), (x(*PLANE),)),
    "CircularPad1d": lambda: (nn.CircularPad1d(1), (x(*LINE),)),
    "CircularPad2d": lambda: (nn.CircularPad2d(1), (x(*PLANE),)),
    "CircularPad3d": lambda: (nn.CircularPad3d(1), (x(*SPACE),)),
    "ConstantPad1d": lambda: (nn.ConstantPad1d((1, 2), 0.3), (x(*LINE),)),
    "ConstantPad2d": lambda: (nn.ConstantPad2d((1, 0, -1, 2), 0.3), (x(*PLANE),)),
    "ConstantPad3d": lambda: (nn.ConstantPad3d(1, -2.0), (x(*SPACE),)),
    "Conv1d": lambda: (nn.Conv1d(4, 2, 3), (x(*LINE),)),
    "Conv2d": lambda: (nn.Conv2d(4, 2, 3), (x(*PLANE),)),
    "Conv3d": lambda: (nn.Conv3d(4, 2, 3), (x(*SPACE),)),
    "ConvTranspose1d": lambda: (nn.ConvTranspose1d(4, 2, 3), (x(*LINE),)),
    "ConvTranspose2d": lambda: (nn.ConvTranspose2d(4, 2, 3), (x(*PLANE),)),
    "ConvTranspose3d": lambda: (nn.ConvTranspose3d(4, 2, 2), (x(*SPACE),)),
    "CosineEmbeddingLoss": lambda: (OnlyInput(nn.CosineEmbeddingLoss(), x(2, 4), signs(2)), (x(2, 4),)),
    "CosineSimilarity": lambda: (nn.CosineSimilarity(), (x(2, 4), x(2, 4))),
    "CrossEntropyLoss": lambda: (OnlyInput(nn.CrossEntropyLoss(), classes(2)), (x(2, 4),)),
    "CrossMapLRN2d": lambda: (nn.CrossMapLRN2d(2), (x(*PLANE),)),
    "DataParallel": lambda: (nn.DataParallel(nn.Linear(4, 3)), (x(2, 4),)),
    "Dropout": lambda: (nn.Dropout(), (x(2, 4),)),
    "Dropout1d": lambda: (nn.Dropout1d(), (x(*LINE),)),
    "Dropout2d": lambda: (nn.Dropout2d(), (x(*PLANE),)),
    "Dropout3d": lambda: (nn.Dropout3d(), (x(*SPACE),)),
    "ELU": lambda: (nn.ELU(0.5), (x(2, 4),)),
    "FeatureAlphaDropout": lambda: (nn.FeatureAlphaDropout(), (x(*PLANE),)),
    "Flatten": lambda: (nn.Flatten(), (x(*PLANE),)),
    "Fold": lambda: (nn.Fold((4, 4), 2, stride=2), (x(2, 8, 4),)),
    "FractionalMaxPool2d": lambda: (nn.FractionalMaxPool2d(2, output_size=2), (x(*PLANE),)),
    "FractionalMaxPool3d": lambda: (nn.FractionalMaxPool3d(2, output_size=2), (x(*SPACE),)),
    "GELU": lambda: (nn.GELU(), (x(2, 4),)),
    "GLU": lambda: (nn.GLU(), (x(2, 4),)),
    "GRU": lambda: (FirstOfSeveral(nn.GRU(3, 4, batch_first=True)), (x(2, 5, 3),)),
    "GRUCell": lambda: (nn.GRUCell(3, 4), (x(2, 3),)),
    "GaussianNLLLoss": lambda: (OnlyInput(nn.GaussianNLLLoss(), x(2, 3), torch.ones(2, 3)), (x(2, 3),)),
    "GroupNorm": lambda: (nn.GroupNorm(2, 4), (x(*PLANE),)),
    "Hardshrink": lambda: (nn.Hardshrink(), (x(2, 4),)),
    "Hardsigmoid": lambda: (nn.Hardsigmoid(), (x(2, 4),)),
    "Hardswish": lambda: (nn.Hardswish(), (x(2, 4),)),
    "Hardtanh": lambda: (nn.Hardtanh(), (x(2, 4),)),
    "HingeEmbeddingLoss": lambda: (OnlyInput(nn.HingeEmbeddingLoss(), signs(2, 3)), (x(2, 3),)),
    "HuberLoss": lambda: (OnlyInput(nn.HuberLoss(), x(2, 3)), (x(2, 3),)),
    "Identity": lambda: (nn.Identity(), (x(2, 4),)),
    "InstanceNorm1d": lambda: (nn.InstanceNorm1d(4), (x(*LINE),)),
    "InstanceNorm2d": lambda: (nn.InstanceNorm2d(4), (x(*PLANE),)),
    "InstanceNorm3d": lambda: (nn.InstanceNorm3d(4), (x(*SPACE),)),
    "KLDivLoss": lambda: (OnlyInput(nn.KLDivLoss(reduction="batchmean"), torch.rand(2, 3) + 0.1), (x(2, 3),)),
    "L1Loss": lambda: (OnlyInput(nn.L1Loss(), x(2, 3)), (x(2, 3),)),
    "LPPool1d": lambda: (nn.LPPool1d(2, 2), (x(*LINE),)),
    "LPPool2d": lambda: (nn.LPPool2d(2, 2), (x(*PLANE),)),
    "LPPool3d": lambda: (nn.LPPool3d(2, 2), (x(*SPACE),)),
    "LSTM": lambda: (FirstOfSeveral(nn.LSTM(3, 4, batch_first=True)), (x(2, 5, 3),)),
    "LSTMCell": lambda: (FirstOfSeveral(nn.LSTMCell(3, 4)), (x(2, 3),)),
    "LayerNorm": lambda: (nn.LayerNorm(4), (x(2, 4),)),
    "LeakyReLU": lambda: (nn.LeakyReLU(), (x(2, 4),)),
    "Linear": lambda: (nn.Linear(4, 3), (x(2, 4),)),
    "LocalResponseNorm": lambda: (nn.LocalResponseNorm(2), (x(*PLANE),)),
    "LogSigmoid": lambda: (nn.LogSigmoid(), (x(2, 4),)),
    "LogSoftmax": lambda: (nn.LogSoftmax(1), (x(2, 4),)),
    "MSELoss": lambda: (OnlyInput(nn.MSELoss(), x(2, 3)), (x(2, 3),)),
    "MarginRankingLoss": lambda: (OnlyInput(nn.MarginRankingLoss(), x(2), signs(2)), (x(2),)),
    "MaxPool1d": lambda: (nn.MaxPool1d(2), (x(*LINE),)),
    "MaxPool2d": lambda: (nn.MaxPool2d(2), (x(*PLANE),)),
    "MaxPool3d": lambda: (nn.MaxPool3d(2), (x(*SPACE),)),
    "MaxUnpool1d": lambda: (OnlyInput(nn.MaxUnpool1d(2), even(2, 4, 3)), (x(2, 4, 3),)),
    "MaxUnpool2d": lambda: (OnlyInput(nn.MaxUnpool2d(2), even(2, 4, 2, 3)), (x(2, 4, 2, 3),)),
    "MaxUnpool3d": lambda: (OnlyInput(nn.MaxUnpool3d(2), even(2, 4, 2, 2, 2)), (x(2, 4, 2, 2, 2),)),
    "Mish": lambda: (nn.Mish(), (x(2, 4),)),
    "MultiLabelMarginLoss": lambda: (
        OnlyInput(nn.MultiLabelMarginLoss(), torch.tensor([[1, -1, 0], [0, 2, -1]])), (x(2, 3),)),
    "MultiLabelSoftMarginLoss": lambda: (OnlyInput(nn.MultiLabelSoftMarginLoss(), torch.ones(2, 3)), (x(2, 3),)),
    "MultiMarginLoss": lambda: (OnlyInput(nn.MultiMarginLoss(), classes(2)), (x(2, 3),)),
    "MultiheadAttention": lambda: (FirstOfSeveral(nn.MultiheadAttention(4, 2, batch_first=True)), (x(2, 5, 4),) * 3),
    "NLLLoss": lambda: (OnlyInput(nn.NLLLoss(), classes(2)), (x(2, 4),)),
    "PReLU": lambda: (nn.PReLU(), (x(2, 4),)),
    "PairwiseDistance": lambda: (nn.PairwiseDistance(), (x(2, 4), x(2, 4))),
    "PixelShuffle": lambda: (nn.PixelShuffle(2), (x(*PLANE),)),
    "PixelUnshuffle": lambda: (nn.PixelUnshuffle(2), (x(*PLANE),)),
    "PoissonNLLLoss": lambda: (OnlyInput(nn.PoissonNLLLoss(), torch.ones(2, 3)), (x(2, 3),)),
    "RMSNorm": lambda: (nn.RMSNorm(4), (x(2, 4),)),
    "RNN": lambda: (FirstOfSeveral(nn.RNN(3, 4, batch_first=True)), (x(2, 5, 3),)),
    "RNNCell": lambda: (nn.RNNCell(3, 4), (x(2, 3),)),
    "RReLU": lambda: (nn.RReLU(), (x(2, 4),)),
    "ReLU": lambda: (nn.ReLU(), (x(2, 4),)),
    "ReLU6": lambda: (nn.ReLU6(), (x(2, 4),)),
    "ReflectionPad1d": lambda: (nn.ReflectionPad1d(1), (x(*LINE),)),
    "ReflectionPad2d": lambda: (nn.ReflectionPad2d(1), (x(*PLANE),)),
    "ReflectionPad3d": lambda: (nn.ReflectionPad3d(1), (x(*SPACE),)),
    "ReplicationPad1d": lambda: (nn.ReplicationPad1d(1), (x(*LINE),)),
    "ReplicationPad2d": lambda: (nn.ReplicationPad2d(1), (x(*PLANE),)),
    "ReplicationPad3d": lambda: (nn.ReplicationPad3d(1), (x(*SPACE),)),
    "SELU": lambda: (nn.SELU(), (x(2, 4),)),
    "Sequential": lambda: (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), (x(2, 4),)),
    "SiLU": lambda: (nn.SiLU(), (x(2, 4),)),
    "Sigmoid": lambda: (nn.Sigmoid(), (x(2, 4),)),
    "SmoothL1Loss": lambda: (OnlyInput(nn.SmoothL1Loss(), x(2, 3)), (x(2, 3),)),
    "SoftMarginLoss": lambda: (OnlyInput(nn.SoftMarginLoss(), signs(2, 3)), (x(2, 3),)),
    "Softmax": lambda: (nn.Softmax(1), (x(2, 4),)),
    "Softmax2d": lambda: (nn.Softmax2d(), (x(*PLANE),)),
    "Softmin": lambda: (nn.Softmin(1), (x(2, 4),)),
    "Softplus": lambda: (nn.Softplus(), (x(2, 4),)),
    "Softshrink": lambda: (nn.Softshrink(), (x(2, 4),)),
    "Softsign": lambda: (nn.Softsign(), (x(2, 4),)),
    "SyncBatchNorm": lambda: (used(nn.SyncBatchNorm(4)), (x(2, 4),)),
    "Tanh": lambda: (nn.Tanh(), (x(2, 4),)),
    "Tanhshrink": lambda: (nn.Tanhshrink(), (x(2, 4),)),
    "Threshold": lambda: (nn.Threshold(0.1, 2.0), (x(2, 4),)),
    "Transformer": lambda: (
        nn.Transformer(4, 2, 1, 1, 8, batch_first=True), (x(2, 3, 4), x(2, 3, 4))),
    "TransformerDecoder": lambda: (
        nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8, batch_first=True), 1), (x(2, 3, 4), x(2, 3, 4))),
    "TransformerDecoderLayer": lambda: (
        nn.TransformerDecoderLayer(4, 2, 8, batch_first=True), (x(2, 3, 4), x(2, 3, 4))),
    "TransformerEncoder": lambda: (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1), (x(2, 3, 4),)),
    "TransformerEncoderLayer": lambda: (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (x(2, 3, 4),)),
    "TripletMarginLoss": lambda: (OnlyInput(nn.TripletMarginLoss(), x(2, 3), x(2, 3)), (x(2, 3),)),
    "TripletMarginWithDistanceLoss": lambda: (
        OnlyInput(nn.TripletMarginWithDistanceLoss(), x(2, 3), x(2, 3)), (x(2, 3),)),
    "Unflatten": lambda: (nn.Unflatten(1, (2, 2)), (x(2, 4),)),
    "Unfold": lambda: (nn.Unfold(2), (x(*PLANE),)),
    "Upsample": lambda: (nn.Upsample(scale_factor=2), (x(*PLANE),)),
    "UpsamplingBilinear2d": lambda: (nn.UpsamplingBilinear2d(scale_factor=2), (x(*PLANE),)),
    "UpsamplingNearest2d": lambda: (nn.UpsamplingNearest2d(scale_factor=2), (x(*PLANE),)),
    "ZeroPad1d": lambda: (nn.ZeroPad1d(1), (x(*LINE),)),
    "ZeroPad2d": lambda: (nn.ZeroPad2d((1, 0, 2, -1)), (x(*PLANE),)),
    "ZeroPad3d": lambda: (nn.ZeroPad3d(1), (x(*SPACE),)),
}  # fmt: skip

WITHOUT_A_FORWARD_OF_THEIR_OWN = {
    "Container", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "RNNBase", "RNNCellBase",
}  # fmt: skip
OF_INTEGERS = {"Embedding", "EmbeddingBag"}
SAME_AS = {"NLLLoss2d": "NLLLoss", "LinearCrossEntropyLoss": "CrossEntropyLoss"}
AFFINE_IN_EVAL = {
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AlphaDropout", "AvgPool1d", "AvgPool2d",
    "AvgPool3d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "ChannelShuffle", "CircularPad1d", "CircularPad2d",
    "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "Conv1d", "Conv2d", "Conv3d",
    "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "DataParallel", "Dropout", "Dropout1d", "Dropout2d",
    "Dropout3d", "FeatureAlphaDropout", "Flatten", "Fold", "Identity", "KLDivLoss", "Linear", "MaxUnpool1d",
    "MaxUnpool2d", "MaxUnpool3d", "NLLLoss", "PixelShuffle", "PixelUnshuffle", "ReflectionPad1d", "ReflectionPad2d",
    "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "Sequential", "SyncBatchNorm",
    "Unflatten", "Unfold", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "ZeroPad1d", "ZeroPad2d",
    "ZeroPad3d",
}  # fmt: skip


def even(*shape: int) -> Tensor:
    """Indices of places that a max-unpooling by 2 can fill, each once per channel."""
    return (2 * torch.arange(torch.Size(shape[2:]).numel())).reshape(shape[2:]).expand(shape).contiguous()


def used(layer: nn.Module) -> nn.Module:
    """A normalisation layer that has seen data."""
    for name in ("running_mean", "weight", "bias"):
        getattr(layer, name).data.copy_(x(4))
    getattr(layer, "running_var").data.copy_(x(4).abs() + 0.1)  # noqa: B009
    return layer


def test_every_class_of_torch_nn_is_here() -> None:
    every = {name for name, kind in vars(nn).items() if inspect.isclass(kind) and issubclass(kind, nn.Module)}
    lazy = {name for name in every if name.startswith("Lazy")}
    assert every == {*CASES, *lazy, *WITHOUT_A_FORWARD_OF_THEIR_OWN, *OF_INTEGERS, *SAME_AS}


def superposition(module: nn.Module, at: tuple[Tensor, ...]) -> bool | None:
    """True: affine to rounding at all points tried, small and large; False: clearly not; None: hard to say."""
    module = copy.deepcopy(module).double()
    generator = torch.Generator().manual_seed(3)
    certain = True
    for scale, (first, second), _ in itertools.product((1.0, 1e3, 1e-3), ((0.5, 0.5), (2.0, -1.0)), range(2)):
        a, b = ([torch.randn(y.shape, generator=generator, dtype=torch.float64) * scale for y in at] for _ in "ab")
        mix = [first * p + second * q for p, q in zip(a, b, strict=True)]
        try:
            with torch.no_grad():
                values = [module(*point) for point in (a, b, mix)]
        except RuntimeError:
            certain = False
            continue
        if not all(bool(value.isfinite().all()) for value in values):
            certain = False
            continue
        size = max(float(value.abs().max()) for value in values) + scale
        gap = float((values[2] - first * values[0] - second * values[1]).abs().max())
        if gap > 1e-6 * size:
            return False
        certain = certain and gap <= 1e-10 * size
    return True if certain else None


def judge(training: bool) -> tuple[list[str], list[str], Counter[str]]:
    """Wrong verdicts, affine modules that are undecided, and how often truth and verdict met in each way."""
    wrong: list[str] = []
    undecided: list[str] = []
    counts: Counter[str] = Counter()
    for name, make in CASES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            module, at = make()
            module.train(training)
            truth = superposition(module, at)
            try:
                verdict = analyze(module, at).verdict
            except InputError:
                counts[f"{truth}: refused"] += 1
                continue
        counts[f"{truth}: {verdict}"] += 1
        if (truth is False and verdict is Verdict.AFFINE) or (truth is True and verdict is Verdict.NOT_AFFINE):
            wrong.append(f"{name}: {verdict}")
        if truth is True and verdict is Verdict.UNDECIDED:
            undecided.append(name)
        if not training and name in AFFINE_IN_EVAL and verdict is not Verdict.AFFINE:
            wrong.append(f"{name}: {verdict}, though affine in eval mode")
    return wrong, undecided, counts


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_no_wrong_verdict_on_any_class_of_torch_nn(training: bool) -> None:
    wrong, undecided, counts = judge(training)
    print(dict(counts), f"affine, yet undecided: {len(undecided)}: {', '.join(undecided)}")
    assert wrong == []
    assert len(undecided) <= MOST_UNDECIDED
    assert counts["True: refused"] == counts["False: refused"] == 0
    assert counts["False: not_affine"] > 60, (
        "activations, normalisation, attention, recurrent layers and losses are refuted"
    )


def test_a_wrong_rule_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    relu = torch.ops.aten.relu.default
    monkeypatch.setitem(RULES, relu, dataclasses.replace(RULES[relu], form=(("self",),)))
    monkeypatch.setattr(sys.modules[__name__], "CASES", {name: CASES[name] for name in ("ReLU", "Tanh", "Linear")})
    assert judge(training=False)[0] == ["ReLU: affine"]


class Unwritten(nn.Module):
    """Copies memory that nobody has written, and writes over the copy, or does not."""

    def __init__(self, written: bool) -> None:
        super().__init__()
        self.written = written

    def forward(self, x: Tensor) -> Tensor:
        padded = x.new_empty(len(x), 6)
        padded[:, 1:5] = x
        padded[:, 5:] = padded[:, :1].clone()
        if self.written:
            padded[:, ::5] = 2 * x[:, :2]
        return padded


@pytest.mark.parametrize("written", [True, False])
def test_unwritten_memory_may_be_copied_but_not_shown(written: bool) -> None:
    analysis = analyze(Unwritten(written), x(2, 4))
    assert analysis.verdict is (Verdict.AFFINE if written else Verdict.UNDECIDED)


@pytest.mark.parametrize("name", sorted(OF_INTEGERS))
def test_modules_of_integers_are_refused_with_advice(name: str) -> None:
    with pytest.raises(InputError, match="analyse the part of the module that comes after"):
        analyze(getattr(nn, name)(5, 3), torch.tensor([[1, 2]]))


def test_a_lazy_module_is_refused_until_it_has_a_shape() -> None:
    lazy = nn.LazyLinear(3)
    with pytest.raises(InputError, match="no shape yet"):
        analyze(lazy, x(2, 4))
    lazy(x(2, 4))
    assert analyze(lazy, x(2, 4)).verdict is Verdict.AFFINE


@pytest.mark.parametrize("name", ["BatchNorm1d", "Dropout", "AlphaDropout", "RReLU"])
def test_training_mode_says_so(name: str) -> None:
    module = getattr(nn, name)(4) if name == "BatchNorm1d" else getattr(nn, name)()
    analysis = analyze(module.train(), x(2, 4))
    assert analysis.verdict is Verdict.UNDECIDED
    words = " ".join(blame.reason for blame in analysis.blame)
    assert "training" in words or "random" in words, words


def test_the_mode_and_the_buffers_stay() -> None:
    module = nn.Sequential(nn.Linear(4, 4), used(nn.BatchNorm1d(4)), nn.Dropout(0.5)).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    analyze(module, x(3, 4))
    assert module.training
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
