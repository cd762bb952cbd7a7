"""The iterates of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class History:
    """The iterates of a run.

    An iterate is a point at which the optimizer asked for the Riemannian gradient; for an optimizer
    without derivatives, a point better than all before (``gradient_norm`` is NaN there). The last
    one is the result.

    Attributes
    ----------
    cost, gradient_norm, time : ndarray, shape (M,)
        Time in seconds since the start of the run.
    n_cost, n_gradient, n_hessian : ndarray of int, shape (M,)
        Evaluations until then; one at the same point again is not computed and not counted.
    chart : ndarray of int, shape (M,)
    coords : ndarray, shape (M, d)
    points : ndarray, shape (M, *ambient_shape)
    """

    cost: np.ndarray
    gradient_norm: np.ndarray
    time: np.ndarray
    n_cost: np.ndarray
    n_gradient: np.ndarray
    n_hessian: np.ndarray
    chart: np.ndarray
    coords: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.cost)

    def to_frame(self) -> Any:
        """A pandas DataFrame of one row an iterate, without the points."""
        import pandas

        names = ("cost", "gradient_norm", "time", "n_cost", "n_gradient", "n_hessian", "chart")
        columns = {name: getattr(self, name) for name in names}
        columns |= {f"coords_{i}": self.coords[:, i] for i in range(self.coords.shape[1])}
        return pandas.DataFrame(columns)
