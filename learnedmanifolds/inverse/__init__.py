"""Inverse problems as optimization problems on learned manifolds."""

from learnedmanifolds.inverse import operators
from learnedmanifolds.inverse.batch import BatchRuns, BatchSolution
from learnedmanifolds.inverse.compare import Comparison, compare
from learnedmanifolds.inverse.fixed_step import FixedStep
from learnedmanifolds.inverse.history import History
from learnedmanifolds.inverse.lbfgs import LBFGS
from learnedmanifolds.inverse.least_squares import LeastSquaresProblem
from learnedmanifolds.inverse.levenberg_marquardt import LevenbergMarquardt
from learnedmanifolds.inverse.noise import GaussianNoise, NoiseModel, PoissonNoise
from learnedmanifolds.inverse.optimizers import OPTIMIZERS, make_optimizer
from learnedmanifolds.inverse.problem import InverseProblem
from learnedmanifolds.inverse.recording import Recorder
from learnedmanifolds.inverse.solution import Run, Solution
from learnedmanifolds.inverse.solve import solve
from learnedmanifolds.inverse.solve_batch import BATCH_OPTIMIZERS, solve_batch
from learnedmanifolds.inverse.status import Status
from learnedmanifolds.inverse.stopping import (
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
from learnedmanifolds.inverse.wolfe import StrongWolfe

__all__ = [
    "BATCH_OPTIMIZERS",
    "LBFGS",
    "OPTIMIZERS",
    "BatchRuns",
    "BatchSolution",
    "Comparison",
    "CostBelow",
    "CostDecrease",
    "Criterion",
    "FixedStep",
    "GaussianNoise",
    "GradientNorm",
    "History",
    "InverseProblem",
    "LeastSquaresProblem",
    "LevenbergMarquardt",
    "MaxEvaluations",
    "MaxIterations",
    "MaxTime",
    "NoiseModel",
    "PoissonNoise",
    "Recorder",
    "Run",
    "Solution",
    "State",
    "Status",
    "StepNorm",
    "StrongWolfe",
    "compare",
    "make_optimizer",
    "operators",
    "solve",
    "solve_batch",
]
