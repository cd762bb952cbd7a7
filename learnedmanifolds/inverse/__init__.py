"""Inverse problems as optimization problems on learned manifolds."""

from learnedmanifolds.inverse import operators
from learnedmanifolds.inverse.compare import Comparison, compare
from learnedmanifolds.inverse.history import History
from learnedmanifolds.inverse.optimizers import OPTIMIZERS, make_optimizer
from learnedmanifolds.inverse.problem import InverseProblem
from learnedmanifolds.inverse.recording import Recorder
from learnedmanifolds.inverse.solution import Run, Solution, Status
from learnedmanifolds.inverse.solve import solve

__all__ = [
    "OPTIMIZERS",
    "Comparison",
    "History",
    "InverseProblem",
    "Recorder",
    "Run",
    "Solution",
    "Status",
    "compare",
    "make_optimizer",
    "operators",
    "solve",
]
