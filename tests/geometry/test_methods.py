"""Method objects: inverses of retractions, transports and their derivatives, frozen settings."""

import dataclasses

import pytest
import torch
from oracles import TwoSquares, draw, random_flow, sphere_exp

from learnedmanifolds import Atlas
from learnedmanifolds.charts import PlaneCharts, SphereCharts, TorusCharts
from learnedmanifolds.geometry import (
    INVERSE_RETRACTIONS,
    RETRACTIONS,
    TRANSPORTS,
    BoundaryError,
    DifferentiatedRetraction,
    InverseProjectiveRetraction,
    InverseSecondOrderRetraction,
    LocalGeometry,
    Located,
    LogarithmicInverse,
    ParallelTransport,
    ProjectionTransport,
    ProjectiveRetraction,
)

CASES = {
    "sphere": lambda: SphereCharts(1.3),
    "sphere4": lambda: SphereCharts(0.8, 4),
    "torus": lambda: TorusCharts(),
    "flow": lambda: random_flow(2, 4, std=0.4),
}


@pytest.fixture(params=CASES)
def start(request):
    """An atlas, geometry at 12 points, unit vectors there; steps of 0.1 stay in the boxes."""
    atlas = Atlas(CASES[request.param](), tolerance=1e-6)
    coords = draw(12, atlas.dim, seed=1, low=-0.5, high=0.5)
    local = LocalGeometry(atlas, coords, torch.arange(12) % atlas.n_charts)
    u = local.project(draw(12, atlas.charts.n_ambient, seed=2))
    return atlas, local, u / u.norm(dim=-1, keepdim=True)


def point(atlas, located):
    return atlas.decode(located.coords, located.chart).flatten(1)


@pytest.mark.parametrize("name", RETRACTIONS)
def test_inverses_lead_back(start, name):
    atlas, local, u = start
    end = RETRACTIONS[name](atlas, local, 0.1 * u)
    found = INVERSE_RETRACTIONS[name](atlas, local, end)
    assert torch.allclose(found, 0.1 * u, rtol=0, atol=1e-7)


