from __future__ import annotations

import ast
import copy
import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proof.certificates import FRACTION_BITS, NO_HASH, Draft, certify, float_value, seal
from proof.networks import Architecture
from whyactivate.proof import checker

SMALL = Architecture((2, 3, 2), (True, False), torch.float32, 1)
SOURCE = Path(checker.__file__)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("certificates") / "original.safetensors"
    certify(SMALL.network(), path, SMALL.dtype)
    return path


@pytest.fixture
def draft(original) -> Draft:
    return Draft.read(original)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "c.safetensors"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "c.safetensors"


def refusal(path: Path) -> str:
    """The one line with which the file is refused."""
    code, words = checker.check(path)
    assert code == 2, words
    assert words.startswith("refused: ")
    assert len(words) <= 200
    assert words.isascii()
    assert words.isprintable()
    return words


class TestIndependence:
    def test_it_imports_the_standard_library_alone(self):
        imported = set()
        for node in ast.walk(ast.parse(SOURCE.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                imported.add(node.module)
        assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names
        assert len(imported) > 5

    def test_it_can_be_read_in_ten_minutes(self):
        assert len(SOURCE.read_text().splitlines()) <= 150

    @pytest.mark.parametrize("alone", [True, False])
    def test_it_runs_as_a_lone_file_and_as_a_module(self, original, draft, tmp_path, path, alone):
        shutil.copy(SOURCE, tmp_path / "lone.py")
        start = ["-I", "-S", str(tmp_path / "lone.py")] if alone else ["-m", "whyactivate.proof.checker"]
        draft.data[draft.span("claim.bias").start] ^= 1
        draft.write(path)
        for file, code in ((original, 0), (path, 1), (tmp_path / "none", 2)):
            done = subprocess.run([sys.executable, *start, str(file)], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (code, "")
            assert done.stdout.startswith(("HOLDS", "DOES NOT HOLD", "refused")[code])

    def test_nothing_heavy_is_loaded_with_it(self):
        code = "import sys, whyactivate.proof.checker; print({'torch', 'numpy', 'whyactivate.affine'} & {*sys.modules})"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"

    def test_nothing_that_it_draws_comes_from_the_file_or_from_a_seed(self):
        assert {node.id for node in ast.walk(ast.parse(SOURCE.read_text())) if isinstance(node, ast.Name)}.isdisjoint(
            {"random", "Random", "seed", "numpy"}
        )


class TestNumbers:
    @pytest.mark.parametrize(("dtype", "size"), [("F16", 16), ("BF16", 16)])
    def test_every_half_precision_number_is_read_as_it_is(self, dtype, size):
        bits = FRACTION_BITS[dtype][1]
        special = (1 << (size - 1 - bits)) - 1
        finite = [pattern for pattern in range(1 << size) if pattern >> bits & special != special]
        raw = struct.pack(f"<{len(finite)}H", *finite)
        rows, divisor = checker.read("x.weight", dtype, [1, len(finite)], raw, "", checker.LARGEST_BITS)
        assert all(n == float_value(pattern, size, bits) * divisor for n, pattern in zip(rows[0], finite, strict=True))

    @given(st.sampled_from([("F32", 32), ("F64", 64)]), st.data())
    def test_every_float_is_read_as_it_is(self, kind, data):
        dtype, size = kind
        bits = FRACTION_BITS[dtype][1]
        special = (1 << (size - 1 - bits)) - 1
        patterns = data.draw(
            st.lists(st.integers(0, 2**size - 1).filter(lambda p: p >> bits & special != special), min_size=1)
        )
        raw = b"".join(pattern.to_bytes(size // 8, "little") for pattern in patterns)
        rows, divisor = checker.read("x.bias", dtype, [len(patterns)], raw, "", checker.LARGEST_BITS)
        assert [Fraction(n, divisor) for n in rows[0]] == [float_value(p, size, bits) for p in patterns]

    @given(st.lists(st.integers(-(2**300), 2**300), min_size=1), st.integers(1, 2**200))
    def test_whole_numbers_of_any_length_are_read_as_they_are(self, numbers, divisor):
        width = max(n.bit_length() for n in numbers) // 8 + 1
        raw = b"".join(n.to_bytes(width, "little", signed=True) for n in numbers)
        assert checker.read("x.bias", "U8", [len(numbers), width], raw, f"{divisor:x}", checker.LARGEST_BITS) == (
            [numbers],
            divisor,
        )

    @pytest.mark.parametrize("dtype", FRACTION_BITS)
    @pytest.mark.parametrize("value", ["inf", "-inf", "nan", "-nan"])
    def test_what_is_no_finite_number_is_refused(self, draft, path, dtype, value):
        width, bits = FRACTION_BITS[dtype]
        pattern = ((1 << (8 * width - 1 - bits)) - 1) << bits | ("nan" in value) << (bits - 1)
        pattern |= (value[0] == "-") << (8 * width - 1)
        raw = pattern.to_bytes(width, "little") * 6
        replace_tensor(draft, "step.1.weight", dtype, [3, 2], raw)
        assert "Infinity" in refusal(draft.write(path)) or "NaN" in refusal(path)


def replace_tensor(draft: Draft, name: str, dtype: str, shape: list[int], raw: bytes) -> None:
    """Puts other numbers in the place of a tensor, with offsets that fit again."""
    tensors = {each: draft.tensor(each) for each in draft.header if each != "__metadata__"}
    tensors[name] = raw
    draft.header[name] = {"dtype": dtype, "shape": shape}
    draft.data, begin = bytearray(), 0
    for each, content in tensors.items():
        draft.header[each]["data_offsets"] = [begin, begin + len(content)]
        draft.data += content
        begin += len(content)


class TestChangedFiles:
    def test_every_bit_of_the_file_counts(self, original, scratch):
        content = bytearray(original.read_bytes())
        for place in range(len(content)):
            for bit in range(8) if place < 16 else (place % 8,):
                content[place] ^= 1 << bit
                scratch.write_bytes(content)
                refusal(scratch)
                content[place] ^= 1 << bit
        scratch.write_bytes(content)
        assert checker.check(scratch)[0] == 0

    @pytest.mark.slow
    def test_every_byte_of_the_file_counts_whatever_takes_its_place(self, original, scratch):
        content = bytearray(original.read_bytes())
        for place, byte in enumerate(bytes(content)):
            for mask in (1, 2, 4, 8, 16, 32, 64, 128, 255):
                content[place] = byte ^ mask
                scratch.write_bytes(content)
                refusal(scratch)
            content[place] = byte
        scratch.write_bytes(content)
        assert checker.check(scratch)[0] == 0

    @pytest.mark.slow
    def test_every_byte_of_the_numbers_counts_where_the_file_is_sealed_again(self, draft, scratch):
        for place in range(len(draft.data)):
            for mask in (1, 16, 128, 255):
                draft.data[place] ^= mask
                assert checker.check(draft.write(scratch))[0] != 0, (place, mask)
                draft.data[place] ^= mask
        assert checker.check(draft.write(scratch))[0] == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("widths", [(10, 18, 18, 4, 1), (256, 128, 10)], ids=str)
    def test_bytes_of_larger_files_count(self, scratch, widths):
        depth = len(widths) - 1
        certify(Architecture(widths, (True,) * depth, torch.float32, 0).network(), scratch, torch.float32)
        content = bytearray(scratch.read_bytes())
        draft = Draft.read(scratch)
        draw = random.Random(0)
        for place in draw.sample(range(len(content)), 300):
            content[place] ^= 1 << draw.randrange(8)
            scratch.write_bytes(content)
            refusal(scratch)
            content[:] = draft.write(scratch).read_bytes()
        for place in draw.sample(range(len(draft.data)), 8):
            mask = 1 << draw.randrange(8)
            draft.data[place] ^= mask
            assert checker.check(draft.write(scratch))[0] != 0
            draft.data[place] ^= mask

    def test_every_truncation_is_refused(self, original, scratch):
        content = original.read_bytes()
        for length in range(len(content)):
            scratch.write_bytes(content[:length])
            refusal(scratch)

    @given(st.binary(min_size=1, max_size=64))
    def test_whatever_is_appended_is_refused(self, original, scratch, more):
        scratch.write_bytes(original.read_bytes() + more)
        refusal(scratch)
        draft = Draft.read(original)
        draft.data += more
        assert "holds more" in refusal(draft.write(scratch))

    @given(st.binary(max_size=300))
    def test_random_bytes_are_refused(self, scratch, content):
        scratch.write_bytes(content)
        refusal(scratch)


class TestForgedFiles:
    """Whoever forges a file can also compute its SHA-256: the mathematics must find it."""

    @settings(max_examples=200)
    @given(st.data())
    def test_a_changed_number_holds_only_where_it_is_still_true(self, original, scratch, data):
        draft = Draft.read(original)
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(draft.data) - 1))
            draft.data[place] ^= 1 << data.draw(st.integers(0, 7))
        draft.write(scratch)
        code, words = checker.check(scratch)
        if code != 2:  # no infinity among them
            assert code == (0 if draft.is_true() else 1), words

    @pytest.mark.parametrize("work", [checker.LARGEST_WORK, 0], ids=["multiplied out", "at random"])
    def test_any_changed_number_of_the_claim_is_found(self, draft, scratch, monkeypatch, work):
        monkeypatch.setattr(checker, "LARGEST_WORK", work)
        for name in ("claim.weight", "claim.bias"):
            for place in range(draft.span(name).start, draft.span(name).stop):
                draft.data[place] ^= 1
                code, words = checker.check(draft.write(scratch))
                assert (code, words.splitlines()[1]) == (1, checker.CERTAIN if work else checker.AT_RANDOM)
                draft.data[place] ^= 1
        assert checker.check(draft.write(scratch))[0] == 0

    @pytest.mark.parametrize("work", [checker.LARGEST_WORK, 0], ids=["multiplied out", "at random"])
    def test_any_changed_float_of_the_layers_is_found(self, draft, scratch, monkeypatch, work):
        monkeypatch.setattr(checker, "LARGEST_WORK", work)
        for name in ("step.1.weight", "step.1.bias", "step.2.weight"):
            for place in range(draft.span(name).start, draft.span(name).stop):
                draft.data[place] ^= 1
                assert checker.check(draft.write(scratch))[0] == 1
                draft.data[place] ^= 1

    @settings(max_examples=100)
    @given(st.permutations(["step.1.weight", "step.2.weight", "claim.weight", "step.1.bias", "claim.bias"]))
    def test_exchanged_tensors_hold_only_where_it_is_still_true(self, original, scratch, order):
        draft = Draft.read(original)
        names = ["step.1.weight", "step.2.weight", "claim.weight", "step.1.bias", "claim.bias"]
        entries = {name: draft.header.pop(name) for name in names}
        draft.header |= {name: entries[other] for name, other in zip(names, order, strict=True)}
        assert checker.check(draft.write(scratch))[0] == (0 if list(order) == names else 2)

    @pytest.mark.parametrize("axis", [0, 1])
    def test_exchanged_rows_or_columns_are_found(self, draft, scratch, axis):
        raw = draft.tensor("step.2.weight")
        cells = [[raw[4 * (3 * i + j) :][:4] for j in range(3)] for i in range(2)]
        cells = cells[::-1] if axis == 0 else [row[::-1] for row in cells]
        draft.data[draft.span("step.2.weight")] = b"".join(b"".join(row) for row in cells)
        assert checker.check(draft.write(scratch))[0] == 1

    @settings(max_examples=200)
    @given(st.data())
    def test_no_change_of_the_header_brings_a_false_claim_through(self, original, scratch, data):
        draft, before = Draft.read(original), Draft.read(original)
        junk = st.one_of(
            st.none(), st.booleans(), st.integers(-5, 200), st.sampled_from([2**31, 2**63, 10**40, 0.5, 1e999, ""]),
            st.sampled_from(["U8", "F32", "F64", "BF16", "I64", "step.1.weight", "claim.bias", "é\n\x1b[31m"]),
            st.sampled_from([[], {}, [1], [[2]]]),
        )  # fmt: skip
        holder, key = data.draw(st.sampled_from(places(draft.header)))
        action = data.draw(st.sampled_from(["replace", "delete", "nudge", "rename"]))
        if action == "replace":
            holder[key] = data.draw(junk)
        elif action == "delete":
            del holder[key]
        elif action == "rename" and isinstance(holder, dict):
            holder[str(data.draw(junk))] = holder.pop(key)
        elif isinstance(holder[key], int):
            holder[key] += data.draw(st.integers(-9, 9))
        try:
            draft.write(scratch)
        except (TypeError, KeyError, AttributeError):
            assume(False)
        if meaning(draft) != meaning(before):
            assert checker.check(scratch)[0] == 2
        else:
            assert checker.check(scratch)[0] in (0, 2)

    def test_a_difference_made_of_known_primes_is_found(self, draft, path, monkeypatch):
        """A check modulo a prime that the forger knows would let this through."""
        monkeypatch.setattr(checker, "LARGEST_WORK", 0)
        multiple = math.prod([2**61 - 1, 2**89 - 1, 2**107 - 1, 2**127 - 1])
        numbers = [int(n * int(divisor(draft, "claim.bias"), 16)) for n in draft.numbers("claim.bias")[0]]
        numbers[0] += multiple
        width = max(n.bit_length() for n in numbers) // 8 + 1
        raw = b"".join(n.to_bytes(width, "little", signed=True) for n in numbers)
        replace_tensor(draft, "claim.bias", "U8", [2, width], raw)
        assert checker.check(draft.write(path))[0] == 1

    def test_a_consistent_change_is_a_true_certificate_of_other_layers(self, draft, path):
        """What holds is about the numbers in the file: hold them against the network that is meant."""
        for name in ("claim.weight", "claim.bias", "step.1.bias", "step.1.weight"):
            width = draft.header[name]["shape"][-1] if name.startswith("claim") else 4
            raw = draft.tensor(name)
            negated = [
                (-int.from_bytes(raw[k : k + width], "little", signed=True)).to_bytes(width, "little", signed=True)
                if name.startswith("claim")
                else raw[k : k + 3] + bytes([raw[k + 3] ^ 128])
                for k in range(0, len(raw), width)
            ]
            draft.data[draft.span(name)] = b"".join(negated)
        assert draft.is_true()
        assert checker.check(draft.write(path))[0] == 0


def divisor(draft: Draft, name: str) -> str:
    return json.loads(draft.about["divisors"])[name]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a nested value, as `(holder, key)`."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in pairs for found in [(value, key), *places(inner)]]


def meaning(draft: Draft) -> object:
    """What the header says, as far as it matters to the claim."""
    header = copy.deepcopy(draft.header)
    about = header.pop("__metadata__", None)
    if isinstance(about, dict):
        about = {name: text for name, text in about.items() if name in ("format", "claim", "divisors")}
    return header, about


class TestHostileFiles:
    @pytest.mark.parametrize(
        ("size", "words"), [(2**63, "a header of"), (2**64 - 1, "a header of"), (2**20, "a header of"), (0, "JSON")]
    )
    def test_a_header_of_a_size_that_cannot_be(self, original, path, size, words):
        path.write_bytes(size.to_bytes(8, "little") + original.read_bytes()[8:])
        assert words in refusal(path)

    def test_a_header_that_is_too_large_is_not_even_parsed(self, path):
        path.write_bytes((2**21).to_bytes(8, "little") + b"{" * 2**21)
        assert "a header of" in refusal(path)

    def test_a_file_that_is_too_large_is_not_read_to_its_end(self, path):
        with path.open("wb") as file:
            file.truncate(2**34)  # sparse
        assert "larger than" in refusal(path)

    @pytest.mark.parametrize(
        "text",
        [b"[" * 10**6, b'{"a":' * 10**5, b'{"a":1,"a":2}', b"NaN", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"{}",
         b'{"__metadata__":{}}', b'{"__metadata__":[]}', b"1" * 10**6, b'{"__metadata__":' + b"9" * 5000 + b"}", b""],
    )  # fmt: skip
    def test_json_that_is_none_or_none_of_ours(self, path, text):
        path.write_bytes(len(text).to_bytes(8, "little") + text)
        refusal(path)

    @pytest.mark.parametrize(
        "make",
        [
            lambda text: text.replace('"claim.bias":', '"claim.bias":{"dtype":"U8"},"claim.bias":', 1),
            lambda text: text.replace('"shape":', '"shape":[1],"shape":', 1),
            lambda text: text.replace('"notes":', '"notes":"","notes":', 1),
            lambda text: text.replace('\\"claim.bias\\":', '\\"claim.bias\\": \\"1\\", \\"claim.bias\\":', 1),
        ],
        ids=["tensor", "shape", "metadata", "divisor"],
    )
    def test_a_key_that_comes_twice(self, draft, path, make):
        draft.about["sha256"] = NO_HASH
        before = json.dumps(draft.header, separators=(",", ":"))
        assert make(before) != before
        text = make(before).encode()
        seal(path, len(text).to_bytes(8, "little") + text + bytes(draft.data))
        assert "says something twice" in refusal(path)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda d: d.header["claim.bias"].update(dtype="I64"), "dtype I64"),
            (lambda d: d.header["claim.bias"].update(dtype="F32"), "shape does not take|wrong number of axes"),
            (lambda d: d.header["step.1.weight"].update(dtype="F64"), "shape does not take"),
            (lambda d: d.header["step.1.weight"].update(dtype=["F32"]), "dtype"),
            (lambda d: d.header["step.1.weight"].update(shape=[2, 3]), "widths"),
            (lambda d: d.header["step.1.weight"].update(shape=[6]), "axes"),
            (lambda d: d.header["step.1.weight"].update(shape=[3, 2, 1]), "axes"),
            (lambda d: d.header["step.1.weight"].update(shape=[-3, -2]), "sizes"),
            (lambda d: d.header["step.1.weight"].update(shape=[3, 2.0]), "sizes"),
            (lambda d: d.header["step.1.weight"].update(shape=[3, True]), "sizes"),
            (lambda d: d.header["step.1.weight"].update(shape=[0, 2]), "sizes"),
            (lambda d: d.header["step.1.weight"].update(shape=[2**62, 2**62]), "too many numbers"),
            (lambda d: d.header["step.1.weight"].update(shape="32"), "TypeError"),
            (lambda d: d.header["step.1.weight"].update(shape=[]), "empty"),
            (lambda d: d.header["step.1.weight"].update(data_offsets=[0, 10**30]), "shape does not take|begin"),
            (lambda d: d.header["step.1.weight"].update(data_offsets=[-8, 16]), "begin"),
            (lambda d: d.header["step.1.weight"].update(data_offsets=[16, 0]), "begin|shape"),
            (lambda d: d.header["step.1.weight"].update(data_offsets=[0]), "unpack"),
            (lambda d: d.header["step.2.weight"].update(data_offsets=[0, 24]), "begin"),
            (lambda d: d.header.update(extra=dict(d.header["claim.bias"])), "begin"),
            (lambda d: d.header.pop("step.1.weight"), "begin"),
            (lambda d: d.header.update({"step.3.weight": d.header.pop("step.2.weight")}), "KeyError"),
            (lambda d: d.about.update(divisors="{}"), "invalid literal|divisor"),
            (lambda d: d.about.update(divisors='{"claim.weight": "0", "claim.bias": "1"}'), "divisor"),
            (lambda d: d.about.update(divisors='{"claim.weight": "-1", "claim.bias": "1"}'), "divisor"),
            (lambda d: d.about.update(divisors='{"claim.weight": 1, "claim.bias": "1"}'), "TypeError"),
            (lambda d: d.about.update(divisors=json.dumps({"claim.weight": "1" * 10**5, "claim.bias": "1"})), "digits"),
            (lambda d: d.about.update(claim="P = NP"), "claims something else"),
            (lambda d: d.about.update(format="whyactivate-certificate/2"), "claims something else"),
            (lambda d: d.about.pop("notes"), "notes"),
        ],
    )  # fmt: skip
    def test_a_header_that_cannot_be(self, draft, path, change, words):
        change(draft)
        line = refusal(draft.write(path))
        assert any(word in line for word in words.split("|")), line

    def test_a_divisor_for_floats(self, draft, path):
        draft.about["divisors"] = json.dumps({**json.loads(draft.about["divisors"]), "step.1.weight": "2"})
        assert "divisor" in refusal(draft.write(path))

    def test_overlapping_tensors_with_a_gap_behind_them(self, draft, path):
        begin, end = draft.header["step.1.weight"]["data_offsets"]
        draft.header["step.1.bias"]["data_offsets"] = [begin, begin + 12]
        draft.header["step.2.weight"]["data_offsets"] = [begin, end]
        refusal(draft.write(path))

    def test_a_network_without_a_step(self, draft, path):
        for name in ("step.1.weight", "step.1.bias", "step.2.weight"):
            del draft.header[name]
        refusal(draft.write(path))
        draft.data = bytearray(draft.tensor("claim.weight") + draft.tensor("claim.bias"))
        begin = 0
        for name in ("claim.weight", "claim.bias"):
            size = math.prod(draft.header[name]["shape"])
            draft.header[name]["data_offsets"] = [begin, begin + size]
            begin += size
        assert "widths" in refusal(draft.write(path))

    @pytest.mark.parametrize(
        ("dtype", "shape", "raw", "divisor"),
        [("U8", [3, 2, 10**6], b"\x7f" * 6 * 10**6, "1"), ("U8", [3, 2, 1], b"\1" * 6, "f" * 65000)],
    )
    def test_enormous_numbers_take_no_enormous_time(self, draft, path, dtype, shape, raw, divisor):
        replace_tensor(draft, "step.1.weight", dtype, shape, raw)
        draft.about["divisors"] = json.dumps({**json.loads(draft.about["divisors"]), "step.1.weight": divisor})
        code, words = checker.check(draft.write(path))
        assert (code, checker.AT_RANDOM in words) == (1, True)

    def test_a_chain_with_a_bottleneck_does_not_blow_up(self, path):
        """A thousand numbers a layer, but a million in the product of two of them."""
        names = [f"step.{k}.weight" for k in range(1, 41)]
        tensors = {
            name: ("F32", [1000, 1] if k % 2 else [1, 1000], b"\0\0\x80\x3f" * 1000) for k, name in enumerate(names)
        }
        tensors |= {
            "claim.weight": ("F32", [1000, 1000], b"\0" * 4 * 1000**2),
            "claim.bias": ("F32", [1000], b"\0" * 4000),
        }
        about = {"format": checker.FORMAT, "claim": checker.CLAIM, "divisors": "{}", "notes": ""}
        header: dict[str, Any] = {"__metadata__": about}
        data = bytearray()
        for name, (dtype, shape, raw) in tensors.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        code, words = checker.check(Draft(header, data).write(path))
        assert (code, checker.AT_RANDOM in words) == (1, True)

    def test_notes_cannot_write_on_the_terminal(self, draft, path):
        draft.about["notes"] = "\x1b[2J\nHOLDS \u202e"
        code, words = checker.check(draft.write(path))
        assert code == 0
        assert words.isascii()
        assert all(line.isprintable() for line in words.splitlines())
        assert words.count("\n") == 2

    def test_too_many_numbers_are_not_read(self, draft, path, monkeypatch):
        monkeypatch.setattr(checker, "LARGEST_COUNT", 20)
        monkeypatch.setattr(checker, "read", lambda *_: pytest.fail("read all the same"))
        assert "too many numbers" in refusal(draft.write(path))
        draft.header["step.1.weight"]["shape"] = [-1, 10**9]
        assert "too many numbers" in refusal(draft.write(path))

    def test_floats_that_would_fill_the_memory_as_whole_numbers_are_not_held(self, path):
        """Two million float64 numbers from 2^-1074 to 2^1023 have two thousand bits each."""
        row = struct.pack("<dd", 5e-324, 1.7e308) + struct.pack("<d", 1.7e308) * (2**20 - 2)
        about = {"format": checker.FORMAT, "claim": checker.CLAIM, "divisors": "{}", "notes": ""}
        header: dict[str, Any] = {"__metadata__": about}
        data = bytearray()
        for name in ("step.1.weight", "claim.weight", "claim.bias"):
            shape = [1, 2**20] if name.endswith("weight") else [1]
            raw = row[: 8 * math.prod(shape)]
            header[name] = {"dtype": "F64", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        Draft(header, data).write(path)
        code = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29));"
            "from whyactivate.proof import checker; print(checker.check(sys.argv[1]))"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert "numbers too long to hold" in done.stdout

    def test_a_folder_is_refused(self, tmp_path):
        assert "no such file" in refusal(tmp_path)

    def test_a_pipe_is_refused_without_waiting_for_somebody_to_write(self, path):
        os.mkfifo(path)
        assert "no such file" in refusal(path)

    def test_where_denormal_floats_count_as_zero_nothing_is_checked(self, original):
        torch.set_flush_denormal(True)
        try:
            line = refusal(original)
        finally:
            torch.set_flush_denormal(False)
        assert "zero" in line
        assert checker.check(original)[0] == 0


