"""Why runs end."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """Why a run ended; the value is the message for the user."""

    CONVERGED = "The gradient norm is below the threshold."
    COST_REACHED = "The cost is as low as was asked for."
    STALLED = "The cost no longer falls."
    STEP_TOO_SMALL = "The steps became too small before the gradient did."
    AT_BOUNDARY = "The point is on the boundary of the manifold and the cost falls beyond it."
    MAX_ITERATIONS = "The largest number of iterations was reached."
    MAX_TIME = "The time was over."
    MAX_EVALUATIONS = "The largest number of cost evaluations was reached."
    FAILED = "The cost or a derivative is not finite, or the decoder's Jacobian is singular."

    @property
    def converged(self) -> bool:
        """Whether the run reached what it was to reach: a small gradient, or the cost asked for."""
        return self in (Status.CONVERGED, Status.COST_REACHED)
