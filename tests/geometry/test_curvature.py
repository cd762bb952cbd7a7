"""Curvatures against the closed forms of spheres, tori and graphs, and the algebra they obey."""

import pytest
import torch
from oracles import draw, random_flow, unit

from learnedmanifolds import Atlas
from learnedmanifolds.charts import CircleCharts, GraphCharts, SphereCharts, TorusCharts
from learnedmanifolds.geometry import Curvature, LocalGeometry


def curvature(charts, n=40, seed=0):
    atlas = Atlas(charts).to(torch.float64)
    located = atlas.sample_coords(n, seed)
    return Curvature(LocalGeometry(atlas, located.coords, located.chart))


def tangents(c, count, seed=1):
    basis = c.local.tangent_basis
    return [
        torch.einsum("nxd,nd->nx", basis, draw(len(basis), basis.shape[-1], seed=seed + i))
        for i in range(count)
    ]


@pytest.mark.parametrize("dim", [2, 3, 4])
@pytest.mark.parametrize("radius", [0.5, 2.0])
def test_spheres(dim, radius):
    c = curvature(SphereCharts(radius, dim))
    x, y, z = tangents(c, 3)
    assert torch.allclose(c.sectional(x, y), torch.full_like(x[:, 0], radius**-2), rtol=1e-9)
    # R(x, y) z = (<y, z> x - <x, z> y) / r^2
    yz, xz = ((a * z).sum(-1, keepdim=True) for a in (y, x))
    assert torch.allclose(c.riemann(x, y, z), (yz * x - xz * y) / radius**2, rtol=0, atol=1e-8)
    ricci = (dim - 1) / radius**2 * (x * y).sum(-1)
    assert torch.allclose(c.ricci(x, y), ricci, rtol=0, atol=1e-8)
    scalar = torch.full_like(ricci, dim * (dim - 1) / radius**2)
    assert torch.allclose(c.scalar, scalar, rtol=1e-9)
    inward = -dim / radius**2 * c.local.point
    assert torch.allclose(c.mean_curvature_vector, inward, rtol=0, atol=1e-9)


def test_torus_of_revolution():
    c = curvature(TorusCharts(3.0, 1.0), n=200)
    ring = c.local.point[:, :2].norm(dim=-1)
    expected = (ring - 3.0) / ring  # cos v / (r (R + r cos v)), with r = 1
    x, y = tangents(c, 2)
    assert torch.allclose(c.sectional(x, y), expected, rtol=0, atol=1e-9)
    assert torch.allclose(c.scalar, 2 * expected, rtol=0, atol=1e-9)


def test_mean_curvature_of_a_graph_is_that_of_its_equation():
    # z = u^2 / 2 - v^2 / 2 at the origin: principal curvatures 1 and -1.
    charts = GraphCharts(lambda t: 0.5 * (t[..., :1] ** 2 - t[..., 1:] ** 2))
    local = LocalGeometry(Atlas(charts).to(torch.float64), torch.zeros(1, 2).double(), 0)
    c = Curvature(local)
    assert float(c.mean_curvature_vector.norm()) < 1e-12
    assert float(c.scalar) == pytest.approx(-2)


@pytest.mark.parametrize(("dim", "n"), [(2, 3), (2, 7), (3, 5), (4, 9)])
def test_symmetries_of_the_curvature_tensor(dim, n):
    c = curvature(random_flow(dim, n))
    x, y, z, w = tangents(c, 4)

    def r(a, b, u, v):
        return (c.riemann(a, b, u) * v).sum(-1)

    def close(a, b):
        scale = float(torch.maximum(a.abs().max(), torch.tensor(1.0)))
        assert torch.allclose(a, b, rtol=0, atol=1e-9 * scale)

    close(r(x, y, z, w), -r(y, x, z, w))
    close(r(x, y, z, w), -r(x, y, w, z))
    close(r(x, y, z, w), r(z, w, x, y))
    close(r(x, y, z, w) + r(y, z, x, w) + r(z, x, y, w), torch.zeros(len(x)).double())
    basis = c.local.tangent_basis.unbind(-1)
    close(c.ricci(x, y), sum(r(e, x, y, e) for e in basis))
    close(c.scalar, sum(c.ricci(e, e) for e in basis))


@pytest.mark.parametrize(("dim", "n"), [(2, 3), (4, 6)])
def test_christoffel_symbols_are_those_of_the_metric(dim, n):
    charts = random_flow(dim, n)
    atlas = Atlas(charts)
    coords = draw(5, dim, low=-0.8, high=0.8)
    c = Curvature(LocalGeometry(atlas, coords, 1))

    def metric(t):
        j = torch.func.jacfwd(lambda s: charts.decode(s[None], 1)[0])(t)
        return j.mT @ j

    for row, t in enumerate(coords):
        g, slope = metric(t), torch.func.jacfwd(metric)(t)  # slope[i, j, k] = d_k g_ij
        # lower[k, i, j] = (d_i g_jk + d_j g_ik - d_k g_ij) / 2
        lower = 0.5 * (
            torch.einsum("jki->kij", slope)
            + torch.einsum("ikj->kij", slope)
            - torch.einsum("ijk->kij", slope)
        )
        expected = torch.einsum("lk,kij->lij", torch.linalg.inv(g), lower)
        assert torch.allclose(c.christoffel_symbols[row], expected, rtol=1e-7, atol=1e-8)


def test_planes_must_be_planes():
    c = curvature(SphereCharts(1.0))
    x, _ = tangents(c, 2)
    with pytest.raises(ValueError, match="span a plane"):
        c.sectional(x, 2 * x)
    flat = curvature(CircleCharts(1.0, 3))
    with pytest.raises(ValueError, match="dimension 2 or more"):
        flat.sectional(unit(flat.local.point), unit(flat.local.point))
