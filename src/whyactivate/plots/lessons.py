"""One figure per lesson; what is drawn is in the result already."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from whyactivate import __version__
from whyactivate._checks import show_value
from whyactivate.claims import Sketch
from whyactivate.errors import InputError
from whyactivate.lessons import (
    Approximation,
    Centring,
    DeadUnits,
    FloatNetworks,
    Gradients,
    Lesson,
    Memorisation,
    ModuleGradients,
    ModuleSaturation,
    ModuleUnits,
    Regions,
    Saturation,
    TrainingPath,
    WhereNonlinearity,
    Xor,
)
from whyactivate.plots.lessons_functions import draw_approximation, draw_float_networks, draw_xor
from whyactivate.plots.lessons_gradients import draw_gradients, draw_module_gradients
from whyactivate.plots.lessons_learning import draw_memorisation, draw_training_path
from whyactivate.plots.lessons_regions import draw_regions
from whyactivate.plots.lessons_sketch import draw_sketch
from whyactivate.plots.lessons_squashing import draw_centring, draw_module_saturation, draw_saturation
from whyactivate.plots.lessons_units import draw_dead_units, draw_module_units
from whyactivate.plots.lessons_verdicts import draw_where
from whyactivate.plots.style import finish, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURES: dict[type[Lesson], Callable[[Any], Figure]] = {
    Saturation: draw_saturation,
    ModuleSaturation: draw_module_saturation,
    Gradients: draw_gradients,
    ModuleGradients: draw_module_gradients,
    DeadUnits: draw_dead_units,
    ModuleUnits: draw_module_units,
    Centring: draw_centring,
    Memorisation: draw_memorisation,
    Regions: draw_regions,
    Approximation: draw_approximation,
    Xor: draw_xor,
    TrainingPath: draw_training_path,
    FloatNetworks: draw_float_networks,
    WhereNonlinearity: draw_where,
    Sketch: draw_sketch,
}


def draw_lesson(lesson: Lesson, footnote: str | None = None) -> Figure:
    """The figure of a lesson's result.

    Args:
        lesson: the result.
        footnote: small print; the version and what fixes the numbers where None.

    Raises:
        InputError: there is no figure for it.
    """
    draw = _FIGURES.get(type(lesson))
    if draw is None:
        raise InputError(
            f"lesson must be the result of a lesson, such as whyactivate.lessons.xor(), but {show_value(lesson)} came"
        )
    settings = f", {lesson.settings}" if lesson.settings else ""
    with style():
        return finish(draw(lesson), f"whyactivate {__version__}{settings}" if footnote is None else footnote)
