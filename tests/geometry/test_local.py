"""Local geometry against the closed forms of spheres, tori, planes and graphs."""

import math

import pytest
import torch
from oracles import draw, random_flow, unit

from learnedmanifolds import Atlas
from learnedmanifolds.charts import (
    CircleCharts,
    GraphCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)
from learnedmanifolds.geometry import LocalGeometry, SingularJacobianError

N = 12
RADIUS = 1.7
MAJOR, MINOR = 2.5, 0.8


def geometry(charts, chart=0, n=N, seed=0):
    coords = draw(n, charts.dim, seed=seed, low=-0.95, high=0.95)
    return LocalGeometry(Atlas(charts), coords, chart)


def dot(a, b):
    return (a * b).sum(-1, keepdim=True)


def close(a, b, atol=1e-11):
    assert a.shape == b.shape
    assert torch.allclose(a, b, rtol=0, atol=atol), float((a - b).abs().max())


def tangent_pair(local, seed=0):
    """Coordinates of two tangent vectors, and the vectors."""
    a, b = draw(2, *local.coords.shape, seed=seed)
    return a, b, local.vector(a), local.vector(b)


def sphere_tangent(x, seed):
    v = draw(*x.shape, seed=seed)
    return v - dot(v, x) * x / dot(x, x)


def torus_frame(x):
    """Outward unit normal, unit vectors along the major and the minor circle, angle v."""
    rho = torch.hypot(x[:, 0], x[:, 1])
    around = torch.stack([-x[:, 1], x[:, 0], 0 * rho], -1) / rho[:, None]
    core = MAJOR * torch.stack([x[:, 0] / rho, x[:, 1] / rho, 0 * rho], -1)
    normal = (x - core) / MINOR
    return normal, around, torch.linalg.cross(around, normal), torch.atan2(x[:, 2], rho - MAJOR)


@pytest.fixture(params=[1, 2, 3, 4, 5])
def sphere(request):
    # Above dimension 3 second derivatives are taken along directions, not all at once.
    return geometry(SphereCharts(RADIUS, dim=request.param), chart=request.param % 2)


@pytest.fixture(params=[0, 1, 2, 3])
def torus(request):
    return geometry(TorusCharts(MAJOR, MINOR), chart=request.param)


class TestSphere:
    def test_projection_removes_the_normal(self, sphere):
        x, v = sphere.point, draw(*sphere.point.shape, seed=1)
        close(sphere.project(v), v - dot(v, x) * x / RADIUS**2)

    def test_metric_is_conformal_with_the_stereographic_factor(self, sphere):
        u = 1.5 * sphere.coords
        factor = (1.5 * 2 * RADIUS / (1 + u.square().sum(-1))) ** 2
        eye = torch.eye(sphere.dim, dtype=torch.float64)
        close(sphere.metric, factor[:, None, None] * eye)
        close(sphere.volume_density, factor ** (sphere.dim / 2))
        close(sphere.condition_number, torch.ones(N, dtype=torch.float64))

    def test_tangent_basis_is_orthonormal_and_tangent(self, sphere):
        q = sphere.tangent_basis
        close(q.mT @ q, torch.eye(sphere.dim, dtype=torch.float64).expand(N, -1, -1))
        close((sphere.point.unsqueeze(-2) @ q).squeeze(-2), torch.zeros(N, sphere.dim).double())

    def test_coordinates_and_vectors_invert_each_other(self, sphere):
        a, _, h, _ = tangent_pair(sphere)
        close(sphere.coordinates(h), a)
        close(sphere.coordinates(h + 3 * sphere.point), a)
        tangent = sphere_tangent(sphere.point, 5)
        close(sphere.vector(sphere.coordinates(tangent)), tangent)

    def test_second_fundamental_form(self, sphere):
        a, b, h, k = tangent_pair(sphere)
        close(sphere.second_fundamental_form(a, b), -dot(h, k) * sphere.point / RADIUS**2)
        close(sphere.second_fundamental_form(a, a), -dot(h, h) * sphere.point / RADIUS**2)

    def test_weingarten_map_is_a_multiple_of_the_identity(self, sphere):
        h = sphere_tangent(sphere.point, 2)
        outward = sphere.point / RADIUS
        close(sphere.weingarten(h, outward), -h / RADIUS)
        # The tangent part of the normal argument does not count.
        close(sphere.weingarten(h, 2 * outward + sphere_tangent(sphere.point, 3)), -2 * h / RADIUS)

    def test_riemannian_hessian_of_a_linear_function(self, sphere):
        x, c = sphere.point, draw(1, sphere.dim + 1, seed=4)
        h = sphere_tangent(x, 5)
        found = sphere.riemannian_hessian(c.expand_as(x), torch.zeros_like(x), h)
        close(found, -dot(c, x) / RADIUS**2 * h)

    def test_riemannian_hessian_of_a_quadratic_function(self, sphere):
        x, m = sphere.point, draw(sphere.dim + 1, sphere.dim + 1, seed=6)
        m = m + m.T
        h = sphere_tangent(x, 7)
        found = sphere.riemannian_hessian(x @ m, h @ m, h)
        along = h @ m - dot(h @ m, x) * x / RADIUS**2
        close(found, along - dot(x @ m, x) / RADIUS**2 * h)


