"""Every operation of the table of complex operations against the operation itself, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._ops import OpOverload

from modules import Call
from whyactivate.affine._torch_compat import DispatchMode
from whyactivate.affine.evaluating.replay import ExactConstants, Replay
from whyactivate.affine.pairs import as_complex, as_pairs
from whyactivate.affine.recording.lowering import _LOWERINGS
from whyactivate.affine.recording.tracker import record
from whyactivate.arithmetic.balls import BallArray
from whyactivate.arithmetic.enclosures import EnclosureArray
from whyactivate.arithmetic.exact import ExactArray

pytestmark = pytest.mark.filterwarnings("ignore:Casting complex values to real")

aten = torch.ops.aten
TO = torch.tensor
_RANDOM = torch.Generator().manual_seed(11)


def c(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_RANDOM, dtype=torch.complex128)


def t(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_RANDOM, dtype=torch.float64)


Z = c(3, 4)
"""What the operations get for z; x is its real part."""
W, V, R, X = c(4, 4), c(4), t(4), t(3, 4)
HIGH = TO([[True, False, True, False]])

Sample = Callable[[Tensor], Tensor]

SAMPLES: dict[OpOverload, list[Sample]] = {
    aten.clone.default: [lambda z: aten.clone(z), lambda z: z.conj().clone(), lambda z: z.conj().imag.clone()],
    aten.neg.default: [lambda z: -z, lambda z: -z.conj()],
    aten.cat.default: [lambda z: torch.cat([z, W, z.conj()]), lambda z: torch.cat([z, z.real], 1)],
    aten.stack.default: [lambda z: torch.stack([z, Z.conj()], -1)],
    aten.where.self: [lambda z: torch.where(HIGH, z, V), lambda z: torch.where(HIGH, z.real, z)],
    aten.flip.default: [lambda z: z.flip(1)],
    aten.roll.default: [lambda z: z.roll(1, 1), lambda z: z.conj().roll((1, 2), (0, 1))],
    aten.repeat.default: [lambda z: z.repeat(2, 1, 2)],
    aten.tril.default: [lambda z: z.tril()],
    aten.triu.default: [lambda z: z.triu(1)],
    aten.index_select.default: [lambda z: z.index_select(1, TO([0, 2, 0]))],
    aten.gather.default: [lambda z: z.gather(1, TO([[0, 1], [2, 2], [3, 0]]))],
    aten.index.Tensor: [lambda z: z[:, [0, 2]], lambda z: z[[0, 1], [2, 3]]],
    aten._unsafe_index.Tensor: [lambda z: aten._unsafe_index(z, [None, TO([1, 1])])],
    aten.constant_pad_nd.default: [lambda z: nn.functional.pad(z, (1, 2), value=0.5)],
    aten.masked_fill.Scalar: [lambda z: z.masked_fill(HIGH, 2 - 1j)],
    aten.masked_fill.Tensor: [lambda z: z.masked_fill(HIGH, TO(2 - 1j)), lambda z: V.masked_fill(HIGH, z[0, 0])],
    aten.slice_scatter.default: [lambda z: aten.slice_scatter(z, z[:, :2].conj(), 1, 1, 3)],
    aten.select_scatter.default: [lambda z: aten.select_scatter(W, z[0], 1, 2)],
    aten.sum.default: [lambda z: z.sum()],
    aten.sum.dim_IntList: [lambda z: z.sum(1), lambda z: z.real.sum(0, dtype=torch.complex128)],
    aten.mean.default: [lambda z: z.mean()],
    aten.mean.dim: [lambda z: z.conj().mean(1, keepdim=True)],
    aten.cumsum.default: [lambda z: z.cumsum(1)],
    aten.trace.default: [lambda z: z.trace()],
    aten.diag_embed.default: [lambda z: z.diag_embed()],
    aten.fill.Scalar: [lambda z: aten.mul(aten.fill(z, 2 - 1j), 1) + z, lambda z: z.clone().fill_(1j) + z],
    aten.fill.Tensor: [lambda z: aten.fill(V, z[0, 1]), lambda z: W.clone().fill_(z[0, 0])],
    aten.zero.default: [lambda z: aten.zero(z) + z],
    aten.index_put.default: [
        lambda z: W.index_put((TO([0, 2, 3]),), z), lambda z: z.index_put((TO([0, 0]),), V, accumulate=True),
    ],
    aten._unsafe_index_put.default: [lambda z: aten._unsafe_index_put(W, [TO([0, 2, 1])], z)],
    aten.scatter.src: [lambda z: z.scatter(1, TO([[0, 2]]), W)],
    aten.scatter.value: [lambda z: z.scatter(1, TO([[0, 2]]), 2.5 + 1j)],
    aten.scatter_add.default: [lambda z: W.scatter_add(1, TO([[0, 0, 1, 3]]), z)],
    aten.index_add.default: [lambda z: W.index_add(0, TO([0, 0, 3]), z, alpha=2)],
    aten.index_copy.default: [lambda z: W.index_copy(0, TO([3, 0, 1]), z)],
    aten.index_fill.int_Scalar: [lambda z: z.index_fill(1, TO([1]), 3 + 1j)],
    aten.index_fill.int_Tensor: [lambda z: z.index_fill(1, TO([1]), TO(3 + 1j, dtype=torch.complex128))],
    aten.masked_scatter.default: [lambda z: z.masked_scatter(HIGH, W)],
    aten.masked_select.default: [lambda z: z.masked_select(HIGH)],
    aten.take.default: [lambda z: z.take(TO([0, 5, 5]))],
    aten.rot90.default: [lambda z: z.rot90()],
    aten.lift_fresh_copy.default: [lambda z: aten.lift_fresh_copy(z)],
    aten.unfold_backward.default: [lambda z: aten.unfold_backward(z, [6], 0, 4, 1)],
    aten.diagonal_scatter.default: [lambda z: W.diagonal_scatter(z[0])],
    aten.reflection_pad1d.default: [lambda z: aten.reflection_pad1d(z, [2, 1])],
    aten.reflection_pad2d.default: [lambda z: aten.reflection_pad2d(z[None], [2, 1, 1, 1])],
    aten.replication_pad1d.default: [lambda z: aten.replication_pad1d(z, [2, 1])],
    aten.replication_pad2d.default: [lambda z: aten.replication_pad2d(z[None], [2, 1, 0, 3])],
    aten.pixel_shuffle.default: [lambda z: aten.pixel_shuffle(z.reshape(1, 12, 1, 1)[:, :8], 2)],
    aten.channel_shuffle.default: [lambda z: aten.channel_shuffle(z.reshape(1, 6, 2, 1), 3)],
    aten.permute_copy.default: [lambda z: aten.permute_copy(z, [1, 0])],
    aten.transpose_copy.int: [lambda z: aten.transpose_copy(z, 0, 1)],
    aten.t_copy.default: [lambda z: aten.t_copy(z)],
    aten.view_copy.default: [lambda z: aten.view_copy(z, [2, 6])],
    aten.unsqueeze_copy.default: [lambda z: aten.unsqueeze_copy(z, -1)],
    aten.squeeze_copy.default: [lambda z: aten.squeeze_copy(z[:1])],
    aten.squeeze_copy.dim: [lambda z: aten.squeeze_copy(z[:1], 0)],
    aten.expand_copy.default: [lambda z: aten.expand_copy(z, [2, 3, 4])],
    aten.slice_copy.Tensor: [lambda z: aten.slice_copy(z, 1, 1, 3)],
    aten.select_copy.int: [lambda z: aten.select_copy(z, 1, 2)],
    aten.alias_copy.default: [lambda z: aten.alias_copy(z)],
    aten.diagonal_copy.default: [lambda z: aten.diagonal_copy(z)],
    aten.narrow_copy.default: [lambda z: aten.narrow_copy(z, 1, 1, 2)],
    aten.unfold_copy.default: [lambda z: aten.unfold_copy(z, 1, 2, 1)],
    aten.put.default: [lambda z: z.put(TO([1, 5]), V[:2]), lambda z: W.put(TO([1, 1]), z[0, :2], True)],
    aten._chunk_cat.default: [lambda z: aten._chunk_cat([z, Z], 1, 2)],
    aten.block_diag.default: [lambda z: torch.block_diag(z, W, X)],
    aten.pixel_unshuffle.default: [lambda z: aten.pixel_unshuffle(z.reshape(1, 3, 2, 2), 2)],
    aten._unsafe_masked_index.default: [lambda z: aten._unsafe_masked_index(z[0], HIGH[0], [TO([0, 1, 2, 9])], 2 - 1j)],
    aten._unsafe_masked_index_put_accumulate.default: [
        lambda z: aten._unsafe_masked_index_put_accumulate(V, HIGH[0], [TO([0, 1, 0, 9])], z[0])
    ],
    aten.linalg_cross.default: [
        lambda z: torch.linalg.cross(z, W[1:].conj(), dim=0),
        lambda z: torch.linalg.cross(Z, z.conj(), dim=0),
    ],
    aten._to_copy.default: [
        lambda z: z.to(torch.complex64), lambda z: z.conj().to(torch.float64), lambda z: z.real.to(torch.complex128),
        lambda z: z.to(torch.float32),
    ],
    aten.copy.default: [
        lambda z: W[:3].clone().copy_(z.conj()), lambda z: X.clone().copy_(z), lambda z: W[:3].clone().copy_(z.imag),
        lambda z: W[:3].clone().conj().copy_(z), lambda z: W[:3].clone().conj().imag.copy_(z.real),
    ],
    aten._conj_physical.default: [lambda z: aten._conj_physical(z)],
    aten.conj_physical.default: [lambda z: z.clone().conj_physical_()],
    aten.complex.default: [lambda z: torch.complex(z.real, z.conj().imag), lambda z: torch.complex(z.real, R)],
    aten.add.Tensor: [
        lambda z: z + W[0], lambda z: z.real + W[0], lambda z: z + 1j, lambda z: torch.add(z, V, alpha=2j),
        lambda z: torch.add(V, z, alpha=1 - 2j), lambda z: z + R, lambda z: z.clone().add_(z.real, alpha=3),
        lambda z: z.real + 2j, lambda z: z.clone().imag.add_(1.0),
    ],
    aten.add.Scalar: [lambda z: aten.add.Scalar(z, 1 - 2j, 2)],
    aten.sub.Tensor: [
        lambda z: z - W[0], lambda z: R - z, lambda z: torch.sub(z, V, alpha=2j), lambda z: 1j - z.real,
        lambda z: W[:3].clone().sub_(z),
    ],
    aten.sub.Scalar: [lambda z: aten.sub.Scalar(z, 1 - 2j, 2)],
    aten.rsub.Tensor: [lambda z: torch.rsub(z, V, alpha=1j)],
    aten.rsub.Scalar: [lambda z: torch.rsub(z, 2 + 1j)],
    aten.mul.Tensor: [
        lambda z: z * W[0], lambda z: z * R, lambda z: z.real * V, lambda z: z * (2 - 1j), lambda z: z.real * 2j,
        lambda z: z.conj() * W[0].conj(), lambda z: z.clone().mul_(2j), lambda z: z.clone().conj().mul_(2j),
        lambda z: z * TO([1, 2, 3, 4]), lambda z: z * z.conj(), lambda z: z.clone().conj().imag.mul_(2.0),
        lambda z: torch.mul(z, 2j, out=torch.empty(3, 4, dtype=torch.complex128)),
    ],
    aten.mul.Scalar: [lambda z: aten.mul.Scalar(z, 2 - 1j), lambda z: aten.mul.Scalar(z.real, 1j)],
    aten.addcmul.default: [lambda z: torch.addcmul(V, z, W[0], value=2 - 1j), lambda z: torch.addcmul(z, V, V)],
    aten.lerp.Scalar: [lambda z: torch.lerp(z, W[:3], 0.25 + 1j)],
    aten.lerp.Tensor: [lambda z: torch.lerp(W[:3], z, W[1:])],
    aten.div.Tensor: [
        lambda z: z / (3 - 4j), lambda z: z / R, lambda z: z.real / V, lambda z: z / V, lambda z: V / z,
        lambda z: z.clone().div_(2j), lambda z: z.conj() / V.conj(),
    ],
    aten.div.Scalar: [lambda z: aten.div.Scalar(z, 3 - 4j)],
    aten.reciprocal.default: [lambda z: z.reciprocal()],
    aten.mm.default: [
        lambda z: z @ W, lambda z: W @ z.T, lambda z: z.conj() @ W.mH, lambda z: z @ z.mH,
    ],
    aten.bmm.default: [lambda z: torch.bmm(z[None], W[None]), lambda z: torch.bmm(W[None], z.T[None].conj())],
    aten.addmm.default: [
        lambda z: torch.addmm(V, z, W), lambda z: torch.addmm(z, W[:3], W, beta=2, alpha=-1),
        lambda z: torch.addmm(V[:1], z, W), lambda z: torch.addmm(V[:3, None], z.conj(), W.mH),
    ],
    aten.baddbmm.default: [lambda z: torch.baddbmm(V, z[None], W[None], beta=0.5)],
    aten.mv.default: [lambda z: z.mv(V), lambda z: W.mv(z[0].conj())],
    aten.dot.default: [lambda z: z[0].dot(V), lambda z: V.dot(z[1].conj())],
    aten.vdot.default: [lambda z: torch.vdot(z[0], V), lambda z: torch.vdot(V, z[1].conj())],
    aten._fft_r2c.default: [
        lambda z: torch.fft.rfft(z.real), lambda z: torch.fft.rfft2(z.real, norm="ortho"),
        lambda z: torch.fft.fft(z.imag, norm="forward"), lambda z: torch.fft.ihfft(z.real, dim=0),
    ],
    aten._fft_c2c.default: [
        lambda z: torch.fft.fft(z, n=5), lambda z: torch.fft.ifft(z.conj()), lambda z: torch.fft.fft2(z, norm="ortho"),
        lambda z: torch.fft.ifftn(z, dim=(1, 0)),
    ],
    aten._fft_c2r.default: [
        lambda z: torch.fft.irfft(z), lambda z: torch.fft.irfft(z, n=7, norm="forward"), lambda z: torch.fft.hfft(z),
        lambda z: torch.fft.irfft2(z, norm="ortho"), lambda z: torch.fft.irfft(z, n=5, dim=0),
    ],
    aten.polar.default: [lambda z: torch.polar(z.real, R), lambda z: torch.polar(torch.ones(3, 4).double(), z.real)],
    aten.exp.default: [lambda z: z.exp()],
    aten.sigmoid.default: [lambda z: z.sigmoid()],
    aten.tanh.default: [lambda z: z.tanh()],
    aten.sqrt.default: [lambda z: z.sqrt(), lambda z: z.conj().sqrt()],
    aten.sin.default: [lambda z: z.sin()],
    aten.cos.default: [lambda z: z.cos()],
    aten.var.correction: [lambda z: z.var(1), lambda z: z.var(correction=0)],
    aten.abs.default: [lambda z: z.abs(), lambda z: z.conj().abs()],
    aten.sgn.default: [lambda z: z.sgn(), lambda z: torch.cat([z, torch.zeros_like(z)]).sgn()],
    aten.pow.Tensor_Scalar: [lambda z: z**1, lambda z: z**2, lambda z: z**3],
    aten.eq.Tensor: [lambda z: torch.where(z == Z, z, 2 * z)],
    aten.eq.Scalar: [lambda z: torch.where(z == 1j, z, 2 * z)],
    aten.ne.Tensor: [lambda z: torch.where(z != Z, z, 2 * z)],
    aten.ne.Scalar: [lambda z: torch.where(z != 1j, z, 2 * z)],
    aten.linalg_vector_norm.default: [lambda z: torch.linalg.vector_norm(z, dim=1), lambda z: z.abs().norm(1)],
}  # fmt: skip


class Seen(DispatchMode):
    """The functional forms of the operations that take place."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func._schema.name.rstrip("_"))
        return func(*args, **(kwargs or {}))


