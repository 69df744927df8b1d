"""Results are whole where they are printed, and one line where they are looked at as a part of something."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import whyactivate as wa
from whyactivate import lessons

X = torch.ones(2, 3)


@pytest.fixture(scope="module")
def results() -> dict[str, object]:
    kind = type("A<b", (nn.Sequential,), {})
    affine, bent = kind(nn.Linear(3, 4), nn.Linear(4, 2)), kind(nn.Linear(3, 4), nn.ReLU())
    collapse = wa.collapse_linear(affine)
    return {
        "Collapse": collapse,
        "Step": collapse.steps[0],
        "Analysis": wa.analyze(bent, X),
        "Proof": collapse.prove("exact"),
        "Inspection": wa.inspect_module(affine, X),
        "Plan": wa.plan_runs(affine, X),
        "Ablation": wa.ablate(bent, X),
    }


@pytest.mark.parametrize("name", ["Collapse", "Step", "Analysis", "Proof", "Inspection", "Plan", "Ablation"])
def test_a_result_is_one_line_where_it_is_a_part(results, name):
    result = results[name]
    first = str(result).splitlines()[0]
    assert repr(result) == f"<{name}: {first.rstrip('.:')}>"
    assert len(repr(result)) < 120


@pytest.mark.parametrize("name", ["Collapse", "Analysis", "Inspection", "Ablation"])
def test_a_notebook_wraps_long_lines_and_takes_nothing_for_markup(results, name):
    html = results[name]._repr_html_()
    assert html.startswith('<pre style="white-space: pre-wrap">A&lt;b')
    assert "A<b" not in html


@pytest.mark.parametrize("lesson", [lessons.xor, lessons.float_networks, lambda: lessons.regions_in(wa.MLP([2, 3, 1]))])
def test_a_lesson_is_one_line_where_it_is_a_part(lesson):
    result = lesson()
    assert repr(result) == f"<{type(result).__name__}: {result.title}>"


def test_results_that_hold_tensors_are_compared_by_what_they_are(results):
    again = wa.collapse_linear(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))
    bent = wa.MLP([2, 3, 1])
    for one, other in (
        (results["Collapse"], again),
        (results["Step"], again.steps[0]),
        (results["Inspection"], wa.inspect_module(nn.Linear(3, 4), X)),
        (lessons.regions_in(bent), lessons.regions_in(bent)),
        (lessons.affine_map_at(bent, torch.ones(2)), lessons.affine_map_at(bent, torch.ones(2))),
    ):
        assert one != other
        assert len({one, other, one}) == 2


def test_large_counts_are_written_in_groups():
    assert "2,921 parameters before, 31 after" in str(wa.collapse_linear(wa.MLP([30, 40, 40, 1], None)))
    assert "MLP: 2,921 parameters, 2 activations" in str(wa.ablate(wa.MLP([30, 40, 40, 1])))
