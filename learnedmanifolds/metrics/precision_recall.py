"""Precision and recall of samples, density and coverage."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from learnedmanifolds._check import ArrayLike, integer
from learnedmanifolds.metrics._points import as_pair, blocks, distances, neighbours


@dataclass(frozen=True)
class PrecisionRecall:
    """How far two supports, each the union of balls around its points, hold each other's points.

    A ball reaches to the k-th nearest other point of its own set. All are shares in [0, 1] without
    unit, but the density, which is non-negative. They depend on k and on the numbers of points.

    Attributes
    ----------
    precision : float
        Share of the samples in the support of the data.
    recall : float
        Share of the data in the support of the samples.
    density : float
        Mean number of balls of the data that hold a sample, over k; of mean 1 for samples of the
        data's law.
    coverage : float
        Share of the data whose ball holds a sample; for n samples and N data of one law its mean is
        1 - (N - 1)...(N - k) / ((N + n - 1)...(N + n - k)).
    k, n_samples, n_data : int
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    n_samples: int
    n_data: int


def precision_recall(samples: ArrayLike, data: ArrayLike, k: int = 5) -> PrecisionRecall:
    """Improved precision and recall of samples, with density and coverage.

    Parameters
    ----------
    samples, data : array, shape (n, ...), (N, ...)
        More than k points each; as many of both, where the measures are to be compared.
    k : int
        The neighbour that a ball reaches to. Kynkaanniemi et al. take 3, Naeem et al. 5.

    Returns
    -------
    PrecisionRecall

    Raises
    ------
    TypeError, ValueError
        If a set has too few points for the neighbours asked, the sizes of the points differ, or k is
        no positive integer.

    References
    ----------
    Kynkaanniemi, Karras, Laine, Lehtinen, Aila, Improved precision and recall metric for assessing
    generative models, NeurIPS 2019, eq. 1 and 2. Naeem, Oh, Uh, Choi, Yoo, Reliable fidelity and
    diversity metrics for generative models, ICML 2020, eq. 3 to 5.
    """
    made, real = as_pair(samples, data, ("samples", "data"))
    count = integer(k, "k", minimum=1)
    for name, points in (("samples", made), ("data", real)):
        if len(points) <= count:
            raise ValueError(f"{name} must hold more than k={count} points, got {len(points)}")
    radius = neighbours(real, count)[0][:, -1]
    made_radius = neighbours(made, count)[0][:, -1]
    n_balls, recalled = [], torch.zeros_like(radius, dtype=torch.bool)
    covered = torch.zeros_like(recalled)
    start = 0
    for part in blocks(made, len(real)):
        gap = distances(part, real)
        inside = gap <= radius
        n_balls.append(inside.sum(1))
        covered |= inside.any(0)
        own = made_radius[start : start + len(part)]
        recalled |= (gap <= own.unsqueeze(1)).any(0)
        start += len(part)
    balls = torch.cat(n_balls).double()
    return PrecisionRecall(
        float((balls > 0).double().mean()),
        float(recalled.double().mean()),
        float(balls.mean() / count),
        float(covered.double().mean()),
        count,
        len(made),
        len(real),
    )
