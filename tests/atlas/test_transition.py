"""Steps across charts: holonomy, order across a switch, boxes, boundaries."""

import math

import numpy as np
import pytest
import torch
from oracles import RingChart, angle_of, draw, random_flow, slope, sphere_exp, torus_distance
from scipy.optimize import lsq_linear

from learnedmanifolds import Atlas
from learnedmanifolds.atlas.transition import _slide, inward, move
from learnedmanifolds.charts import (
    CircleCharts,
    GraphCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)
from learnedmanifolds.charts.domain import Walls
from learnedmanifolds.geometry import LocalGeometry, Located, retraction_step


def walk(atlas, located, tangent, order=1):
    """The step along an ambient vector, and the points before and after."""
    local = LocalGeometry(atlas, located.coords, located.chart)
    step = retraction_step(local, local.coordinates(tangent(local.point)), order)
    end = move(atlas, located, step)
    return end, local.point, atlas.decode(end.coords, end.chart)


def test_a_step_inside_the_box_is_an_addition():
    atlas = Atlas(SphereCharts(), tolerance=1e-6)
    start = Located(torch.tensor([0, 1, 0]), draw(3, 2, low=-0.4, high=0.4))
    step = draw(3, 2, seed=1, low=-0.3, high=0.3)
    end = move(atlas, start, step)
    assert torch.equal(end.chart, start.chart) and torch.equal(end.coords, start.coords + step)


@pytest.mark.parametrize("steps", [2, 3, 7, 50, 211])
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("n_charts", [3, 5])
def test_a_walk_around_the_circle_returns_to_its_start(steps, direction, n_charts):
    atlas = Atlas(CircleCharts(2.0, n_charts), tolerance=1e-6)
    arc = direction * 2 * 2 * math.pi / steps
    located = Located(torch.tensor([0]), torch.tensor([[0.3]], dtype=torch.float64))
    start = atlas.decode(located.coords, located.chart)
    seen = {0}
    for _ in range(steps):
        located, before, after = walk(
            atlas, located, lambda x: arc / 2 * torch.stack([-x[:, 1], x[:, 0]], -1)
        )
        assert located.coords.abs().max() <= 1
        turn = float(angle_of(after) - angle_of(before))
        assert math.cos(turn - arc / 2) > 1 - 1e-12
        seen.add(int(located.chart))
    assert torch.allclose(after, start, rtol=0, atol=1e-10)
    if steps >= 7:
        assert seen == set(range(n_charts))


@pytest.mark.parametrize("dim", [2, 3])
def test_a_step_across_a_border_is_of_first_order(dim):
    atlas = Atlas(SphereCharts(1.3, dim=dim), tolerance=1e-6)
    coords = draw(20, dim, seed=2, low=-0.9, high=0.9)
    coords[:, 0] = 0.9999
    start = Located(torch.zeros(20, dtype=torch.int64), coords)
    step = draw(20, dim, seed=3, low=-0.5, high=0.5)
    step[:, 0] = 1
    local = LocalGeometry(atlas, coords, start.chart)
    h = local.vector(step)
    h = h / h.norm(dim=-1, keepdim=True)
    sizes, errors = torch.logspace(-1, -2, 5, dtype=torch.float64), []
    for size in sizes:
        end = move(atlas, start, local.coordinates(size * h))
        assert (end.chart == 1).all()
        gap = atlas.decode(end.coords, end.chart) - sphere_exp(local.point, size * h)
        errors.append(gap.square().mean().sqrt())
    assert float(slope(sizes, torch.stack(errors))) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("size", [0.05, 0.5, 5.0, 100.0])
@pytest.mark.parametrize(
    ("charts", "distance"),
    [
        (CircleCharts(2.0), lambda x: (x.norm(dim=-1) - 2).abs()),
        (SphereCharts(1.5), lambda x: (x.norm(dim=-1) - 1.5).abs()),
        (TorusCharts(), lambda x: torus_distance(x, 3, 1)),
        (random_flow(2, 3), lambda x: 0 * x[:, 0]),
        (PlaneCharts(draw(3, 2)), lambda x: 0 * x[:, 0]),
    ],
    ids=["circle", "sphere", "torus", "flow", "plane"],
)
def test_the_end_is_in_a_box_and_on_the_manifold(charts, distance, size):
    atlas = Atlas(charts, tolerance=1e-6)
    coords = draw(60, charts.dim, seed=4, low=-1, high=1).round(decimals=1)
    start = Located(torch.arange(60) % charts.n_charts, coords)
    end = move(atlas, start, size * draw(60, charts.dim, seed=5))
    assert torch.isfinite(end.coords).all() and end.coords.abs().max() <= 1
    assert ((end.chart >= 0) & (end.chart < charts.n_charts)).all()
    assert distance(atlas.decode(end.coords, end.chart)).max() < 1e-10


