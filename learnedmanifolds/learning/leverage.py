"""Leverages: how little of a regression's data is like a point."""

from __future__ import annotations

import torch
from torch import Tensor

# Damping, in units of the mean square of a feature: features that data do not vary in are not known.
_DAMPING = 1e-3


def leverages(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A root of the inverse of the mean products of features (N, F), and leverages by it.

    Returns
    -------
    root : Tensor, shape (F, F)
        R; leverages are squares |R' phi|^2.
    own : Tensor, shape (N,)
        Those of the rows.
    others : Tensor, shape (N,)
        Those that they would have, had they not been among the data.

    References
    ----------
    Hoaglin, Welsch, American Statistician 32, 1978, section 2 (leaving one out).
    """
    count = len(features)
    products = features.mT @ features / count
    products.diagonal().add_(_DAMPING * float(products.diagonal().mean()))
    factor = torch.linalg.cholesky(products)
    eye = torch.eye(len(products), dtype=products.dtype)
    root = torch.linalg.solve_triangular(factor, eye, upper=False).mT.contiguous()
    own = (features @ root).square().sum(1)
    return root, own, own / (1 - own / count)
