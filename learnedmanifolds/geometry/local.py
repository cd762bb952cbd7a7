"""The geometry of an immersion at given points: every row of the library's table of formulas.

Notation: J the Jacobian of the local parametrization at N points, J = Q R thin, tangent vectors h
and normals are ambient vectors of length n, coordinates a and b vectors of length d with h = J a.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from learnedmanifolds.charts.anchors import Anchors
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.jet import Jet, Pairs

# Up to this dimension all d (d + 1) / 2 second derivatives ride along with the Jacobian, for no
# more than the 2 d passes that a Weingarten map takes by itself.
_WHOLE_SECOND_DERIVATIVE = 3

_POLAR_STEPS = 60

MAX_CONDITION = 1e10
"""A Jacobian with a larger condition number counts as singular."""


class SingularJacobianError(ValueError):
    """The parametrization is not an immersion at a point."""


class Located(NamedTuple):
    """Where points are on a manifold of several charts: chart (N,) and coordinates in it (N, d)."""

    chart: Tensor
    coords: Tensor


class Parametrization(Protocol):
    """What the geometry needs of a manifold: derivatives of a parametrization around points."""

    @property
    def dim(self) -> int:
        """Dimension d."""
        ...

    def jet(self, coords: Tensor, chart: Tensor | int, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """Value (N, n), first (T, N, n) and second derivatives (P, N, n) at coords (N, d)."""
        ...


class ChartedManifold(Parametrization, Protocol):
    """What geometry across charts needs: boxes, and ways from one to the next."""

    @property
    def charts(self) -> Charts:
        """The decoders and left inverses."""
        ...

    @property
    def n_charts(self) -> int:
        """Number K of charts."""
        ...

    @property
    def tolerance(self) -> float:
        """How far a chart's reconstruction of a point that it holds may be off."""
        ...

    @property
    def agreement(self) -> float:
        """How far charts that hold a point of the manifold may be from it."""
        ...

    @property
    def noise_std(self) -> float:
        """Standard deviation of the data around the manifold."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of points."""
        ...

    @property
    def device(self) -> torch.device:
        """Device of points."""
        ...

    @property
    def anchors(self) -> tuple[Anchors, Located]:
        """Points all over the boxes, and where they are."""
        ...

    def decode(self, coords: Tensor, chart: Tensor | int) -> Tensor:
        """Points (N, *ambient_shape) of coordinates (N, d)."""
        ...

    def claims(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (K, N, d) of flat points in every chart, and how far each misses, (K, N)."""
        ...

    def enter(self, x: Tensor, chart: Tensor, depth: float = 0.0) -> tuple[Tensor, Located]:
        """Whether a chart other than the given ones holds each point so deep, which, and where."""
        ...

    def nearest_flat(self, x: Tensor) -> Located:
        """Where the point of the manifold nearest to each flat ambient point (N, n) is."""
        ...

    def move(self, located: Located, step: Tensor) -> Located:
        """End of a step in coordinates (N, d) through the charts that it crosses."""
        ...


class LocalGeometry:
    """First- and second-order geometry at N points, the Jacobian computed once.

    Parameters
    ----------
    source : Parametrization
    coords : Tensor, shape (N, d)
    chart : Tensor, shape (N,), or int
        The chart of each point.
    first_order : bool
        Leave the second derivatives out of the pass that gives the Jacobian; they are then
        computed by themselves if they are asked for.

    References
    ----------
    Absil, Mahony, Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, chapters 3 to 5;
    Absil, Mahony, Trumpf, An extrinsic look at the Riemannian Hessian, 2013, for the Weingarten map.
    """

    def __init__(
        self,
        source: Parametrization,
        coords: Tensor,
        chart: Tensor | int,
        *,
        first_order: bool = False,
    ) -> None:
        self.source, self.coords, self.chart = source, coords, chart
        self.dim = source.dim
        self._whole = not first_order and self.dim <= _WHOLE_SECOND_DERIVATIVE

    @cached_property
    def _jet(self) -> Jet:
        d = self.dim
        eye = torch.eye(d, dtype=self.coords.dtype, device=self.coords.device)
        tangents = eye.unsqueeze(1).expand(d, *self.coords.shape)
        pairs = [(i, j) for i in range(d) for j in range(i, d)]
        return self.source.jet(self.coords, self.chart, tangents, pairs if self._whole else [])

    @property
    def located(self) -> Located:
        """Where the points are, one chart index a point."""
        chart = torch.as_tensor(self.chart, device=self.coords.device).expand(len(self.coords))
        return Located(chart, self.coords)

    @property
    def point(self) -> Tensor:
        """The points, (N, n)."""
        return self._jet.value

    @cached_property
    def jacobian(self) -> Tensor:
        """J, (N, n, d)."""
        return self._jet.first.permute(1, 2, 0)

    @cached_property
    def _factors(self) -> tuple[Tensor, Tensor]:
        q, r = torch.linalg.qr(self.jacobian)
        diagonal = r.diagonal(dim1=-2, dim2=-1).abs()
        if bool((diagonal.amin(-1) * MAX_CONDITION <= diagonal.amax(-1)).any()):
            tiny = torch.finfo(diagonal.dtype).tiny
            worst = int((diagonal.amin(-1) / diagonal.amax(-1).clamp(min=tiny)).argmin())
            chart = self.chart if isinstance(self.chart, int) else int(self.chart[worst])
            values = torch.linalg.svdvals(self.jacobian[worst]).tolist()
            condition = values[0] / values[-1] if values[-1] > 0 else math.inf
            raise SingularJacobianError(
                f"The Jacobian is singular in chart {chart} at the coordinates "
                f"{self.coords[worst].tolist()}: condition number {condition:.3g}, "
                f"expected below {MAX_CONDITION:.0e}."
            )
        return q, r

    @property
    def tangent_basis(self) -> Tensor:
        """Q, an orthonormal basis of every tangent space, (N, n, d)."""
        return self._factors[0]

    @cached_property
    def inverse(self) -> Tensor:
        """R^-1 Q^T, the left inverse of the Jacobian, (N, d, n)."""
        q, r = self._factors
        return torch.linalg.solve_triangular(r, q.mT, upper=True)

    @cached_property
    def metric(self) -> Tensor:
        """G = J^T J, (N, d, d)."""
        return self.jacobian.mT @ self.jacobian

    @property
    def volume_density(self) -> Tensor:
        """sqrt(det G), (N,)."""
        return self._factors[1].diagonal(dim1=-2, dim2=-1).prod(-1).abs()

    @property
    def condition_number(self) -> Tensor:
        """Ratio of the extreme singular values of J, (N,)."""
        return torch.linalg.cond(self.jacobian)

    def project(self, vector: Tensor) -> Tensor:
        """Orthogonal projection P v = Q Q^T v on the tangent spaces, (N, n)."""
        return _apply(self.tangent_basis, self._along(vector))

    def coordinates(self, tangent_vector: Tensor) -> Tensor:
        """A = R^-1 Q^T h, the coordinates of (the tangent part of) vectors, (N, d)."""
        return _apply(self.inverse, tangent_vector)

    def vector(self, coordinates: Tensor) -> Tensor:
        """H = J a, (N, n)."""
        return _apply(self.jacobian, coordinates)

    def dual_vector(self, covector: Tensor) -> Tensor:
        """The tangent vector J G^-1 c = Q R^-T c of a covector c in coordinates, (N, n)."""
        solved = torch.linalg.solve_triangular(
            self._factors[1].mT, covector.unsqueeze(-1), upper=False
        )
        return _apply(self.tangent_basis, solved.squeeze(-1))

    def turned(self, vectors: Tensor, other: LocalGeometry) -> Tensor:
        """Tangent vectors (N, m, n) in other tangent spaces, lengths and angles kept.

        Turned by the rotation that is nearest to the projection between the two spaces.
        """
        old, new = self.tangent_basis, other.tangent_basis
        turn = new.mT @ old
        # The orthogonal polar factor, by Newton and Schulz: singular values are at most 1, and the
        # derivative, unlike that of a singular value decomposition, needs no gaps between them.
        eye = torch.eye(self.dim, dtype=turn.dtype, device=turn.device)
        for _ in range(_POLAR_STEPS):
            change = eye - turn.mT @ turn
            turn = turn + 0.5 * turn @ change
            if float(change.detach().abs().max()) < torch.finfo(turn.dtype).eps ** 0.5:
                break
        return vectors @ old @ turn.mT @ new.mT

    def acceleration(self, a: Tensor, b: Tensor) -> Tensor:
        """D2(a, b), the second derivative of the parametrization, (N, n)."""
        if self._second is not None:
            return torch.einsum("nijk,ni,nj->nk", self._second, a, b)
        # One tangent is enough for the second derivative along one direction.
        tangents, pair = (a.unsqueeze(0), (0, 0)) if a is b else (torch.stack([a, b]), (0, 1))
        return self.source.jet(self.coords, self.chart, tangents, [pair]).second[0]

    def tangential_acceleration(self, a: Tensor) -> Tensor:
        """R^-1 Q^T D2(a, a), Christoffel's symbols contracted with a twice, (N, d)."""
        if self._christoffel is not None:
            twice = _apply(self._christoffel, a.unsqueeze(-2))
            return _apply(twice, a)
        return self.coordinates(self.acceleration(a, a))

    @cached_property
    def _christoffel(self) -> Tensor | None:
        if self._second is None:
            return None
        return torch.einsum("nkm,nijm->nkij", self.inverse, self._second)

    def second_fundamental_form(self, a: Tensor, b: Tensor) -> Tensor:
        """II(a, b) = (I - P) D2(a, b), (N, n)."""
        acceleration = self.acceleration(a, b)
        return acceleration - self.project(acceleration)

    def weingarten(self, tangent_vector: Tensor, normal_vector: Tensor) -> Tensor:
        """W(h, N) = Q R^-T c with c_i = <D2(a, e_i), N>, (N, n); only N's normal part counts."""
        a = self.coordinates(tangent_vector)
        normal = normal_vector - self.project(normal_vector)
        if self._second is not None:
            return self.dual_vector(torch.einsum("nijk,ni,nk->nj", self._second, a, normal))
        d = self.dim
        eye = torch.eye(d, dtype=a.dtype, device=a.device).unsqueeze(1).expand(d, *a.shape)
        tangents = torch.cat([eye, a.unsqueeze(0)])
        second = self.source.jet(
            self.coords, self.chart, tangents, [(i, d) for i in range(d)]
        ).second
        return self.dual_vector(torch.einsum("ink,nk->ni", second, normal))

    def riemannian_hessian(
        self, gradient: Tensor, hessian: Tensor, tangent_vector: Tensor
    ) -> Tensor:
        """P (Hess f [h]) + W(h, (I - P) grad f), from Euclidean derivatives of f, (N, n)."""
        return self.project(hessian) + self.weingarten(tangent_vector, gradient)

    @cached_property
    def second_derivatives(self) -> Tensor:
        """D2(e_i, e_j) in the coordinates of the charts, (N, d, d, n)."""
        if self._second is not None:
            return self._second
        d = self.dim
        eye = torch.eye(d, dtype=self.coords.dtype, device=self.coords.device)
        tangents = eye.unsqueeze(1).expand(d, *self.coords.shape)
        pairs = [(i, j) for i in range(d) for j in range(i, d)]
        return symmetric(self.source.jet(self.coords, self.chart, tangents, pairs).second, d)

    @cached_property
    def _second(self) -> Tensor | None:
        return symmetric(self._jet.second, self.dim) if self._whole else None

    def _along(self, vector: Tensor) -> Tensor:
        return (vector.unsqueeze(-2) @ self.tangent_basis).squeeze(-2)


def symmetric(pairs: Tensor, d: int) -> Tensor:
    """(N, d, d, n) from the upper triangle row by row, (d (d + 1) / 2, N, n)."""
    return pairs[_triangle(d).to(pairs.device)].permute(2, 0, 1, 3)


@lru_cache(maxsize=64)
def _triangle(d: int) -> Tensor:
    order = torch.empty(d, d, dtype=torch.int64)
    rows, columns = torch.triu_indices(d, d)
    order[rows, columns] = order[columns, rows] = torch.arange(len(rows))
    return order


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)
