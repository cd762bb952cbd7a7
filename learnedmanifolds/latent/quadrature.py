"""Exact likelihoods of models with latent spaces of one or two dimensions, by quadrature."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import integer
from learnedmanifolds.latent._pairs import on_circles
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.beta_uniform import Cube
from learnedmanifolds.latent.embedding.projection import Projection
from learnedmanifolds.latent.embedding.space import EmbeddedSpace
from learnedmanifolds.latent.euclidean import Euclidean
from learnedmanifolds.latent.product import Product
from learnedmanifolds.latent.sphere import Sphere
from learnedmanifolds.latent.torus import Torus

Nodes = tuple[Tensor, Tensor]

# Standard deviations of a normal prior at which the trapezoidal rule ends: 1e-17 of it lies beyond.
_REACH = 8.6

_MOST_NODES = 4_000_000

_PIECE = 2_000_000


@functools.singledispatch
def quadrature(space: LatentSpace, n: int) -> Nodes:
    """Nodes and weights of the mean over the prior of a latent space of dimension 1 or 2.

    Circles and normal priors take the trapezoidal rule, which converges faster than any power for
    smooth functions; cubes Gauss-Legendre, also through an embedding; the sphere both. Other spaces
    are added with ``quadrature.register``.

    Parameters
    ----------
    space : LatentSpace
    n : int
        Nodes a coordinate; enough that neighbours are closer than a posterior is wide.

    Returns
    -------
    nodes : Tensor, shape (Q, *shape), float64
    log_weights : Tensor, shape (Q,)
        Of sum 1 up to rounding, so that logsumexp(log p(x | z_q) + log w_q) is log p(x).

    Raises
    ------
    TypeError
        If no rule is known for the space.
    ValueError
        If the dimension is above 2 or there are more than 4 million nodes.
    """
    raise TypeError(
        f"no quadrature is known for {type(space).__name__}; add one with quadrature.register."
    )


@quadrature.register
def _torus(space: Torus, n: int) -> Nodes:
    count = _count(space, n)
    line = 2 * math.pi / count * torch.arange(count, dtype=torch.float64)
    nodes, log_weights = _grid(line, torch.full_like(line, -math.log(n)), space.dim)
    return on_circles(nodes), log_weights


@quadrature.register
def _euclidean(space: Euclidean, n: int) -> Nodes:
    line = torch.linspace(-_REACH, _REACH, _count(space, n, 2), dtype=torch.float64)
    log_weights = torch.log_softmax(-line.square() / 2, 0)
    return _grid(line, log_weights, space.dim)


@quadrature.register
def _cube(space: Cube, n: int) -> Nodes:
    places, weights = np.polynomial.legendre.leggauss(_count(space, n))
    line = (1 + torch.from_numpy(places)) / 2
    return _grid(line, torch.from_numpy(np.log(weights / 2)), space.dim)


@quadrature.register
def _sphere(space: Sphere, n: int) -> Nodes:
    count = _count(space, n)
    if space.dim == 1:
        return _torus(Torus(1), count)
    # Archimedes: heights are uniform, and a meridian takes half the nodes of a circle.
    height, log_share = _cube(Cube(1), (count + 1) // 2)
    around, log_weights = _torus(Torus(1), count)
    radius = 2 * (height * (1 - height)).sqrt().unsqueeze(1)
    nodes = torch.cat([radius * around, (2 * height - 1).unsqueeze(1).expand(-1, count, 1)], -1)
    return nodes.flatten(0, 1), (log_share.unsqueeze(1) + log_weights).flatten()


@quadrature.register
def _embedded(space: EmbeddedSpace, n: int) -> Nodes:
    if isinstance(space.embedding, Projection):
        return _torus(Torus(space.dim), n)
    t, log_weights = _cube(Cube(space.dim), n)
    return space.embedding(t), log_weights


@quadrature.register
def _product(space: Product, n: int) -> Nodes:
    _count(space, n)
    rules = [quadrature(factor, n) for factor in space.factors]
    index = torch.cartesian_prod(*(torch.arange(len(w)) for _, w in rules))
    index = index.view(-1, len(rules))
    nodes = [z.flatten(1)[i] for (z, _), i in zip(rules, index.T, strict=True)]
    log_weights = [w[i] for (_, w), i in zip(rules, index.T, strict=True)]
    return torch.cat(nodes, -1), torch.stack(log_weights).sum(0)


def exact_log_likelihood(
    log_likelihood: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    space: LatentSpace,
    n_nodes: int = 1000,
) -> Tensor:
    """Log of the mean over the prior of p(x | z), (N,), in nats; no derivatives.

    It is an upper bound of every evidence lower bound of the same model. Double `n_nodes` to see
    whether they suffice.

    Parameters
    ----------
    log_likelihood : callable
        ``log_likelihood(x, z)`` gives log p(x_i | z_q), (N, Q), of x (N, ...) and z (Q, *shape),
        which has the dtype and the device of x.
    x : Tensor, shape (N, ...)
    space : LatentSpace
        Of dimension 1 or 2.
    n_nodes : int
        Nodes a coordinate.

    Raises
    ------
    TypeError, ValueError
        See `quadrature`; or if log_likelihood gives another shape.
    """
    nodes, log_weights = quadrature(space, n_nodes)
    nodes, log_weights = nodes.to(x), log_weights.to(x.device)
    total = torch.full((len(x),), -torch.inf, dtype=torch.float64, device=x.device)
    with torch.no_grad():
        for z, log_w in zip(*(t.split(_piece(x)) for t in (nodes, log_weights)), strict=True):
            terms = log_likelihood(x, z)
            if terms.shape != (len(x), len(z)):
                raise ValueError(
                    f"log_likelihood must give shape {(len(x), len(z))}, got {tuple(terms.shape)}."
                )
            total = torch.logaddexp(total, torch.logsumexp(terms.double() + log_w, -1))
    return total


def _piece(x: Tensor) -> int:
    """Nodes at a time, so that every pair of a point and a node may take a point's memory."""
    return max(1, _PIECE // max(1, x.numel()))


def _count(space: LatentSpace, n: int, minimum: int = 1) -> int:
    count = integer(n, "n", minimum=minimum)
    if space.dim > 2:
        raise ValueError(f"space must have dimension 1 or 2 for quadrature, got {space.dim}.")
    if count**space.dim > _MOST_NODES:
        raise ValueError(f"n must give at most {_MOST_NODES} nodes, got {count**space.dim}.")
    return count


def _grid(line: Tensor, log_weights: Tensor, dim: int) -> Nodes:
    nodes = torch.cartesian_prod(*[line] * dim).view(-1, dim)
    weights = torch.cartesian_prod(*[log_weights] * dim).view(-1, dim).sum(-1)
    return nodes, weights