def test_across_charts_the_projective_inverse_and_the_logarithm():
    atlas = Atlas(SphereCharts(), tolerance=1e-6)
    local = LocalGeometry(atlas, torch.tensor([[0.9, 0.3]]).double(), 0)
    # The way from one pole's chart over the equator.
    h = local.project(torch.tensor([[0.0, 0.0, 0.7]]).double())
    end = ProjectiveRetraction()(atlas, local, h)
    assert torch.allclose(InverseProjectiveRetraction()(atlas, local, end), h, rtol=0, atol=1e-8)
    far = atlas.find(sphere_exp(local.point, 2.5 * h / h.norm()))
    found = LogarithmicInverse()(atlas, local, far)
    assert torch.allclose(found, 2.5 * h / h.norm(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", RETRACTIONS)
def test_the_differentiated_retraction_is_the_derivative(start, name):
    atlas, local, u = start
    retraction = RETRACTIONS[name]
    v = local.project(draw(*u.shape, seed=3))
    end, moved = DifferentiatedRetraction(retraction).along(atlas, local, 0.2 * u, v)
    eps = 1e-5
    plus, minus = (point(atlas, retraction(atlas, local, 0.2 * u + s * v)) for s in (eps, -eps))
    assert torch.allclose(point(atlas, end), (plus + minus) / 2, rtol=0, atol=1e-8)
    assert torch.allclose(moved, (plus - minus) / (2 * eps), rtol=0, atol=1e-6)


def test_the_differentiated_retraction_across_a_border():
    atlas = Atlas(SphereCharts(), tolerance=1e-6)
    local = LocalGeometry(atlas, torch.tensor([[0.95, 0.0], [0.9, 0.2]]).double(), 0)
    h, v = (local.project(draw(2, 3, seed=s)) for s in (4, 5))
    h = h * torch.sign(local.coordinates(h)[:, :1])
    retraction = RETRACTIONS["exponential"]
    end, moved = DifferentiatedRetraction(retraction).along(atlas, local, h, v)
    assert end.chart.tolist() == [1, 1]
    eps = 1e-5
    plus, minus = (point(atlas, retraction(atlas, local, h + s * v)) for s in (eps, -eps))
    assert torch.allclose(moved, (plus - minus) / (2 * eps), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_transports_are_linear_tangent_and_the_identity_at_no_step(start, name):
    atlas, local, u = start
    transport = TRANSPORTS[name]
    v, w = (local.project(draw(*u.shape, seed=s)) for s in (6, 7))
    end, moved = transport.along(atlas, local, 0.2 * u, v + 2 * w)
    parts = [transport.along(atlas, local, 0.2 * u, x)[1] for x in (v, w)]
    assert torch.allclose(moved, parts[0] + 2 * parts[1], rtol=0, atol=1e-8)
    there = LocalGeometry(atlas, end.coords, end.chart)
    assert torch.allclose(there.project(moved), moved, rtol=0, atol=1e-9)
    assert torch.allclose(transport.along(atlas, local, 0 * u, v)[1], v, rtol=0, atol=1e-9)
    assert torch.allclose(transport.to(atlas, local, local, v), v, rtol=0, atol=1e-7)


def test_to_is_along_the_inverse(start):
    atlas, local, u = start
    v = local.project(draw(*u.shape, seed=8))
    for transport in (ProjectionTransport(), DifferentiatedRetraction(), ParallelTransport()):
        end, moved = transport.along(atlas, local, 0.1 * u, v)
        there = LocalGeometry(atlas, end.coords, end.chart)
        again = transport.to(atlas, local, there, v)
        assert torch.allclose(again, moved, rtol=0, atol=1e-6)


def test_parallel_transport_keeps_lengths(start):
    atlas, local, u = start
    v = local.project(draw(*u.shape, seed=9))
    _, moved = ParallelTransport().along(atlas, local, 0.3 * u, v)
    assert torch.allclose(moved.norm(dim=-1), v.norm(dim=-1), rtol=1e-8)
    _, shorter = ProjectionTransport().along(atlas, local, 0.3 * u, v)
    assert bool((shorter.norm(dim=-1) <= v.norm(dim=-1) + 1e-12).all())


def test_settings_are_frozen_and_compare_by_value():
    assert ParallelTransport(1e-6) == ParallelTransport(1e-6) != ParallelTransport()
    with pytest.raises(dataclasses.FrozenInstanceError):
        ParallelTransport().tolerance = 1.0


class TestBadInput:
    def test_points_of_other_charts(self):
        atlas = Atlas(SphereCharts(), tolerance=1e-6)
        local = LocalGeometry(atlas, torch.tensor([[0.0, 0.0]]).double(), 0)
        pole = Located(torch.tensor([1]), torch.tensor([[0.1, 0.0]]).double())
        for name in ("chart", "second-order"):
            with pytest.raises(ValueError, match="1 of 1 points are not in the chart"):
                INVERSE_RETRACTIONS[name](atlas, local, pole)

    def test_points_too_far_for_the_second_order(self):
        atlas = Atlas(SphereCharts(extent=3.0), tolerance=1e-6)
        local = LocalGeometry(atlas, torch.tensor([[0.9, 0.0]]).double(), 0)
        far = Located(torch.tensor([0]), torch.tensor([[-0.9, 0.0]]).double())
        with pytest.raises(ValueError, match="too far for the inverse"):
            InverseSecondOrderRetraction()(atlas, local, far)

    def test_orthogonal_tangent_spaces(self):
        atlas = Atlas(SphereCharts(), tolerance=1e-6)
        at = atlas.find(torch.eye(3).double()[:2])
        one, other = (LocalGeometry(atlas, at.coords[i][None], int(at.chart[i])) for i in (0, 1))
        with pytest.raises(ValueError, match="orthogonal"):
            InverseProjectiveRetraction()(atlas, one, other.located)

    def test_boundary_and_components(self):
        plane = Atlas(PlaneCharts(torch.eye(3)[:, :2].double()), tolerance=1e-6)
        local = LocalGeometry(plane, torch.zeros(1, 2).double(), 0)
        with pytest.raises(BoundaryError, match="leave the manifold"):
            RETRACTIONS["exponential"](plane, local, torch.tensor([[0.0, 2.0, 0.0]]).double())
        squares = Atlas(TwoSquares(), tolerance=1e-6)
        one, other = (LocalGeometry(squares, torch.zeros(1, 2).double(), k) for k in (0, 1))
        with pytest.raises(BoundaryError, match="different components"):
            LogarithmicInverse()(squares, one, other.located)
