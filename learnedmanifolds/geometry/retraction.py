"""Steps in coordinates that belong to a tangent vector: retractions of first and second order."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.geometry.local import LocalGeometry

RETRACTIONS = ("second-order", "chart", "projection")
"""Names of the retractions."""

# Where the correction would exceed half the step, the Taylor polynomial is no longer trusted.
_LARGEST_CORRECTION = 0.5


def retraction_step(local: LocalGeometry, a: Tensor, order: int) -> Tensor:
    """Coordinates step of a retraction along h = J a.

    The first-order (chart) retraction is p(a). The second-order one is p(a - R^-1 Q^T D2(a, a) / 2)
    whose acceleration at 0 is normal, as a geodesic's is; the correction is bounded by half the
    step, both measured in coordinates.

    Parameters
    ----------
    local : LocalGeometry
    a : Tensor, shape (N, d)
    order : int
        1 or 2.

    References
    ----------
    Absil, Malick, Projection-like retractions on matrix manifolds, SIAM J. Optim. 22, 2012.
    """
    if order == 1:
        return a
    correction = -0.5 * local.tangential_acceleration(a)
    size = correction.norm(dim=-1, keepdim=True)
    bound = _LARGEST_CORRECTION * a.norm(dim=-1, keepdim=True)
    return a + correction * (bound / size.clamp(min=torch.finfo(size.dtype).tiny)).clamp(max=1.0)
