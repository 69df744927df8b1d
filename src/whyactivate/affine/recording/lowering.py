"""Operations on complex numbers, each written as operations on real and imaginary parts.

A complex map is affine over the reals; a product by a complex constant is a real 2×2 block. So nothing but this table
knows of complex numbers: it is carried out while the tracker looks on, and what lands on the tape is real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whyactivate.affine._torch_compat import OpOverload
from whyactivate.affine.pairs import Part, as_tensor, minus, parts_of, plus, real_dtype, times
from whyactivate.affine.rules.fourier import fft_c2c, fft_c2r, fft_r2c, quotient

aten = torch.ops.aten

Pair = tuple[Part, Part]


class CannotLower(Exception):
    """The table does not say what a complex operation comes to in real numbers; the message says why."""


@dataclass(frozen=True, slots=True)
class ComplexCall:
    """One operation on complex numbers.

    Attributes:
        op: the operation in its functional form.
        operands: its operands by name, defaults included.
        result: what it gives.
    """

    op: OpOverload
    operands: Mapping[str, Any]
    result: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """The real dtype in which it computes."""
        own = real_dtype(self.result.dtype)
        if own.is_floating_point:
            return own
        return next(real_dtype(x.dtype) for x in self.operands.values() if isinstance(x, Tensor) and x.is_complex())

    def parts(self, name: str) -> Pair:
        """Real and imaginary part of an operand."""
        return parts_of(self.operands[name], self.dtype)

    def both(self, name: str) -> tuple[Tensor, Tensor]:
        """The same as tensors of the operand's shape."""
        return self.both_of(self.operands[name])

    def both_of(self, operand: Any) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of a tensor, zeros where it is real."""
        re, im = parts_of(operand, self.dtype)
        assert isinstance(re, Tensor)
        return re, as_tensor(im, re)

    def pairs(self, name: str) -> Tensor:
        """An operand as real tensor of shape `(…, 2)`."""
        re, im = self.parts(name)
        if not isinstance(re, Tensor):
            like = self.result.new_zeros((), dtype=self.dtype)
            re, im = as_tensor(re, like), as_tensor(im, like)
        return torch.stack([re, as_tensor(im, re)], -1)

    def number(self, name: str) -> float:
        """A real factor given as a Python number."""
        number = complex(self.operands[name])
        if number.imag:
            raise CannotLower(f"{name} = {number} is not real")
        return number.real


Lowering = Callable[[ComplexCall], "Pair | Tensor"]
_LOWERINGS: dict[OpOverload, Lowering] = {}


def is_about_complex(op: OpOverload, tensors: Iterable[Tensor], operands: Iterable[Any]) -> bool:
    """Whether an operation takes or gives complex numbers, or numbers with a lazy sign."""
    if op in _MAKE_COMPLEX or any(tensor.is_complex() or tensor.is_neg() for tensor in tensors):
        return True
    return any(
        type(operand) is complex or (isinstance(operand, torch.dtype) and operand.is_complex) for operand in operands
    )


def can_lower(op: OpOverload) -> bool:
    """Whether the table has an operation, in its functional form."""
    return op in _LOWERINGS


def lower(call: ComplexCall) -> Pair | Tensor:
    """The result of an operation as real and imaginary part, or in new memory: as pairs, or real where it is real.

    Raises:
        CannotLower: there is no formula for these operands; the message says why.
    """
    return _LOWERINGS[call.op](call)


def _lowers(*ops: OpOverload) -> Callable[[Lowering], Lowering]:
    def enter(lowering: Lowering) -> Lowering:
        _LOWERINGS.update(dict.fromkeys(ops, lowering))
        return lowering

    return enter


_MAKE_COMPLEX = frozenset({aten.complex.default, aten.polar.default, aten._fft_r2c.default})


# -- both parts alike -------------------------------------------------------------------------------------------------

_NUMBERS_ADDED = frozenset({"value", "fill"})


@_lowers(
    aten.clone.default, aten.neg.default, aten.cat.default, aten.stack.default, aten.where.self, aten.flip.default,
    aten.roll.default, aten.repeat.default, aten.tril.default, aten.triu.default, aten.index_select.default,
    aten.gather.default, aten.index.Tensor, aten._unsafe_index.Tensor, aten.constant_pad_nd.default,
    aten.masked_fill.Scalar, aten.masked_fill.Tensor, aten.slice_scatter.default, aten.select_scatter.default,
    aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim, aten.cumsum.default, aten.trace.default,
    aten.diag_embed.default, aten.fill.Scalar, aten.fill.Tensor, aten.zero.default, aten.index_put.default,
    aten._unsafe_index_put.default, aten.scatter.src, aten.scatter.value, aten.scatter_add.default,
    aten.index_add.default, aten.index_copy.default, aten.index_fill.int_Scalar, aten.index_fill.int_Tensor,
    aten.masked_scatter.default, aten.masked_select.default, aten.take.default, aten.rot90.default,
    aten.lift_fresh_copy.default, aten.unfold_backward.default, aten.diagonal_scatter.default,
    aten.reflection_pad1d.default, aten.reflection_pad2d.default, aten.replication_pad1d.default,
    aten.replication_pad2d.default, aten.pixel_shuffle.default, aten.channel_shuffle.default,
    aten.permute_copy.default, aten.transpose_copy.int, aten.t_copy.default, aten.view_copy.default,
    aten.unsqueeze_copy.default, aten.squeeze_copy.default, aten.squeeze_copy.dim, aten.expand_copy.default,
    aten.slice_copy.Tensor, aten.select_copy.int, aten.alias_copy.default, aten.diagonal_copy.default,
    aten.narrow_copy.default, aten.unfold_copy.default, aten.put.default, aten._chunk_cat.default,
    aten.block_diag.default, aten.pixel_unshuffle.default, aten._unsafe_masked_index.default,
    aten._unsafe_masked_index_put_accumulate.default,
)  # fmt: skip
def _by_parts(call: ComplexCall) -> Pair:
    """Operations that only move or add numbers: real parts among themselves, imaginary parts among themselves."""

    def part(name: str, operand: Any, which: int) -> Any:
        if isinstance(operand, Tensor):
            return call.both_of(operand)[which] if operand.is_complex() or operand.is_floating_point() else operand
        if isinstance(operand, (list, tuple)):
            return [part("", item, which) for item in operand]
        if name in _NUMBERS_ADDED:
            return (complex(operand).real, complex(operand).imag)[which]
        if name == "alpha":
            return call.number(name)
        return real_dtype(operand) if isinstance(operand, torch.dtype) else operand

    re, im = (call.op(**{name: part(name, x, which) for name, x in call.operands.items()}) for which in (0, 1))
    return re, im


@_lowers(aten._to_copy.default)
def _to_copy(call: ComplexCall) -> Pair:
    return call.parts("self")


@_lowers(aten.copy.default)
def _copy(call: ComplexCall) -> Pair:
    return call.parts("src")


@_lowers(aten._conj_physical.default, aten.conj_physical.default)
def _conjugate(call: ComplexCall) -> Pair:
    re, im = call.parts("self")
    return re, minus(None, im)


@_lowers(aten.complex.default)
def _complex(call: ComplexCall) -> Pair:
    return call.parts("real")[0], call.parts("imag")[0]


# -- sums and products ------------------------------------------------------------------------------------------------


def _product(a: Pair, b: Pair) -> Pair:
    return minus(times(a[0], b[0]), times(a[1], b[1])), plus(times(a[0], b[1]), times(a[1], b[0]))


def _sum(a: Pair, b: Pair) -> Pair:
    return plus(a[0], b[0]), plus(a[1], b[1])


def _scaled(call: ComplexCall, pair: Pair, name: str) -> Pair:
    return pair if call.operands[name] == 1 else _product(pair, parts_of(call.operands[name], call.dtype))


@_lowers(aten.add.Tensor, aten.add.Scalar)
def _add(call: ComplexCall) -> Pair:
    return _sum(call.parts("self"), _scaled(call, call.parts("other"), "alpha"))


@_lowers(aten.sub.Tensor, aten.sub.Scalar)
def _sub(call: ComplexCall) -> Pair:
    a, b = call.parts("self"), _scaled(call, call.parts("other"), "alpha")
    return minus(a[0], b[0]), minus(a[1], b[1])


@_lowers(aten.rsub.Tensor, aten.rsub.Scalar)
def _rsub(call: ComplexCall) -> Pair:
    a, b = call.parts("other"), _scaled(call, call.parts("self"), "alpha")
    return minus(a[0], b[0]), minus(a[1], b[1])


@_lowers(aten.mul.Tensor, aten.mul.Scalar)
def _mul(call: ComplexCall) -> Pair:
    return _product(call.parts("self"), call.parts("other"))


@_lowers(aten.addcmul.default)
def _addcmul(call: ComplexCall) -> Pair:
    product = _product(call.parts("tensor1"), call.parts("tensor2"))
    return _sum(call.parts("self"), _scaled(call, product, "value"))


@_lowers(aten.linalg_cross.default)
def _cross(call: ComplexCall) -> Pair:
    (a, b), (c, d) = call.both("self"), call.both("other")
    cross, dim = torch.linalg.cross, call.operands["dim"]
    return cross(a, c, dim=dim) - cross(b, d, dim=dim), cross(a, d, dim=dim) + cross(b, c, dim=dim)


@_lowers(aten.lerp.Scalar, aten.lerp.Tensor)
def _lerp(call: ComplexCall) -> Pair:
    a, b = call.parts("self"), call.parts("end")
    return _sum(a, _product((minus(b[0], a[0]), minus(b[1], a[1])), call.parts("weight")))


@_lowers(aten.div.Tensor, aten.div.Scalar)
def _div(call: ComplexCall) -> Pair | Tensor:
    re, im = call.parts("self")
    c, d = call.parts("other")
    if d is None and c is not None and isinstance(re, Tensor):
        return re / c, im / c if isinstance(im, Tensor) else None
    return quotient(call.pairs("self"), call.pairs("other"))


@_lowers(aten.reciprocal.default)
def _reciprocal(call: ComplexCall) -> Tensor:
    pairs = call.pairs("self")
    one = torch.tensor([1.0, 0.0], dtype=pairs.dtype, device=pairs.device)
    return quotient(one, pairs)


# -- products of matrices ---------------------------------------------------------------------------------------------


def _halves(wide: Tensor) -> Pair:
    """The real and the imaginary columns of a product of blocks."""
    re, im = wide.chunk(2, -1)
    return re, im


def _rows(call: ComplexCall, name: str) -> Tensor:
    return torch.cat(call.both(name), -1)


def _block(call: ComplexCall, name: str) -> Tensor:
    """The real matrix [[c, d], [-d, c]] that multiplies rows [a, b] as c + di multiplies a + bi."""
    re, im = call.both(name)
    return torch.cat([torch.cat([re, im], -1), torch.cat([-im, re], -1)], -2)


@_lowers(aten.mm.default, aten.bmm.default)
def _mm(call: ComplexCall) -> Pair:
    return _halves(call.op(_rows(call, "self"), _block(call, "mat2")))


@_lowers(aten.addmm.default)
def _addmm(call: ComplexCall) -> Pair:
    return _added_to_product(call, "mat1", "mat2")


@_lowers(aten.baddbmm.default)
def _baddbmm(call: ComplexCall) -> Pair:
    return _added_to_product(call, "batch1", "batch2")


def _added_to_product(call: ComplexCall, left: str, right: str) -> Pair:
    re, im = call.both("self")
    columns = call.result.shape[-1]
    if re.shape[-1:] != (columns,):
        re, im = re.expand(call.result.shape), im.expand(call.result.shape)
    how = {name: call.number(name) for name in ("beta", "alpha")}
    return _halves(call.op(torch.cat([re, im], -1), _rows(call, left), _block(call, right), **how))


@_lowers(aten.mv.default)
def _mv(call: ComplexCall) -> Pair:
    re, im = call.both("self")
    matrix = torch.cat([torch.cat([re, -im], 1), torch.cat([im, re], 1)], 0)
    return _halves(torch.mv(matrix, _rows(call, "vec")))


@_lowers(aten.dot.default)
def _dot(call: ComplexCall) -> Pair:
    return _dot_of(call.both("self"), call.both("tensor"))


@_lowers(aten.vdot.default)
def _vdot(call: ComplexCall) -> Pair:
    re, im = call.both("self")
    return _dot_of((re, -im), call.both("other"))


def _dot_of(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Pair:
    row = torch.cat(a)
    return torch.dot(row, torch.cat([b[0], -b[1]])), torch.dot(row, torch.cat([b[1], b[0]]))


# -- Fourier transforms -----------------------------------------------------------------------------------------------


def _axes(call: ComplexCall) -> list[int]:
    ndim = call.operands["self"].ndim
    return [axis % ndim for axis in call.operands["dim"]]


@_lowers(aten._fft_r2c.default)
def _r2c(call: ComplexCall) -> Tensor:
    re, _ = call.parts("self")
    return fft_r2c(re, _axes(call), call.operands["normalization"], call.operands["onesided"])


@_lowers(aten._fft_c2c.default)
def _c2c(call: ComplexCall) -> Tensor:
    pairs = call.pairs("self")
    return fft_c2c(pairs, _axes(call), call.operands["normalization"], call.operands["forward"])


@_lowers(aten._fft_c2r.default)
def _c2r(call: ComplexCall) -> Tensor:
    pairs = call.pairs("self")
    return fft_c2r(pairs, _axes(call), call.operands["normalization"], call.operands["last_dim_size"])


# -- what is not affine, as far as there are formulas -----------------------------------------------------------------


@_lowers(aten.polar.default)
def _polar(call: ComplexCall) -> Pair:
    return _turned(call.parts("abs")[0], call.parts("angle")[0])


def _turned(radius: Any, angle: Any) -> Pair:
    return radius * angle.cos(), radius * angle.sin()


@_lowers(aten.exp.default)
def _exp(call: ComplexCall) -> Pair:
    re, im = call.both("self")
    return _turned(re.exp(), im)


@_lowers(aten.sigmoid.default)
def _sigmoid(call: ComplexCall) -> Tensor:
    re, im = call.both("self")
    power_re, power_im = (-re).exp(), -im
    below = torch.stack([power_re * power_im.cos() + 1, power_re * power_im.sin()], -1)
    return quotient(torch.tensor([1.0, 0.0], dtype=re.dtype, device=re.device), below)


@_lowers(aten.tanh.default)
def _tanh(call: ComplexCall) -> Pair:
    re, im = call.both("self")
    below = (2 * re).cosh() + (2 * im).cos()
    return (2 * re).sinh() / below, (2 * im).sin() / below


@_lowers(aten.sqrt.default)
def _sqrt(call: ComplexCall) -> Pair:
    re, im = call.both("self")
    size = torch.hypot(re, im)
    sign = torch.where(im >= 0, 1.0, -1.0)
    return ((size + re) / 2).sqrt(), ((size - re) / 2).sqrt() * sign


@_lowers(aten.sin.default)
def _sin(call: ComplexCall) -> Pair:
    re, im = call.both("self")
    return re.sin() * im.cosh(), re.cos() * im.sinh()


@_lowers(aten.cos.default)
def _cos(call: ComplexCall) -> Pair:
    re, im = call.both("self")
    return re.cos() * im.cosh(), -(re.sin() * im.sinh())


@_lowers(aten.var.correction)
def _var(call: ComplexCall) -> Tensor:
    re, im = call.both("self")
    others = {name: operand for name, operand in call.operands.items() if name != "self"}
    return call.op(re, **others) + call.op(im, **others)


@_lowers(aten.abs.default)
def _abs(call: ComplexCall) -> Tensor:
    return torch.hypot(*call.both("self"))


@_lowers(aten.sgn.default)
def _sgn(call: ComplexCall) -> Pair:
    re, im = call.both("self")
    size = torch.hypot(re, im)
    zero = size == 0
    size = torch.where(zero, 1.0, size)
    return re / size, im / size


@_lowers(aten.pow.Tensor_Scalar)
def _pow(call: ComplexCall) -> Pair:
    exponent = call.operands["exponent"]
    if exponent not in (1, 2, 3, 4):
        raise CannotLower(f"a complex number to the power {exponent} has no formula here")
    first = result = call.parts("self")
    for _ in range(int(complex(exponent).real) - 1):
        result = _product(result, first)
    return result


@_lowers(aten.eq.Tensor, aten.eq.Scalar)
def _eq(call: ComplexCall) -> Tensor:
    return _are_equal(call)


def _are_equal(call: ComplexCall) -> Tensor:
    (a, b), (c, d) = call.both("self"), call.parts("other")
    return torch.logical_and(torch.eq(a, 0.0 if c is None else c), torch.eq(b, 0.0 if d is None else d))


@_lowers(aten.ne.Tensor, aten.ne.Scalar)
def _ne(call: ComplexCall) -> Tensor:
    return torch.logical_not(_are_equal(call))


@_lowers(aten.linalg_vector_norm.default)
def _vector_norm(call: ComplexCall) -> Tensor:
    others = {name: operand for name, operand in call.operands.items() if name != "self"}
    return call.op(torch.hypot(*call.both("self")), **others)
