"""Least-squares problems on pymanopt's manifolds and on atlases, with their exact minima."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from oracles import draw
from pymanopt.manifolds import (
    ComplexCircle,
    Euclidean,
    FixedRankEmbedded,
    Grassmann,
    PoincareBall,
    Product,
    SpecialOrthogonalGroup,
    Sphere,
    Stiefel,
    SymmetricPositiveDefinite,
)

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import SphereCharts, TorusCharts
from learnedmanifolds.inverse import LeastSquaresProblem
from learnedmanifolds.manifolds import PymanoptManifold


@dataclass(frozen=True)
class Case:
    """A residual on a manifold, the smallest cost, and starts."""

    manifold: Any
    residual: Any
    minimum: float
    starts: tuple

    @property
    def problem(self):
        return LeastSquaresProblem.from_residual(self.manifold, self.residual)


def start_points(manifold, count=3, seed=0):
    if isinstance(manifold, PymanoptManifold):
        return tuple(manifold.random_point() for _ in range(count))
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    points = tuple(manifold.random_point() for _ in range(count))
    np.random.set_state(state)  # noqa: NPY002
    return points


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.sqrt()) @ vectors.T


def spread(values, seed):
    """A symmetric matrix of given eigenvalues."""
    values = torch.tensor(values, dtype=torch.float64)
    q = torch.linalg.qr(draw(len(values), len(values), seed=seed))[0]
    return q @ torch.diag(values) @ q.T


def rayleigh():
    factor = root(spread([1.0, 3.0, 4.0, 7.0, 9.0, 20.0], seed=1))
    return Sphere(6), lambda x: factor @ x, 0.5


def brockett():
    factor = root(spread([1.0, 2.0, 4.0, 7.0, 11.0], seed=2))
    weights = torch.tensor([1.0, 2.0], dtype=torch.float64)
    # The largest weight goes to the smallest eigenvalue.
    return Stiefel(5, 2), lambda x: factor @ x * weights.sqrt(), 0.5 * (2 * 1 + 1 * 2)


def procrustes():
    a, b = draw(8, 3, seed=3), draw(8, 3, seed=4)
    singular = torch.linalg.svdvals(a.T @ b)
    singular[-1] *= torch.det(a.T @ b).sign()
    least = 0.5 * (a.square().sum() + b.square().sum()) - singular.sum()
    return SpecialOrthogonalGroup(3), lambda x: a @ x - b, float(least)


def karcher():
    # Matrices with the same eigenvectors: the mean of the logarithms.
    logs = draw(4, 3, seed=5)
    q = torch.linalg.qr(draw(3, 3, seed=6))[0]
    roots = [q @ torch.diag((-0.5 * log).exp()) @ q.T for log in logs]
    least = 0.5 * (logs - logs.mean(0)).square().sum()

    def residual(x):
        parts = []
        for factor in roots:
            values, vectors = torch.linalg.eigh(factor @ x @ factor)
            parts.append(vectors @ torch.diag(values.log()) @ vectors.T)
        return torch.stack(parts)

    return SymmetricPositiveDefinite(3), residual, float(least)


def low_rank_matrix():
    return draw(6, 2, seed=7) @ draw(2, 5, seed=8) + 0.1 * draw(6, 5, seed=9)


def low_rank():
    matrix = low_rank_matrix()
    rest = torch.linalg.svdvals(matrix)[2:]
    return (
        Product([Stiefel(6, 2), Euclidean(2, 5)]),
        lambda u, v: u @ v - matrix,
        0.5 * float(rest.square().sum()),
    )


def fixed_rank():
    matrix = low_rank_matrix()
    rest = torch.linalg.svdvals(matrix)[2:]
    return (
        FixedRankEmbedded(6, 5, 2),
        lambda u, s, vt: u @ torch.diag(s) @ vt - matrix,
        0.5 * float(rest.square().sum()),
    )


def principal_subspace():
    data = draw(5, 9, seed=10)
    rest = torch.linalg.svdvals(data)[2:]
    return Grassmann(5, 2), lambda x: data - x @ (x.T @ data), 0.5 * float(rest.square().sum())


def rosenbrock():
    return Euclidean(2), lambda x: torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]]), 0.0


def registration():
    """Rotation and translation of a cloud of points."""
    cloud = draw(7, 3, seed=11)
    rotation = torch.linalg.qr(draw(3, 3, seed=12))[0]
    rotation = rotation * torch.det(rotation)
    moved = cloud @ rotation + draw(3, seed=13)
    manifold = Product([SpecialOrthogonalGroup(3), Euclidean(3)])
    return manifold, lambda r, t: cloud @ r + t - moved, 0.0


def phases():
    matrix = torch.complex(draw(6, 3, seed=14), draw(6, 3, seed=15))
    angle = draw(3, seed=16)
    seen = matrix @ torch.polar(torch.ones_like(angle), angle)
    return ComplexCircle(3), lambda z: matrix @ z - seen, 0.0


def hyperbolic():
    # pymanopt gives this manifold no vector transport.
    target = torch.tensor([0.1, -0.4, 0.3], dtype=torch.float64)
    return PoincareBall(3), lambda x: torch.sin(x - target), 0.0


def on_sphere():
    matrix = draw(5, 3, seed=17)
    target = torch.tensor([0.48, -0.6, 0.64], dtype=torch.float64)
    atlas = Atlas(SphereCharts(), tolerance=1e-6)
    return PymanoptManifold(atlas, seed=0), lambda x: torch.tanh(matrix @ (x - target)), 0.0


def on_torus():
    # The point of the torus nearest to one outside, on its largest circle.
    outside = torch.tensor([3.6, 4.8, 0.0], dtype=torch.float64)
    atlas = Atlas(TorusCharts(), tolerance=1e-6)
    return PymanoptManifold(atlas, seed=0), lambda x: x - outside, 0.5 * (6 - 4) ** 2


BUILDERS = (
    rayleigh, brockett, procrustes, karcher, low_rank, fixed_rank, principal_subspace,
    rosenbrock, registration, phases, hyperbolic, on_sphere, on_torus,
)  # fmt: skip


def _case(builder):
    manifold, residual, minimum = builder()
    return Case(manifold, residual, minimum, start_points(manifold))


CASES = {builder.__name__: _case(builder) for builder in BUILDERS}
ZERO_RESIDUAL = ("rosenbrock", "registration", "phases", "hyperbolic", "on_sphere")


class Counted:
    """The calls of a problem's cost, gradient and linearisation, and where."""

    def __init__(self, problem):
        self.problem = problem
        self.costs, self.gradients, self.linearized = [], [], []
        cost, gradient, linearize = problem.cost, problem.riemannian_gradient, problem.linearize
        problem._cost = lambda x: (self.costs.append(x), cost(x))[1]
        problem._riemannian_gradient = lambda x: (self.gradients.append(x), gradient(x))[1]
        problem.linearize = lambda x: (self.linearized.append(x), linearize(x))[1]