def close(found: Tensor, expected: Tensor) -> bool:
    size = max(1.0, float(expected.abs().max()))
    tolerance = 1e-5 if expected.dtype in (torch.complex64, torch.float32) else 1e-12
    return found.shape == as_pairs(expected).shape and bool(
        ((found - as_pairs(expected).double()).abs() <= tolerance * size).all()
    )


def test_every_operation_of_the_table_has_samples() -> None:
    assert {str(op) for op in SAMPLES} == {str(op) for op in _LOWERINGS}


@pytest.mark.parametrize("op", SAMPLES, ids=str)
def test_an_operation_is_what_its_real_operations_come_to(op: OpOverload) -> None:
    for sample in SAMPLES[op]:
        tape = record(Call(sample), [Z], {})
        assert tape.refusal is None, tape.refusal
        other = c(3, 4)
        for z in (Z, other):
            exact = ExactArray.from_tensor(as_pairs(z))
            expected = sample(z.clone())
            for point in (exact, BallArray.from_exact(exact), EnclosureArray.from_tensor(as_pairs(z))):
                constants = ExactConstants()
                held = constants.enclosed if isinstance(point, EnclosureArray) else constants
                (found,) = Replay(tape, constants=held).outputs([point])
                assert close(found.to_float64()[0], expected), (op, type(point))


