"""Gauss quadrature: Legendre's on [0, 1], Hermite's of the normal distribution of R^3."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor


def unit_nodes(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights (count,) on [0, 1], dtype and device of ``like``."""
    nodes, weights = _legendre(count)
    return nodes.to(like), weights.to(like)


def normal_nodes(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes (N, 3) and weights (N,) of N(0, 1) in R^3 for functions even in every coordinate.

    ``count`` (even) nodes an axis, of which one octant is left: N = (count / 2)^3.
    """
    nodes, weights = _hermite(count)
    return nodes.to(like), weights.to(like)


@functools.lru_cache(maxsize=8)
def _legendre(count: int) -> tuple[Tensor, Tensor]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy(0.5 * (nodes + 1)), torch.from_numpy(0.5 * weights)


@functools.lru_cache(maxsize=8)
def _hermite(count: int) -> tuple[Tensor, Tensor]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    half = torch.from_numpy(nodes[count // 2 :])
    mass = torch.from_numpy(2 * weights[count // 2 :] / weights.sum())
    return torch.cartesian_prod(half, half, half), torch.cartesian_prod(mass, mass, mass).prod(-1)
