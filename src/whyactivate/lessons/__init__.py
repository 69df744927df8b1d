"""What activations add, and how each fails: lessons that return numbers, words and figures.

Each lesson is a function that returns a frozen result; `.explain()` says in a paragraph what the numbers say,
`.plot()` draws them, `.to_dict()` gives them as plain data. Those that end in `_of` take any module of yours.
"""

from __future__ import annotations

from whyactivate.lessons.approximation import Approximation, approximation, relu_interpolant, sigmoid_steps
from whyactivate.lessons.centring import Centring, centring
from whyactivate.lessons.dead_units import DeadUnits, Life, ModuleUnits, dead_units, dead_units_of
from whyactivate.lessons.float_networks import FloatNetworks, float_networks
from whyactivate.lessons.gradients import Gradients, ModuleGradients, gradients, gradients_of
from whyactivate.lessons.lesson import Lesson
from whyactivate.lessons.memorisation import Memorisation, memorisation
from whyactivate.lessons.regions import LocalMap, Regions, affine_map_at, regions_along, regions_in
from whyactivate.lessons.saturation import ModuleSaturation, Saturation, saturation, saturation_of
from whyactivate.lessons.training_path import TrainingPath, training_path
from whyactivate.lessons.where_nonlinearity import WhereNonlinearity, where_nonlinearity
from whyactivate.lessons.xor import Xor, xor, xor_network

__all__ = [
    "Lesson",
    "saturation", "saturation_of", "Saturation", "ModuleSaturation",
    "gradients", "gradients_of", "Gradients", "ModuleGradients",
    "dead_units", "dead_units_of", "DeadUnits", "ModuleUnits", "Life",
    "centring", "Centring",
    "memorisation", "Memorisation",
    "regions_in", "regions_along", "affine_map_at", "Regions", "LocalMap",
    "approximation", "relu_interpolant", "sigmoid_steps", "Approximation",
    "xor", "xor_network", "Xor",
    "training_path", "TrainingPath",
    "float_networks", "FloatNetworks",
    "where_nonlinearity", "WhereNonlinearity",
]  # fmt: skip
