"""Certificates taken apart and put together again, for the tests of the checker."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whyactivate.arithmetic.affine_map import ExactAffine
from whyactivate.arithmetic.exact import ExactArray
from whyactivate.proof import write_certificate

NO_HASH = "0" * 64
FRACTION_BITS = {"BF16": (2, 7), "F16": (2, 10), "F32": (4, 23), "F64": (8, 52)}


@dataclass(frozen=True)
class Step:
    name: str
    weight: Tensor
    bias: Tensor | None
    exact_weight: ExactArray
    exact_bias: ExactArray | None

    @classmethod
    def of(cls, number: int, layer: nn.Linear) -> Step:
        bias = layer.bias
        exact = None if bias is None else ExactArray.from_tensor(bias)
        weight, exact_weight = layer.weight.detach(), ExactArray.from_tensor(layer.weight)
        return cls(
            f"layer {number}", weight.double(), None if bias is None else bias.detach().double(), exact_weight, exact
        )


def certify(network: nn.Sequential, path: Path, dtype: torch.dtype) -> ExactAffine:
    """Writes a certificate of a chain of linear layers, and returns the claim in it."""
    steps = [Step.of(number, layer) for number, layer in enumerate(network)]
    claim = ExactAffine.multiply_out(steps)
    write_certificate(path, steps, claim, dtype)
    return claim


@dataclass
class Draft:
    """A certificate that can be changed anywhere and sealed again, as a forger would do it."""

    header: dict[str, Any]
    data: bytearray

    @classmethod
    def read(cls, path: Path) -> Draft:
        content = path.read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        return cls(json.loads(content[8:start]), bytearray(content[start:]))

    @property
    def about(self) -> dict[str, str]:
        return self.header["__metadata__"]

    def span(self, name: str) -> slice:
        return slice(*self.header[name]["data_offsets"])

    def tensor(self, name: str) -> bytes:
        return bytes(self.data[self.span(name)])

    def write(self, path: Path) -> Path:
        """With the right SHA-256, whatever else is wrong with it."""
        self.about["sha256"] = NO_HASH
        text = json.dumps(self.header).encode()
        return seal(path, len(text).to_bytes(8, "little") + text + self.data)

    def numbers(self, name: str) -> list[list[Fraction]]:
        """A tensor as rows of fractions, bit by bit: nothing is shared with the checker."""
        entry, raw = self.header[name], self.tensor(name)
        shape = list(entry["shape"])
        if entry["dtype"] == "U8":
            width, divisor = shape.pop(), int(json.loads(self.about["divisors"])[name], 16)
            chunks = [raw[k : k + width] for k in range(0, len(raw), width)]
            sums = [sum(byte << (8 * i) for i, byte in enumerate(chunk)) for chunk in chunks]
            flat = [Fraction(s - (s >> (8 * width - 1) << (8 * width)), divisor) for s in sums]
        else:
            width, bits = FRACTION_BITS[entry["dtype"]]
            chunks = [int.from_bytes(raw[k : k + width], "little") for k in range(0, len(raw), width)]
            flat = [float_value(chunk, 8 * width, bits) for chunk in chunks]
        columns = shape[-1]
        return [flat[k : k + columns] for k in range(0, len(flat), columns)]

    def is_true(self) -> bool:
        """Whether the claim is the product of the steps: fractions and nested loops."""
        weight: list[list[Fraction]] | None = None
        bias: list[Fraction] = []
        number = 1
        while f"step.{number}.weight" in self.header:
            rows = self.numbers(f"step.{number}.weight")
            added = self.numbers(f"step.{number}.bias")[0] if f"step.{number}.bias" in self.header else [0] * len(rows)
            if weight is None:
                weight, bias = rows, [Fraction(a) for a in added]
            else:
                bias = [
                    sum((r * b for r, b in zip(row, bias, strict=True)), Fraction(a))
                    for row, a in zip(rows, added, strict=True)
                ]
                columns = list(zip(*weight, strict=True))
                weight = [
                    [sum((r * c for r, c in zip(row, col, strict=True)), Fraction(0)) for col in columns]
                    for row in rows
                ]
            number += 1
        return weight == self.numbers("claim.weight") and bias == self.numbers("claim.bias")[0]


def seal(path: Path, content: bytes) -> Path:
    """Writes the file with its SHA-256 in the place of the first 64 zeros in a row."""
    path.write_bytes(content.replace(NO_HASH.encode(), hashlib.sha256(content).hexdigest().encode(), 1))
    return path


def float_value(pattern: int, size: int, fraction: int) -> Fraction:
    """The value of a floating-point number from its bits (IEEE 754)."""
    sign, field = pattern >> (size - 1), pattern >> fraction & (1 << (size - 1 - fraction)) - 1
    rest = Fraction(pattern & (1 << fraction) - 1, 1 << fraction)
    bias = (1 << (size - 2 - fraction)) - 1
    value = (1 + rest) * Fraction(2) ** (field - bias) if field else rest * Fraction(2) ** (1 - bias)
    return -value if sign else value
