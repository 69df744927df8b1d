"""Figures from results; nothing here computes anything.

Each function returns a `matplotlib.figure.Figure` that no global state knows of: matplotlib's settings
and its current figure stay what they were.
"""

from __future__ import annotations

from whyactivate.plots.ablation import plot_ablation
from whyactivate.plots.comparison import describe_comparison, plot_comparison
from whyactivate.plots.curves import plot_line, plot_losses
from whyactivate.plots.demo_figures import Drawing, draw_part, figure_name
from whyactivate.plots.maps import plot_boundaries, plot_weight_images
from whyactivate.plots.style import COLOUR_ROLES, save_figure, svg_of

__all__ = [
    "COLOUR_ROLES",
    "Drawing",
    "describe_comparison",
    "draw_part",
    "figure_name",
    "plot_ablation",
    "plot_boundaries",
    "plot_comparison",
    "plot_line",
    "plot_losses",
    "plot_weight_images",
    "save_figure",
    "svg_of",
]
