"""Exponential map and parallel transport: spheres in closed form, invariants on the others."""

import math

import pytest
import torch
from oracles import RingChart, draw, random_flow, sphere_exp

from learnedmanifolds import Atlas
from learnedmanifolds.charts import (
    CircleCharts,
    GraphCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)
from learnedmanifolds.geometry import Located, geodesic
from learnedmanifolds.geometry.geodesic import flow
from learnedmanifolds.geometry.metric import BoundaryError, InducedMetric


def start(charts, n, length, seed=0):
    """Metric, points, and tangent vectors of lengths up to the given one."""
    atlas = Atlas(charts, tolerance=1e-6).to(torch.float64)
    metric = InducedMetric(atlas)
    point = atlas.sample_coords(n, seed)
    local = metric.local(point)
    v = local.project(draw(n, local.point.shape[-1], seed=seed + 1))
    size = length * draw(n, 1, low=0.01, high=1, seed=seed + 2)
    return atlas, metric, point, size * v / v.norm(dim=-1, keepdim=True)


def places(atlas, located):
    return atlas.decode(located.coords, located.chart).flatten(1)


@pytest.mark.parametrize(("dim", "radius"), [(1, 1.0), (2, 2.0), (3, 0.5)])
def test_great_circles_through_both_charts(dim, radius):
    atlas, metric, point, v = start(SphereCharts(radius, dim), 20, 5 * radius)
    end = metric.exp(point, v)
    assert bool((end.chart != point.chart).any())
    expected = sphere_exp(places(atlas, point), v)
    assert torch.allclose(places(atlas, end), expected, rtol=0, atol=1e-7 * radius)


def test_small_steps_are_relatively_exact():
    atlas, metric, point, v = start(SphereCharts(1.0), 10, 1.0)
    for size in (1e-3, 1e-6):
        step = places(atlas, metric.exp(point, size * v)) - places(atlas, point)
        expected = sphere_exp(places(atlas, point), size * v) - places(atlas, point)
        assert float((step - expected).norm(dim=-1).max()) < 1e-8 * size + 1e-15


def test_circles_are_walked_around_many_times():
    atlas, metric, point, v = start(CircleCharts(2.0, 3), 6, 40.0)
    turn = v.norm(dim=-1) / 2.0
    x = places(atlas, point)
    side = torch.sign(x[:, 0] * v[:, 1] - x[:, 1] * v[:, 0])
    angle = torch.atan2(x[:, 1], x[:, 0]) + side * turn
    expected = 2 * torch.stack([angle.cos(), angle.sin()], dim=-1)
    assert torch.allclose(places(atlas, metric.exp(point, v)), expected, rtol=0, atol=1e-6)


def test_clairaut_on_the_torus():
    # The angular momentum about the axis and the speed are constant along a geodesic.
    atlas, metric, point, v = start(TorusCharts(3.0, 1.0), 12, 8.0)
    ends, moved = metric.parallel_transport(v.unsqueeze(1), point, v)
    x, y, w = places(atlas, point), places(atlas, ends), moved[:, 0]

    def momentum(p, u):
        return p[:, 0] * u[:, 1] - p[:, 1] * u[:, 0]

    assert torch.allclose(momentum(y, w), momentum(x, v), rtol=0, atol=1e-6)
    assert torch.allclose(w.norm(dim=-1), v.norm(dim=-1), rtol=1e-8)
    assert bool((ends.chart != point.chart).any())


def test_transport_along_great_circles():
    atlas, metric, point, v = start(SphereCharts(2.0), 20, 9.0)
    x = places(atlas, point)
    w = metric.local(point).project(draw(20, 3, seed=7))
    end, moved = metric.parallel_transport(torch.stack([w, v], 1), point, v)
    s = v.norm(dim=-1, keepdim=True) / 2
    u = v / v.norm(dim=-1, keepdim=True)
    turned = -s.sin() * x / 2 + s.cos() * u
    along = (w * u).sum(-1, keepdim=True)
    assert torch.allclose(moved[:, 0], w - along * u + along * turned, rtol=0, atol=1e-7)
    assert torch.allclose(moved[:, 1], v.norm(dim=-1, keepdim=True) * turned, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("dim", "n"), [(2, 3), (3, 5)])
