"""Inverse problems as optimization problems on learned manifolds."""

import learnedmanifolds.operators as operators
from learnedmanifolds.inverse.batch import BatchRuns, BatchSolution
from learnedmanifolds.inverse.compare import Comparison, compare
from learnedmanifolds.inverse.history import History
from learnedmanifolds.inverse.noise import GaussianNoise, NoiseModel, PoissonNoise
from learnedmanifolds.inverse.optimizers import OPTIMIZERS, make_optimizer
from learnedmanifolds.inverse.problem import InverseProblem
from learnedmanifolds.inverse.recording import Recorder
from learnedmanifolds.inverse.solution import Run, Solution
from learnedmanifolds.inverse.solve import solve
from learnedmanifolds.inverse.solve_batch import BATCH_OPTIMIZERS, solve_batch
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
