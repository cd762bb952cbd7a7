"""Many inverse problems at once: one row a run, every decision taken row by row."""

from learnedmanifolds.inverse.batch.solution import BatchRuns, BatchSolution

__all__ = ["BatchRuns", "BatchSolution"]