@pytest.mark.parametrize("op", SAMPLES, ids=str)
def test_a_tape_without_roots_is_affine_and_one_with_roots_is_not(op: OpOverload) -> None:
    for sample in SAMPLES[op]:
        tape = record(Call(sample), [Z], {})
        a, b = c(3, 4), c(3, 4)
        at = [as_pairs(sample(z.clone())).double() for z in (a, b, 2 * a - b)]
        gap = float((at[2] - 2 * at[0] + at[1]).abs().max()) / max(1.0, float(at[2].abs().max()))
        assert (gap < 1e-5) == (not tape.roots_of_outputs() - {0} or "==" in _text(op)), gap


def _text(op: OpOverload) -> str:
    return "==" if op in (aten.eq.Tensor, aten.eq.Scalar, aten.ne.Tensor, aten.ne.Scalar) else ""


@pytest.mark.parametrize("op", SAMPLES, ids=str)
def test_the_samples_meet_their_operation(op: OpOverload) -> None:
    for sample in SAMPLES[op][:1]:
        with Seen() as seen:
            sample(Z.clone())
        assert op._schema.name in seen.names


def test_pairs_and_complex_numbers_are_one_memory() -> None:
    z = c(2, 3)
    assert torch.equal(as_complex(as_pairs(z)), z)
    assert as_pairs(z).data_ptr() == z.data_ptr()
    assert torch.equal(as_pairs(z.conj())[..., 1], -z.imag)
    assert torch.equal(as_pairs(torch._neg_view(z).conj()), torch.view_as_real(-z.conj().resolve_conj()))
