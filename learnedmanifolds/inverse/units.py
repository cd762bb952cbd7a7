"""The units in which the default limits of runs are stated: those of the problem."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.inverse.problem import InverseProblem

# Points whose costs tell how much a cost varies over a manifold.
_N_POINTS = 16

# A cost that varies by less, relative to itself, is constant up to rounding of its gradient.
_CONSTANT = 1e-8


class Units(NamedTuple):
    """How much a cost varies over a manifold, and the manifold's size in units of the data."""

    cost: float = 1.0
    length: float = 1.0

    @property
    def gradient(self) -> float:
        """Of a cost that varies evenly over the manifold."""
        return self.cost / self.length


def natural_units(problem: InverseProblem, atlas: Atlas) -> Units:
    """Those of a problem on an atlas, the same for every start and optimizer."""
    with torch.no_grad():
        costs = problem.cost_batch(unit_points(atlas), atlas)
    return Units(float(variation(costs.unsqueeze(0))), atlas.half_diagonal)


def unit_points(atlas: Atlas) -> Tensor:
    """The points (P, *ambient_shape) whose costs are asked for."""
    return atlas.sample(_N_POINTS, seed=0)


def variation(costs: Tensor) -> Tensor:
    """How far the lowest of the costs (N, P) lie below the median, (N,); 1 where none is finite."""
    known = costs.where(costs.isfinite(), torch.nan)
    middle = known.nanmedian(1).values
    lowest = known.nan_to_num(nan=torch.inf).amin(1)
    found = torch.maximum(middle - lowest, _CONSTANT * middle.abs())
    return found.where(found.isfinite() & (found > 0), 1.0)