class TestTorus:
    def test_projection(self, torus):
        v = draw(N, 3, seed=1)
        normal = torus_frame(torus.point)[0]
        close(torus.project(v), v - dot(v, normal) * normal)

    def test_metric_and_volume(self, torus):
        w = 1.5 * math.pi / 2
        v = torus_frame(torus.point)[3]
        ring = MAJOR + MINOR * v.cos()
        diagonal = torch.stack([(w * ring) ** 2, torch.full_like(ring, (w * MINOR) ** 2)], -1)
        close(torus.metric, torch.diag_embed(diagonal))
        close(torus.volume_density, w * w * MINOR * ring)
        ratio = ring / MINOR
        close(torus.condition_number, torch.maximum(ratio, 1 / ratio))

    def test_principal_curvatures(self, torus):
        normal, around, along, v = torus_frame(torus.point)
        k_around = (v.cos() / (MAJOR + MINOR * v.cos()))[:, None]
        close(torus.weingarten(around, normal), -k_around * around)
        close(torus.weingarten(along, normal), -along / MINOR)
        mixed = torus.weingarten(3 * around - 2 * along, -normal)
        close(mixed, 3 * k_around * around - 2 * along / MINOR)

    def test_second_fundamental_form(self, torus):
        a, b, h, k = tangent_pair(torus, seed=3)
        normal, around, along, v = torus_frame(torus.point)
        k_around = (v.cos() / (MAJOR + MINOR * v.cos()))[:, None]
        bilinear = (
            k_around * dot(h, around) * dot(k, around) + dot(h, along) * dot(k, along) / MINOR
        )
        close(torus.second_fundamental_form(a, b), -bilinear * normal)

    def test_riemannian_hessian_of_the_height(self, torus):
        # grad^2 f (h) = <grad f, N> W_N(h) for a linear f, by the curvatures above.
        normal, around, along, v = torus_frame(torus.point)
        e = torch.tensor([0.0, 0, 1], dtype=torch.float64).expand(N, 3)
        found = torus.riemannian_hessian(e, torch.zeros_like(e), along)
        close(found, -v.sin()[:, None] * along / MINOR)


def test_area_of_the_torus_by_quadrature():
    # Charts that tile: overlap 0, so the areas of the boxes add up to 4 pi^2 R r.
    charts = TorusCharts(MAJOR, MINOR, per_circle=3, overlap=0.0)
    axis = (torch.arange(20, dtype=torch.float64) + 0.5) / 10 - 1
    grid = torch.cartesian_prod(axis, axis)
    atlas = Atlas(charts)
    area = sum(float(atlas.geometry(grid, k).volume_density.sum()) / 100 for k in range(9))
    assert area == pytest.approx(4 * math.pi**2 * MAJOR * MINOR, rel=1e-9)


