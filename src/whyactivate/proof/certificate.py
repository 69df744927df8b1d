"""Writes a collapse down so that anyone can check it without us; `checker.py` reads it and says what the file holds."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.arithmetic.floats import decode
from whyactivate.errors import CannotProveError, InputError

FORMAT = "whyactivate-certificate/1"
CLAIM = "For every real x, claim(x) = step n(... step 2(step 1(x)) ...), where each of them is v -> weight v + bias."
LARGEST_FILE, LARGEST_HEADER, LARGEST_COUNT, LARGEST_DIVISOR = 2**27, 2**20, 2**23, 2**16
"""Bytes, bytes, numbers and hexadecimal digits: more the checker does not read."""
LARGEST_BITS = 2**32
"""Of all numbers, were each as long as the longest float, written as a whole number: more it does not hold."""

_DTYPES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32", torch.float64: "F64"}
_NO_HASH = "0" * 64


class CertifiedStep(Protocol):
    """What one step of a collapse must offer: v -> exact_weight v + exact_bias."""

    @property
    def name(self) -> str:
        """Path of the layer."""
        ...

    @property
    def weight(self) -> Tensor:
        """The matrix in float64, each entry rounded once; shape `(out, in)`."""
        ...

    @property
    def bias(self) -> Tensor | None:
        """The bias in float64; shape `(out,)`."""
        ...

    @property
    def exact_weight(self) -> ExactArray:
        """The matrix without rounding."""
        ...

    @property
    def exact_bias(self) -> ExactArray | None:
        """The bias without rounding."""
        ...


def write_certificate(
    path: str | Path,
    steps: Sequence[CertifiedStep],
    claim: ExactAffine,
    dtype: torch.dtype,
    notes: Sequence[str] = (),
) -> Path:
    """Writes steps and claim as a safetensors file that `whyactivate verify` checks, and returns its path.

    A matrix is written as floats of `dtype`, or of float64, where that loses nothing; otherwise, and for the claim,
    as whole numbers over one divisor.

    Args:
        path: where; a file that is there is replaced.
        steps: the factors, the first to act first.
        claim: the one map that they are claimed to be equal to.
        dtype: of the network.
        notes: what a reader should know about the numbers; written down, never checked.

    Raises:
        CannotProveError: the certificate would be larger than the checker reads, or a step has no numbers.
        InputError: this is no path, or the file cannot be written.
    """
    try:
        target = Path(path)
    except TypeError:
        raise InputError(
            f'expected the path of a file to write, as in "certificate.safetensors", got {path!r}'
        ) from None
    tensors: dict[str, tuple[str, list[int], bytes]] = {}
    divisors: dict[str, str] = {}
    longest = 0
    for number, step in enumerate(steps, 1):
        for part, exact, rounded in (("weight", step.exact_weight, step.weight), ("bias", step.exact_bias, step.bias)):
            if exact is not None and rounded is not None:
                name = f"step.{number}.{part}"
                floats = _as_floats(exact, rounded, dtype)
                if floats is not None:
                    longest = max(longest, _length(floats))
                    raw = floats.contiguous().view(torch.uint8).numpy().tobytes()
                    tensors[name] = _DTYPES[floats.dtype], list(floats.shape), raw
                else:
                    tensors[name] = _as_whole_numbers(name, exact, divisors)
    for part, exact in (("weight", claim.weight), ("bias", claim.bias)):
        tensors[f"claim.{part}"] = _as_whole_numbers(f"claim.{part}", exact, divisors)
    count = sum(math.prod(shape[:2]) for _, shape, _ in tensors.values())
    if count > LARGEST_COUNT:
        raise CannotProveError(f"a certificate of {count} numbers; the checker reads up to {LARGEST_COUNT}")
    if longest * count > LARGEST_BITS:
        raise CannotProveError(
            f"a certificate of {count} numbers, some of which have {longest} bits as whole numbers over one power of "
            f"two; the checker holds up to {LARGEST_BITS} bits"
        )
    empty = next((name for name, (_, shape, _) in tensors.items() if 0 in shape), None)
    if empty is not None:
        raise CannotProveError(f"{empty} has no numbers in it, and a certificate is about numbers")
    metadata = {
        "format": FORMAT,
        "claim": CLAIM,
        "sha256": _NO_HASH,
        "divisors": json.dumps(divisors),
        "notes": " ".join([*(f"Step {number} is {step.name}." for number, step in enumerate(steps, 1)), *notes]),
    }
    content = _hashed(_safetensors(tensors, metadata))
    try:
        target.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {target}: {(error.strerror or str(error)).lower()}") from error
    return target


def _as_floats(exact: ExactArray, rounded: Tensor, dtype: torch.dtype) -> Tensor | None:
    """The numbers in the first of the dtypes that holds each of them; None where rounding would change one."""
    for candidate in dict.fromkeys((dtype, torch.float64)):
        if candidate not in _DTYPES:
            continue
        floats = rounded.to(candidate)
        if bool(torch.isfinite(floats).all()) and ExactArray.from_tensor(floats).equals(exact):
            return floats
    return None


def _length(floats: Tensor) -> int:
    """How many bits the checker needs at most for one of these numbers, as a whole number over one power of two."""
    significand, exponent = decode(floats)
    used = significand != 0
    if not used.any():
        return 1
    significand, exponent = significand[used], exponent[used]
    trailing = np.frexp((significand & -significand).astype(np.float64))[1] - 1
    lowest = int((exponent + trailing).min())
    top = math.frexp(float(floats.abs().max()))[1]
    return max(top, 0) + 1 + max(-lowest, 0)


def _as_whole_numbers(name: str, exact: ExactArray, divisors: dict[str, str]) -> tuple[str, list[int], bytes]:
    """The numbers over their common denominator, each in as many bytes as the largest needs."""
    numerator, denominator = exact.unit.numerator, exact.unit.denominator
    divisors[name] = f"{denominator:x}"
    if len(divisors[name]) >= LARGEST_DIVISOR:
        raise CannotProveError(
            f"{name} has a denominator of {denominator.bit_length()} bits, too long for a certificate"
        )
    whole = [entry * numerator for entry in exact.ints.ravel().tolist()]
    width = max(entry.bit_length() for entry in whole) // 8 + 1 if whole else 1
    if width * len(whole) > LARGEST_FILE:
        raise _too_large(width * len(whole))
    data = b"".join(entry.to_bytes(width, "little", signed=True) for entry in whole)
    return "U8", [*exact.shape, width], data


def _safetensors(tensors: dict[str, tuple[str, list[int], bytes]], metadata: dict[str, str]) -> bytes:
    """The file: the length of the header in 8 bytes, the header as JSON, the data without gaps, widest dtype first."""
    header: dict[str, object] = {"__metadata__": metadata}
    begin = 0
    order = sorted(tensors, key=lambda name: ["F64", "F32", "F16", "BF16", "U8"].index(tensors[name][0]))
    for name in order:
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + len(data)]}
        begin += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that numbers begin at a multiple of their size
    size = 8 + len(text) + begin
    if size > LARGEST_FILE or 8 + len(text) > LARGEST_HEADER:
        raise _too_large(size)
    return len(text).to_bytes(8, "little") + text + b"".join(tensors[name][2] for name in order)


def _hashed(content: bytes) -> bytes:
    """The file with its SHA-256, taken with zeros in its place, written into the first such place."""
    return content.replace(_NO_HASH.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def _too_large(size: int) -> CannotProveError:
    return CannotProveError(
        f"the certificate would have {size} bytes; the checker reads up to {LARGEST_FILE} bytes "
        f"(a header of {LARGEST_HEADER} bytes). Collapse a smaller part of the module."
    )
