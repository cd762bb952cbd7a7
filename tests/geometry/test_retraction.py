"""Orders of the retractions by fitted slopes against exact geodesics."""

import pytest
import torch
from oracles import draw, random_flow, slope, sphere_exp

from learnedmanifolds import Atlas
from learnedmanifolds.charts import PlaneCharts, SphereCharts
from learnedmanifolds.geometry import LocalGeometry, retraction_step

STEPS = torch.logspace(-1, -2, 6, dtype=torch.float64)
N = 20


def start(charts, seed=0):
    atlas = Atlas(charts)
    local = LocalGeometry(atlas, draw(N, charts.dim, seed=seed, low=-0.7, high=0.7), 0)
    h = local.project(draw(N, charts.n_ambient, seed=seed + 1))
    return atlas, local, h / h.norm(dim=-1, keepdim=True)


def retract(atlas, local, h, order):
    step = retraction_step(local, local.coordinates(h), order)
    return atlas.decode(local.coords + step, 0)


@pytest.mark.parametrize("dim", [2, 3, 5])
@pytest.mark.parametrize("order", [1, 2])
def test_error_against_the_spheres_geodesics_has_the_slope_of_the_order(dim, order):
    atlas, local, h = start(SphereCharts(1.3, dim=dim))
    errors = torch.stack(
        [
            (retract(atlas, local, t * h, order) - sphere_exp(local.point, t * h)).norm(dim=-1)
            for t in STEPS
        ]
    )
    slopes = slope(STEPS, errors)
    assert (slopes.median() - (order + 1)).abs() < 0.05
    # Single points may converge faster where the leading error happens to vanish, never slower.
    assert slopes.min() > order + 1 - 0.1


@pytest.mark.parametrize("order", [1, 2])
def test_velocity_and_acceleration_on_random_flows(order):
    atlas, local, h = start(random_flow(2, 3, std=0.5))
    t = 1e-3
    plus, minus = (retract(atlas, local, s * h, order) for s in (t, -t))
    velocity = (plus - minus) / (2 * t)
    assert torch.allclose(velocity, h, rtol=0, atol=1e-4)
    tangent = local.project((plus - 2 * local.point + minus) / t**2)
    if order == 2:
        # A geodesic's acceleration is normal.
        assert tangent.abs().max() < 1e-3
    else:
        assert tangent.abs().max() > 1e-2


@pytest.mark.parametrize("order", [1, 2])
def test_a_plane_is_walked_straight(order):
    atlas, local, h = start(PlaneCharts(draw(4, 2, seed=3)))
    end = retract(atlas, local, 0.2 * h, order)
    assert torch.allclose(end, local.point + 0.2 * h, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("order", [1, 2])
def test_no_step_stays_in_place(order, dtype):
    atlas = Atlas(random_flow(2, 3)).to(dtype)
    local = LocalGeometry(atlas, draw(N, 2, low=-1, high=1).to(dtype), 0)
    step = retraction_step(local, torch.zeros(N, 2, dtype=dtype), order)
    assert step.dtype == dtype and step.abs().max() == 0


def test_the_correction_never_exceeds_half_the_step():
    atlas, local, h = start(SphereCharts(1.0))
    a = local.coordinates(50 * h)
    corrected = retraction_step(local, a, 2)
    share = local.vector(corrected - a).norm(dim=-1) / local.vector(a).norm(dim=-1)
    assert share.max() <= 0.5 + 1e-12 and share.median() > 0.49
