"""Charts of SO(3): inverse, covering, derivatives, and the geometry of a bi-invariant metric."""

import math

import pytest
import torch
from oracles import draw

from learnedmanifolds import Atlas
from learnedmanifolds.charts.jet import functional_jet
from learnedmanifolds.charts.rotations import RotationCharts
from learnedmanifolds.geometry import Curvature, InducedMetric, LocalGeometry
from learnedmanifolds.latent.rotations import exp, hat, random_rotations

CHARTS = RotationCharts()
R = random_rotations(4000, 0, torch.float64)


def test_decoded_points_are_rotations_and_encode_back():
    t = draw(4, 50, 3, low=-1, high=1)
    x = CHARTS.decode(t)
    assert x.shape == (4, 50, 9) and CHARTS.ambient_shape == (9,)
    r = x.unflatten(-1, (3, 3))
    eye = torch.eye(3).double()
    assert torch.allclose(r.mT @ r, eye.expand_as(r), rtol=0, atol=1e-14)
    assert torch.allclose(torch.linalg.det(r), torch.ones(4, 50).double())
    assert torch.allclose(CHARTS.encode(x), t, rtol=0, atol=1e-13)
    for k in range(4):
        assert torch.allclose(CHARTS.decode(t[k], k), x[k], rtol=0, atol=1e-15)
        assert torch.allclose(CHARTS.encode(x[k], k), t[k], rtol=0, atol=1e-13)


def test_the_centres_are_the_identity_and_the_half_turns():
    centres = CHARTS.decode(torch.zeros(4, 1, 3).double()).view(4, 3, 3)
    expected = torch.stack([torch.eye(3), *torch.diag_embed(2 * torch.eye(3) - 1)]).double()
    assert torch.equal(centres, expected)


def test_every_rotation_is_deep_inside_a_box_and_charts_agree():
    coords = CHARTS.encode(R.flatten(1))
    sizes = coords.abs().amax(-1)
    # The largest of four components of the quaternion is at least as large as the others.
    assert float(sizes.amin(0).max()) <= 1 / CHARTS.extent + 1e-12
    assert float((sizes.amin(0) < 0.8).double().mean()) == 1
    inside = sizes <= 1
    assert 0.3 < float((inside.sum(0) >= 2).double().mean())
    gap = (CHARTS.decode(coords) - R.flatten(1)).abs().amax(-1)
    assert float(gap[inside].max()) < 1e-13
    # From far outside of a box too, up to rounding.
    assert float(gap.max()) < 1e-9


def test_matrices_off_the_group_encode_as_the_nearest_rotation():
    x = R[:200] + 0.3 * draw(200, 3, 3)
    u, _, vh = torch.linalg.svd(x)
    keep = torch.linalg.det(u @ vh) > 0
    coords = CHARTS.encode(x[keep].flatten(1))
    best = coords.abs().amax(-1).argmin(0)
    near = CHARTS.decode(coords)[best, torch.arange(int(keep.sum()))]
    assert torch.allclose(near, (u @ vh)[keep].flatten(1), rtol=0, atol=1e-9)
    for special in (torch.zeros(1, 9), 1e8 * torch.ones(1, 9), torch.eye(3).view(1, 9)):
        assert torch.isfinite(CHARTS.encode(special.double())).all()
        assert torch.isfinite(RotationCharts().float().encode(special)).all()


def test_encoding_has_derivatives_at_rotations():
    x = R[:20].flatten(1).clone().requires_grad_()
    coords = CHARTS.encode(x, 0)
    gradient = torch.autograd.grad(coords.square().sum(), x)[0]
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0
    # encode after decode is the identity, so is the product of the derivatives.
    t = draw(3, low=-1, high=1)

    def both(z):
        return CHARTS.encode(CHARTS.decode(z.unsqueeze(0), 2), 2).squeeze(0)

    assert torch.allclose(torch.func.jacrev(both)(t), torch.eye(3).double(), atol=1e-12)


