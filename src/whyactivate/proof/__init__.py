"""Four kinds of proof that an activation-free network is one affine layer; each says exactly what it shows.

theorem: for every depth and width. symbolic: for every weight of one architecture. exact: for these stored weights and
every input, without rounding. numeric: how far floating point may be off.
"""

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
]
