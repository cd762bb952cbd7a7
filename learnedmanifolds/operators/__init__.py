"""Measurement operators, from a point of the ambient space to an observation.

Any torch callable and any object of deepinv's protocol is accepted wherever an operator is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from learnedmanifolds.operators.base import AffineOperator, Linearization, Operator
from learnedmanifolds.operators.blur import Blur
from learnedmanifolds.operators.deepinv import DeepinvOperator, as_operator
from learnedmanifolds.operators.domain import OutsideDomainError
from learnedmanifolds.operators.downsample import Downsample
from learnedmanifolds.operators.function import FunctionOperator
from learnedmanifolds.operators.gaussian import GaussianBlur
from learnedmanifolds.operators.identity import Identity, identity
from learnedmanifolds.operators.linear import Linear, linear
from learnedmanifolds.operators.mask import Mask, mask
from learnedmanifolds.operators.radon import Radon

if TYPE_CHECKING:
    from learnedmanifolds.operators.impedance import (
        ElectricalImpedance,
        Electrodes,
        ImpedanceMesh,
        interpolate,
    )

__all__ = [
    "AffineOperator",
    "Blur",
    "DeepinvOperator",
    "Downsample",
    "ElectricalImpedance",
    "Electrodes",
    "FunctionOperator",
    "GaussianBlur",
    "Identity",
    "ImpedanceMesh",
    "Linear",
    "Linearization",
    "Mask",
    "Operator",
    "OutsideDomainError",
    "Radon",
    "as_operator",
    "identity",
    "interpolate",
    "linear",
    "mask",
]


_LAZY = {"ElectricalImpedance", "Electrodes", "ImpedanceMesh", "interpolate"}


def __getattr__(name: str) -> object:
    # scikit-fem is imported when it is first needed.
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.impedance"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
