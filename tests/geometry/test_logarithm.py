"""Logarithms and distances: closed forms, the shorter of two ways, boundaries, components."""

import gc
import math
import weakref
from pathlib import Path

import pytest
import torch
from oracles import TwoSquares, draw, random_flow, sphere_exp

import learnedmanifolds as lm
from learnedmanifolds import Atlas
from learnedmanifolds.charts import CircleCharts, SphereCharts, TorusCharts
from learnedmanifolds.charts.analytic import AnalyticCharts
from learnedmanifolds.geometry import Located, geodesic
from learnedmanifolds.geometry.metric import BoundaryError, InducedMetric
from learnedmanifolds.geometry.shooting import shoot

DATA = Path(__file__).parents[1] / "data"


def pairs(charts, n, seed=0):
    atlas = Atlas(charts, tolerance=1e-6).to(torch.float64)
    return (
        atlas,
        InducedMetric(atlas),
        atlas.sample_coords(n, seed),
        atlas.sample_coords(n, seed + 1),
    )


def places(atlas, located):
    return atlas.decode(located.coords, located.chart).flatten(1)


@pytest.mark.parametrize(("dim", "radius"), [(1, 1.0), (2, 2.0), (3, 0.5)])
def test_spheres(dim, radius):
    atlas, metric, a, b = pairs(SphereCharts(radius, dim), 24)
    x, y = places(atlas, a), places(atlas, b)
    angle = torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1)) * 2
    v = metric.log(a, b)
    assert torch.allclose(v.norm(dim=-1), radius * angle, rtol=1e-7)
    assert torch.allclose(sphere_exp(x, v), y, rtol=0, atol=1e-7 * radius)
    assert torch.allclose(metric.dist(b, a), radius * angle, rtol=1e-7)


def test_the_shorter_way_around_a_circle():
    atlas, metric, a, b = pairs(CircleCharts(2.0, 3), 40)
    x, y = places(atlas, a), places(atlas, b)
    turn = torch.atan2(x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0], (x * y).sum(-1))
    assert torch.allclose(metric.dist(a, b), 2 * turn.abs(), rtol=1e-7)


def test_torus_meridians_and_symmetry():
    atlas, metric, a, b = pairs(TorusCharts(3.0, 1.0), 16)
    there, back = metric.logarithm(a, b), metric.logarithm(b, a)
    assert torch.allclose(there.distance, back.distance, rtol=1e-6)
    assert float(there.miss.max()) < 1e-6
    reached = places(atlas, metric.exp(a, there.vector))
    assert torch.allclose(reached, places(atlas, b), rtol=0, atol=1e-6)
    # Never shorter than the chord; meridian circles are geodesics of length r times the angle.
    chord = (places(atlas, a) - places(atlas, b)).norm(dim=-1)
    assert bool((there.distance >= chord).all())
    angle = torch.tensor([0.3, 1.0, 2.0, 3.0], dtype=torch.float64)
    ring = 3 + angle.cos()
    end = torch.stack([ring, 0 * ring, angle.sin()], dim=1)
    start = torch.tensor([[4.0, 0.0, 0.0]], dtype=torch.float64).expand(4, 3)
    found = metric.dist(atlas.locate(start), atlas.locate(end))
    assert torch.allclose(found, angle, rtol=1e-6)


def test_log_inverts_exp_in_any_immersion():
    atlas, metric, a, b = pairs(random_flow(2, 5, n_charts=1), 20)
    found = metric.logarithm(a, b)
    inside = ~found.vector.isnan().any(-1)
    assert int(inside.sum()) > 10
    a, b = (Located(p.chart[inside], p.coords[inside]) for p in (a, b))
    end = metric.exp(a, found.vector[inside])
    assert torch.allclose(end.coords, b.coords, rtol=0, atol=1e-6)


class HalfRing(AnalyticCharts):
    """Half of a flat ring of radii 1 and 2: shortest paths may touch the inner circle."""

    def __init__(self):
        super().__init__(1, 2, (2,))

    def push(self, rows, rule, chart):
        r = rule.shift(0.5 * rows[..., :1], torch.full((1, 1), 1.5, dtype=rows.dtype))
        circle = rule.cos_sin(math.pi / 2 * rows[..., 1:])
        return torch.cat([rule.product(r, part) for part in circle], dim=-1)

    def encode(self, x, chart=None):
        angle = torch.atan2(x[..., 1:], x[..., :1])
        coords = torch.cat([2 * (x.norm(dim=-1, keepdim=True) - 1.5), 2 / math.pi * angle], -1)
        return coords.unsqueeze(0) if chart is None and x.dim() == 2 else coords


def test_a_path_around_a_hole_has_a_length_but_no_logarithm():
    atlas = Atlas(HalfRing(), tolerance=1e-6)
    metric = InducedMetric(atlas)
    ends = torch.tensor([[0.0, -1.2], [0.0, 1.2]], dtype=torch.float64)
    a, b = (atlas.locate(x[None]) for x in ends)
    # Two tangents to the inner circle and the arc between their feet.
    foot = math.acos(1 / 1.2)
    expected = 2 * math.sqrt(1.2**2 - 1) + math.pi - 2 * foot
    # A chain of 16 chords around the arc is within a percent.
    assert float(metric.dist(a, b)) == pytest.approx(expected, rel=0.01)
    with pytest.raises(BoundaryError, match="along the boundary"):
        metric.log(a, b)


