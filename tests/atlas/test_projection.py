"""Projections of learned atlases at any distance, against dense sampling, polishing and `solve`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import draw, unit
from scipy.optimize import minimize

import learnedmanifolds as lm

DATA = Path(__file__).parents[1] / "data"
RADII = np.geomspace(0.01, 100, 7)
PER_AXIS = {1: 2001, 2: 101}
# Directions, and points a radius whose dense minimum is polished.
CASES = {"circle": (400, 6), "sphere": (400, 4), "torus": (100, 2), "bars": (8, 1)}


def load(name):
    atlas = lm.pretrained("bars-32") if name == "bars" else lm.load(DATA / f"{name}.safetensors")
    return atlas.to(torch.float64)


def grid_of(atlas):
    count = PER_AXIS[atlas.dim] if atlas.charts.n_ambient < 100 else 301
    axis = torch.linspace(-1, 1, count, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * atlas.dim).view(-1, atlas.dim)
    points = torch.stack([atlas.decode(grid, k).flatten(1) for k in range(atlas.n_charts)])
    # Charts end where their domains do.
    depth = atlas.charts.domain.depth(grid.expand(atlas.n_charts, *grid.shape))
    return grid, torch.where(depth.unsqueeze(-1) >= 0, points, 1e6)


def polish(atlas, x, chart, coords):
    """The least distance near coordinates of a chart, by a general-purpose optimizer."""

    def cost(t):
        at = torch.tensor(t[None], dtype=torch.float64, requires_grad=True)
        value = (atlas.charts.decode(at, chart)[0] - x).square().sum()
        (gradient,) = torch.autograd.grad(value, at)
        return float(value.detach()), gradient[0].numpy()

    options = {"ftol": 1e-15, "gtol": 1e-11}
    axis = torch.linspace(-1, 1, 20_001, dtype=torch.float64).unsqueeze(1)
    inside = axis[atlas.charts.domain.depth(axis, chart) >= 0] if len(coords) == 1 else axis
    bounds = [(float(inside.min()), float(inside.max()))] * len(coords)
    found = minimize(cost, coords.numpy(), jac=True, bounds=bounds, options=options)
    return max(0.0, found.fun) ** 0.5


@pytest.mark.parametrize("name", CASES)
def test_nothing_known_is_nearer_than_the_projection(name):
    atlas, (directions, polished) = load(name), CASES[name]
    samples = atlas.sample(500, seed=0).flatten(1)
    center = samples.mean(0)
    size = float((samples - center).square().sum(-1).mean().sqrt())
    grid, points = grid_of(atlas)
    turns = unit(draw(directions, samples.shape[1], seed=1))
    for index, radius in enumerate(RADII):
        x = center + radius * size * turns
        distance = (atlas.project(x.unflatten(1, atlas.ambient_shape)).flatten(1) - x).norm(dim=1)
        gaps = torch.stack([torch.cdist(x, p) for p in points])
        assert float((distance - gaps.amin((0, 2))).max()) < 1e-6 * size
        for row in range(polished if index % 3 == 0 else 0):
            # The best cell of every chart.
            for k in range(atlas.n_charts):
                other = polish(atlas, x[row], k, grid[gaps[k, row].argmin()])
                assert float(distance[row]) < other + 1e-6 * size


@pytest.mark.parametrize("name", ["sphere", "bars"])
def test_solve_finds_nothing_nearer(name):
    atlas = load(name)
    samples = atlas.sample(200, seed=0)
    size = float((samples - samples.mean(0)).flatten(1).square().sum(1).mean().sqrt())
    for seed, radius in enumerate((0.05, 1.0, 20.0)):
        noise = draw(1, samples[0].numel(), seed=seed).view(samples.shape[1:])
        x = samples.mean(0) + radius * size * noise / noise.norm()
        problem = lm.InverseProblem(lm.operators.Identity(), x)
        solution = lm.solve(problem, atlas, n_starts=3, seed=seed)
        other = np.linalg.norm(solution.point - x.numpy())
        assert float((atlas.project(x[None])[0] - x).norm()) < other + 1e-6 * size


def test_levenberg_marquardt_from_a_projected_picture_stays():
    atlas = load("bars")
    x = atlas.sample(6, seed=3)
    x = x + 0.1 * draw(*x.shape, seed=4)
    manifold = lm.PymanoptManifold(atlas)
    for picture, near in zip(x, atlas.project(x), strict=True):
        problem = lm.InverseProblem(lm.operators.Identity(), picture).to_pymanopt(manifold)
        start = near.numpy()
        end = lm.optimizers.LevenbergMarquardt(verbosity=0).run(problem, initial_point=start)
        fell = np.linalg.norm(start - picture.numpy()) - np.linalg.norm(end.point - picture.numpy())
        assert fell < 1e-6


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_units_do_not_matter(scale):
    """Points near the centre of a sphere of any size: the lowest of many minima."""
    unit_sphere, scaled = (
        lm.Atlas(lm.charts.SphereCharts(s), noise_std=0.01 * s) for s in (1, scale)
    )
    x = torch.cat([draw(30, 3, seed=5), 1e-3 * draw(30, 3, seed=6)])
    ours, theirs = unit_sphere.project(x), scaled.project(scale * x) / scale
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    assert torch.allclose(ours, unit(x), rtol=0, atol=1e-6)
