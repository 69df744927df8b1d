"""Where a module's code does something else for some numbers of rows, these are tried, or the verdict is open."""

from __future__ import annotations

import functools
import io
import itertools
import math
import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import whyactivate as wa
from whyactivate.affine.recording.counts import Count
from whyactivate.affine.recording.forms import Leaf, UnknownError, column, polynomial_through
from whyactivate.affine.recording.listening import listen
from whyactivate.affine.recording.state import State
from whyactivate.affine.recording.tracked_names import tracked_names

MOST = 90
SETTINGS = SimpleNamespace(most=200)
CHOSEN = [77, 130]


def _longer_than_70(count: int) -> bool:
    return count > 70


CACHED = functools.cache(_longer_than_70)


class Limited(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.most, self.tried, self.text = function, 70, 0, "70"
        self.table, self.special, self.keys = {70: torch.relu}, {70, 90}, ((70, 4),)
        self.flags = [False] * 70 + [True] + [False] * 5000
        self.blocks = nn.ModuleList([*[nn.Identity() for _ in range(4)], nn.ReLU()])
        self.named, self.block70 = nn.ModuleDict({"b70": nn.ReLU()}), nn.ReLU()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("rows70", torch.zeros(70))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def _matches(m: Any, x: Tensor) -> Tensor:
    match tuple(x.shape):
        case (70, _):
            return x.relu()
        case _:
            return x


def _tries_a_place(m: Any, x: Tensor) -> Tensor:
    try:
        x[m.most]
    except IndexError:
        return x
    return x.relu()


def _tries_a_sum(m: Any, x: Tensor) -> Tensor:
    try:
        x[:, 0] + m.rows70
    except RuntimeError:
        return x
    return x.relu() if len(x) > 1 else x


def _tries_a_key(m: Any, x: Tensor) -> Tensor:
    try:
        return m.table[len(x)](x)
    except KeyError:
        return x


def _takes_seven(m: Any, x: Tensor) -> Tensor:
    try:
        _, _, _, _, _, _, _ = x
    except ValueError:
        return x
    return x.relu()


def _nested(m: Any, x: Tensor) -> Tensor:
    if len(x) > m.most:
        return x.relu() if len(x) > 3 * m.most else x
    return x


def _in_the_middle(m: Any, x: Tensor) -> Tensor:
    many, too_many = len(x) > 10, len(x) > m.most
    return x.relu() if many and not too_many else x


def _takes_away(m: Any, x: Tensor) -> Tensor:
    count = len(x)
    while count > m.most:
        count -= m.most
        x = x.relu()
    return x


def _if(condition: Callable[[Any, Tensor], Any]) -> Callable[[Any, Tensor], Tensor]:
    return lambda m, x: x.relu() if condition(m, x) else x


BRANCHES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "a number in the code": lambda m, x: x.relu() if len(x) > 100 else x,
    "of 1024 rows": lambda m, x: x.relu() if x.size(0) >= 1024 else x,
    "a global": lambda m, x: x.relu() if x.shape[0] > MOST else x,
    "an attribute of the module": lambda m, x: x.relu() if x.shape[0] > m.most else x,
    "an attribute of a setting": lambda m, x: x.relu() if SETTINGS.most < x.size()[0] else x,
    "a list": lambda m, x: x.relu() if len(x) in CHOSEN else x,
    "all numbers of a tensor": lambda m, x: x.relu() if x.numel() > 1000 else x,
    "a multiple": lambda m, x: x.relu() if 3 * len(x) + 1 > 4 * m.most else x,
    "a quotient": lambda m, x: x.relu() if len(x) // m.most else x,
    "parts": lambda m, x: torch.cat([part.relu() if i else part for i, part in enumerate(x.split(m.most))]),
    "a slice": lambda m, x: torch.cat([x[: m.most], x[m.most :].relu()]),
    "a float": lambda m, x: x.relu() if len(x) > m.most * 1.5 else x,
    "a dict": lambda m, x: m.table.get(len(x), lambda y: y)(x),
    "a match": _matches,
    "a name": lambda m, x: getattr(m, f"block{len(x)}", nn.Identity())(x),
    "a remainder as a place": lambda m, x: m.blocks[len(x) % 5](x),
    "a cut list": _if(lambda m, x: any(m.flags[: len(x)])),
    "a loop": lambda m, x: torch.stack([x[i].relu() if i == m.most else x[i] for i in range(len(x))]),
    "backwards": lambda m, x: torch.stack([x[i].relu() if i >= m.most else x[i] for i in reversed(range(len(x)))]),
    "numbered rows": lambda m, x: torch.stack([row.relu() if i >= m.most else row for i, row in enumerate(x)]),
    "rows in a list": lambda m, x: torch.stack([*list(x)[: m.most], *[row.relu() for row in list(x)[m.most :]]]),
    "flags along": lambda m, x: torch.stack([r.relu() if flag else r for r, flag in zip(x, m.flags, strict=False)]),
    "numbers along": lambda m, x: torch.stack([*map(lambda r, i: r.relu() if i == 70 else r, x, range(5000))]),
    "late parts": lambda m, x: torch.cat([part if i < 4 else part.relu() for i, part in enumerate(x.split(16))]),
    "a negative slice": lambda m, x: torch.cat([x[: -m.most].relu(), x[-m.most :]]),
    "a place that is there": _tries_a_place,
    "a sum that fits": _tries_a_sum,
    "a key that is there": _tries_a_key,
    "seven rows": _takes_seven,
    "beyond another limit": _nested,
    "between two limits": _in_the_middle,
    "what is taken away": _takes_away,
    **{
        name: _if(condition)
        for name, condition in {
            "a set": lambda m, x: x.shape[0] in m.special,
            "a shape as a key": lambda m, x: tuple(x.shape) in {(70, 4)},
            "a shape in a tuple": lambda m, x: tuple(x.shape) in m.keys,
            "a text as a key": lambda m, x: f"b{len(x)}" in m.named,
            "an attribute": lambda m, x: hasattr(m, "block%d" % len(x)),  # noqa: UP031
            "a list of flags": lambda m, x: m.flags[len(x)],
            "a bit": lambda m, x: len(x) & 64,
            "bits": lambda m, x: len(x) >> 6,
            "other bits": lambda m, x: (len(x) ^ 70) == 0,
            "bits as a text": lambda m, x: len(bin(len(x))) > 8,
            "the number of bits": lambda m, x: len(x).bit_length() > 6,
            "a text": lambda m, x: str(len(x)) == m.text,
            "a longer text": lambda m, x: len(str(len(x))) > 2,
            "a text with zeros": lambda m, x: f"{len(x):03d}"[0] != "0",
            "a whole quotient": lambda m, x: len(x) // 4 > 20,
            "a quotient with a rest": lambda m, x: divmod(len(x), m.most)[0] >= 2,
            "a fraction": lambda m, x: len(x) / 4 > 20,
            "a rounded fraction": lambda m, x: round(len(x) / 10) > 7,
            "a fraction, rounded up": lambda m, x: math.ceil(len(x) / 16) > 4,
            "as a float": lambda m, x: float(len(x)) > 70.5,
            "as an int": lambda m, x: int(len(x)) > m.most,  # noqa: RUF046
            "of a type": lambda m, x: type(len(x)) is int and len(x) == m.most,
            "ints": lambda m, x: max(map(int, x.shape)) > m.most,
            "a logarithm": lambda m, x: math.log2(len(x)) > 6.5,
            "a square": lambda m, x: len(x) ** 2 > 5000,
            "a product": lambda m, x: len(x) * len(x) > 5000,
            "a polynomial": lambda m, x: len(x) ** 2 - 150 * len(x) + 5616 == 0,
            "a root": lambda m, x: len(x) ** 0.5 > 8.5,
            "a number of NumPy": lambda m, x: np.int64(len(x)) > m.most,
            "an array": lambda m, x: np.array(x.shape).max() > m.most,
            "a tensor": lambda m, x: torch.tensor(len(x)) > m.most,
            "ones": lambda m, x: torch.ones(len(x)).sum() > m.most,
            "many ones": lambda m, x: torch.ones_like(x).sum().item() > 300,
            "the last of a tensor": lambda m, x: torch.arange(len(x))[-1].item() > m.most,
            "one of a tensor": lambda m, x: m.most in torch.arange(len(x)),
            "an equal tensor": lambda m, x: torch.equal(torch.ones(len(x)), torch.ones(m.most)),
            "numbers of a tensor": lambda m, x: m.most in torch.arange(len(x)).tolist(),
            "the number of parts": lambda m, x: len(x.split(16)) > 4,
            "the number of rows in a tuple": lambda m, x: len(x.unbind()) > m.most,
            "the number of rows in a list": lambda m, x: len(list(x)) > m.most,
            "the size of a part": lambda m, x: x.chunk(8)[0].shape[0] > 9,
            "every fiftieth": lambda m, x: len(x[::50]) > 2,
            "a range": lambda m, x: m.most in range(len(x)),
            "the length of a list": lambda m, x: len([0] * len(x)) > m.most,
            "any of a loop": lambda m, x: any(i == m.most for i in range(x.shape[0])),
            "what a cache keeps": lambda m, x: CACHED(len(x)),
            "a greatest divisor": lambda m, x: math.gcd(len(x), 70) == 70,
            "a sorted list": lambda m, x: sorted([len(x), m.most])[0] == m.most,
            "an operator": lambda m, x: operator.index(len(x)) > m.most,
            "bytes": lambda m, x: x.nbytes > 2000,
            "a stride": lambda m, x: x.t().contiguous().stride(0) > m.most,
            "a repeated number": lambda m, x: sum([1] * len(x)) > m.most,
            "a repeated text": lambda m, x: "a" * len(x) == "a" * 70,
            "equal lists": lambda m, x: [0] * len(x) == [0] * 70,
            "an equal range": lambda m, x: range(len(x)) == range(70),
            "a longer tuple": lambda m, x: (lambda *rows: rows[70:])(*x),
            "a list by a star": lambda m, x: [*x][70:],
            "an iterator": lambda m, x: [*itertools.islice(x, 70, None)],
            "four numbers": lambda m, x: 30 < len(x) < 35,
        }.items()
    },
}


