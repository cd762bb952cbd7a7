"""Where two charts of an atlas cross instead of being one sheet."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.geometry import ChartedManifold, LocalGeometry

# Points whose tangent spaces are compared: at most and at least so many, and numbers in them; cosine of
# what is across, and tolerances from there at which sheets have parted.
_COMPARED, _FEWEST, _NUMBERS, _ACROSS, _PARTING = 512, 64, 2**21, 0.5**0.5, 4.0


def crossing(manifold: ChartedManifold, x: Tensor, held: Tensor) -> float:
    """Share of points (N, n) that two charts hold (N, K) whose sheets part from there on.

    Their tangent spaces are over 45 degrees apart there, and farther along one chart the other does not
    hold its points.
    """
    twice = (held.sum(1) >= 2).nonzero().squeeze(-1)
    if manifold.dim == manifold.charts.n_ambient or not len(twice):
        return 0.0
    most = max(_FEWEST, min(_COMPARED, _NUMBERS // manifold.charts.n_ambient))
    some = twice[:: -(-len(twice) // most)]
    coords = manifold.charts.encode(x[some])
    parted = torch.zeros(len(some), dtype=torch.bool, device=some.device)
    known: list[tuple[Tensor, Tensor, Tensor]] = []
    for k in range(manifold.n_charts):
        index = held[some, k].nonzero().squeeze(-1)
        jacobian = LocalGeometry(manifold, coords[k, index], k, first_order=True).jacobian
        # Not the geometry's own basis, which degenerate charts do not have.
        known.append((index, jacobian, torch.linalg.qr(jacobian).Q))
        for j in range(k):
            for one, other in ((k, j), (j, k)):
                both, mine, its = _shared(known[one][0], known[other][0])
                bases = known[one][2][mine], known[other][2][its]
                apart = across(bases[0].mT @ bases[1])
                if bool(apart.any()):
                    both, mine = both[apart], mine[apart]
                    place = coords[one, both]
                    step = _out_of(bases[0][apart], bases[1][apart], known[one][1][mine])
                    step = _PARTING * manifold.tolerance * step
                    parted[both[_parted(manifold, place, step, one, other)]] = True
    return float(parted.double().mean()) * len(twice) / len(x)


def _out_of(basis: Tensor, other: Tensor, jacobian: Tensor) -> Tensor:
    """Steps (M, d) of unit length along tangent spaces that lead out of others, by bases (M, n, d)."""
    axes = torch.linalg.svd(basis.mT @ other).U[..., -1:]
    return (torch.linalg.pinv(jacobian) @ (basis @ axes)).squeeze(-1)


def _parted(
    manifold: ChartedManifold, coords: Tensor, step: Tensor, chart: int, other: int
) -> Tensor:
    """Whether steps (M, d) there or back from places in a chart lead out of another one's sheet."""
    found = torch.zeros(len(coords), dtype=torch.bool, device=coords.device)
    domain = manifold.charts.domain
    for moved in (coords + step, coords - step):
        point = manifold.charts.decode(moved, chart)
        its = manifold.charts.encode(point, other)
        off = (manifold.charts.decode(its, other) - point).norm(dim=-1) > manifold.tolerance
        found |= off & (domain.depth(moved, chart) >= 0) & (domain.depth(its, other) >= 0)
    return found


def _shared(index: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What two increasing lists of indices share, and the places of it in both."""
    mine, its = torch.isin(index, other), torch.isin(other, index)
    return index[mine], mine.nonzero().squeeze(-1), its.nonzero().squeeze(-1)


def across(products: Tensor) -> Tensor:
    """Which pairs of tangent spaces are over 45 degrees apart, by products (M, d, d) of their bases."""
    return torch.linalg.svdvals(products)[:, -1] < _ACROSS