def test_transport_is_isometric_and_can_be_undone(dim, n):
    _, metric, point, v = start(random_flow(dim, n), 15, 0.1)
    w = metric.local(point).project(draw(15, n, seed=5))
    u = metric.local(point).project(draw(15, n, seed=6))
    end, moved = metric.parallel_transport(torch.stack([u, v, w], 1), point, v, stop=True)
    before = torch.stack([u, v, w], 1)
    assert torch.allclose(moved @ moved.mT, before @ before.mT, rtol=0, atol=1e-7)
    back, again = metric.parallel_transport(moved, end, -moved[:, 1], stop=True)
    inside = end.coords.abs().amax(-1) < 1 - 1e-6
    assert bool(inside.any())
    assert torch.allclose(back.coords[inside], point.coords[inside], rtol=0, atol=1e-7)
    assert torch.allclose(again[inside], before[inside], rtol=0, atol=1e-6)


def test_jacobi_fields_are_the_derivative_of_the_exponential_map():
    atlas, metric, point, v = start(random_flow(2, 4), 12, 0.3)
    local = metric.local(point)
    q = local.tangent_basis
    frame, c = (local.inverse @ q).mT, (v.unsqueeze(-2) @ q).squeeze(-2)
    end = flow(atlas, point, frame, c, jacobi=True)
    inside = end.time == 1
    at = metric.local(Located(end.chart, end.coords))
    basis = at.jacobian @ end.carried.mT
    for i in range(2):
        shift = 1e-5 * torch.eye(2, dtype=c.dtype)[i]
        ahead, behind = (flow(atlas, point, frame, c + s) for s in (shift, -shift))
        slope = (places(atlas, ahead.located) - places(atlas, behind.located)) / 2e-5
        fields = (basis @ end.jacobi)[:, :, i]
        assert torch.allclose(slope[inside], fields[inside], rtol=0, atol=1e-6)


def test_a_boundary_stops_a_geodesic():
    atlas = Atlas(PlaneCharts(torch.eye(3, dtype=torch.float64)[:, :2]), tolerance=1e-6)
    metric = InducedMetric(atlas)
    point = Located(
        torch.zeros(2, dtype=torch.int64), torch.tensor([[0.0, 0.0], [0.5, 0.0]]).double()
    )
    v = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.5, 0.0]], dtype=torch.float64)
    with pytest.raises(BoundaryError, match="1 of 2 geodesics leave .* after 0.5"):
        metric.exp(point, v)
    end = metric.exp(point, v, stop=True)
    expected = torch.tensor([[0.5, 0.5], [1.0, 0.25]], dtype=torch.float64)
    assert torch.allclose(end.coords, expected, rtol=0, atol=1e-8)


def test_geodesic_at_several_times_and_dtypes():
    atlas, metric, point, v = start(SphereCharts(1.0), 3, 2.0)
    t = torch.tensor([-0.5, 0.0, 1.0])
    curve = places(atlas, metric.geodesic(point, v)(t)).unflatten(0, (3, 3))
    for i, time in enumerate(t.tolist()):
        expected = sphere_exp(places(atlas, point), time * v + 1e-300)
        expected = places(atlas, point) if time == 0 else expected
        assert torch.allclose(curve[:, i], expected, rtol=0, atol=1e-8)


def test_float32_and_batches_agree():
    charts = random_flow(2, 3)
    atlas, metric, point, v = start(charts, 16, 0.2)
    end = metric.exp(point, v, stop=True)
    alone = [
        metric.exp(Located(k[None], z[None]), u[None], stop=True)
        for k, z, u in zip(*point, v, strict=True)
    ]
    assert torch.allclose(torch.cat([e.coords for e in alone]), end.coords, rtol=0, atol=1e-8)
    small = atlas.to(torch.float32)
    rough = InducedMetric(small).exp(
        Located(point.chart, point.coords.float()), v.float(), stop=True
    )
    assert rough.coords.dtype == torch.float32
    assert torch.allclose(rough.coords.double(), end.coords, rtol=0, atol=1e-3)
    assert math.isfinite(float(rough.coords.sum()))


@pytest.mark.parametrize("gap", [0.0, 0.02])
def test_charts_that_only_touch_or_nearly_are_no_boundary(gap):
    # Three arcs of a circle with no overlap, or with gaps of 0.02 of a width; five on the way at most.
    _, metric, point, v = start(CircleCharts(1.0, 3, -gap), 8, 9.0)
    end = metric.exp(point, v)
    x, y = places(metric.manifold, point), places(metric.manifold, end)
    assert float((y - sphere_exp(x, v)).norm(dim=-1).max()) <= 5 * 2 * 1.05 * gap + 1e-7


