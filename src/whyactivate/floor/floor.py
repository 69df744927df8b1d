"""`linear_floor`: no activation-free network of any depth goes below this loss."""

from __future__ import annotations

import contextlib
import functools
import html
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.nn import functional as F

from whyactivate.datasets import Dataset, Task
from whyactivate.errors import InputError
from whyactivate.floor.basis import find_basis
from whyactivate.floor.cross_entropy import Fit, fit_cross_entropy
from whyactivate.floor.least_squares import fit_least_squares
from whyactivate.floor.separation import check_separates

_SMALL = 4_000_000
_TINY_GAP = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Floor:
    """The smallest training loss that affine models can come to, and one that is there or near.

    Attributes:
        data: the name of the data set.
        task: mean squared error for regression, cross-entropy in nats for classification.
        method: how it was found.
        loss: the infimum of the training loss over all affine models, computed in float64.
        gap: the true infimum is at most this far below `loss` (up to rounding).
        attained: whether some affine model reaches `loss`; None where this was not decided. Where a linear
            programme decided it (see `method`), it did so within its tolerance of 1e-7.
        separable: whether some affine classifier gets every training row right with no tie, checked in exact
            arithmetic; None for regression, or where this was not decided.
        weight: (outputs, features) float64, of an affine model at `loss`, or near it where it is not attained.
        bias: (outputs,) float64, of the same model.
        fitted_loss: the training loss of that model; `loss` where attained.
        test_loss: the test loss of that model.
        accuracy: its share of training rows classified correctly; None for regression.
        test_accuracy: the same for the test rows.
        gradient_norm: the largest slope of the training loss in any entry of weight and bias.
        rank: how many columns of x are independent (of each other and of the constant).
        note: what to know about this floor, in a sentence or two.
    """

    data: str
    task: Task
    method: str
    loss: float
    gap: float
    attained: bool | None
    separable: bool | None
    weight: Tensor
    bias: Tensor
    fitted_loss: float
    test_loss: float
    accuracy: float | None
    test_accuracy: float | None
    gradient_norm: float
    rank: int
    note: str

    def __repr__(self) -> str:
        return f"<Floor of {self.data}: {self._value()}>"

    def __str__(self) -> str:
        return "\n".join([f"linear floor of {self.data}: {self._value()}", *(f"  {line}" for line in self._lines())])

    def _value(self) -> str:
        what = "mean squared error" if self.task is Task.REGRESSION else "cross-entropy"
        return f"{what} {self.loss:.6g}" + (" (not reached)" if self.attained is False else "")

    def _lines(self) -> list[str]:
        lines = [f"by {self.method}, rank {self.rank}", f"this affine model on test data: {self.test_loss:.6g}"]
        if self.accuracy is not None and self.test_accuracy is not None:
            lines.append(f"its accuracy: {self.accuracy:.2%} on training data, {self.test_accuracy:.2%} on test data")
        return [*lines, self.note] if self.note else lines

    def _repr_html_(self) -> str:
        lines = "<br>".join(html.escape(line) for line in self._lines())
        return f"<p><b>Linear floor of {html.escape(self.data)}: {html.escape(self._value())}</b><br>{lines}</p>"


def linear_floor(data: Dataset) -> Floor:
    """The smallest training loss over all affine models x ↦ Wx + b, in float64.

    For regression it is the ordinary least squares fit, in closed form. For classification it is the infimum of
    a convex function; where the classes are linearly separable it is 0, and no model reaches it.

    Raises:
        InputError: `data` is not a Dataset.
    """
    if not isinstance(data, Dataset):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"linear_floor needs a Dataset, but {type(data).__name__} came")
    with _few_threads(data.train_x.numel() * data.outputs), torch.inference_mode(False), torch.enable_grad():
        return _find_floor(data)


def _few_threads(size: int) -> contextlib.AbstractContextManager[object]:
    """One thread for NumPy's products where they are so small that a second one only gets in the way."""
    return _thread_control().limit(limits=1, user_api="blas") if size < _SMALL else contextlib.nullcontext()


