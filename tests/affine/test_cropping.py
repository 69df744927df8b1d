"""What one place of an output depends on gives, by itself, the very numbers that the whole program gives there."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.affine.evaluating.replay import Replay
from whyactivate.affine.recording.tracker import record
from whyactivate.affine.searching.cropping import Crop, crop
from whyactivate.affine.tape import Tape
from whyactivate.arithmetic.exact import ExactArray


class Branching(nn.Module):
    """Everything at once: a residual, strides, dilation, groups, transposed convolution, upsampling, concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (
            nn.Conv2d(4, 4, 3, padding=1, groups=2),
            nn.Conv2d(4, 4, (5, 3), padding=(4, 1), dilation=(2, 1)),
        )
        self.down, self.up = nn.Conv2d(4, 6, 3, 2, 1), nn.ConvTranspose2d(6, 2, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x + F.relu(self.b(F.relu(self.a(x))))
        z = torch.cat([F.leaky_relu(self.up(F.relu(self.down(y)))), y], 1)
        return F.avg_pool2d(F.interpolate(z, scale_factor=2), 3, 2, 1).clamp(-1, 1)


class Doing(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.a, self.b = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def taped(net: nn.Module, *shape: int) -> tuple[Tape, Crop | None]:
    torch.manual_seed(0)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    tape = record(net.eval(), (torch.randn(1, *shape),), {})
    return tape, crop(tape)


def values(tape: Tape) -> Tensor:
    return Replay(tape).outputs([ExactArray.from_tensor(tape.given[0])])[0].flatten().to_float64()[0]


NETS = [
    (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)), (3, 20, 24)),
    (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, padding=1, stride=2), nn.PReLU(4), nn.Upsample(scale_factor=2), nn.AvgPool2d(2),
        ),
        (3, 32, 32),
    ),
    (Branching(), (4, 36, 40)),
    (nn.Sequential(nn.MaxPool2d(3, 2, 1, dilation=1), nn.Conv2d(2, 2, 1), nn.Hardtanh()), (2, 30, 30)),
    (
        nn.Sequential(
            nn.Conv1d(3, 4, 3, padding=2, dilation=2), nn.ReLU6(),
            nn.ConvTranspose1d(4, 2, 3, 3, 2, output_padding=1, dilation=2), nn.Hardtanh(),
        ),
        (3, 30),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("net", "shape"), NETS)
def test_a_crop_gives_what_the_whole_program_gives_at_its_place(net, shape):
    tape, part = taped(net, *shape)
    assert part is not None
    whole, cropped = values(tape), values(part.tape)
    assert part.tape.given[0].numel() < tape.given[0].numel()
    assert len(cropped) == tape.returned[0].shape[1]
    assert [float(whole[part.index_in_whole(i)]) for i in range(len(cropped))] == cropped.tolist()
    torch.testing.assert_close(part.tape.returned[0].flatten(), cropped.float(), rtol=1e-5, atol=1e-5)
    wide = part.widened([x.double() for x in part.tape.given])
    there = Replay(tape).outputs([ExactArray.from_tensor(wide[0])])[0].flatten().to_float64()[0]
    assert [float(there[part.index_in_whole(i)]) for i in range(len(cropped))] == cropped.tolist()


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.b(F.relu(m.a(x))) * torch.linspace(0, 1, 12),
        lambda m, x: m.b(F.relu(m.a(x)).transpose(2, 3)),
        lambda m, x: m.b(F.relu(m.a(x)).flip(3)),
        lambda m, x: F.relu(m.a(x)) - m.b(x).mean((2, 3), keepdim=True),
        lambda m, x: F.batch_norm(F.relu(m.a(x)), None, None, training=True),
        lambda m, x: F.relu(m.a(x)).flatten(1),
        lambda m, x: F.interpolate(F.relu(m.a(x)), size=(18, 18)),
        lambda m, x: m.b(F.relu(F.conv2d(x, m.a.weight, dilation=5))),
        lambda m, x: F.max_pool2d(F.relu(m.a(x)), 3, return_indices=True)[1].float(),
        lambda m, x: F.conv2d(F.relu(x), x[:, :, :3, :3].expand(2, -1, -1, -1)),
        lambda m, x: torch.cat([F.relu(m.a(x)), torch.ones(1, 2, 12, 12)], 1),
    ],
)
def test_what_is_not_the_same_at_every_place_has_no_crop(function):
    assert taped(Doing(lambda m, x: m.b(F.relu(m.a(x)))), 2, 12, 12)[1] is not None
    assert taped(Doing(function), 2, 12, 12)[1] is None


def test_a_write_into_a_part_of_an_image_has_no_crop():
    def forward(m, x):
        y = m.a(x)
        y[:, :, 4:8] = F.relu(m.b(x))[:, :, 4:8]
        return y

    assert taped(Doing(forward), 2, 12, 12)[1] is None


def test_a_large_network_of_convolutions_is_refuted_without_rounding_on_a_window_of_its_input():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 3, padding=1)).double()
    found = wa.analyze(net, torch.zeros(1, 3, 200, 200, dtype=torch.float64)).counterexample
    assert found is not None
    assert found.arithmetic == "exact"
    (a,), (b,), (first, second) = found.a, found.b, map(float, found.weights)
    assert a.shape == (1, 3, 200, 200)
    assert 0 < int(a.count_nonzero()) <= 3 * 5 * 5
    values = [float(net(x).detach().flatten()[found.output_index]) for x in (first * a + second * b, a, b)]
    assert values[0] == pytest.approx(found.at_mix, abs=1e-12)
    assert first * values[1] + second * values[2] == pytest.approx(found.mix_of, abs=1e-12)
    assert abs(found.at_mix - found.mix_of) > 1e-6