def test_charts_that_end_together_have_a_boundary_there():
    class Twice(PlaneCharts):
        """The same piece of a plane by two charts."""

        def __init__(self):
            super().__init__(torch.eye(3)[:, :2].double())
            self.n_charts = 2

        def encode(self, x, chart=None):
            coords = super().encode(x, 0)
            return coords.expand(2, *coords.shape[-2:]) if chart is None else coords

    metric = InducedMetric(Atlas(Twice(), tolerance=1e-6))
    at = Located(torch.tensor([0]), torch.tensor([[0.5, 0.0]]).double())
    east = torch.tensor([[2.0, 0.0, 0.0]]).double()
    with pytest.raises(BoundaryError, match="after 0.25 of its length"):
        metric.exp(at, east)


def test_a_decoder_that_is_constant_far_outside_its_box_is_not_asked_there():
    charts = GraphCharts(lambda t: 0 * t[:, :1])
    charts.decode = lambda t, k=None: torch.cat([t.clamp(-1.3, 1.3), 0 * t[..., :1]], -1)
    metric = InducedMetric(Atlas(charts, tolerance=1e-6))
    at = Located(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 2).double())
    end = metric.exp(at, torch.tensor([[30.0, 15.0, 0.0]]).double(), stop=True)
    assert torch.allclose(end.coords, torch.tensor([[1.0, 0.5]]).double())


def test_a_decoder_that_breaks_outside_its_box_is_not_asked_there():
    # A piece of a sphere of radius sqrt(2.1) as a graph: no number a little outside the corners.
    charts = GraphCharts(lambda t: (2.1 - t.square().sum(-1, keepdim=True)).sqrt())
    metric = InducedMetric(Atlas(charts, tolerance=1e-6))
    at = Located(torch.zeros(3, dtype=torch.int64), torch.zeros(3, 2).double())
    v = torch.tensor([[30.0, 0.0, 0.0], [9.0, 9.0, 0.0], [0.3, -0.2, 0.0]]).double()
    end = metric.exp(at, v, stop=True)
    x = metric.manifold.decode(end.coords, end.chart)
    assert torch.allclose(end.coords[:2], torch.tensor([[1.0, 0.0], [1.0, 1.0]]).double())
    center = metric.manifold.decode(at.coords, at.chart)
    assert torch.allclose(x[2], sphere_exp(center, v)[2], rtol=0, atol=1e-8)


@pytest.mark.parametrize("charts", [CircleCharts(), SphereCharts(), SphereCharts(dim=3)])
def test_no_velocity_stays_in_place(charts):
    _, metric, point, v = start(charts, 5, 1.0)
    end = metric.exp(point, 0 * v)
    assert torch.equal(end.coords, point.coords)
    assert torch.allclose(metric.log(point, point), 0 * v, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (torch.zeros(2, 2), r"tangent_vector must have shape"),
        (torch.zeros(3), r"tangent_vector must have shape"),
        (torch.full((2, 3), math.nan), "tangent_vector must be finite"),
    ],
)
def test_bad_input(vector, message):
    _, metric, point, _ = start(SphereCharts(1.0), 2, 1.0)
    with pytest.raises(ValueError, match=message):
        metric.exp(point, vector.double())
    with pytest.raises(ValueError, match="vectors must have shape"):
        metric.parallel_transport(torch.zeros(2, 3), point, torch.zeros(2, 3).double())


def test_geodesics_end_at_the_hole_of_a_ring():
    atlas = Atlas(RingChart(), tolerance=1e-6)
    metric = InducedMetric(atlas)
    turn = draw(50, 1, seed=1, low=-math.pi, high=math.pi)
    along, aside = (torch.cat([t.cos(), t.sin()], 1) for t in (turn, turn + math.pi / 2))
    point = Located(torch.zeros(50, dtype=torch.int64), 0.67 * along + 0.2 * aside)
    # Straight on they would be in the ring again, beyond the hole.
    end = metric.exp(point, -1.4 * along, stop=True)
    wall = (0.35**2 - 0.2**2) ** 0.5 * along + 0.2 * aside
    assert torch.allclose(end.coords, wall, rtol=0, atol=1e-8)
    with pytest.raises(BoundaryError, match="50 of 50"):
        metric.exp(point, -1.4 * along)
    reached = metric.exp(point, -0.2 * along).coords
    assert torch.allclose(reached, 0.47 * along + 0.2 * aside, rtol=0, atol=1e-12)


def test_geodesics_that_never_end_are_no_boundary(monkeypatch):
    atlas, metric, point, v = start(SphereCharts(1.0), 3, 1.0)
    monkeypatch.setattr(geodesic, "MAX_STEPS", 60)
    v[1:] *= 1e4
    with pytest.raises(RuntimeError, match="2 of 3 geodesics are too long: after 60 steps"):
        metric.exp(point, v, stop=True)
