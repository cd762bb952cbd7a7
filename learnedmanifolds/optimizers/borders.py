"""Where a run meets the border of a chart."""

from __future__ import annotations

import numpy as np
import pymanopt
import torch

from learnedmanifolds.geometry.local import LocalGeometry
from learnedmanifolds.manifolds.point import AtlasPoint

ON_WALL = 1e-6
"""A point less deep than this in its chart's domain is on the wall."""


def is_held(problem: pymanopt.Problem, point: AtlasPoint) -> bool:
    """Whether a point is on a wall of its chart's domain that the descent direction leaves through."""
    local = point.local
    assert isinstance(local, LocalGeometry)
    walls = problem.manifold.atlas.charts.domain.walls(local.coords, local.located.chart, ON_WALL)
    if not bool(walls.on.any()):
        return False
    descent = -torch.from_numpy(np.array(problem.euclidean_gradient(point))).view(1, -1)
    return bool(walls.pressed(local.coordinates(descent)).any())


def next_chart(problem: pymanopt.Problem, point: AtlasPoint) -> AtlasPoint | None:
    """The point in the chart that follows where the descent direction leaves this one.

    Charts may disagree by more than a small step gains; a line search then stops at the border.
    """
    if not is_held(problem, point):
        return None
    manifold = problem.manifold
    x = torch.from_numpy(np.array(point)).view(1, -1)
    entered, (chart, coords) = manifold.atlas.enter(x, torch.tensor([point.chart]))
    return manifold.point(coords[0].numpy(), int(chart)) if bool(entered) else None
