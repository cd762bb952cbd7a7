"""Exact first- and second-order geometry of immersions: batched torch, no framework."""

from learnedmanifolds.geometry.curvature import Curvature
from learnedmanifolds.geometry.local import (
    ChartedManifold,
    LocalGeometry,
    Located,
    Parametrization,
    SingularJacobianError,
)
from learnedmanifolds.geometry.metric import BoundaryError, InducedMetric
from learnedmanifolds.geometry.retraction import RETRACTIONS, retraction_step

__all__ = [
    "RETRACTIONS",
    "BoundaryError",
    "ChartedManifold",
    "Curvature",
    "InducedMetric",
    "LocalGeometry",
    "Located",
    "Parametrization",
    "SingularJacobianError",
    "retraction_step",
]
