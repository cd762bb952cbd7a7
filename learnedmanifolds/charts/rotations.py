"""The rotation group SO(3) by four gnomonic charts of unit quaternions."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds._check import positive
from learnedmanifolds.charts.analytic import AnalyticCharts, _pick, _reciprocal
from learnedmanifolds.charts.jet import JetRule

# 2^16-th power: eigenvalues that differ by one part in 2,000 are told apart to 1e-14.
_SQUARINGS = 16

# Nearer to zero than this a quaternion's component counts as this, so that no coordinate is infinite.
_LEAST = 1e-12


def _forms() -> Tensor:
    eye = torch.eye(3, dtype=torch.float64)
    # The columns of hat(e_i) are the vector products of e_i with the axes.
    hats = torch.linalg.cross(eye.unsqueeze(1), eye.unsqueeze(0), dim=-1).mT
    forms = torch.zeros(3, 3, 4, 4, dtype=torch.float64)
    forms[:, :, 0, 0] = eye
    forms[:, :, 0, 1:] = forms[:, :, 1:, 0] = hats.permute(1, 2, 0)
    outer = torch.einsum("ai,bj->abij", eye, eye)
    forms[:, :, 1:, 1:] = outer + outer.mT - torch.einsum("ab,ij->abij", eye, eye)
    return forms


FORMS = _forms()
"""R_ab = q^T F_ab q for unit quaternions q = (w, x, y, z); F has shape (3, 3, 4, 4)."""


def nearest_quaternion(matrix: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of the rotations nearest to matrices (..., 3, 3), of either sign.

    tr(R(q)^T Z) is a quadratic form of q, so the nearest rotation to Z belongs to its leading
    eigenvector, which repeated squaring finds. Unlike a singular value decomposition that has
    derivatives at rotations, where singular values coincide. Between two rotations that are equally
    near up to 1e-4 the result may be a third one; the zero matrix gives the identity.

    References
    ----------
    Horn, Closed-form solution of absolute orientation using unit quaternions, J. Opt. Soc. Am. A 4,
    1987.
    """
    eye = torch.eye(4, dtype=matrix.dtype, device=matrix.device)
    square = matrix.square().sum((-2, -1)) + torch.finfo(matrix.dtype).tiny
    # No eigenvalue is below -sqrt(3) |Z|; with this shift the leading one is the largest in size.
    shift = (3 * square).sqrt()[..., None, None]
    power = torch.einsum("abij,...ab->...ij", FORMS.to(matrix), matrix) + shift * eye
    for _ in range(_SQUARINGS):
        power = power / power.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        power = power @ power
    return leading_row(power)


def leading_row(projector: Tensor) -> Tensor:
    """The unit vector v (..., n) of multiples of v v^T (..., n, n), up to its sign."""
    largest = projector.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = torch.take_along_dim(projector, largest[..., None, None], -2).squeeze(-2)
    return row / row.norm(dim=-1, keepdim=True)


class RotationCharts(AnalyticCharts):
    """SO(3) in R^9, the rows of matrices one after another, by four charts.

    Chart k is around the quaternions with q_k^2 = 1. With u = extent * t the quaternion has component
    k equal to 1, the others u, over sqrt(1 + |u|^2), and the matrix is a rational function of u. The
    box contains all rotations whose component k is the largest in size, at |t| <= 1 / extent. The
    metric is that of the Frobenius norm, 2 |v|^2 for the velocity R hat(v): the sectional curvature
    is 1/8 everywhere.

    Parameters
    ----------
    extent : float
        Above 1, so that the boxes overlap.
    """

    def __init__(self, extent: float = 1.4) -> None:
        if positive(extent, "extent") <= 1:
            raise ValueError(f"extent must be above 1, so that the charts overlap, got {extent}.")
        super().__init__(4, 3, (9,))
        self.extent = float(extent)
        left, right = torch.triu_indices(4, 4)
        # A product of two different components stands for both of the form's entries.
        twice = torch.where(left == right, 1.0, 2.0)
        products = FORMS[:, :, left, right].flatten(0, 1).T * twice.double().unsqueeze(-1)
        norm = (left == right).double().unsqueeze(-1)
        eye = torch.eye(4, dtype=torch.float64)
        others = [[i for i in range(4) if i != k] for k in range(4)]
        self.left, self.right, self.others = left, right, torch.tensor(others)
        self.forms: Tensor
        self.insertion: Tensor
        self.centre: Tensor
        self.register_buffer("forms", torch.cat([products, norm], -1))
        self.register_buffer("insertion", torch.stack([eye[row] for row in others]).unsqueeze(1))
        self.register_buffer("centre", eye.unsqueeze(1))

    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `AnalyticCharts.push`."""
        u = self.extent * rows @ _pick(self.insertion, chart)
        q = rule.shift(u, _pick(self.centre, chart))
        left, right = (q.index_select(-1, index.to(q.device)) for index in (self.left, self.right))
        both = rule.product(left, right) @ self.forms
        entries, norm = both.split_with_sizes((9, 1), -1)
        return rule.product(entries, rule.elementwise(norm, _reciprocal))

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`; a matrix that is no rotation counts as the nearest one."""
        q = nearest_quaternion(x.unflatten(-1, (3, 3)))
        others = self.others.to(x.device)
        if chart is not None:
            return self._ratios(q[..., others[chart]], q[..., chart, None])
        if x.dim() == 2:
            q = q.expand(4, *q.shape)
        chosen = torch.take_along_dim(q, others.unsqueeze(1), -1)
        return self._ratios(chosen, q.diagonal(dim1=0, dim2=-1).T.unsqueeze(-1))

    def _ratios(self, others: Tensor, one: Tensor) -> Tensor:
        return others / torch.where(one.abs() < _LEAST, _LEAST, one) / self.extent