def test_jets_are_the_derivatives():
    t, tangents = draw(4, 10, 3, low=-1, high=1), draw(4, 2, 10, 3, seed=1)
    for pairs in ([(0, 0), (0, 1), (1, 1)], [(1, 0)], []):
        every = CHARTS.jet(t, None, tangents, pairs)
        for k in range(4):
            expected = functional_jet(lambda z, k=k: CHARTS.decode(z, k), t[k], tangents[k], pairs)
            alone = CHARTS.jet(t[k], k, tangents[k], pairs)
            for one, many, right in zip(alone, every, expected, strict=True):
                assert torch.allclose(one, right, rtol=0, atol=1e-12)
                assert torch.allclose(many[k], right, rtol=0, atol=1e-12)


def located(n, seed=0):
    atlas = Atlas(CHARTS)
    return atlas, atlas.sample_coords(n, seed)


def test_the_metric_is_twice_the_angles():
    atlas, at = located(60)
    local = LocalGeometry(atlas, at.coords, at.chart)
    r, v = local.point.view(-1, 3, 3), draw(60, 3, seed=2)
    velocity = (r @ hat(v)).flatten(1)
    assert torch.allclose(local.project(velocity), velocity, rtol=0, atol=1e-13)
    a = local.coordinates(velocity)
    length = torch.einsum("ni,nij,nj->n", a, local.metric, a)
    assert torch.allclose(length, 2 * v.square().sum(-1), rtol=1e-12)


def test_the_curvature_is_an_eighth():
    atlas, at = located(60)
    c = Curvature(LocalGeometry(atlas, at.coords, at.chart))
    r = c.local.point.view(-1, 3, 3)
    x, y = ((r @ hat(draw(60, 3, seed=s))).flatten(1) for s in (3, 4))
    eighth = torch.full((60,), 1 / 8).double()
    assert torch.allclose(c.sectional(x, y), eighth, rtol=1e-10)
    assert torch.allclose(c.scalar, 6 * eighth, rtol=1e-10)
    # R(x, y) y = [y, [x, y]] / 4 of a bi-invariant metric, in the Lie algebra.
    v, w = draw(60, 3, seed=3), draw(60, 3, seed=4)
    inner = torch.linalg.cross(w, torch.linalg.cross(v, w, dim=-1), dim=-1) / 4
    assert torch.allclose(c.riemann(x, y, y), (r @ hat(inner)).flatten(1), rtol=0, atol=1e-11)


def test_geodesics_and_volume_are_those_of_the_group():
    atlas, at = located(3, seed=3)
    metric = InducedMetric(atlas)
    r = atlas.decode(at.coords, at.chart).view(-1, 3, 3)
    v = draw(3, 3, seed=6)
    end = metric.exp(at, (r @ hat(v)).flatten(1))
    reached = atlas.decode(end.coords, end.chart).view(-1, 3, 3)
    assert torch.allclose(reached, r @ exp(v), rtol=0, atol=1e-7)
    # By a quadrature of the density over the part of chart 0 where w is the largest: a quarter.
    nodes = (torch.arange(24, dtype=torch.float64) + 0.5) / 12 - 1
    t = torch.cartesian_prod(nodes, nodes, nodes) / CHARTS.extent
    density = LocalGeometry(atlas, t, 0).volume_density
    quarter = density.sum() * (1 / (12 * CHARTS.extent)) ** 3
    assert float(4 * quarter) == pytest.approx(2**1.5 * 8 * math.pi**2, rel=2e-3)


def test_float32_atlases_and_locating():
    atlas = Atlas(CHARTS).to(torch.float32)
    found = atlas.find(R[:100].float().flatten(1))
    again = atlas.decode(found.coords, found.chart)
    assert again.dtype == torch.float32
    assert torch.allclose(again, R[:100].float().flatten(1), rtol=0, atol=1e-6)
    assert found.coords.abs().amax() <= 1 / CHARTS.extent + 1e-6


@pytest.mark.parametrize(
    ("extent", "error"), [(1.0, ValueError), (0.0, ValueError), ("2", TypeError)]
)
def test_bad_extents_are_named(extent, error):
    with pytest.raises(error, match="extent"):
        RotationCharts(extent)
