"""Modules of complex numbers written to deceive: verdict, collapse, counterexample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import whyactivate as wa
from modules import Call
from whyactivate.affine import Verdict
from whyactivate.affine.pairs import as_pairs
from whyactivate.affine.rules.fourier import _Transform
from whyactivate.folding.copies import in_float64

pytestmark = pytest.mark.filterwarnings("ignore:Casting complex values to real", "ignore:ComplexHalf support")

AFFINE, NOT_AFFINE, UNDECIDED = Verdict.AFFINE, Verdict.NOT_AFFINE, Verdict.UNDECIDED
_RANDOM = torch.Generator().manual_seed(0)


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=_RANDOM, dtype=dtype)


REAL, COMPLEX, LONG = drawn(3, 8), drawn(3, 4, dtype=torch.complex64), drawn(3, 32)
IMAGES, CHANNELS = drawn(2, 4, 6), drawn(2, 3, 8)
W = drawn(4, 4, dtype=torch.complex64)


CASES: dict[str, tuple[Verdict, Callable[..., Any], Tensor]] = {}


def case(verdict: Verdict, x: Tensor) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        CASES[function.__name__] = verdict, function, x
        return function

    return enter


@case(AFFINE, COMPLEX)
def conj_bit_as_output(z):
    return z.conj()


@case(AFFINE, COMPLEX)
def neg_bit_as_output(z):
    return z.conj().imag


@case(AFFINE, COMPLEX)
def parts_between_places(z):
    return torch.tensor_split(z, torch.tensor([1, 2]), 1)[1]


@case(NOT_AFFINE, COMPLEX)
def conj_bit_hides_square(z):
    return (z.conj() * z).real


@case(NOT_AFFINE, COMPLEX)
def real_view_relu_in_place(z):
    y = z.clone()
    y.real.relu_()
    return y


@case(AFFINE, COMPLEX)
def imag_view_times_in_place(z):
    y = z.clone()
    y.imag.mul_(3)
    return y


@case(NOT_AFFINE, COMPLEX)
def neg_view_of_imag_relu_in_place(z):
    y = z.clone()
    y.conj().imag.relu_()
    return y


@case(AFFINE, COMPLEX)
def neg_view_fill(z):
    y = z.clone()
    y.conj().imag.fill_(3.0)
    return y


@case(AFFINE, COMPLEX)
def neg_view_copy(z):
    y = z.clone()
    y.conj().imag.copy_(z.real)
    return y


@case(NOT_AFFINE, COMPLEX)
def view_as_real_aliasing_abs(z):
    y = z.clone()
    v = torch.view_as_real(y)
    v[..., 0].abs_()
    return y * 2


@case(AFFINE, REAL)
def view_as_complex_aliasing(x):
    y = x.clone().reshape(-1, 4, 2)
    torch.view_as_complex(y).mul_(1j)
    return y


@case(AFFINE, COMPLEX)
def cast_drops_imag_square(z):
    y = torch.complex(z.real, z.real * z.imag)
    return y.to(torch.float32)


@case(NOT_AFFINE, REAL)
def real_part_of_a_square_through_complex(x):
    return (torch.complex(x, x) * torch.complex(x, -x)).real


@case(AFFINE, COMPLEX)
def imag_zero_of_size_squared(z):
    return (z * z.conj()).imag


@case(AFFINE, REAL)
def complex32_detour(x):
    return (torch.view_as_complex(x.half().reshape(-1, 4, 2))).real.float()


@case(AFFINE, REAL)
def polar_const_angle(x):
    return torch.polar(x, torch.full_like(x, 0.3))


@case(NOT_AFFINE, REAL)
def polar_data_angle(x):
    return torch.polar(torch.ones_like(x), x).real


@case(AFFINE, REAL)
def mul_on_complex_view(x):
    y = x.clone()
    torch.view_as_complex(y.view(-1, 4, 2)).mul_(2 + 1j)
    return y


@case(NOT_AFFINE, REAL)
def mul_by_itself_on_complex_view(x):
    y = x.clone()
    v = torch.view_as_complex(y.view(-1, 4, 2))
    v.mul_(v.conj())
    return y


@case(AFFINE, REAL)
def odd_n_irfft(x):
    return torch.fft.irfft(torch.fft.rfft(x, n=9), n=9)


@case(AFFINE, COMPLEX)
def hfft(z):
    return torch.fft.hfft(z)


@case(AFFINE, REAL)
def ihfft(x):
    return torch.fft.ihfft(x)


@case(AFFINE, REAL)
def ortho(x):
    return torch.fft.irfft(torch.fft.rfft(x, norm="ortho") * 2j, norm="forward")


@case(NOT_AFFINE, REAL)
def autocorrelation(x):
    s = torch.fft.rfft(x)
    return torch.fft.irfft(s * s.conj())


@case(NOT_AFFINE, REAL)
def power_spectrum_magnitude(x):
    return torch.fft.rfft(x).abs()


@case(UNDECIDED, REAL)
def phase_only(x):
    return torch.fft.rfft(x).angle()


@case(NOT_AFFINE, LONG)
def stft_magnitude(x):
    return torch.stft(x, 8, window=torch.hann_window(8), return_complex=True).abs()


@case(AFFINE, LONG)
def istft_stft(x):
    w = torch.hann_window(8)
    return torch.istft(torch.stft(x, 8, window=w, return_complex=True), 8, window=w)


@case(NOT_AFFINE, COMPLEX)
def crelu(z):
    return torch.complex(z.real.relu(), z.imag.relu())


@case(NOT_AFFINE, COMPLEX)
def crelu_far_away(z):
    return torch.complex((z.real + 100).relu(), z.imag)


@case(AFFINE, COMPLEX)
def relu_re_minus_relu_minus_re(z):
    return torch.complex(z.real.relu() - (-z.real).relu(), z.imag)


@case(AFFINE, COMPLEX)
def z_plus_1_squared_minus_z_squared(z):
    return (z + 1) * (z + 1) - z * z


@case(AFFINE, COMPLEX)
def z_times_conj_minus_size_squared_abs(z):
    return z + (z * z.conj()).real - (z.real**2 + z.imag**2)


@case(NOT_AFFINE, COMPLEX)
def modrelu(z):
    m = z.abs()
    return torch.relu(m - 0.5) * z / (m + 1e-5)


@case(UNDECIDED, REAL)
def unwritten_imaginary_part(x):
    y = torch.empty(x.shape, dtype=torch.complex64)
    y.real.copy_(x)
    return y


@case(AFFINE, REAL)
def buffer_written_through_real(x):
    y = torch.zeros(x.shape, dtype=torch.complex64)
    y.real = x
    y.imag = 2 * x
    return y


@case(AFFINE, COMPLEX)
def setitem_conj(z):
    y = torch.zeros(z.shape, dtype=torch.complex64)
    y[:, 1:] = z[:, 1:].conj()
    return y


@case(NOT_AFFINE, COMPLEX)
def complex_mask(z):
    return torch.where(z.real > 0, z, torch.zeros_like(z))


@case(NOT_AFFINE, COMPLEX)
def complex_eq(z):
    return torch.where(z == 0, z + 1, z)


@case(NOT_AFFINE, COMPLEX)
def isreal(z):
    return torch.where(torch.isreal(z), z + 1, z)


@case(UNDECIDED, COMPLEX)
def item(z):
    return z * complex(z[0, 0])


@case(UNDECIDED, COMPLEX)
def numpy(z):
    return torch.from_numpy(z.numpy() * 2)


@case(AFFINE, COMPLEX)
def view_dtype_float(z):
    return z.view(torch.float32) * 3


@case(UNDECIDED, COMPLEX)
def view_dtype_int(z):
    return z.view(torch.int32).float()


@case(AFFINE, REAL)
def view_dtype_to_complex(x):
    return x.view(torch.complex64).conj()


@case(AFFINE, COMPLEX)
def mixed_dtypes(z):
    return z.to(torch.complex128) * torch.ones(4, dtype=torch.float64) + 1j


@case(AFFINE, COMPLEX)
def int_mult(z):
    return z * torch.arange(4)


@case(AFFINE, COMPLEX)
def double_complex_scalar(z):
    return z * torch.tensor(0.1 + 0.2j, dtype=torch.complex128)


@case(AFFINE, COMPLEX)
def matmul_h(z):
    return z @ W.mH + (W.T[0])


@case(AFFINE, COMPLEX)
def einsum_conj(z):
    return torch.einsum("bi,oi->bo", z.conj(), W)


@case(NOT_AFFINE, COMPLEX)
def gram(z):
    return z.unsqueeze(-1) @ z.conj().unsqueeze(-2)


@case(AFFINE, COMPLEX)
def vdot(z):
    return torch.stack([torch.vdot(r, W[0]) for r in z])


@case(UNDECIDED, COMPLEX)
def linear_with_inf(z):
    return z * torch.tensor([1, 1, complex("inf"), 1])


@case(UNDECIDED, COMPLEX)
def nan_imag_weight(z):
    return z * torch.tensor([1, 1, complex("1+nanj"), 1])


@case(AFFINE, COMPLEX)
def conv1d_complex(z):
    return torch.nn.functional.conv1d(z[:, None], W[:2, None, :3])


@case(AFFINE, COMPLEX)
def cumsum(z):
    return z.cumsum(1)


@case(AFFINE, COMPLEX)
def mean_flip_roll_pad_cat(z):
    return torch.cat(
        [z.flip(1), z.roll(1, 1), torch.nn.functional.pad(z, (1, 1), value=2.0), z.mean(1, keepdim=True)], 1
    )


@case(NOT_AFFINE, COMPLEX)
def div_by_z(z):
    return 1 / (z + 10)


@case(AFFINE, COMPLEX)
def div_const(z):
    return z / (3 - 4j)


@case(NOT_AFFINE, COMPLEX)
def exp(z):
    return (1j * z.real).exp()


@case(NOT_AFFINE, COMPLEX)
def sgn(z):
    return z.sgn()


@case(NOT_AFFINE, COMPLEX)
def sigmoid(z):
    return torch.sigmoid(z)


@case(NOT_AFFINE, COMPLEX)
def tanh(z):
    return torch.tanh(z)


@case(NOT_AFFINE, COMPLEX)
def pow2(z):
    return z**2


@case(AFFINE, COMPLEX)
def pow1(z):
    return z**1


@case(NOT_AFFINE, COMPLEX)
def sqrt(z):
    return z.sqrt()


@case(NOT_AFFINE, COMPLEX)
def norm(z):
    return torch.linalg.vector_norm(z, dim=1)


@case(NOT_AFFINE, COMPLEX)
def var(z):
    return z.var(1)


@case(UNDECIDED, REAL)
def ifft_of_fft_minus_id_relu(x):
    return torch.relu(torch.fft.irfft(torch.fft.rfft(x)) - x) + x


@case(AFFINE, COMPLEX)
def out(z):
    o = torch.empty_like(z)
    torch.mul(z, 2j, out=o)
    return o


@case(AFFINE, COMPLEX)
def rows_mix_fft_over_batch(z):
    return torch.fft.fft(z, dim=0)


@case(AFFINE, COMPLEX)
def resolve_conj_shares(z):
    y = z.clone()
    w = y.resolve_conj()
    w.mul_(2j)
    return y


@case(AFFINE, COMPLEX)
def resolve_conj_copies(z):
    y = z.clone()
    w = y.conj().resolve_conj()
    w.real.relu_()
    return y


@case(NOT_AFFINE, COMPLEX)
def conj_shares_and_relu(z):
    y = z.clone()
    w = y.conj()
    w.real.relu_()
    return y


@case(AFFINE, COMPLEX)
def conj_physical(z):
    y = z.clone()
    y.conj_physical_()
    return y.conj() * 1j


@case(AFFINE, COMPLEX)
def as_strided_on_complex(z):
    return z.contiguous().as_strided((z.shape[0], 2), (4, 2), 1)


@case(AFFINE, COMPLEX)
def lerp(z):
    return torch.lerp(z, W[0].expand_as(z), 0.25)


@case(AFFINE, COMPLEX)
def addcmul(z):
    return torch.addcmul(z, z, W[0], value=2)


@case(AFFINE, COMPLEX)
def index_put(z):
    y = torch.zeros(z.shape, dtype=torch.complex64)
    y[:, torch.tensor([0, 2])] = z[:, :2]
    return y


@case(AFFINE, COMPLEX)
def scatter_add(z):
    return torch.zeros(z.shape, dtype=torch.complex64).scatter_add(1, torch.tensor([[0, 0, 1, 3]]).expand(z.shape), z)


@case(AFFINE, IMAGES)
def fftshift_fft2_real(x):
    return torch.fft.fftshift(torch.fft.fft2(x)).real


@case(AFFINE, CHANNELS)
def spectral_conv_fno(x):
    s = torch.fft.rfft(x)
    o = torch.zeros_like(s)
    o[:, :, :3] = torch.einsum("bix,iox->box", s[:, :, :3], torch.ones(3, 3, 3, dtype=torch.complex64) * (1 + 1j))
    return torch.fft.irfft(o, n=8)


@case(UNDECIDED, COMPLEX)
def deepcopy_repr(z):
    return z * len(repr(z))


@case(AFFINE, COMPLEX)
def try_except_unsupported(z):
    try:
        return torch.relu(z)
    except RuntimeError:
        return z * 2


@case(AFFINE, COMPLEX)
def is_conj_branch(z):
    y = z.conj()
    return y * 2 if y.is_conj() else y.abs()


@case(AFFINE, COMPLEX)
def stride_dependent(z):
    y = z.t() * 2j
    return y.t() if y.is_contiguous() else y.t() * 3


MIXING = {"rows_mix_fft_over_batch", "fftshift_fft2_real", "stride_dependent"}


@pytest.mark.parametrize("name", CASES)
def test_verdict_and_collapse_of_a_deceptive_module(name: str) -> None:
    expected, function, x = CASES[name]
    module = Call(function)
    analysis = wa.analyze(module, x)
    assert analysis.verdict is expected, str(analysis)
    if expected is UNDECIDED:
        assert analysis.blame
        assert analysis.counterexample is None
    elif expected is NOT_AFFINE:
        assert _gap_shown(function, analysis.counterexample) > 0
    elif name in MIXING:
        with pytest.raises(wa.CannotCollapseError, match="batch"):
            wa.collapse_linear(module, x)
    else:
        collapse = wa.collapse_linear(module, x)
        found, given = collapse.as_module()(x).detach(), module(x).detach()
        assert (found.shape, found.dtype) == (given.shape, given.dtype)
        size = max(1.0, float(given.abs().max()))
        tolerance = 2e-3 if name == "complex32_detour" else 1e-5
        assert float((found - given).abs().max()) <= tolerance * size


def _gap_shown(function: Callable[..., Any], found: Any) -> float:
    """How far the function itself is from affine at the counterexample, in double precision, in units of the gap."""
    first, second = map(float, found.weights)
    (a,), (b,) = found.a, found.b
    values = [as_pairs(_run(function, z)).double().flatten() for z in (a, b, first * a + second * b)]
    gap = float((values[2] - first * values[0] - second * values[1])[found.output_index].abs())
    return gap - 0.5 * found.gap


def _run(function: Callable[..., Any], z: Tensor) -> Tensor:
    single = z.to(torch.complex64 if z.is_complex() else torch.float32)
    return function(single.clone())


# -- what is affine, in and out -----------------------------------------------------------------------------------


def test_a_complex_layer_is_a_real_layer_on_real_and_imaginary_parts() -> None:
    layer = nn.Linear(3, 2, dtype=torch.complex128)
    collapse = wa.collapse_linear(layer)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    a, b = weight.real, weight.imag
    blocks = torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], 1)
    assert torch.equal(collapse.weight, blocks.reshape(4, 6))
    assert torch.equal(collapse.bias, as_pairs(bias).flatten())
    assert (collapse.input_shape, collapse.output_shape) == ((3, 2), (2, 2))
    assert collapse.parameters_before == 2 * (6 + 2)


def test_conjugation_is_affine_over_the_reals() -> None:
    collapse = wa.collapse_linear(Call(lambda z: z.conj()), COMPLEX)
    assert torch.equal(collapse.weight, torch.diag(torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)))


def test_a_quotient_by_a_complex_number_is_exact() -> None:
    collapse = wa.collapse_linear(Call(lambda z: z / (3 - 4j)), COMPLEX[:, :1])
    assert [[str(f) for f in row] for row in collapse.exact.weight.to_fractions()[0]] == [
        ["3/25", "-4/25"],
        ["4/25", "3/25"],
    ]


def test_a_complex_counterexample_is_complex() -> None:
    analysis = wa.analyze(Call(lambda z: z * z.conj()), COMPLEX)
    assert analysis.counterexample is not None
    assert analysis.counterexample.a[0].dtype == torch.complex128
    assert analysis.counterexample.a[0].shape == (1, 4)
    assert analysis.counterexample.arithmetic == "exact"


def test_the_module_and_its_weights_stay_as_they_were() -> None:
    layer = nn.Linear(3, 2, dtype=torch.complex64)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    x = COMPLEX[:, :3].clone()
    wa.analyze(nn.Sequential(layer, Call(lambda z: z.mul_(2j))), x)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())
    assert torch.equal(x, COMPLEX[:, :3])


def test_a_complex_buffer_that_the_input_is_written_into_is_state() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("last", torch.zeros(1, 4, dtype=torch.complex64))

        def forward(self, z: Tensor) -> Tensor:
            self.last.imag.copy_(z[:1].real)
            return z + self.last

    analysis = wa.analyze(Keeps(), COMPLEX)
    assert analysis.verdict is UNDECIDED
    assert "last" in str(analysis)


def test_a_complex_and_a_real_input_together() -> None:
    both = wa.analyze(Call(lambda z, x: z + x[:, :4] * 1j), (COMPLEX, REAL))
    assert both.verdict is AFFINE
    product = wa.analyze(Call(lambda z, x: z * x[:, :4]), (COMPLEX, REAL))
    assert product.verdict is NOT_AFFINE
    assert product.counterexample is not None
    assert [point.dtype for point in product.counterexample.a] == [torch.complex128, torch.float64]


# -- proofs ----------------------------------------------------------------------------------------------------------


def test_a_chain_of_complex_layers_is_proved_and_its_rounding_bounded() -> None:
    module = nn.Sequential(nn.Linear(4, 3, dtype=torch.complex64), nn.Linear(3, 2, dtype=torch.complex64))
    collapse = wa.collapse_linear(module)
    assert collapse.prove("exact").holds
    assert collapse.prove("numeric").holds


def test_an_exact_proof_says_that_the_coefficients_of_a_transform_are_taken() -> None:
    collapse = wa.collapse_linear(Call(lambda x: torch.fft.irfft(torch.fft.rfft(x) * (1 + 2j))), REAL)
    proof = collapse.prove("exact")
    assert proof.holds
    assert "fft_r2c: its coefficients are taken as computed; along an axis, each is within" in str(proof)
    with pytest.raises(wa.CannotProveError, match="how PyTorch rounds within fft_r2c is not known here"):
        collapse.prove("numeric")


def test_weights_changed_after_the_analysis_are_noticed() -> None:
    layer = nn.Linear(3, 2, dtype=torch.complex64)
    collapse = wa.collapse_linear(layer)
    with torch.no_grad():
        layer.weight.mul_(2)
    with pytest.raises(wa.InputError, match="analyse it again"):
        collapse.prove("exact")


def test_layers_around_a_transform_are_folded_and_compared_with_its_complex_weights() -> None:
    class Filter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(drawn(5, dtype=torch.complex64))

        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.irfft(torch.fft.rfft(x) * self.weight, n=8)

    module = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), Filter(), nn.Linear(8, 8), nn.Linear(8, 2))
    assert in_float64(module)[2].weight.dtype == torch.complex128
    slim = wa.collapse_runs(module, REAL)
    assert [type(part).__name__ for part in slim] == ["Linear", "Identity", "Filter", "Linear", "Identity"]
    assert torch.allclose(slim(REAL), module(REAL), atol=1e-5)


def test_complex_layers_are_not_folded() -> None:
    module = nn.Sequential(nn.Linear(4, 3, dtype=torch.complex64), nn.Linear(3, 2, dtype=torch.complex64))
    plan = wa.plan_runs(module, COMPLEX)
    assert not plan.folds
    assert torch.equal(wa.collapse_runs(module, COMPLEX)(COMPLEX), module(COMPLEX))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_coefficients_are_within_their_bound_of_the_definition(size: int, dtype: torch.dtype) -> None:
    turns = torch.outer(torch.arange(size), torch.arange(size)).double() * (2 * torch.pi / size)
    forward = torch.complex(turns.cos(), -turns.sin())
    unit = torch.finfo(dtype).eps
    for kind, flag, expected in (
        ("r2c", False, torch.view_as_real(forward).reshape(size, -1)),
        ("c2c", True, torch.view_as_real(torch.stack([forward, 1j * forward], 1)).reshape(2 * size, -1)),
        ("c2c", False, torch.view_as_real(torch.stack([forward.conj(), 1j * forward.conj()], 1)).reshape(2 * size, -1)),
    ):
        transform = _Transform(kind, size, 0, flag, dtype)
        found = transform.matrix.to_float64()[0]
        assert float((found - expected).abs().max()) <= transform.error + 1e-14
        assert transform.error <= 4 * unit * size


def test_a_counterexample_behind_a_transform_holds_for_its_unrounded_coefficients_too() -> None:
    analysis = wa.analyze(Call(lambda x: torch.relu(torch.fft.rfft(x).real)), REAL)
    assert analysis.counterexample is not None
    assert analysis.counterexample.arithmetic == "balls"
    # Rounding alone makes this bend, so nothing is refuted.
    assert wa.analyze(Call(lambda x: torch.relu(torch.fft.irfft(torch.fft.rfft(x)) - x)), REAL).verdict is UNDECIDED