@functools.cache
def _thread_control() -> ThreadpoolController:
    """Found once: it takes longer to look for NumPy's library than to find a floor."""
    return ThreadpoolController()


def _find_floor(data: Dataset) -> Floor:
    x = data.train_x.double().cpu().numpy()
    basis = find_basis(x)
    if data.task is Task.REGRESSION:
        coefficients, loss, gap = fit_least_squares(basis, data.train_y.double().cpu().numpy())
        weight, bias = basis.to_layer(coefficients)
        note = "" if basis.rank == data.features else _rank_note(basis.rank, data.features)
        return _describe(data, weight, bias, "least squares", loss, gap, True, None, basis.rank, note)
    y = data.train_y.cpu().numpy()
    fit = fit_cross_entropy(basis.z, y, data.outputs)
    weight, bias = basis.to_layer(fit.coefficients)
    separates = check_separates(weight, bias, x, y)
    if separates:
        fit = replace(fit, infimum=0.0, gap=0.0, attained=False)
    separable, note = _judge(fit, separates)
    method = "Newton's method" + (" and a linear programme" if fit.programme else "")
    return _describe(data, weight, bias, method, fit.infimum, fit.gap, fit.attained, separable, basis.rank, note)


def _judge(fit: Fit, separates: bool) -> tuple[bool | None, str]:
    """Whether the classes are separable, and the words for it."""
    if separates:
        return True, (
            "The classes are linearly separable: the given weights get every training row right, and scaling them up "
            "lowers the loss towards its infimum 0, which no affine model reaches."
        )
    if fit.infimum == 0.0:
        return None, (
            "The classes are separable up to rounding: the infimum is 0 as far as float64 can tell, but exact "
            "arithmetic does not confirm that these weights get every row right."
        )
    positive = fit.infimum - fit.gap > 0
    if fit.attained is False:
        return (False if positive else None), (
            f"The classes are partly separable: {fit.fading} of the pairs (row, wrong class) cost nothing in the limit "
            "of ever larger weights, so no affine model reaches this infimum (decided by a linear programme with "
            "tolerance 1e-7)."
        )
    if fit.attained is None:
        return (False if positive else None), (
            "Whether an affine model reaches this infimum was not decided: the linear programme is too large, or "
            "the margins are too thin for it."
        )
    note = f"The infimum is at most {fit.gap:.1g} below this loss." if fit.gap > _TINY_GAP else ""
    return (False if positive else None), note


def _rank_note(rank: int, features: int) -> str:
    return (
        f"The columns of x depend on each other: only {rank} of {features} are independent. Many affine models "
        "reach this loss; this one has the smallest weights, in the scale of the columns."
    )


def _describe(
    data: Dataset,
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    method: str,
    loss: float,
    gap: float,
    attained: bool | None,
    separable: bool | None,
    rank: int,
    note: str,
) -> Floor:
    """The floor with everything that follows from its weight and bias."""
    w = torch.from_numpy(np.ascontiguousarray(weight)).requires_grad_()
    b = torch.from_numpy(np.ascontiguousarray(bias)).requires_grad_()
    fitted, accuracy = _measure(data, data.train_x, data.train_y, w, b)
    slopes = torch.autograd.grad(fitted, (w, b))
    test, test_accuracy = _measure(data, data.test_x, data.test_y, w, b)
    return Floor(
        data=data.name, task=data.task, method=method, loss=loss, gap=gap, attained=attained, separable=separable,
        weight=w.detach(), bias=b.detach(), fitted_loss=fitted.item(), test_loss=test.item(),
        accuracy=accuracy, test_accuracy=test_accuracy,
        gradient_norm=max(float(slope.abs().max()) for slope in slopes), rank=rank, note=note,
    )  # fmt: skip


def _measure(data: Dataset, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, float | None]:
    scores = F.linear(x.double(), weight, bias)
    if data.task is Task.REGRESSION:
        return F.mse_loss(scores, y.double()), None
    return F.cross_entropy(scores, y), float((scores.argmax(dim=1) == y).double().mean())
