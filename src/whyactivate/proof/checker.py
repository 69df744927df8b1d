"""Checks a certificate: do these layers, one after another, equal this one layer, for every input?

It needs Python's standard library alone, and nothing of whyactivate, which wrote the file. Copy it anywhere and run
"python checker.py CERTIFICATE.safetensors". Exit codes: 0 the claim holds, 1 it does not, 2 the file cannot be used.

A certificate is a safetensors file: the length of the header (8 bytes), the header (JSON), then the numbers of
    step.1.weight (out, in), step.1.bias (out,), step.2.weight, ...   the layers, each v -> weight v + bias, or no bias
    claim.weight, claim.bias                                          the one layer that is claimed to equal them all
as floats; or as whole numbers (dtype U8: the last axis holds the bytes of each, lowest first, in two's complement) over
one divisor, hexadecimal, in the header. Floats are fractions, too: all is done in whole numbers, nothing is rounded.
"""

import hashlib
import json
import secrets
import struct
import sys
from itertools import chain
from math import lcm, prod
from operator import mul
from os.path import isfile

FORMAT = "whyactivate-certificate/1"
CLAIM = "For every real x, claim(x) = step n(... step 2(step 1(x)) ...), where each of them is v -> weight v + bias."
LARGEST_FILE, LARGEST_HEADER, LARGEST_COUNT, LARGEST_DIVISOR = 2**27, 2**20, 2**23, 2**16  # bytes twice
LARGEST_WORK, LARGEST_BITS = 10**9, 2**32  # some seconds (beyond, the claim is tested at random), and 512 MiB
FLOATS = {"BF16": (2, "f"), "F16": (2, "e"), "F32": (4, "f"), "F64": (8, "d")}  # bytes; BF16 is the upper half of F32
CERTAIN = "Multiplied out in whole numbers and compared entry by entry: no rounding, no chance."
AT_RANDOM = """Too large to multiply out in seconds, so tested at a random input modulo a random 128-bit prime, drawn \
just now. A claim that is wrong anywhere would pass with a probability below 2^-90."""
Rows = list[list[int]]
Layer = tuple[Rows, int, list[int], int, int]  # (weight, w, bias, b, d): v -> (w * weight v + b * bias) / d


def require(condition: object, message: str) -> None:
    """Refuses the file, for this reason, unless the condition is true."""
    if not condition:
        raise ValueError(message)


def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """What JSON calls an object, with every key once."""
    require(len(dict(pairs)) == len(pairs), "the header says something twice")
    return dict(pairs)


