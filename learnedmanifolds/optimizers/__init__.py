"""Optimizers and stopping criteria for every pymanopt manifold; no inverse problem in them."""

from learnedmanifolds.optimizers.fixed_step import FixedStep
from learnedmanifolds.optimizers.lbfgs import LBFGS
from learnedmanifolds.optimizers.least_squares import LeastSquaresProblem
from learnedmanifolds.optimizers.levenberg_marquardt import LevenbergMarquardt
from learnedmanifolds.optimizers.status import Status
from learnedmanifolds.optimizers.stopping import (
    CostBelow,
    CostDecrease,
    Criterion,
    GradientNorm,
    MaxEvaluations,
    MaxIterations,
    MaxTime,
    State,
    StepNorm,
)
from learnedmanifolds.optimizers.wolfe import StrongWolfe

__all__ = [
    "LBFGS",
    "CostBelow",
    "CostDecrease",
    "Criterion",
    "FixedStep",
    "GradientNorm",
    "LeastSquaresProblem",
    "LevenbergMarquardt",
    "MaxEvaluations",
    "MaxIterations",
    "MaxTime",
    "State",
    "Status",
    "StepNorm",
    "StrongWolfe",
]