def test_a_batch_moves_like_single_points():
    atlas = Atlas(TorusCharts(), tolerance=1e-6)
    start = Located(torch.arange(16) % 4, draw(16, 2, seed=6, low=-1, high=1))
    step = draw(16, 2, seed=7)
    end = move(atlas, start, step)
    for i in range(16):
        row = slice(i, i + 1)
        one = move(atlas, Located(start.chart[row], start.coords[row]), step[row])
        assert torch.equal(one.chart, end.chart[row])
        assert torch.allclose(one.coords, end.coords[row], rtol=0, atol=1e-11)


def test_a_torus_is_walked_along_its_circles_through_all_charts():
    # Along v the parametrization is by arc length: the walk is exact and closes.
    atlas = Atlas(TorusCharts(), tolerance=1e-6)
    located = Located(torch.tensor([0]), torch.tensor([[0.2, 0.1]], dtype=torch.float64))
    start, seen = atlas.decode(located.coords, located.chart), set()
    for _ in range(9):

        def along(x):
            rho = x[:, :2].norm(dim=-1, keepdim=True)
            return 2 * math.pi / 9 * torch.cat([-x[:, 2:] * x[:, :2] / rho, rho - 3], -1)

        located, _, end = walk(atlas, located, along)
        seen.add(int(located.chart))
    assert torch.allclose(end, start, rtol=0, atol=1e-10) and seen == {0, 1}


@pytest.mark.parametrize("overlap", [0.004, 0.02])
def test_a_border_that_another_chart_holds_at_any_depth_is_crossed(overlap):
    atlas = Atlas(CircleCharts(1.0, 3, overlap), tolerance=1e-6)
    start = Located(torch.tensor([0]), torch.tensor([[0.95]], dtype=torch.float64))
    end = move(atlas, start, torch.tensor([[0.08]], dtype=torch.float64))
    assert int(end.chart) == 1
    expected = (0.95 + 0.08) * (1 + overlap) * math.pi / 3
    assert float(angle_of(atlas.decode(end.coords, end.chart))) == pytest.approx(expected)


def test_of_charts_that_hold_a_border_the_deeper_one_is_entered():
    for overlap in (0.004, 0.3):
        atlas = Atlas(CircleCharts(1.0, 3, overlap), tolerance=1e-6)
        border = atlas.decode(torch.ones(1, 1).double(), 0)
        entered, there = atlas.enter(border, torch.tensor([0]), 0.01)
        assert bool(entered)
        depth = 1 - torch.stack([atlas.encode(border, k).abs().amax() for k in (1, 2)])
        assert float(1 - there.coords.abs().amax()) == pytest.approx(float(depth.max()))


@pytest.mark.parametrize(("begin", "chart"), [(0.5, 1), (0.85, 0)], ids=["long", "short"])
def test_only_long_steps_leave_the_shell(begin, chart):
    atlas = Atlas(CircleCharts(1.0, 3), tolerance=1e-6)
    start = Located(torch.tensor([0]), torch.tensor([[begin]], dtype=torch.float64))
    end = move(atlas, start, 0.9 - start.coords)
    assert int(end.chart) == chart
    angle = float(angle_of(atlas.decode(end.coords, end.chart)))
    assert angle == pytest.approx(0.9 * math.pi / 2)


def slid(atlas, start, step):
    """End of a step that hits the face t_0 = 1, by ambient projection on the face's direction."""
    share = (1 - start[:, :1]) / step[:, :1]
    at = start + share * step
    jet = atlas.charts.jet(at, 0, torch.eye(2).double()[:, None].expand(2, len(at), 2))
    rest = ((1 - share) * step).unsqueeze(0).movedim(-1, 0).squeeze(1).unsqueeze(-1) * jet.first
    rest, face = rest.sum(0), jet.first[1]
    at[:, 1] += (rest * face).sum(-1) / face.square().sum(-1)
    return at


@pytest.mark.parametrize(
    "charts",
    [
        PlaneCharts(torch.tensor([[1.0, 0.6], [0.0, 1.0], [0.3, 0.4]], dtype=torch.float64)),
        GraphCharts(lambda t: (t[:, :1] + t[:, 1:]).sin() + t[:, :1] ** 2),
    ],
    ids=["plane", "graph"],
)
class TestBoundary:
    def test_a_step_slides_along_the_face_by_the_metric(self, charts):
        atlas = Atlas(charts, tolerance=1e-6)
        start = torch.cat(
            [draw(30, 1, low=0.8, high=1), draw(30, 1, seed=1, low=-0.3, high=0.3)], 1
        )
        step = torch.cat(
            [draw(30, 1, seed=2, low=0.25, high=0.5), draw(30, 1, seed=3, low=-0.2, high=0.2)], 1
        )
        end = move(atlas, Located(torch.zeros(30, dtype=torch.int64), start), step)
        expected = slid(atlas, start, step)
        assert expected.abs().max() <= 1
        # The metric is not diagonal: cutting the step off would end elsewhere.
        assert (expected - (start + step).clamp(-1, 1)).abs().max() > 0.05
        assert torch.allclose(end.coords, expected, rtol=0, atol=1e-12)

    def test_what_presses_into_a_corner_stays_there(self, charts):
        atlas = Atlas(charts, tolerance=1e-6)
        corner = torch.ones(1, 2, dtype=torch.float64)
        end = move(atlas, Located(torch.tensor([0]), corner), torch.tensor([[0.5, 0.7]]).double())
        assert torch.equal(end.coords, corner)

    def test_a_step_back_inside_is_free(self, charts):
        atlas = Atlas(charts, tolerance=1e-6)
        corner = torch.ones(1, 2, dtype=torch.float64)
        end = move(
            atlas, Located(torch.tensor([0]), corner), torch.tensor([[-0.5, -0.75]]).double()
        )
        assert torch.allclose(end.coords, torch.tensor([[0.5, 0.25]]).double())


