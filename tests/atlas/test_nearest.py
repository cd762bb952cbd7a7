"""Nearest points against closed forms, constrained least squares and dense grids."""

import numpy as np
import pytest
import torch
from oracles import draw, random_flow, torus_distance, unit
from scipy.optimize import lsq_linear

import learnedmanifolds as lm
from learnedmanifolds import Atlas
from learnedmanifolds.charts import (
    CircleCharts,
    GraphCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)

CASES = {
    "circle": (CircleCharts(2.0), lambda x: (x.norm(dim=-1) - 2).abs()),
    "sphere": (SphereCharts(1.5), lambda x: (x.norm(dim=-1) - 1.5).abs()),
    "sphere4": (SphereCharts(1.5, dim=4), lambda x: (x.norm(dim=-1) - 1.5).abs()),
    "torus": (TorusCharts(3.0, 1.0), lambda x: torus_distance(x, 3, 1)),
}


def check_place(atlas, x):
    """The place is in a box, and `project` decodes it."""
    located = atlas.nearest(x)
    assert located.coords.abs().max() <= 1
    found = atlas.project(x)
    assert torch.equal(found, atlas.decode(located.coords, located.chart))
    assert torch.isfinite(found).all()
    return found


@pytest.mark.parametrize("scale", [0.3, 1.0, 30.0], ids=["inside", "near", "far"])
@pytest.mark.parametrize("name", CASES)
def test_distance_is_that_of_the_closed_form(name, scale):
    charts, distance = CASES[name]
    atlas, x = Atlas(charts), scale * draw(60, charts.n_ambient, seed=1)
    found = check_place(atlas, x)
    assert distance(found).max() < 1e-11
    assert torch.allclose((found - x).norm(dim=-1), distance(x), rtol=1e-12, atol=1e-9)


def test_points_of_a_sphere_project_along_the_radius():
    x = draw(40, 3, seed=2)
    assert torch.allclose(Atlas(SphereCharts(1.5)).project(x), 1.5 * unit(x), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_points_of_the_manifold_stay(name):
    atlas = Atlas(CASES[name][0])
    x = atlas.sample(50, seed=3)
    assert torch.allclose(atlas.project(x), x, rtol=0, atol=1e-10)


def test_points_with_many_nearest_ones_give_one_of_them():
    origin = torch.zeros(1, 3, dtype=torch.float64)
    assert float(check_place(Atlas(SphereCharts(1.5)), origin).norm()) == pytest.approx(1.5)
    gap = check_place(Atlas(TorusCharts(3.0, 1.0)), origin)
    assert float(gap.norm()) == pytest.approx(2.0)
    assert float(check_place(Atlas(CircleCharts()), origin[:, :2]).norm()) == pytest.approx(1)


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_a_piece_of_a_plane_is_constrained_least_squares(scale):
    basis, origin = draw(4, 3, seed=4), draw(4, seed=5)
    atlas, x = Atlas(PlaneCharts(basis, origin)), scale * draw(60, 4, seed=6)
    coords = atlas.nearest(x).coords
    solved = [lsq_linear(basis.numpy(), (y - origin).numpy(), (-1, 1), tol=1e-14) for y in x]
    cost = np.array([np.sqrt(2 * s.cost) for s in solved])
    gap = (atlas.decode(coords, 0) - x).norm(dim=-1).numpy()
    np.testing.assert_allclose(gap, cost, rtol=1e-7)
    assert np.mean(np.abs(np.array([s.x for s in solved])).max(1) > 1 - 1e-6) > 0.1
    np.testing.assert_allclose(coords.numpy(), [s.x for s in solved], atol=1e-4)


def test_a_graph_beats_every_point_of_a_dense_grid():
    atlas = Atlas(GraphCharts(lambda t: 0.3 * (3 * t).sin().prod(-1, keepdim=True)))
    # Nearer than the least radius of curvature, 1 / 2.7.
    x = atlas.sample(40, seed=7) + 0.1 * draw(40, 3, seed=7)
    axis = torch.linspace(-1, 1, 201, dtype=torch.float64)
    grid = atlas.decode(torch.cartesian_prod(axis, axis), 0)
    best = torch.cdist(x, grid).amin(1)
    gap = (check_place(atlas, x) - x).norm(dim=-1)
    assert (gap <= best + 1e-12).all()
    assert (gap >= best - 0.01).all()


def test_the_residual_of_a_learned_chart_is_normal_inside_the_box():
    atlas = Atlas(random_flow(2, 3))
    x = atlas.sample(30, seed=8) + 0.02 * draw(30, 3, seed=9)
    located = atlas.nearest(x)
    local = atlas.geometry(located.coords, located.chart)
    inside = located.coords.abs().amax(-1) < 1
    assert inside.double().mean() > 0.7
    tangent = local.project(x - local.point)
    assert tangent[inside].abs().max() < 1e-8
    # At a wall the tangent part points out of the box.
    outward = local.coordinates(tangent)
    wall = located.coords.abs() == 1
    single = wall.sum(-1) == 1
    push = (local.metric @ outward.unsqueeze(-1)).squeeze(-1) * located.coords
    assert (push[single & ~inside][wall[single & ~inside]] > -1e-9).all()


FAR = [(torch.float32, s) for s in (1e3, 1e6, 1e10, 1e20, 1e37)]
FAR += [(torch.float64, s) for s in (1e6, 1e10, 1e17, 1e30, 1e155, 1e300)]


@pytest.mark.parametrize(("dtype", "scale"), FAR)
@pytest.mark.parametrize("name", ["sphere", "sphere4", "torus"])
def test_far_points_project_as_the_closed_form_says(name, dtype, scale):
    charts = CASES[name][0]
    u = unit(draw(60, charts.n_ambient, seed=10))
    found = Atlas(charts).to(dtype).project((scale * u).to(dtype)).double()
    if name == "torus":
        ring = 3 * unit(u[:, :2])
        ring = torch.cat([ring, torch.zeros(60, 1, dtype=u.dtype)], -1)
        expected = ring + unit(u - ring / scale)
    else:
        expected = 1.5 * u
    atol = 1e-5 if dtype == torch.float32 else 1e-7
    assert torch.allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("dtype", "scale"), FAR)
