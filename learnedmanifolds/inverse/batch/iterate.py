"""Where runs are: places on the manifold, costs, derivatives in orthonormal bases."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.jet import Jet
from learnedmanifolds.geometry import LocalGeometry, Located
from learnedmanifolds.inverse.batch.rows import Rows


@dataclass(frozen=True, eq=False)
class Place(Rows):
    """Points with what is known of the geometry there.

    Attributes
    ----------
    chart : Tensor, shape (A,)
    coords : Tensor, shape (A, d)
    value : Tensor, shape (A, n)
        The points.
    first : Tensor, shape (A, d, n)
        Derivatives of the decoder.
    second : Tensor, shape (A, P, n)
        Second derivatives, if they were computed with the first ones.
    basis : Tensor, shape (A, n, d)
        Q of the thin QR decomposition of the Jacobian: an orthonormal basis of the tangent space.
    factor : Tensor, shape (A, d, d)
        R of it.
    """

    chart: Tensor
    coords: Tensor
    value: Tensor
    first: Tensor
    second: Tensor
    basis: Tensor
    factor: Tensor

    @classmethod
    def of(cls, atlas: Atlas, located: Located, *, first_order: bool) -> Place:
        """Places from charts and coordinates; `SingularJacobianError` if one is no immersion."""
        local = LocalGeometry(atlas, located.coords, located.chart, first_order=first_order)
        value, first, second = local._jet
        basis, factor = local._factors
        return cls(
            located.chart,
            located.coords,
            value,
            first.movedim(0, 1),
            second.movedim(0, 1),
            basis,
            factor,
        )

    @property
    def located(self) -> Located:
        """Charts and coordinates."""
        return Located(self.chart, self.coords)

    def geometry(self, atlas: Atlas) -> LocalGeometry:
        """The geometry there, nothing of it computed again."""
        first_order = self.second.shape[1] == 0
        local = LocalGeometry(atlas, self.coords, self.chart, first_order=first_order)
        jet = Jet(self.value, self.first.movedim(1, 0), self.second.movedim(1, 0))
        # Where functools.cached_property keeps its values.
        vars(local).update(_jet=jet, _factors=(self.basis, self.factor))
        return local


@dataclass(frozen=True, eq=False)
class Iterate(Rows):
    """Places with costs and derivatives, in coordinates of the orthonormal tangent bases.

    Attributes
    ----------
    place : Place
    cost : Tensor, shape (A,)
    gradient : Tensor, shape (A, d)
        Riemannian; on a boundary, minus what descent along it cannot follow.
    gradient_norm : Tensor, shape (A,)
    curvature : Tensor, shape (A, d, d)
        Of the method's quadratic model, positive across faces that are held.
    free : Tensor, shape (A, d, d)
        Projection on the directions along the faces that are held.
    at_boundary : Tensor, shape (A,)
        Whether descent leaves the manifold through a face.
    leads_on : Tensor, shape (A,)
        Whether descent leaves the chart through a face behind which another chart follows.
    next_chart, next_coords : Tensor, shape (A,) and (A, d)
        Where the point is in the chart that follows.
    """

    place: Place
    cost: Tensor
    gradient: Tensor
    gradient_norm: Tensor
    curvature: Tensor
    free: Tensor
    at_boundary: Tensor
    leads_on: Tensor
    next_chart: Tensor
    next_coords: Tensor

    @property
    def finite(self) -> Tensor:
        """Whether cost and derivatives are, (A,)."""
        derivatives = torch.cat(
            [self.gradient, self.curvature.flatten(1), self.place.second.flatten(1)], 1
        )
        return self.cost.isfinite() & derivatives.isfinite().all(1)
