"""Where a run meets the border of a chart."""

from __future__ import annotations

import numpy as np
import pymanopt
import torch

from learnedmanifolds.geometry.local import LocalGeometry
from learnedmanifolds.manifolds.point import AtlasPoint

ON_FACE = 1e-6
"""A coordinate closer than this to the face of the box is on it."""


def held_faces(problem: pymanopt.Problem, point: AtlasPoint) -> torch.Tensor:
    """Faces of the box that a point is on and that the descent direction leaves, (1, d)."""
    local = point.local
    assert isinstance(local, LocalGeometry)
    descent = -torch.from_numpy(np.array(problem.euclidean_gradient(point))).view(1, -1)
    step, coords = local.coordinates(descent), local.coords
    return (coords.abs() >= 1 - ON_FACE) & (step * coords > 0)


def next_chart(problem: pymanopt.Problem, point: AtlasPoint) -> AtlasPoint | None:
    """The point in the chart that follows where the descent direction leaves this one.

    Charts may disagree by more than a small step gains; a line search then stops at the border.
    """
    if np.abs(point.coords).max() < 1 - ON_FACE or not bool(held_faces(problem, point).any()):
        return None
    manifold = problem.manifold
    x = torch.from_numpy(np.array(point)).view(1, -1)
    entered, (chart, coords) = manifold.atlas.enter(x, torch.tensor([point.chart]))
    return manifold.point(coords[0].numpy(), int(chart)) if bool(entered) else None