@pytest.mark.parametrize("name", BRANCHES)
def test_what_bends_from_some_number_of_rows_on_is_not_affine(name: str) -> None:
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    assert wa.analyze(Limited(BRANCHES[name]), x).verdict is wa.Verdict.UNDECIDED


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.most = 70

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > self.most or len(x) == 150:
            return x.relu()
        return x


def _of_many_rows(x: Tensor) -> Tensor:
    if x.shape[0] > 100:
        return x.relu()
    return x


def test_numbers_that_scripted_code_compares_are_tried() -> None:
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    inner, function = torch.jit.script(nn.Sequential(nn.Linear(4, 4), Scripted())), torch.jit.script(_of_many_rows)
    for module in (inner, nn.Sequential(inner), Limited(lambda m, x: function(x))):
        assert wa.analyze(module, x).verdict is wa.Verdict.UNDECIDED


def _refuses_many(m: Any, x: Tensor) -> Tensor:
    if len(x) > 100:
        raise ValueError(f"at most 100 rows, not {len(x)}")
    return m.fc(x)


def _checks(m: Any, x: Tensor) -> Tensor:
    assert len(x) > 0, f"no rows: {len(x)}"
    print(x.shape, len(x), end="", file=io.StringIO())
    return m.fc(x)


def _fills(m: Any, x: Tensor) -> Tensor:
    found: list[Any] = [None] * len(x)
    for i in range(len(x)):
        found[i] = m.fc(x[i])
    return torch.stack(found)


