"""Exact first- and second-order geometry of immersions: batched torch, no framework."""

from learnedmanifolds.geometry.curvature import Curvature
from learnedmanifolds.geometry.distance import differentiable_log, squared_distance
from learnedmanifolds.geometry.geodesic import BoundaryError
from learnedmanifolds.geometry.inverse_retraction import (
    INVERSE_RETRACTIONS,
    InverseChartRetraction,
    InverseProjectiveRetraction,
    InverseRetraction,
    InverseSecondOrderRetraction,
    LogarithmicInverse,
)
from learnedmanifolds.geometry.local import (
    ChartedManifold,
    LocalGeometry,
    Located,
    Parametrization,
    SingularJacobianError,
)
from learnedmanifolds.geometry.metric import InducedMetric
from learnedmanifolds.geometry.retraction import (
    RETRACTIONS,
    ChartRetraction,
    ExponentialRetraction,
    ProjectiveRetraction,
    Retraction,
    SecondOrderRetraction,
    retraction_step,
)
from learnedmanifolds.geometry.transport import (
    TRANSPORTS,
    DifferentiatedRetraction,
    ParallelTransport,
    ProjectionTransport,
    Transport,
)

__all__ = [
    "INVERSE_RETRACTIONS",
    "RETRACTIONS",
    "TRANSPORTS",
    "BoundaryError",
    "ChartRetraction",
    "ChartedManifold",
    "Curvature",
    "DifferentiatedRetraction",
    "ExponentialRetraction",
    "InducedMetric",
    "InverseChartRetraction",
    "InverseProjectiveRetraction",
    "InverseRetraction",
    "InverseSecondOrderRetraction",
    "LocalGeometry",
    "Located",
    "LogarithmicInverse",
    "ParallelTransport",
    "Parametrization",
    "ProjectionTransport",
    "ProjectiveRetraction",
    "Retraction",
    "SecondOrderRetraction",
    "SingularJacobianError",
    "Transport",
    "differentiable_log",
    "retraction_step",
    "squared_distance",
]