def test_no_points_move_nowhere():
    none = Located(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2).double())
    assert move(Atlas(SphereCharts()), none, torch.zeros(0, 2).double()).coords.shape == (0, 2)


class Skew(PlaneCharts):
    """A plane with oblique coordinates."""

    MATRIX = torch.tensor([[1.0, 0.9, 0.0], [0.0, 0.5, 0.3], [0.0, 0.0, 1.0]]).double()

    def __init__(self):
        super().__init__(torch.eye(3, dtype=torch.float64))

    def decode(self, coords, chart=None):
        return super().decode(coords @ self.MATRIX.T, chart)

    def encode(self, x, chart=None):
        return super().encode(x, chart) @ torch.linalg.inv(self.MATRIX).T


@pytest.mark.parametrize(
    "corner", [[0.2, 1.0, -0.3], [1.0, -1.0, 0.0], [1.0, 1.0, 1.0], [-1.0, 0.5, 1.0]]
)
def test_inward_is_the_projection_on_the_tangent_cone(corner):
    atlas = Atlas(Skew(), tolerance=1e-6)
    at = torch.tensor([corner], dtype=torch.float64)
    local = LocalGeometry(atlas, at, 0)
    jacobian = local.jacobian[0].numpy()
    bounds = np.array(
        [(-np.inf, 0) if c == 1 else (0, np.inf) if c == -1 else (-np.inf, np.inf) for c in corner]
    ).T
    for vector in draw(40, 3, seed=5):
        expected = jacobian @ lsq_linear(jacobian, vector.numpy(), bounds, tol=1e-14).x
        found = inward(atlas, local, vector[None])[0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_inward_is_the_identity_inside_and_where_another_chart_follows():
    atlas = Atlas(CircleCharts(1.0, 3), tolerance=1e-6)
    for t in (0.3, 1.0, -1.0):
        local = LocalGeometry(atlas, torch.tensor([[t]], dtype=torch.float64), 1)
        for sign in (1, -1):
            vector = sign * local.tangent_basis[..., 0]
            assert torch.equal(inward(atlas, local, vector), vector)


def test_inward_bends_only_the_rows_that_leave():
    atlas = Atlas(PlaneCharts(torch.eye(2, dtype=torch.float64)), tolerance=1e-6)
    at = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    vector = torch.tensor([[2.0, 1.0], [-2.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
    local = LocalGeometry(atlas, at, torch.zeros(3, dtype=torch.int64))
    expected = torch.tensor([[0.0, 1.0], [-2.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
    assert torch.allclose(inward(atlas, local, vector), expected)


def test_no_step_leads_over_the_hole_of_a_ring():
    atlas = Atlas(RingChart(), tolerance=1e-6)
    turn = draw(200, seed=11, low=-math.pi, high=math.pi)
    radius = draw(200, seed=12, low=0.36, high=0.79)
    start = radius.unsqueeze(1) * torch.stack([turn.cos(), turn.sin()], 1)
    # Straight at the middle and to the other side: there is no way along the wall.
    end = move(atlas, Located(torch.zeros(200, dtype=torch.int64), start), -2 * start)
    at_hole = start * (atlas.charts.domain.inner / radius).unsqueeze(1)
    assert torch.allclose(end.coords, at_hole, rtol=0, atol=1e-6)
    # Past it they go on.
    aside = torch.stack([-start[:, 1], start[:, 0]], 1)
    reach = (0.8**2 - radius.square()).sqrt() / radius
    step = 0.99 * reach.unsqueeze(1) * aside
    end = move(atlas, Located(torch.zeros(200, dtype=torch.int64), start), step)
    assert torch.allclose(end.coords, start + step, rtol=0, atol=1e-14)


def test_steps_slide_along_two_walls_of_one_direction():
    # A level of the depth and a face of the box may meet a step at the same place, side by side.
    factor = draw(4, 2, 2, seed=0)
    metric = factor @ factor.mT + 0.1 * torch.eye(2, dtype=torch.float64)
    normal = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64).expand(4, 2, 2)
    step = torch.tensor([1.0, 1.0], dtype=torch.float64).expand(4, 2)
    slid = _slide(metric, Walls(normal, torch.ones(4, 2, dtype=torch.bool)), step)
    # Along the wall only, and by what is left at a right angle to it in the metric.
    along = torch.tensor([0.0, 1.0], dtype=torch.float64)
    part = (metric @ step.unsqueeze(-1)).squeeze(-1) @ along / metric[:, 1, 1]
    assert torch.allclose(slid, part.unsqueeze(1) * along, rtol=0, atol=1e-12)
