"""Measurement operators, from a point of the ambient space to an observation.

Any torch callable and any object of deepinv's protocol is accepted wherever an operator is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from learnedmanifolds.inverse.operators.base import AffineOperator, Linearization, Operator
from learnedmanifolds.inverse.operators.blur import Blur
from learnedmanifolds.inverse.operators.deepinv import DeepinvOperator, as_operator
from learnedmanifolds.inverse.operators.downsample import Downsample
from learnedmanifolds.inverse.operators.function import FunctionOperator
from learnedmanifolds.inverse.operators.gaussian import GaussianBlur
from learnedmanifolds.inverse.operators.identity import Identity, identity
from learnedmanifolds.inverse.operators.linear import Linear, linear
from learnedmanifolds.inverse.operators.mask import Mask, mask
from learnedmanifolds.inverse.operators.radon import Radon

if TYPE_CHECKING:
    from learnedmanifolds.inverse.operators.impedance import ElectricalImpedance

__all__ = [
    "AffineOperator",
    "Blur",
    "DeepinvOperator",
    "Downsample",
    "ElectricalImpedance",
    "FunctionOperator",
    "GaussianBlur",
    "Identity",
    "Linear",
    "Linearization",
    "Mask",
    "Operator",
    "Radon",
    "as_operator",
    "identity",
    "linear",
    "mask",
]


def __getattr__(name: str) -> object:
    # scikit-fem is imported when it is first needed.
    if name == "ElectricalImpedance":
        home = importlib.import_module("learnedmanifolds.inverse.operators.impedance")
        return home.ElectricalImpedance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
