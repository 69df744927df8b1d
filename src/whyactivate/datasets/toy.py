"""Data that is made up: the article's noise, and small sets whose pattern is known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from whyactivate.datasets.dataset import Dataset, Task
from whyactivate.datasets.scikit import import_scikit

ARTICLE_TRAIN_ROWS = 100
ARTICLE_TEST_ROWS = 1000
ARTICLE_FEATURES = 10

Arrays = tuple[NDArray[np.float64], NDArray[np.float64] | NDArray[np.int64]]


def article(seed: int, sentence: str) -> Dataset:
    """X, then y, as the tutorial draws them after `torch.manual_seed(seed)`; then a test part alike.

    Nothing is standardised, for the tutorial does not.
    """
    generator = torch.Generator().manual_seed(seed)
    train_x = torch.randn(ARTICLE_TRAIN_ROWS, ARTICLE_FEATURES, generator=generator, dtype=torch.float32)
    train_y = torch.randn(ARTICLE_TRAIN_ROWS, 1, generator=generator, dtype=torch.float32)
    test_x = torch.randn(ARTICLE_TEST_ROWS, ARTICLE_FEATURES, generator=generator, dtype=torch.float32)
    test_y = torch.randn(ARTICLE_TEST_ROWS, 1, generator=generator, dtype=torch.float32)
    return Dataset("article", train_x, train_y, test_x, test_y, Task.REGRESSION, sentence=sentence)


def affine(seed: int) -> Arrays:
    """An affine target: y = wᵀx + b + noise of standard deviation 0.5, over 10 standard normal features."""
    random = np.random.default_rng(seed)
    w, b = random.standard_normal(10), random.standard_normal()
    x = random.standard_normal((400, 10))
    return x, x @ w + b + 0.5 * random.standard_normal(400)


def xor(seed: int) -> Arrays:
    """Clouds around the corners of a square; the class says whether both coordinates have one sign."""
    random = np.random.default_rng(seed)
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=np.float64)
    corner = np.arange(400) % 4
    x = corners[corner] + 0.3 * random.standard_normal((400, 2))
    y = np.array([0, 1, 1, 0])[corner]
    return x, y


def moons(seed: int) -> Arrays:
    """Two half circles, one hooked into the other."""
    return import_scikit("datasets").make_moons(n_samples=400, noise=0.15, random_state=seed)


def circles(seed: int) -> Arrays:
    """A circle inside a circle."""
    return import_scikit("datasets").make_circles(n_samples=400, noise=0.08, factor=0.5, random_state=seed)


def spirals(seed: int) -> Arrays:
    """Two spirals of one and a half turns, wound into each other."""
    random = np.random.default_rng(seed)
    y = np.arange(600) % 2
    turn = 3 * np.pi * np.sqrt(random.uniform(0.02, 1, 600))
    angle = turn + np.pi * y
    x = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / (3 * np.pi)
    return x + 0.02 * random.standard_normal((600, 2)), y


def sine(seed: int) -> Arrays:
    """A sine: y = sin(x) + noise of standard deviation 0.1, for x from −2π to 2π."""
    random = np.random.default_rng(seed)
    x = random.uniform(-2 * np.pi, 2 * np.pi, (400, 1))
    return x, np.sin(x[:, 0]) + 0.1 * random.standard_normal(400)