def read(name: str, dtype: str, shape: list[int], raw: bytes, divisor: str, longest: int) -> tuple[Rows, int]:
    """The numbers of a tensor, as rows of whole numbers (a bias is a single row) and their divisor."""
    require(dtype in ("U8", *FLOATS), f"{name}: no certificate has numbers of dtype {dtype}")
    *shape, width = shape if dtype == "U8" else [*shape, FLOATS[dtype][0]]  # width: bytes per number
    require(len(shape) == 1 + name.endswith("weight"), f"{name} has the wrong number of axes")
    require(prod(shape) * width == len(raw), f"{name}: its shape does not take the {len(raw)} bytes that it has")
    if dtype == "U8":
        require(len(divisor) < LARGEST_DIVISOR, f"{name}: a divisor of {len(divisor)} digits")
        down = int(divisor, 16)
        numbers = [int.from_bytes(raw[k : k + width], "little", signed=True) for k in range(0, len(raw), width)]
    else:
        raw = raw if dtype != "BF16" else b"".join(b"\0\0" + raw[k : k + 2] for k in range(0, len(raw), 2))
        floats = struct.unpack(f"<{prod(shape)}{FLOATS[dtype][1]}", raw)
        down = max(below for _, below in map(float.as_integer_ratio, floats))  # powers of two: each divides the largest
        require((down * (1 + int(max(map(abs, floats))))).bit_length() <= longest, f"{name}: numbers too long to hold")
        numbers = [above * (down // below) for above, below in map(float.as_integer_ratio, floats)]
    require(down > 0 and (divisor != "") == (dtype == "U8"), f"{name}: only whole numbers have a divisor, above 0")
    return [numbers[k : k + shape[-1]] for k in range(0, len(numbers), shape[-1])], down


def load(path: str) -> tuple[list[Layer], str]:
    """The layers, the claim as the last of them, and the notes; everything about the file must be as it should be."""
    require(isfile(path), "there is no such file")
    require(5e-324 > 0, "floats this small count as zero in this process")
    with open(path, "rb") as file:
        data = file.read(LARGEST_FILE + 1)
    start, end = 8 + int.from_bytes(data[:8], "little"), 0
    require(len(data) <= LARGEST_FILE, f"the file is larger than {LARGEST_FILE} bytes")
    require(start <= min(len(data), LARGEST_HEADER), f"a header of {start - 8} bytes: damaged, or no safetensors file")
    header = json.loads(data[8:start].decode(), object_pairs_hook=no_duplicates)
    about = header.pop("__metadata__")
    require((about["format"], about["claim"]) == (FORMAT, CLAIM), f"it is no {FORMAT}, or it claims something else")
    blank = data[:start].replace(about["sha256"].encode(), b"0" * 64, 1)  # the hash is of the file with zeros there
    require(hashlib.sha256(blank + data[start:]).hexdigest() == about["sha256"], "changed or damaged: wrong SHA-256")
    require((count := sum(abs(prod(e["shape"][:2])) for e in header.values())) <= LARGEST_COUNT, "too many numbers")
    divisors = json.loads(about["divisors"], object_pairs_hook=no_duplicates)
    tensors: dict[str, tuple[Rows, int]] = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (first, last) = entry["shape"], entry["data_offsets"]
        require({type(n) for n in [*shape, first, last]} == {int} and min(shape) > 0, f"{name}: sizes that cannot be")
        require(first == end <= last, f"{name} does not begin where the tensor before it ends")
        end, raw, divisor = last, data[start + first : start + last], divisors.pop(name, "")
        tensors[name] = read(name, entry["dtype"], shape, raw, divisor, LARGEST_BITS // count)
    layers: list[Layer] = []
    for name in [*(f"step.{k}" for k in range(1, sum(name.endswith("weight") for name in tensors))), "claim"]:
        weight, down = tensors.pop(f"{name}.weight")
        (bias,), below = tensors.pop(f"{name}.bias", ([[0] * len(weight)], 1))
        require(len(bias) == len(weight), f"{name}: weight and bias have different widths")
        layers.append((weight, lcm(down, below) // down, bias, lcm(down, below) // below, lcm(down, below)))
    require(start + end == len(data) and not tensors and not divisors, "it holds more, or less, than it should")
    into, out = zip(*((len(weight[0]), len(weight)) for weight, *_ in layers), strict=True)  # the claim comes last
    require(len(layers) > 1 and (*into[:-1], out[-1]) == (into[-1], *out[:-1]), "the widths of the layers do not meet")
    return layers, ascii(about["notes"])


def multiply_out(layers: list[Layer]) -> tuple[Rows, list[int], int]:
    """All layers as one, from the last to the first: weight and bias, both still to be divided by a number."""
    weight, w, bias, b, divisor = layers[-1]
    rows, total = [[w * entry for entry in row] for row in weight], [b * entry for entry in bias]
    for weight, w, bias, b, d in layers[-2::-1]:
        total = [d * t + b * sum(map(mul, row, bias)) for t, row in zip(total, rows, strict=True)]
        columns = list(zip(*weight, strict=True))
        rows, divisor = [[w * sum(map(mul, row, column)) for column in columns] for row in rows], d * divisor
    return rows, total, divisor


def run(layers: list[Layer], x: list[int], prime: int) -> list[int]:
    """The layers at an input, modulo a prime, where to divide is to multiply by the inverse."""
    for weight, w, bias, b, d in layers:
        w, b = (factor * pow(d, -1, prime) % prime for factor in (w, b))
        x = [(w * sum(map(mul, row, x)) + b * added) % prime for row, added in zip(weight, bias, strict=True)]
    return x


def is_prime(n: int) -> bool:
    """Miller and Rabin's test of an odd number; a composite one passes with a probability below 2^-128."""
    halves = [n - 1 >> k for k in range(1, (n - 1 & 1 - n).bit_length())]
    bases = (2 + secrets.randbelow(n - 3) for _ in range(64))
    return all(pow(a, halves[-1], n) == 1 or n - 1 in (pow(a, half, n) for half in halves) for a in bases)


def check(path: str) -> tuple[int, str]:
    """The exit code (0 it holds, 1 it does not, 2 unusable), and why in words: one line where the file is unusable."""
    try:
        layers, notes = load(path)
    except Exception as error:  # whatever a hostile file brings about, it is refused
        return 2, ascii(f"refused: {error if type(error) is ValueError else repr(error)}")[1:-1][:200]
    bits = [max(map(abs, chain(*weight, bias))).bit_length() + 2 * d.bit_length() for weight, _, bias, _, d in layers]
    costs = [len(w) * (len(w[0]) + 64) * (8 + n * sum(bits) // 4096) for (w, *_), n in zip(layers, bits, strict=True)]
    if certain := len(layers[-1][0]) * sum(costs) <= LARGEST_WORK:
        (rows, bias, d), (claimed, added, e) = multiply_out(layers[:-1]), multiply_out(layers[-1:])
        holds = all(e * m == d * c for m, c in zip(chain(*rows, bias), chain(*claimed, added), strict=True))
    else:
        prime = next(filter(is_prime, iter(lambda: secrets.randbits(128) | 2**127 | 1, 0)))
        point = [secrets.randbelow(prime) for _ in layers[-1][0][0]]
        holds = run(layers[:-1], point, prime) == run(layers[-1:], point, prime)
    verdict = f"{'HOLDS' if holds else 'DOES NOT HOLD'} for the {len(layers) - 1} layers in this file. {CLAIM}"
    return int(not holds), "\n".join([verdict, CERTAIN if certain else AT_RANDOM, f"Notes, unchecked: {notes}"])


if __name__ == "__main__":
    code, words = check(sys.argv[-1])
    print(words)
    sys.exit(code)
