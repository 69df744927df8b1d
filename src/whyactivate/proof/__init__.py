"""Four kinds of proof that an activation-free network is one affine layer; each says exactly what it shows.

theorem: for every depth and width. symbolic: for every weight of one architecture. exact: for these stored weights and
every input, without rounding. numeric: how far floating point may be off.

Each name is loaded when it is first used: who runs the checker of certificates loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whyactivate.proof.certificate import write_certificate
    from whyactivate.proof.exact import Rounding, prove_exact
    from whyactivate.proof.numeric import prove_numeric
    from whyactivate.proof.product import bound_product
    from whyactivate.proof.result import Proof
    from whyactivate.proof.rounding import LinearRounding, RoundedStep
    from whyactivate.proof.symbolic import prove_symbolic
    from whyactivate.proof.theorem import prove_theorem

__all__ = [
    "Proof",
    "prove_theorem",
    "prove_symbolic",
    "prove_exact",
    "Rounding",
    "prove_numeric",
    "bound_product",
    "RoundedStep",
    "LinearRounding",
    "write_certificate",
]

_NAMES_OF_MODULE = {
    "certificate": ("write_certificate",),
    "exact": ("Rounding", "prove_exact"),
    "numeric": ("prove_numeric",),
    "product": ("bound_product",),
    "result": ("Proof",),
    "rounding": ("LinearRounding", "RoundedStep"),
    "symbolic": ("prove_symbolic",),
    "theorem": ("prove_theorem",),
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names}


def __getattr__(name: str) -> object:
    """The name, imported from its module on first use (PEP 562)."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULE_OF_NAME[name]}"), name)
    globals()[name] = value
    return value