class TestAtRandom:
    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_a_network_for_pictures_of_digits_is_multiplied_out(self, scratch, dtype):
        certify(Architecture((784, 512, 512, 10), (True,) * 3, dtype, 0).network(), scratch, dtype)
        code, words = checker.check(scratch)
        assert (code, checker.CERTAIN in words) == (0, True)

    def test_it_agrees_with_multiplying_out(self, monkeypatch, scratch):
        for seed in range(20):
            network = Architecture((4, 3, 5, 2), (True, False, True), torch.float64, seed).network()
            certify(network, scratch, torch.float64)
            monkeypatch.setattr(checker, "LARGEST_WORK", 0)
            code, words = checker.check(scratch)
            assert (code, checker.AT_RANDOM in words) == (0, True)
            monkeypatch.undo()
            assert checker.check(scratch)[0] == 0

    def test_every_check_draws_a_prime_and_an_input_of_its_own(self, original, monkeypatch):
        monkeypatch.setattr(checker, "LARGEST_WORK", 0)
        drawn = []
        run = checker.run
        monkeypatch.setattr(checker, "run", lambda layers, x, prime: drawn.append((prime, *x)) or run(layers, x, prime))
        for _ in range(3):
            assert checker.check(original)[0] == 0
        assert len(set(drawn)) == 3
        assert len({prime for prime, *_ in drawn}) == 3
        for prime, *x in drawn:
            assert 2**127 < prime < 2**128
            assert sympy.isprime(prime)
            assert len(set(x)) == len(x) == 2
            assert all(0 <= entry < prime for entry in x)

    def test_primes_are_told_from_composite_numbers(self):
        tricky = [561, 1105, 41041, 3215031751, 3825123056546413051, 318665857834031151167461, 2**67 - 1, 2**127 + 45]
        for n in [*range(5, 2000, 2), *tricky, 2**61 - 1, 2**89 - 1, 2**127 - 1]:
            assert checker.is_prime(n) == sympy.isprime(n), n

    def test_the_error_that_is_stated_is_an_upper_bound(self):
        """A difference has too few prime factors of 128 bits for a random prime to be likely among them."""
        bits = 8 * checker.LARGEST_FILE + checker.LARGEST_HEADER // 40 * (2 * 2200 + 8 * checker.LARGEST_DIVISOR)
        divisors = bits // 127 + 1
        primes = 3 * 2**127 // (5 * 89)  # Rosser and Schoenfeld 1962: more than 3x/(5 ln x) between x and 2x
        composite = Fraction(128, 4**64)  # among the candidates until the first prime
        assert Fraction(divisors, primes) + Fraction(1, 2**127) + composite < Fraction(1, 2**90)