def test_circle_curvature():
    local = geometry(CircleCharts(0.5, 3), chart=2)
    x = local.point
    h = unit(torch.stack([-x[:, 1], x[:, 0]], -1))
    a = local.coordinates(h)
    close(local.second_fundamental_form(a, a), -x / 0.25)
    close(local.acceleration(a, a), -x / 0.25)
    close(local.volume_density, torch.full((N,), 0.5 * 1.5 * math.pi / 3, dtype=torch.float64))


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_everything_vanishes_on_a_plane(dim):
    basis = draw(6, dim, seed=8)
    local = geometry(PlaneCharts(basis, draw(6, seed=9)))
    a, b, h, _ = tangent_pair(local)
    v = draw(N, 6, seed=1)
    zero = torch.zeros(N, 6, dtype=torch.float64)
    close(local.second_fundamental_form(a, b), zero)
    close(local.weingarten(h, v), zero)
    close(local.project(v), v @ torch.linalg.pinv(basis).T @ basis.T)
    close(local.metric, (basis.T @ basis).expand(N, dim, dim))
    close(local.riemannian_hessian(v, 2 * h, h), 2 * h)
    gram = float(torch.det(basis.T @ basis).sqrt())
    close(local.volume_density, torch.full((N,), gram, dtype=torch.float64))


def test_curvature_of_a_graph():
    # z = a x^2 / 2 + c x y + b y^2 / 2 has second fundamental form (a, c; c, b) / sqrt(1 + |p|^2).
    a, b, c = 1.3, -0.7, 0.4
    m = torch.tensor([[a, c], [c, b]], dtype=torch.float64)
    local = geometry(GraphCharts(lambda t: 0.5 * ((t @ m) * t).sum(-1, keepdim=True)))
    slope = local.coords @ m
    root = (1 + slope.square().sum(-1, keepdim=True)).sqrt()
    normal = torch.cat([-slope, torch.ones(N, 1, dtype=torch.float64)], -1) / root
    close(local.volume_density, root[:, 0])
    s, t, _, _ = tangent_pair(local)
    close(local.second_fundamental_form(s, t), dot(s @ m, t) / root * normal)
    # Gauss curvature det / (1 + |p|^2)^2, as the determinant of the Weingarten map.
    q = local.tangent_basis
    shape = torch.stack(
        [torch.stack([dot(local.weingarten(q[..., j], normal), q[..., i])[:, 0] for j in (0, 1)], -1)
         for i in (0, 1)], -2)  # fmt: skip
    close(torch.linalg.det(shape), (a * b - c * c) / root[:, 0] ** 4)


RANDOM = [(1, 2), (1, 5), (2, 3), (2, 5), (3, 5), (4, 6)]


@pytest.mark.parametrize(("dim", "n"), RANDOM)
class TestRandomFlows:
    """Identities that hold on every submanifold."""

    def local(self, dim, n):
        return geometry(random_flow(dim, n, seed=dim + n, std=0.4), chart=1)

    def test_projection_is_orthogonal_on_the_span_of_the_jacobian(self, dim, n):
        local = self.local(dim, n)
        v, w = draw(2, N, n, seed=1)
        p = local.project(v)
        close(local.project(p), p)
        close(dot(p, w), dot(v, local.project(w)))
        close(((v - p).unsqueeze(-2) @ local.jacobian).squeeze(-2), torch.zeros(N, dim).double())
        _, _, h, _ = tangent_pair(local)
        close(local.project(h), h)

    def test_weingarten_is_self_adjoint_and_dual_to_the_second_form(self, dim, n):
        local = self.local(dim, n)
        a, b, h, k = tangent_pair(local)
        v = draw(N, n, seed=2)
        normal = v - local.project(v)
        left = local.weingarten(h, normal)
        close(dot(left, k), dot(h, local.weingarten(k, normal)))
        close(dot(left, k), dot(local.second_fundamental_form(a, b), normal))
        close(local.project(left), left)
        form = local.second_fundamental_form(a, b)
        close(local.project(form), torch.zeros_like(form))
        close(form, local.second_fundamental_form(b, a))

    def test_dual_vector_pairs_like_the_covector(self, dim, n):
        local = self.local(dim, n)
        a, _, h, _ = tangent_pair(local)
        c = draw(N, dim, seed=3)
        close(dot(local.dual_vector(c), h), dot(c, a))

    def test_metric_measures_vectors(self, dim, n):
        local = self.local(dim, n)
        a, b, h, k = tangent_pair(local)
        close(dot((a.unsqueeze(-2) @ local.metric).squeeze(-2), b), dot(h, k))
        close(local.volume_density.square(), torch.linalg.det(local.metric))

    def test_weingarten_is_minus_the_derivative_of_the_normal_field(self, dim, n):
        # W(h, N) = -P DN[h] for any normal field N; here N = v - P v with a fixed v.
        local = self.local(dim, n)
        v, a = draw(N, n, seed=4), draw(N, dim, seed=5)
        step = 1e-5

        def normal(s):
            moved = LocalGeometry(local.source, local.coords + s * a, local.chart)
            return v - moved.project(v)

        derivative = (normal(step) - normal(-step)) / (2 * step)
        expected = -local.project(derivative)
        close(local.weingarten(local.vector(a), normal(0)), expected, atol=1e-7)

    def test_riemannian_hessian_is_the_derivative_of_the_gradient_field(self, dim, n):
        # Hess f [h] = P D(grad f)[h], here for f = sum sin(x_i).
        local = self.local(dim, n)
        a = draw(N, dim, seed=6)
        step = 1e-5

        def gradient(s):
            moved = LocalGeometry(local.source, local.coords + s * a, local.chart)
            return moved.project(moved.point.cos())

        expected = local.project((gradient(step) - gradient(-step)) / (2 * step))
        h, x = local.vector(a), local.point
        close(local.riemannian_hessian(x.cos(), -x.sin() * h, h), expected, atol=1e-7)