@pytest.mark.parametrize("name", ["circle", "sphere", "torus"])
def test_far_points_project_to_the_extreme_ones_in_their_direction(name, dtype, scale):
    atlas = lm.load(f"tests/data/{name}.safetensors").to(dtype)
    u = unit(draw(20, atlas.charts.n_ambient, seed=11))
    found = check_place(atlas, (scale * u).to(dtype)).double()
    every = atlas.sample(20_000, seed=12).double()
    size = float(every.norm(dim=-1).max())
    height = (u * found).sum(-1)
    assert (height >= (u @ every.T).amax(-1) - 1e-6 * size - size**2 / scale).all()


@pytest.mark.parametrize("scale", [1e10, 1e37])
def test_far_points_are_not_on_the_manifold_and_have_a_place(scale):
    atlas = lm.load("tests/data/sphere.safetensors")
    x = (scale * unit(draw(5, 3, seed=13))).float()
    with pytest.raises(ValueError, match="away from the"):
        atlas.find(x)
    for part, other in zip(atlas.locate(x), atlas.nearest(x), strict=True):
        assert torch.equal(part, other)


@pytest.mark.parametrize("name", ["circle", "sphere", "torus"])
def test_places_have_the_derivative_of_the_nearest_point(name):
    atlas = lm.load(f"tests/data/{name}.safetensors").to(torch.float64)
    # Off the manifold and farther than rounding.
    x = atlas.sample(2, seed=14)
    x = x + 1e-3 * draw(*x.shape, seed=15)
    for function in (
        lambda y: atlas.find(y).coords,
        lambda y: atlas.nearest(y).coords,
        lambda y: atlas.project(y),
    ):
        assert torch.autograd.gradcheck(function, x.clone().requires_grad_(True), atol=1e-5)
        assert torch.equal(function(x), function(x.clone().requires_grad_(True)).detach())