def test_components_are_infinitely_far_apart():
    atlas, metric, a, b = pairs(TwoSquares(), 30)
    apart = a.chart != b.chart
    distance = metric.dist(a, b)
    assert torch.equal(distance.isinf(), apart)
    chord = (places(atlas, a) - places(atlas, b)).norm(dim=-1)
    assert torch.allclose(distance[~apart], chord[~apart], rtol=1e-9)
    with pytest.raises(BoundaryError, match="different components"):
        metric.log(a, b)


def test_pairs_must_match():
    _, metric, a, b = pairs(SphereCharts(), 3)
    with pytest.raises(ValueError, match="end must hold as many points as point, 3, got 2"):
        metric.dist(a, Located(b.chart[:2], b.coords[:2]))


def test_charts_that_jump_apart_do_not_hold_up_a_distance(monkeypatch):
    atlas = lm.load(DATA / "sphere.safetensors").to(torch.float64)
    ends = [
        [0.04007042097513269, -0.8975743021090032, -0.4303999642576888],
        [-0.37686611677204374, 0.5928736593083964, 0.7062075715263043],
    ]
    p, q = (atlas.locate(torch.tensor([x], dtype=torch.float64)) for x in ends)
    steps = []
    step = geodesic._System.step
    monkeypatch.setattr(geodesic._System, "step", lambda *a: steps.append(1) or step(*a))
    metric = InducedMetric(atlas, tolerance=1e-6)
    assert float(metric.dist(p, q)) == pytest.approx(2.602, abs=1e-3)
    # Usual pairs as far apart take 30; with ways that cannot win, this one takes 620.
    assert len(steps) < 400


def test_a_geodesic_below_its_target_does_not_arrive():
    # On the lower of two squares, the nearest point to a target on the upper one is straight below it.
    atlas = Atlas(TwoSquares(), tolerance=1e-6)
    start, below = torch.tensor([[-0.5, 0.2]]).double(), torch.tensor([[0.4, 0.1]]).double()
    x, y = atlas.decode(start, 0), atlas.decode(below, 0)
    located = Located(torch.tensor([0]), start)
    length = (y - x).norm(dim=-1)
    shots = shoot(atlas, located, y - x, length, atlas.decode(below, 1), None)
    assert torch.allclose(shots.gap, torch.tensor([5.0]).double()) and bool(shots.bound.isinf())
    assert torch.allclose(shoot(atlas, located, y - x, length, y, None).bound, length)


def test_no_distance_on_a_torus_is_longer_than_a_geodesic():
    atlas = Atlas(TorusCharts(3.0, 1.0), tolerance=1e-6).to(torch.float64)
    metric = InducedMetric(atlas)
    start = metric.uniform(40, 3)
    vector = metric.local(start).project(draw(40, 3, seed=4))
    vector = vector * (torch.linspace(5, 8, 40).double() / vector.norm(dim=1)).unsqueeze(1)
    # And one that goes round the tube as well as the hole, on the side with the longer ways of nodes.
    known = torch.tensor([[2.08, 3.42, 0.02], [-3.54, 2.01, 6.85]], dtype=torch.float64).split(1)
    there = atlas.nearest(known[0])
    start = Located(*(torch.cat(parts) for parts in zip(start, there, strict=True)))
    vector = torch.cat([vector, metric.local(there).project(known[1])])
    end = metric.exp(start, vector)
    assert float((metric.dist(start, end) / vector.norm(dim=1)).max()) < 1 + 1e-8


@pytest.mark.parametrize("charts", [CircleCharts, SphereCharts])
def test_distances_keep_no_manifold_alive(charts):
    manifold = Atlas(charts())
    metric = InducedMetric(manifold)
    ends = metric.uniform(6, seed=0)
    assert bool(
        metric.dist(Located(*(v[:3] for v in ends)), Located(*(v[3:] for v in ends)))
        .isfinite()
        .all()
    )
    known = weakref.ref(manifold)
    del manifold, metric
    gc.collect()
    assert known() is None


def test_of_two_geodesics_that_pass_near_each_other_the_shorter_is_found():
    # Lengths 8.914 and 8.986; turned about the axis, one pair in six is left with the longer.
    turn = torch.linspace(0, 2 * math.pi, 25, dtype=torch.float64)[:-1]
    atlas = lm.Atlas(TorusCharts(3.0, 1.0))

    def circle(u, v):
        wide, high = 3 + math.cos(v), torch.full_like(turn, math.sin(v))
        points = torch.stack([wide * (turn + u).cos(), wide * (turn + u).sin(), high], 1)
        return atlas.nearest(points)

    found = InducedMetric(atlas).dist(circle(-1.5991, 0.2019), circle(0.9643, -0.1939))
    assert float(found.min()) == pytest.approx(8.914, abs=1e-3)
    assert int((found > found.min() + 1e-4).sum()) <= 6
