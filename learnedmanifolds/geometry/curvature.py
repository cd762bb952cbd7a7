"""Curvature of an immersed manifold at given points, from the Gauss equation."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from learnedmanifolds.geometry.local import LocalGeometry


class Curvature:
    """The second fundamental form at N points and what follows from it; no third derivatives.

    Tangent vectors are ambient vectors (N, n); of others the tangent part counts. The ambient space
    is Euclidean. Signs are those of Lee: <R(x, y) y, x> is positive on a sphere.

    Parameters
    ----------
    local : LocalGeometry

    References
    ----------
    Lee, Introduction to Riemannian Manifolds, 2018, chapters 7 and 8 (Gauss equation: 8.5).
    """

    def __init__(self, local: LocalGeometry) -> None:
        self.local = local

    @cached_property
    def christoffel_symbols(self) -> Tensor:
        """Gamma^k_ij at [:, k, i, j] in the coordinates of the charts, (N, d, d, d)."""
        return torch.einsum("nkx,nijx->nkij", self.local.inverse, self.local.second_derivatives)

    @cached_property
    def form(self) -> Tensor:
        """II(q_i, q_j) for the orthonormal basis q of `LocalGeometry.tangent_basis`, (N, d, d, n)."""
        q = self.local.tangent_basis
        # J E = Q, so the columns of E are the coordinates of the basis.
        e = self.local.inverse @ q
        second = torch.einsum("nijx,nia,njb->nabx", self.local.second_derivatives, e, e)
        return second - torch.einsum("nabx,nxc,nyc->naby", second, q, q)

    @property
    def mean_curvature_vector(self) -> Tensor:
        """Trace of the second fundamental form, (N, n): d / r inward on a sphere of radius r."""
        return self.form.diagonal(dim1=1, dim2=2).sum(-1)

    def riemann(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """R(x, y) z, a tangent vector, (N, n)."""
        q = self.local.tangent_basis
        a, b, c = ((v.unsqueeze(-2) @ q).squeeze(-2) for v in (x, y, z))
        along_yz = torch.einsum("nijx,ni,nj->nx", self.form, b, c)
        along_xz = torch.einsum("nijx,ni,nj->nx", self.form, a, c)
        first = torch.einsum("nijx,ni,nx->nj", self.form, a, along_yz)
        second = torch.einsum("nijx,ni,nx->nj", self.form, b, along_xz)
        return ((first - second).unsqueeze(-2) @ q.mT).squeeze(-2)

    def sectional(self, x: Tensor, y: Tensor) -> Tensor:
        """Curvature of the planes that x and y span, (N,), in 1 / length^2.

        Raises
        ------
        ValueError
            If the dimension is 1, or the vectors are parallel somewhere.
        """
        if self.local.dim < 2:
            raise ValueError("the sectional curvature needs dimension 2 or more, got 1.")
        x, y = self.local.project(x), self.local.project(y)
        xx, yy, xy = ((a * b).sum(-1) for a, b in ((x, x), (y, y), (x, y)))
        area = xx * yy - xy**2
        if bool((area <= 10 * torch.finfo(area.dtype).eps * xx * yy).any()):
            raise ValueError("x and y must span a plane at every point, got parallel vectors.")
        return (self.riemann(x, y, y) * x).sum(-1) / area

    @cached_property
    def ricci_form(self) -> Tensor:
        """Ric(q_i, q_j) in the orthonormal basis, (N, d, d)."""
        trace = self.mean_curvature_vector
        squares = torch.einsum("nikx,njkx->nij", self.form, self.form)
        return torch.einsum("nijx,nx->nij", self.form, trace) - squares

    def ricci(self, x: Tensor, y: Tensor) -> Tensor:
        """Ric(x, y), (N,)."""
        q = self.local.tangent_basis
        a, b = ((v.unsqueeze(-2) @ q).squeeze(-2) for v in (x, y))
        return torch.einsum("nij,ni,nj->n", self.ricci_form, a, b)

    @property
    def scalar(self) -> Tensor:
        """Scalar curvature, (N,): twice the Gaussian curvature of a surface."""
        return self.ricci_form.diagonal(dim1=-2, dim2=-1).sum(-1)
