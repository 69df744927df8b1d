"""Floating-point bits read as integers: every finite float is an integer times a power of two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from whyactivate.errors import InputError

INTEGER_DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """How a binary floating-point format lays out its bits.

    Attributes:
        fraction: stored bits of the significand; precision is one more.
        exponent: bits of the exponent field.
        bits_dtype: the signed integer dtype of the same width.
    """

    fraction: int
    exponent: int
    bits_dtype: torch.dtype

    @property
    def unit_roundoff(self) -> float:
        """The u = 2^-p for precision p: |fl(x) - x| <= u|x| where nothing under- or overflows."""
        return 2.0 ** -(self.fraction + 1)

    @property
    def lowest_exponent(self) -> int:
        """Every finite number of the format is an integer times two to this power."""
        return 2 - (1 << (self.exponent - 1)) - self.fraction

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive number."""
        return 2.0**self.lowest_exponent

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number with full precision."""
        return 2.0 ** (self.lowest_exponent + self.fraction)


FLOAT_FORMATS: dict[torch.dtype, FloatFormat] = {
    torch.float16: FloatFormat(10, 5, torch.int16),
    torch.bfloat16: FloatFormat(7, 8, torch.int16),
    torch.float32: FloatFormat(23, 8, torch.int32),
    torch.float64: FloatFormat(52, 11, torch.int64),
}


def decode(tensor: torch.Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`(significand, exponent)` of every entry: the value is significand * 2^exponent, exactly.

    The bits are read, no float arithmetic happens: subnormals are right even where the processor flushes them.

    Raises:
        InputError: the dtype is not a known real one, or an entry is infinite or NaN (it is named).
    """
    if tensor.dtype in INTEGER_DTYPES:
        whole = tensor.detach().cpu().to(torch.int64).numpy()
        return whole, np.zeros_like(whole)
    if tensor.dtype not in FLOAT_FORMATS:
        known = ", ".join(str(d).removeprefix("torch.") for d in (*FLOAT_FORMATS, *INTEGER_DTYPES))
        raise InputError(f"cannot read {tensor.dtype} exactly; expected one of {known}")
    layout = FLOAT_FORMATS[tensor.dtype]
    plain = tensor.detach().cpu().resolve_neg().contiguous()
    bits = plain.view(layout.bits_dtype).to(torch.int64).numpy()
    field = (bits >> layout.fraction) & ((1 << layout.exponent) - 1)
    significand = bits & ((1 << layout.fraction) - 1)
    special = field == (1 << layout.exponent) - 1
    if special.any():
        entry = tuple(int(i) for i in np.argwhere(special)[0])
        raise InputError(
            f"entry {list(entry)} is {plain[entry].item()}; expected finite numbers "
            f"({int(special.sum())} of {special.size} are not)"
        )
    significand = np.where(field > 0, significand | (1 << layout.fraction), significand)
    exponent = np.maximum(field, 1) - 1 + layout.lowest_exponent
    return np.where(bits < 0, -significand, significand), exponent


def round_to(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A float64 tensor in another floating dtype, rounded once to nearest even.

    `Tensor.to` may pass through float32 on its way to a half precision and round twice; this does not.

    Raises:
        InputError: the dtype is not a floating one, or an entry rounds beyond its largest number.
    """
    if dtype not in FLOAT_FORMATS:
        raise InputError(f"cannot round to {dtype}; expected one of {', '.join(str(d) for d in FLOAT_FORMATS)}")
    layout = FLOAT_FORMATS[dtype]
    significand, exponent = decode(tensor.double())
    size = np.abs(significand)
    bits = np.frexp(size.astype(np.float64))[1].astype(np.int64)
    drop = np.clip(np.maximum(bits - layout.fraction - 1, layout.lowest_exponent - exponent), 0, 62)
    kept = size >> drop
    rest, half = size - (kept << drop), (np.int64(1) << drop) >> 1
    up = (rest > half) | ((rest == half) & (drop > 0) & (kept & 1 == 1))
    rounded = torch.as_tensor(np.ldexp((kept + up) * np.sign(significand), exponent + drop), device="cpu")
    beyond = rounded.abs() > torch.finfo(dtype).max
    if beyond.any():
        entry = tuple(int(i) for i in np.argwhere(beyond.numpy())[0])
        raise InputError(f"entry {list(entry)}, {tensor[entry].item():g}, is beyond the largest {dtype}")
    return rounded.to(dtype)