def _fills_a_tensor(m: Any, x: Tensor) -> Tensor:
    found = torch.zeros_like(x)
    for i, row in enumerate(x):
        found[i] = m.fc(row)
    return found


def _by_threes(m: Any, x: Tensor) -> Tensor:
    found, start = [], 0
    while start < len(x):
        found.append(m.fc(x[start : start + 3]))
        start += 3
    return torch.cat(found)


AFFINE: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "cut and glued": lambda m, x: torch.cat([2 * part for part in x.split(m.most)]),
    "padded": lambda m, x: F.pad(x, (0, 0, 0, -len(x) % 128))[: len(x)],
    "as many rows as another tensor": lambda m, x: x + x.new_ones(x.shape[0], 1)[: x.shape[0]],
    "too many rows to try": lambda m, x: 2 * x if len(x) < 10**9 else x.relu(),
    "too many numbers to try": lambda m, x: 2 * x if (x @ x.T).numel() < 10**8 else x.relu(),
    "no more rows than that": lambda m, x: 2 * x if len(x) <= m.most else x[: 1 // 0],
    "many rows are refused": _refuses_many,
    "checked and printed": _checks,
    "filled": _fills,
    "filled in a tensor": _fills_a_tensor,
    "by threes": _by_threes,
    "viewed": lambda m, x: x.view(int(x.shape[0]), -1).view(tuple(x.size())).view(*[int(size) for size in x.shape]),
    "a loop": lambda m, x: torch.stack([m.fc(x[i]) for i in range(len(x))]),
    "a list": lambda m, x: torch.stack([list(x)[i] for i in range(len(x))]),
    "by eights": lambda m, x: torch.cat([m.fc(x[i : i + 8]) for i in range(0, len(x), 8)]),
    "by sixteens": lambda m, x: torch.cat([m.fc(part) for part in x.split(16)]),
    "in halves": lambda m, x: torch.cat([x[: len(x) // 2], x[len(x) // 2 :]]),
    "one row by itself": lambda m, x: m.fc(x[0])[None] if len(x) == 1 else m.fc(x),
    "odd or even": lambda m, x: m.fc(x) if len(x) % 2 == 0 else m.fc(x) + 0,
    "one of five": lambda m, x: m.blocks[len(x) % 4](x),
    "padded to threes": lambda m, x: F.pad(x, (0, 0, 0, -len(x) % 3)).view(-1, 3, 4).flatten(0, 1)[: len(x)],
    "columns": lambda m, x: torch.stack([x[:, t] * (t + 1) for t in range(x.shape[1])], 1),
    "a table by columns": lambda m, x: x * {4: 2.0}[x.shape[1]],
    "vmapped": lambda m, x: torch.vmap(lambda row: m.fc.weight @ row)(x)[: len(x)],
    "unbound": lambda m, x: torch.stack(x.unbind()),
    "starred": lambda m, x: torch.stack([*x]),
    "repeated": lambda m, x: torch.stack([m.fc.bias] * len(x)) + x,
    "the mean of Python": lambda m, x: x - sum(x) / len(x),
    "rows along": lambda m, x: torch.stack([a + m.fc(b) for a, b in zip(x.unbind(), x, strict=True)]),
    "weights along": lambda m, x: sum(c * w for c, w in zip(x.unbind(1), [1.0, 2.0, 3.0, 4.0], strict=True)),
    "mapped": lambda m, x: torch.stack(list(map(m.fc, x))),
    "of types": lambda m, x: m.fc(x).to(float) * torch.zeros(4, dtype=float) if type(len(x)) is int else x,
}


MIXING = ("the mean of Python",)
"""Of these, those in which rows mix."""


@pytest.mark.parametrize("name", AFFINE)
def test_what_does_not_bend_stays_affine(name: str) -> None:
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    analysis = wa.analyze(Limited(AFFINE[name]), x)
    assert analysis.verdict is wa.Verdict.AFFINE, analysis
    assert analysis.per_example == (name not in MIXING)


def test_words_say_what_is_open_and_where() -> None:
    analysis = wa.analyze(Limited(BRANCHES["a dict"]), torch.ones(2, 4))
    assert "looks something up by the number of rows" in analysis.blame[0].reason
    assert "m.table.get" in analysis.blame[0].line
    assert "same for any number of rows" in analysis.advice


FORMS: dict[str, Callable[[Any], Any]] = {
    "sums": lambda n: 3 * n - 7 + n,
    "quotients": lambda n: (5 * n + 2) // 3 - n % 4,
    "fractions": lambda n: 100 / n + n / 3,
    "powers": lambda n: n**3 - 2**7,
    "bits": lambda n: ((n & 12) | (n ^ 5)) + (n << 2) - (n >> 1) + ~n,
    "rounded": lambda n: round(n / 8) + math.ceil(n / 7) - math.floor(-n / 5) + int(n / 2) + math.trunc(n * 0.7),
    "signs": lambda n: abs(40 - n) - (-n),
    "length in bits": lambda n: n.bit_length(),
    "dividing": lambda n: divmod(1000, n)[1] + 1000 // n,
    "compared": lambda n: 3 * (n % 5),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_tells_what_a_number_is_for_every_number_of_rows(name: str) -> None:
    class Deaf:
        def question(self, form: Any, answer: bool) -> None: ...

        def taken(self, form: Any, what: str) -> None: ...

        count = parts = is_rows = pair = listed = repeated = None

    told: Any = Deaf()
    leaf, compute = Leaf(("here",)), FORMS[name]
    with tracked_names([globals()], told):
        counted = compute(Count(told, 6, leaf))
    assert counted.value == compute(6)
    rows = np.arange(1, 200)
    found = column(counted.form, {leaf: {2: 2, 3: 3}}, rows)
    assert found.tolist() == pytest.approx([compute(one) for one in range(1, 200)], rel=1e-15)


def test_how_sizes_grow_is_told_from_some_of_them() -> None:
    assert polynomial_through({2: 5, 3: 6, 8: 11}) == (3, 1, 0)
    assert polynomial_through({2: 4, 3: 9, 8: 64, 32: 1024}) == (0, 0, 1)
    for values in ({2: 4, 3: 9, 8: 64}, {2: 1, 3: 2, 8: 4, 32: 16}):
        with pytest.raises(UnknownError):
            polynomial_through(values)


def test_a_module_that_is_listened_to_stays_as_it_was() -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        m.tried = x.shape[0]
        return x[: m.tried] if x.shape[0] > m.most else x

    module = Limited(function)
    x = torch.zeros(4, 4)
    heard = listen(module, (x,), {}, 4, State(module))
    assert {type(event.answer) for event in heard.events} == {bool}
    assert module.tried == 0
    assert type(len(x)) is int
    assert not {"int", "len", "range"} & globals().keys()
