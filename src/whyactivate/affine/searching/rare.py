"""Looks for inputs at which a function that is affine almost everywhere is not."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from whyactivate.affine.evaluating.effort import count_work
from whyactivate.affine.evaluating.replay import ExactConstants
from whyactivate.affine.searching.switches import Switches, compared_with
from whyactivate.affine.tape import Tape

_SCALES = tuple(2.0**power for power in (0, 3, 6, 10, 14, 17, 20, 24, 30, 40, 60, 80, 100, 120))
_TOURS = 12
_STOPS = 24
"""Along how many tours through the kinks, and to how many kinks each."""
_STEPS = 8
_AXES = 24
"""Directions in which slopes are taken for one step towards a kink."""
_HALF_WIDTHS = (1.0, 2.0**-4, 2.0**-10, 2.0**-20)
_MOST_VERIFIED = 24
_VERIFIED_PER_STOP = 4
_VISIBLE = 2.0**-44
"""From which gap on, relative to what is added up, more than one pair of a stop is worth a verification."""
_NEAR = 10
"""How many binary places below the leading one of a number the pairs around it lie."""
_MOST_WORK = 150_000_000
"""Work, as `count_work` counts it, of all evaluations together: some seconds."""
_WORK_PER_OPERATION = 100_000
"""What one operation costs however few numbers it takes, in the same unit."""

Pair = tuple[list[Tensor], list[Tensor]]


def rare_pairs(tape: Tape, constants: ExactConstants, seed: int = 0) -> Iterator[Pair]:
    """Inputs a, b at the middle of which the program may not be the mean of its values, the likeliest first.

    Random pairs at many scales come first. Then the program's own kinks are visited, in tours: at each stop an
    operand that has not been seen on both sides of its kink is driven over it, by steps along its slope, and pairs
    on both sides are taken there; the next stop starts from the far side, so that kinks behind kinks, and products
    of which all factors are rarely on, come within reach. The pairs are sorted by the gap that floats show.
    """
    search = _Search(tape, constants, seed)
    yield from search.sorted_pairs(*search.random_pairs(), _MOST_VERIFIED, 0.0)
    for a, b in search.pairs_on_tours():
        yield from search.sorted_pairs(a, b, _VERIFIED_PER_STOP, _VISIBLE)


class _Search:
    def __init__(self, tape: Tape, constants: ExactConstants, seed: int) -> None:
        self._switches = Switches(tape, constants)
        self._compared = compared_with(tape)
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._work_of_point = max(1, count_work(tape))
        self._work_of_call = len(tape.needed()) * _WORK_PER_OPERATION
        self._work_left = _MOST_WORK
        floats = [torch.finfo(given.dtype) for given in tape.given]
        self._largest = min((float(info.max) for info in floats), default=1.0)

    def _at(self, points: Tensor) -> tuple[Tensor, Tensor] | None:
        """Outputs and switches; None where there is no work left."""
        self._work_left -= len(points) * self._work_of_point + self._work_of_call
        return None if self._work_left < 0 else self._switches.at(points)

    def _draw(self, *shape: int) -> Tensor:
        drawn = torch.randn(*shape, generator=self._generator, dtype=torch.float64, device="cpu")
        return (drawn * 64).round() / 64  # few bits, so that the numbers print short

    # -- pairs -----------------------------------------------------------------------------------------------------

    def random_pairs(self) -> tuple[Tensor, Tensor]:
        """Pairs of one sign and of both, of all coordinates and of one, at many scales; and around what is compared."""
        size = self._switches.size
        firsts: list[Tensor] = []
        seconds: list[Tensor] = []
        for scale in _SCALES:
            if scale < self._largest / 2**10:
                a, b = self._draw(2, size) * scale
                one = torch.zeros(size, dtype=torch.float64, device="cpu")
                one[int(torch.randint(max(1, size), (), generator=self._generator)) :][:1] = scale
                firsts += [a, a, a.abs(), -a.abs(), one]
                seconds += [-a, b, b.abs() / 2, -b.abs() / 2, -one]
        for number in self._compared:
            middle = torch.full((size,), number, dtype=torch.float64, device="cpu")
            half = math.ldexp(1.0, math.frexp(number)[1] - _NEAR)  # few bits more than the number has
            firsts.append(middle - half)
            seconds.append(middle + half)
        return torch.stack(firsts), torch.stack(seconds)

    def sorted_pairs(self, a: Tensor, b: Tensor, most: int, visible: float) -> Iterator[Pair]:
        """The one with the largest gap, relative to what is added up, and others with a visible one."""
        values = self._at(torch.cat([a, b, (a + b) / 2])) if len(a) else None
        if values is None:
            return
        at_a, at_b, middle = values[0].chunk(3)
        gap = (middle - (at_a + at_b) / 2).abs()
        size = at_a.abs() + at_b.abs() + middle.abs()
        relative = (gap / size.clamp_min(1e-300)).nan_to_num(0.0, 0.0, 0.0).amax(dim=1)
        for number, place in enumerate(relative.argsort(descending=True, stable=True)[:most].tolist()):
            if number and relative[place] < visible:
                return
            yield self._switches.split(a[place]), self._switches.split(b[place])

    # -- tours -----------------------------------------------------------------------------------------------------

    def pairs_on_tours(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs on both sides of the kinks met on the tours, stop by stop."""
        size = self._switches.size
        scales = [scale for scale in _SCALES[:8] if scale < self._largest / 2**10] or [1.0]
        seen = self._at(torch.cat([self._draw(4, size) * scale for scale in scales]))
        if seen is None or not seen[1].shape[1]:
            return
        switches = seen[1]
        home = switches[0] >= 0
        one_sided = (switches > 0).all(0) | (switches < 0).all(0)
        where = self._draw(_TOURS, size)
        for stop in range(_STOPS):
            now = self._at(where)
            if now is None:
                return
            wanted = ((now[1] >= 0) == home).double()  # not those that are driven over already
            if stop % 4 < 3 and bool(one_sided.any()):
                wanted = wanted * one_sided + 1e-9 * one_sided
            targets = torch.multinomial(wanted + 1e-12, 1, generator=self._generator)[:, 0]
            found = self._drive(where, targets)
            if found is None:
                return
            near, far, crossed = found
            where = far
            if bool(crossed.any()):
                yield self._around(near[crossed], far[crossed], targets[crossed])

    def _drive(self, where: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """Go from each point until its switch changes sign: the last two points, and whether it did."""
        near = here = where
        sloped = self._sloped(here, targets, fine=False)
        if sloped is None:
            return None
        value, slope = sloped
        side = value >= 0
        crossed = torch.zeros_like(side)
        limit = self._largest / 16
        for step in range(_STEPS):
            squared = (slope * slope).sum(1, keepdim=True)
            ahead = -value[:, None] / squared.clamp_min(1e-300) * (1 + 0.25 * (step % 3))
            astray = self._draw(*here.shape) * value.abs().clamp_min(1.0)[:, None]
            move = torch.where(squared > 0, slope * ahead, astray)
            there = (here + torch.where(crossed[:, None], 0.0, move)).nan_to_num(0.0).clamp(-limit, limit)
            sloped = self._sloped(there, targets, fine=step % 2 == 0)
            if sloped is None:
                return None
            value, slope = sloped
            near = torch.where(crossed[:, None], near, here)
            here = there
            crossed = crossed | ((value >= 0) != side) | (value == 0)
            if bool(crossed.all()):
                break
        return near, here, crossed

    def _sloped(self, here: Tensor, targets: Tensor, fine: bool) -> tuple[Tensor, Tensor] | None:
        """The switch of each point and its slope, in a random subspace where there are many axes."""
        size = self._switches.size
        if size <= _AXES:
            axes = torch.eye(size, dtype=torch.float64, device="cpu")
        else:
            axes = torch.linalg.qr(self._draw(size, _AXES))[0].T
        reach = here.abs().amax(1).clamp_min(1.0) * 2.0 ** (-16 if fine else -8)
        moved = here[:, None] + axes[None] * reach[:, None, None]
        result = self._at(torch.cat([here[:, None], moved], dim=1).reshape(-1, size))
        if result is None:
            return None
        switches = result[1].reshape(len(here), len(axes) + 1, -1)
        switches = switches.gather(2, targets[:, None, None].expand(-1, len(axes) + 1, 1))[:, :, 0]
        value = switches[:, 0].nan_to_num(0.0)
        slope = (((switches[:, 1:] - value[:, None]) / reach[:, None]) @ axes).nan_to_num(0.0, 0.0, 0.0)
        return value, slope

    def _around(self, near: Tensor, far: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs on both sides of the place between two points at which a switch is 0."""
        low, high = near, far
        part = torch.full((len(near), 1), 0.5, dtype=torch.float64, device="cpu")
        for _ in range(3):
            middle = low + (high - low) * part
            result = self._at(torch.cat([low, middle, high]))
            if result is None:
                break
            below, at, above = result[1].gather(1, targets.repeat(3)[:, None]).chunk(3)
            same = (at >= 0) == (below >= 0)
            low, high = torch.where(same, middle, low), torch.where(same, high, middle)
            first, last = torch.where(same, at, below), torch.where(same, above, at)
            part = (first / (first - last)).nan_to_num(0.5, 0.5, 0.5).clamp(2.0**-10, 1 - 2.0**-10)
        middle = low + (high - low) * part
        along = far - near
        unit = along / along.norm(dim=1, keepdim=True).clamp_min(1e-300)
        offsets = [along * half for half in _HALF_WIDTHS] + [unit, unit * 2.0**-8]
        return torch.cat([middle - offset for offset in offsets]), torch.cat([middle + offset for offset in offsets])
