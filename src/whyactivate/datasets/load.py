"""`load_dataset`: every data set by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from whyactivate._checks import check_seed
from whyactivate.datasets import toy
from whyactivate.datasets.arrays import dataset_from_arrays
from whyactivate.datasets.dataset import Dataset
from whyactivate.datasets.scikit import import_scikit
from whyactivate.errors import UnknownNameError

DATASETS: Mapping[str, str] = MappingProxyType({
    "article": "X and y are independent noise, as in the tutorial: there is nothing to learn.",
    "affine": "An affine target with noise: no activation is needed.",
    "xor": "Four clouds at the corners of a square, the diagonal ones alike: no line parts them.",
    "moons": "Two half moons, one hooked into the other.",
    "circles": "A circle inside a circle: no line does better than a guess or two.",
    "spirals": "Two spirals wound into each other.",
    "sine": "Two waves of a sine with noise, from one feature.",
    "digits": "1797 handwritten digits of 8 by 8 pixels (real; Alpaydin & Kaynak 1998).",
    "breast_cancer": "569 tumours, benign or malignant, from 30 measurements (real; Wolberg et al. 1995).",
    "wine": "178 wines from three growers, from 13 chemical measurements (real; Aeberhard & Forina 1992).",
    "diabetes": "442 patients: how the disease progressed in a year, from 10 measurements (real; Efron et al. 2004).",
})  # fmt: skip
"""Name to one sentence on what the data is."""

_TOYS: dict[str, tuple[Callable[[int], toy.Arrays], tuple[str, ...] | None]] = {
    "affine": (toy.affine, None),
    "xor": (toy.xor, ("same sign", "opposite signs")),
    "moons": (toy.moons, ("upper moon", "lower moon")),
    "circles": (toy.circles, ("outer", "inner")),
    "spirals": (toy.spirals, ("first spiral", "second spiral")),
    "sine": (toy.sine, None),
}


def load_dataset(name: str, seed: int = 0) -> Dataset:
    """The data set of that name, split and (except for the article's) standardised on its training part.

    Args:
        name: a name of `DATASETS`.
        seed: fixes what is drawn, and which quarter of the rows is held out.

    Raises:
        UnknownNameError: there is no such data set; the nearest is suggested.
        InputError: the seed is not a whole number from 0 to 2³² − 1.
    """
    seed = check_seed(seed)
    key = str(name).strip().lower().replace("-", "_").replace(" ", "_")
    if key not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    if key == "article":
        return toy.article(seed, DATASETS[key])
    if key in _TOYS:
        make, classes = _TOYS[key]
        x, y = make(seed)
        names = [f"x{i + 1}" for i in range(x.shape[1])]
        return _dataset(key, seed, x, y, names, "y", classes)
    return _load_real(key, seed)


def _load_real(name: str, seed: int) -> Dataset:
    """A set that ships with scikit-learn."""
    datasets = import_scikit("datasets")
    if name == "diabetes":
        found: Any = datasets.load_diabetes(scaled=False)
    else:
        found = getattr(datasets, f"load_{name}")()
    classes = None if name == "diabetes" else tuple(str(c) for c in found.target_names)
    target_name = "progression" if name == "diabetes" else "class"
    names = [str(column) for column in found.feature_names]
    shape = (8, 8) if name == "digits" else None
    return _dataset(name, seed, found.data, found.target, names, target_name, classes, shape)


def _dataset(
    name: str,
    seed: int,
    x: object,
    y: object,
    names: list[str],
    target_name: str,
    classes: tuple[str, ...] | None,
    image_shape: tuple[int, int] | None = None,
) -> Dataset:
    return dataset_from_arrays(
        x, y, name=name, task="regression" if classes is None else "classification",
        feature_names=names, target_name=target_name, classes=classes, test_fraction=0.25, seed=seed,
        standardise=True, image_shape=image_shape, sentence=DATASETS[name],
    )  # fmt: skip