@pytest.mark.parametrize("charts", [SphereCharts(dim=2), SphereCharts(dim=4), random_flow(2, 3)])
def test_a_batch_equals_single_points_in_mixed_charts(charts):
    atlas = Atlas(charts)
    coords = draw(8, charts.dim, low=-1, high=1)
    chart = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    a, b = draw(2, 8, charts.dim, seed=1)
    v = draw(8, charts.n_ambient, seed=2)
    batch = LocalGeometry(atlas, coords, chart)
    h = batch.vector(a)
    for i in range(8):
        row = slice(i, i + 1)
        one = LocalGeometry(atlas, coords[row], int(chart[i]))
        close(batch.point[row], one.point)
        close(batch.metric[row], one.metric)
        close(h[row], one.vector(a[row]))
        close(batch.project(v)[row], one.project(v[row]))
        form = batch.second_fundamental_form(a, b)[row]
        close(form, one.second_fundamental_form(a[row], b[row]))
        close(batch.weingarten(h, v)[row], one.weingarten(h[row], v[row]))


class TestSingularJacobian:
    def test_is_refused_with_chart_coordinates_and_condition(self):
        # (s, t) -> (s, t^3, 0) has a singular Jacobian exactly where t = 0.
        charts = GraphCharts(lambda t: 0 * t[:, :1])
        charts.decode = lambda t, k: torch.stack([t[:, 0], t[:, 1] ** 3, 0 * t[:, 0]], -1)
        coords = torch.tensor([[0.5, 0.5], [0.25, 0.0]], dtype=torch.float64)
        local = LocalGeometry(Atlas(charts), coords, 0)
        with pytest.raises(SingularJacobianError, match=r"chart 0 .*\[0\.25, 0\.0\].*inf"):
            local.project(draw(2, 3))
        with pytest.raises(ValueError):
            local.coordinates(draw(2, 3))
        fine = LocalGeometry(Atlas(charts), coords[:1], 0)
        assert torch.isfinite(fine.project(draw(1, 3))).all()

    def test_names_the_condition_number_and_the_chart_of_the_worst_point(self):
        basis = torch.diag(torch.tensor([1.0, 1e-12], dtype=torch.float64))
        atlas = Atlas(PlaneCharts(torch.cat([basis, basis[:1]])))
        local = LocalGeometry(atlas, draw(3, 2), torch.tensor([0, 0, 0]))
        with pytest.raises(SingularJacobianError, match=r"chart 0 .*1\.41e\+12"):
            _ = local.volume_density

    def test_a_constant_curve(self):
        local = LocalGeometry(Atlas(PlaneCharts(torch.zeros(3, 1).double())), draw(1, 1), 0)
        with pytest.raises(SingularJacobianError, match="inf"):
            local.project(draw(1, 3))

    def test_a_badly_scaled_chart_is_no_singular_one(self):
        basis = torch.diag(torch.tensor([1.0, 1e-8], dtype=torch.float64))
        local = LocalGeometry(Atlas(PlaneCharts(basis)), draw(3, 2), 0)
        v = draw(3, 2, seed=1)
        close(local.project(v), v)
