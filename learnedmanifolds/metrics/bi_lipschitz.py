"""How much a map stretches and shrinks distances locally."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer
from learnedmanifolds.metrics._points import as_points, blocks, neighbours


@dataclass(frozen=True, eq=False)
class BiLipschitz:
    """Local bi-Lipschitz constants of a map; without unit, in [1, infinity], 1 for an isometry.

    Attributes
    ----------
    values : Tensor, shape (N,)
        At each point the largest of dX/dZ and dZ/dX over its neighbours.
    scale_free : Tensor, shape (N,)
        At each point the root of largest over smallest dX/dZ: the same for a map and its multiples, 1
        for a similarity.
    median, scale_free_median : float
        Medians over the points.
    n_neighbors : int
    """

    values: Tensor
    scale_free: Tensor
    median: float
    scale_free_median: float
    n_neighbors: int

    def __repr__(self) -> str:
        return (
            f"BiLipschitz(median={self.median:.4g}, scale_free_median={self.scale_free_median:.4g}, "
            f"n_neighbors={self.n_neighbors}, n_points={len(self.values)})"
        )


def bi_lipschitz(
    z: ArrayLike, x: ArrayLike, n_neighbors: int = 20, *, chart: ArrayLike | None = None
) -> BiLipschitz:
    """Local bi-Lipschitz constant of the map z -> x from its values at points.

    max over the k nearest neighbours of z_i, in latent space, of max(dX/dZ, dZ/dX), with Euclidean
    distances dX and dZ. It depends on the units of z and x: scaling by s gives max(s, 1/s). The
    scale-free variant does not. Two points that are equal in z and in x say nothing and are left
    out; equal in one of the two only, the constant is infinite. Where all neighbours are left out
    the value is NaN and does not count in the median, which is NaN only if that is so everywhere.

    Parameters
    ----------
    z : array, shape (N, ...)
        Latent points.
    x : array, shape (N, ...)
        Their images.
    n_neighbors : int
        k, less than N. The published values are for 100.
    chart : array of int, shape (N,), optional
        The chart of each point, where z are coordinates in charts: neighbours are sought in the
        same chart.

    Returns
    -------
    BiLipschitz

    Raises
    ------
    TypeError, ValueError
        If the arrays do not hold equally many finite points, or there are too few for the neighbours
        asked.

    References
    ----------
    Li, Lindenbaum, Cheng, Cloninger, Variational diffusion autoencoders with random walk sampling,
    ECCV 2020, section 5.
    """
    latent, image = as_points(z, "z"), as_points(x, "x")
    image = image.to(latent.device)
    if len(latent) != len(image):
        raise ValueError(f"z and x must be as many points, got {len(latent)} and {len(image)}")
    k = integer(n_neighbors, "n_neighbors", minimum=1)
    if k >= len(latent):
        raise ValueError(
            f"n_neighbors must be less than the number of points, {len(latent)}; got {k}"
        )
    groups = [torch.arange(len(latent), device=latent.device)]
    if chart is not None:
        label = as_tensor(chart, "chart", dtype=torch.int64, shape=(len(latent),))
        label = label.to(latent.device)
        groups = [(label == value).nonzero().squeeze(-1) for value in label.unique()]
    values = latent.new_full((len(latent),), torch.nan)
    scale_free = values.clone()
    for index in groups:
        values[index], scale_free[index] = _constants(latent[index], image[index], k)
    return BiLipschitz(
        values,
        scale_free,
        float(values.nanmedian()),
        float(scale_free.nanmedian()),
        k,
    )


def _constants(latent: Tensor, image: Tensor, k: int) -> tuple[Tensor, Tensor]:
    count = min(k, len(latent) - 1)
    if count == 0:
        nothing = latent.new_full((len(latent),), torch.nan)
        return nothing, nothing
    _, near = neighbours(latent, count)
    dz, dx = _gaps(latent, near), _gaps(image, near)
    equal = (dz == 0) & (dx == 0)
    ratio = dx / dz
    largest = ratio.masked_fill(equal, -torch.inf).amax(1)
    smallest = ratio.masked_fill(equal, torch.inf).amin(1)
    unknown = equal.all(1)
    values = torch.maximum(largest, 1 / smallest).masked_fill(unknown, torch.nan)
    # 0 / 0 and inf / inf: neighbours that are all merged, or all torn apart.
    spread = (largest / smallest).sqrt().nan_to_num(nan=torch.inf, posinf=torch.inf)
    return values, spread.masked_fill(unknown, torch.nan)


def _gaps(points: Tensor, near: Tensor) -> Tensor:
    """Distances (N, k) of points to those of the given indices."""
    rows = torch.arange(len(points), device=points.device)
    return torch.cat(
        [
            (points[near[part]] - points[part].unsqueeze(1)).norm(dim=-1)
            for part in blocks(rows, near.shape[1] * points.shape[1])
        ]
    )
