"""Learned atlases in pymanopt and geoopt, beside geomstats' suite: what holds on analytic charts holds.

Their charts disagree, of flow charts by some 0.01, where they meet, so a path and its reverse, which
change chart at different places, differ by as much; nothing else is excluded. Geodesics through the
networks of flow charts take five times as long as through kernel charts; geomstats' suite has some.
"""

from pathlib import Path

import geoopt
import pymanopt
import pytest
import torch
from geoopt.optim import RiemannianAdam, RiemannianSGD
from kernel_atlases import kernel_atlas
from oracles import draw

import learnedmanifolds as lm

FILE = Path(__file__).parents[1] / "data" / "sphere.safetensors"
JUMP = 0.02


@pytest.fixture(params=("flow charts", "kernel charts"), scope="module")
def atlas(request):
    if request.param == "kernel charts":
        return kernel_atlas("sphere")
    return lm.load(FILE).to(torch.float64)


def test_pymanopts_properties():
    manifold = lm.PymanoptManifold(kernel_atlas("sphere"), seed=0)
    report = lm.check_manifold(manifold, n_points=1, seed=0)
    failed = {p.name: p.error for p in report.properties if p.required and p.passed is False}
    assert set(failed) <= {"dist symmetric"}
    assert all(error < JUMP for error in failed.values())


def test_pymanopts_derivatives(atlas):
    manifold = lm.PymanoptManifold(atlas, seed=0)
    target = torch.tensor([0.8, -1.1, 0.6], dtype=torch.float64)

    @pymanopt.function.pytorch(manifold)
    def cost(point):
        return (point - target).square().sum().sqrt()

    problem = pymanopt.Problem(manifold, cost)
    for check in (lm.check_gradient, lm.check_hessian):
        assert check(problem, n_points=3, seed=0)
    assert lm.check_retraction(manifold, n_points=3, seed=0)


class TestGeoopt:
    def test_invariants(self, atlas):
        m = lm.GeooptManifold(atlas)
        x = m.random(6, 3, seed=1)
        assert m.check_point_on_manifold(x)
        v = m.proju(x, draw(6, 3, seed=3))
        assert m.check_vector_on_tangent(x, v)
        assert torch.allclose(m.projx(x), x, rtol=0, atol=1e-8)
        for end in (m.retr(x, v), m.expmap(x, v)):
            assert m.check_point_on_manifold(end)
            assert float((end.norm(dim=-1) - 1).abs().max()) < 0.05
        end, moved = m.expmap_transp(x, 0.5 * v, v)
        assert torch.allclose(m.norm(end, moved), m.norm(x, v), rtol=1e-8)

    def test_logarithms_and_distances(self):
        m = lm.GeooptManifold(kernel_atlas("sphere"))
        x, y = m.random(6, 3, seed=1), m.random(6, 3, seed=2)
        found = m.logmap(x, y)
        # Distances are the same in both directions; a logarithm starts at its own point, and differs
        # from them by what the charts disagree.
        there = m.dist(x, y)
        assert torch.equal(there, m.dist(y, x))
        assert torch.allclose(found.norm(dim=-1), there, rtol=0, atol=6e-3)
        # It ends where the arriving chart has the point, a jump away from where the other has it.
        assert float((m.expmap(x, found) - y).norm(dim=-1).max()) < JUMP

    @pytest.mark.parametrize(("optimizer", "n_steps"), [(RiemannianAdam, 100), (RiemannianSGD, 40)])
    def test_optimizers_find_the_nearest_points(self, atlas, optimizer, n_steps):
        manifold = lm.GeooptManifold(atlas)
        target = 2 * torch.nn.functional.normalize(draw(6, 3, seed=4), dim=-1)
        start = manifold.random(6, 3, seed=5)
        x = geoopt.ManifoldParameter(start, manifold=manifold)
        running = optimizer([x], lr=0.1)
        for _ in range(n_steps):
            running.zero_grad()
            (x - target).square().sum().backward()
            running.step()
        assert float((x.detach() - target / 2).norm(dim=-1).max()) < 0.05
