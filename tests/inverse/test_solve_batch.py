"""Many problems at once: the solutions of single runs, row by row; borders, failures, bad input."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import StepLine, draw, unit
from scipy.optimize import minimize_scalar

from learnedmanifolds import load
from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import (
    CircleCharts,
    GraphCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)
from learnedmanifolds.geometry import Located
from learnedmanifolds.inverse import InverseProblem, Status, operators, solve
from learnedmanifolds.inverse.batch import engine
from learnedmanifolds.inverse.batch.levenberg_marquardt import damped_steps, secant
from learnedmanifolds.inverse.batch.objective import BatchObjective
from learnedmanifolds.inverse.batch.screening import apart, screen
from learnedmanifolds.inverse.batch.trust_region import truncated_conjugate_gradient
from learnedmanifolds.inverse.noise import GaussianNoise, PoissonNoise
from learnedmanifolds.inverse.solve_batch import BATCH_OPTIMIZERS, solve_batch
from learnedmanifolds.manifolds import PymanoptManifold

EVERY = pytest.mark.parametrize("optimizer", BATCH_OPTIMIZERS)
LEARNED = load(Path(__file__).parents[1] / "data" / "sphere.safetensors").to(torch.float64)
SPHERE = Atlas(SphereCharts(), tolerance=1e-6)
PLANE = Atlas(PlaneCharts(torch.eye(3, dtype=torch.float64)[:, :2]), tolerance=1e-6)
BOWL = Atlas(GraphCharts(lambda t: 0.3 * t.square().sum(-1, keepdim=True)), tolerance=1e-6)
MATRIX = draw(4, 3, seed=4)


@dataclass(frozen=True)
class Case:
    """Problems of one operator on an atlas, with one start each."""

    atlas: Atlas
    operator: object
    observations: torch.Tensor
    options: dict = field(default_factory=dict)

    @property
    def problems(self):
        return [InverseProblem(self.operator, y, **self.options) for y in self.observations]

    @property
    def starts(self):
        return self.atlas.sample(len(self.observations), seed=5).unsqueeze(1)


def waves(x):
    return torch.stack([x[0] * x[1], x[2].sin() + x[0], x.square().sum() + x[1]])


def branches(x):
    """Cannot be vectorised."""
    return x[:2].exp() if float(x.detach()[2]) > 0 else x[:2].exp() + x[2] ** 2


class Mixture:
    """Linear, in deepinv's protocol."""

    def A(self, x):  # noqa: N802
        return x @ MATRIX.T

    def A_adjoint(self, y):  # noqa: N802
        return y @ MATRIX


CASES = {
    "sphere": Case(SPHERE, operators.identity, 2 * draw(5, 3)),
    "four-dimensional sphere": Case(
        Atlas(SphereCharts(dim=4), tolerance=1e-6), operators.linear(draw(7, 5)), draw(4, 7, seed=1)
    ),
    "torus": Case(Atlas(TorusCharts(), tolerance=1e-6), operators.identity, 3 * draw(6, 3)),
    "circle": Case(
        Atlas(CircleCharts(), tolerance=1e-6), operators.identity, draw(4, 2), {"noise_std": 0.3}
    ),
    "learned sphere": Case(
        LEARNED, operators.identity, unit(draw(5, 3)) + 0.1 * draw(5, 3, seed=2)
    ),
    "prior": Case(
        LEARNED, operators.mask([0, 2]), 0.5 * draw(2, 2), {"noise_std": 0.3, "prior_weight": 0.5}
    ),
    "nonlinear": Case(SPHERE, waves, draw(4, 3)),
    "not vectorised": Case(SPHERE, branches, draw(3, 2, low=0.5, high=2.0)),
    "deepinv": Case(SPHERE, Mixture(), draw(3, 4)),
    "poisson": Case(
        SPHERE,
        lambda x: 5 * (MATRIX.abs() @ (x + 1.5)),
        draw(4, 4, low=0.0, high=20.0).round(),
        {"noise": PoissonNoise(1.0)},
    ),
    "boundary": Case(PLANE, operators.identity, 2 * draw(5, 3)),
}


def angle_at(y, t):
    """Ambient points of the bowl over its face t_1 = 1."""
    return BOWL.decode(torch.tensor([[1.0, t]]), 0)[0]


@EVERY
@pytest.mark.parametrize("name", CASES)
def test_every_run_is_that_of_a_single_solve(name, optimizer):
    case = CASES[name]
    batch = solve_batch(case.problems, case.atlas, optimizer, initial_points=case.starts)
    manifold = PymanoptManifold(case.atlas)
    for i, (problem, start) in enumerate(zip(case.problems, case.starts, strict=True)):
        single = solve(problem, manifold, optimizer, initial_points=start)
        np.testing.assert_allclose(batch.points[i], single.point, atol=1e-6)
        np.testing.assert_allclose(batch.coordinates[i], single.coordinates, atol=1e-5)
        assert batch.cost[i] == pytest.approx(single.cost, abs=1e-9, rel=1e-9)
        assert batch.chart[i] == single.chart
        assert batch.status[i] is single.status
        # On a boundary, trust regions know here that they move along it; with the prior, whose
        # slope jumps, the last steps depend on rounding. The damping, and steepest descent's
        # steps at the rounding of the cost, are equal only up to a tolerance.
        if name not in ("boundary", "prior"):
            gap = abs(batch.iterations[i] - single.runs[0].iterations)
            assert gap <= (0 if optimizer == "trust-regions" else 1)


@EVERY
def test_nearest_points_of_a_sphere(optimizer):
    # Far outside the sphere, where Gauss and Newton's model overshoots, and near its centre.
    y = unit(draw(200, 3)) * draw(200, 1, low=0.2, high=3.0)
    problem = InverseProblem(operators.identity, y[0])
    batch = solve_batch(problem, SPHERE, optimizer, observations=y, seed=1, n_screen=0)
    assert batch.converged.all() and len(batch) == 200
    np.testing.assert_allclose(batch.points, unit(y), atol=5e-6)
    if optimizer != "steepest-descent":
        # Superlinear convergence: the last step goes far below the threshold.
        assert np.median(batch.gradient_norm) < 1e-7


@EVERY
def test_retractions(optimizer):
    case = CASES["torus"]
    for retraction in ("chart", "projection"):
        options = {"retraction": retraction, "max_iterations": 300}
        batch = solve_batch(
            case.problems, case.atlas, optimizer, initial_points=case.starts, **options
        )
        single = solve(
            case.problems[0], case.atlas, optimizer, initial_points=case.starts[0], **options
        )
        np.testing.assert_allclose(batch.points[0], single.point, atol=1e-6)
        gradient = batch.points - case.observations.numpy()
        for point, normal in zip(batch.points, gradient, strict=True):
            ring = 3 * unit(torch.tensor([*point[:2], 0.0])).numpy()
            # At a stationary point the residual is a multiple of the normal of the tube.
            np.testing.assert_allclose(np.cross(normal, point - ring), 0, atol=1e-4)


@pytest.mark.parametrize(("n_starts", "n_screen"), [(1, None), (3, None), (2, 0), (4, 5)])
def test_starts_are_those_of_solve(n_starts, n_screen):
    case = CASES["torus"]
    options = {"n_starts": n_starts, "seed": 3, "n_screen": n_screen, "max_iterations": 60}
    batch = solve_batch(case.problems, case.atlas, **options)
    assert batch.runs.cost.shape == (6, n_starts)
    for i, problem in enumerate(case.problems):
        single = solve(problem, case.atlas, "levenberg-marquardt", **options)
        for k, run in enumerate(single.runs):
            np.testing.assert_allclose(batch.runs.points[i, k], run.point, atol=1e-6)
        assert batch.runs.cost[i, batch.start[i]] == batch.cost[i] == batch.runs.cost[i].min()
        np.testing.assert_array_equal(batch.points[i], batch.runs.points[i, batch.start[i]])
        assert batch.cost[i] == pytest.approx(single.cost, abs=1e-9)


def test_screened_costs():
    case = CASES["prior"]
    points = LEARNED.sample(200, seed=1)
    first = case.problems[0]
    noise, weight = first.noise, first.prior_weight
    objective = BatchObjective(first.operator, noise, weight, case.observations, LEARNED)
    expected = torch.stack([problem.cost_batch(points, LEARNED) for problem in case.problems])
    assert torch.allclose(screen(objective, points), expected, rtol=1e-12)


def test_starts_are_low_and_apart():
    points, cost = draw(40, 1), draw(30, 40, seed=1)
    cost[:20, ::2], cost[0] = torch.inf, torch.inf
    chosen = apart(cost, points, 16)
    spread = (points - points.mean(0)).square().sum(-1).mean().sqrt()
    halved = 0
    for row, index in zip(cost, chosen, strict=True):
        assert len(set(index.tolist())) == 16
        assert row[index[0]] == row.min()
        assert (row[index].diff() >= 0).all() or row.isinf().all()
        gaps = torch.pdist(points[index])
        # The separation with which all were found.
        separation = 0.3 * spread
        while float(gaps.min()) < separation:
            separation, halved = separation / 2, halved + 1
        left_out = torch.ones(40, dtype=torch.bool)
        left_out[index] = False
        left_out &= row < row[index[-1]]
        # Whatever is lower than one that was taken is near to a lower one that was taken.
        for point, value in zip(points[left_out], row[left_out], strict=True):
            lower = points[index[row[index] < value]]
            assert float((lower - point).norm(dim=-1).min()) < 0.3 * spread
    assert halved > 0
    assert torch.equal(chosen[1:10], apart(cost[1:10], points, 16))


def test_only_numbers_are_starts_where_there_are_enough():
    problem = InverseProblem(lambda x: x.log(), [0.1, 0.2, 0.3])
    batch = solve_batch(problem, LEARNED, n_starts=3, seed=0, max_iterations=1)
    assert np.isfinite(batch.runs.cost).all()


def test_a_seed_gives_the_same_bits_and_other_random_numbers_stay():
    problem = InverseProblem(operators.identity, [0.3, 0.2, 1.0])
    state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = (solve_batch(problem, LEARNED, n_starts=4, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first.runs.points, again.runs.points)
    other = solve_batch(problem, LEARNED, n_starts=4, seed=3)
    assert not np.array_equal(first.runs.points, other.runs.points)
    assert torch.equal(state, torch.get_rng_state())
    assert (numbers == np.random.get_state()[1]).all()  # noqa: NPY002


def test_ways_to_give_the_same_problems():
    y = draw(3, 4)
    starts = SPHERE.sample(3, seed=1)

    def same(x):
        return MATRIX @ x

    lists = solve_batch([InverseProblem(same, v) for v in y], SPHERE, initial_points=starts)
    stacked = solve_batch(
        InverseProblem(same, y[0]), SPHERE, observations=y.numpy(), initial_points=starts.numpy()
    )
    found = SPHERE.find(starts)
    located = solve_batch(
        tuple(InverseProblem(same, v) for v in y),
        SphereCharts(),
        initial_points=Located(found.chart.expand(3, 3), found.coords.expand(3, 3, 2)),
    )
    assert lists.runs.points.shape == (3, 3, 3)
    np.testing.assert_array_equal(lists.runs.points, stacked.runs.points)
    np.testing.assert_allclose(lists.runs.points, located.runs.points, atol=1e-12)
    single = solve_batch(InverseProblem(same, y[1]), SPHERE, initial_points=starts)
    np.testing.assert_allclose(single.runs.points[0], lists.runs.points[1], atol=1e-12)


@EVERY
def test_problems_do_not_see_each_other(optimizer):
    # Not defined below the height -0.5: bad starts there fail, and others must step back from it.
    def depth(x):
        return torch.cat([(x[2:] + 0.5).sqrt(), x[:1]])

    y = torch.cat([draw(12, 1, low=0.2, high=0.6), 0.3 * draw(12, 1, seed=1)], 1)
    starts = SPHERE.sample(200, seed=0)
    good, bad = starts[starts[:, 2] > 0.2][:12, None], starts[starts[:, 2] < -0.6][:3, None]
    problems = [InverseProblem(depth, v) for v in y]
    alone = solve_batch(problems, SPHERE, optimizer, initial_points=good)
    assert alone.converged.all()
    order = torch.randperm(15, generator=torch.Generator().manual_seed(1))
    mixed = [(problems + problems[:3])[i] for i in order]
    batch = solve_batch(mixed, SPHERE, optimizer, initial_points=torch.cat([good, bad])[order])
    place = order.argsort().numpy()
    for name in ("points", "coordinates", "cost", "gradient_norm"):
        found = getattr(batch, name)[place]
        np.testing.assert_allclose(found[:12], getattr(alone, name), atol=1e-9, err_msg=name)
    assert tuple(np.array(batch.status, object)[place[:12]]) == alone.status
    for i in place[12:]:
        assert batch.status[i] is Status.FAILED and batch.iterations[i] == 0
        assert np.isinf(batch.cost[i]) and np.isnan(batch.gradient_norm[i])
        np.testing.assert_allclose(batch.points[i], torch.cat([good, bad])[order[i], 0])


@EVERY
def test_a_singular_jacobian_fails_alone(optimizer):
    cusp = GraphCharts(lambda t: t, dim=1, n_ambient=2)
    cusp.decode = lambda coords, chart=None: torch.cat([coords**3, coords**5], -1)
    problem = InverseProblem(operators.identity, [0.5, 0.4])
    coords = torch.tensor([[0.5], [0.0], [0.9], [0.6]], dtype=torch.float64)
    atlas, chart = Atlas(cusp, tolerance=1.0), torch.zeros(4, dtype=torch.int64)
    batch = solve_batch(problem, atlas, optimizer, initial_points=Located(chart, coords))
    assert batch.runs.status[0, 1] is Status.FAILED
    assert batch.runs.cost[0, 1] == pytest.approx(0.5 * (0.5**2 + 0.4**2))
    kept = torch.tensor([0, 2, 3])
    others = solve_batch(
        problem, atlas, optimizer, initial_points=Located(chart[kept], coords[kept])
    )
    assert others.runs.converged.all()
    np.testing.assert_allclose(batch.runs.points[0, kept], others.runs.points[0], atol=1e-12)
    only = solve_batch(
        problem, atlas, optimizer, initial_points=Located(chart[:1], torch.zeros(1, 1))
    )
    assert only.status == (Status.FAILED,)


@EVERY
def test_minimisers_beyond_the_boundary(optimizer):
    y = torch.tensor([[3.0, 0.2, 0.0], [2.5, -0.4, 0.3], [4.0, 3.0, 0.0]], dtype=torch.float64)
    problem = InverseProblem(operators.identity, y[0])
    batch = solve_batch(problem, BOWL, optimizer, observations=y, n_starts=6, seed=0, n_screen=0)
    assert set(batch.runs.status.ravel()) == {Status.AT_BOUNDARY}
    # Second-order steps go along the face, not across it.
    most = {"levenberg-marquardt": 8, "trust-regions": 20, "steepest-descent": 60}[optimizer]
    assert batch.runs.iterations.max() <= most
    assert not batch.converged.any()
    for i, target in enumerate(y):
        along = minimize_scalar(
            lambda t, y=target: float((angle_at(y, t) - y).square().sum()),
            bounds=(-1, 1),
            method="bounded",
            options={"xatol": 1e-10},
        )
        np.testing.assert_allclose(batch.coordinates[i], [1.0, along.x], atol=1e-5)
    assert (batch.gradient_norm < 1e-5).all()


@EVERY
def test_a_jump_between_charts_does_not_stop_runs(optimizer):
    # The charts disagree by 0.02, which costs more than the whole rest of the way gains.
    problem = InverseProblem(lambda x: torch.stack([x[0], 100 * x[1]]), [2.0, 0.0])
    start = torch.tensor([[-0.7, 0.0], [0.1, 0.0], [1.8, 0.02]], dtype=torch.float64)
    atlas = Atlas(StepLine(0.02), tolerance=0.1)
    batch = solve_batch(problem, atlas, optimizer, initial_points=start)
    assert batch.runs.converged.all() and (batch.runs.chart == 1).all()
    np.testing.assert_allclose(batch.runs.points[0], [[2.0, 0.02]] * 3, atol=1e-5)
    few = solve_batch(problem, atlas, optimizer, initial_points=start[:1], max_iterations=1)
    assert few.status == (Status.MAX_ITERATIONS,)


class Counted(operators.AffineOperator):
    """The identity; counts the rows that it is given."""

    def __init__(self):
        self.evaluated, self.pushed = [], 0

    def batch(self, points):
        self.evaluated.append(len(points))
        return points

    def derivative(self, vectors):
        self.pushed += len(vectors)
        return vectors

    def adjoint(self, covectors, ambient_shape):
        return covectors


def test_finished_problems_leave():
    # All but one start at their solution.
    operator, y = Counted(), unit(draw(50, 3))
    starts = y.clone().unsqueeze(1)
    starts[7] = -y[7] + 0.3 * y[8]
    starts[7] /= starts[7].norm()
    batch = solve_batch(
        [InverseProblem(operator, v) for v in y], SPHERE, "trust-regions", initial_points=starts
    )
    assert batch.converged.all()
    assert (batch.iterations > 0).sum() == 1
    # One call checks the operator, one measures how much the costs vary.
    assert operator.evaluated == [1, 16, 50] + [1] * int(batch.iterations[7])


def test_rejected_steps_keep_their_linearisation():
    operator, y = Counted(), 3 * unit(draw(40, 3))
    batch = solve_batch(
        [InverseProblem(operator, v) for v in y], SPHERE, seed=0, n_screen=0, n_starts=2
    )
    iterates = int((batch.runs.iterations + 1).sum())
    assert operator.pushed == 2 * iterates
    # Gauss and Newton's model knows nothing of the curvature, and overshoots.
    assert sum(operator.evaluated) > iterates + 10


def test_large_batches_run_in_blocks(monkeypatch):
    case = CASES["torus"]
    whole = solve_batch(case.problems, case.atlas, initial_points=case.starts)
    monkeypatch.setattr(engine, "_MEMORY", 5000)
    operator = Counted()
    blocks = solve_batch(
        [InverseProblem(operator, y) for y in case.observations],
        case.atlas,
        initial_points=case.starts,
    )
    # After the points that measure how much the costs vary.
    assert max(operator.evaluated[2:]) < 6
    np.testing.assert_allclose(blocks.points, whole.points, atol=1e-9)


class Once(torch.autograd.Function):
    """x^2 with a derivative in reverse mode only."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, covector):
        (x,) = ctx.saved_tensors
        return 2 * x * covector


class OwnWay(operators.Operator):
    """x^2 whose linearisation is given."""

    def batch(self, points):
        return points.square()

    def linearize(self, point):
        return operators.Linearization(point.square(), lambda v: 2 * point * v, None)


def test_operators_without_forward_mode_and_with_their_own_linearisation():
    y, starts = draw(4, 3, low=0.1, high=0.5), SPHERE.sample(4, seed=1).unsqueeze(1)

    def run(operator):
        return solve_batch([InverseProblem(operator, v) for v in y], SPHERE, initial_points=starts)

    plain = run(lambda x: x.square())
    assert plain.converged.all()
    for operator in (Once.apply, OwnWay()):
        np.testing.assert_allclose(run(operator).points, plain.points, atol=1e-9)


def test_other_statuses():
    problem = InverseProblem(operators.identity, [0.0, 0.0, -2.0])
    start = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]], dtype=torch.float64)
    for optimizer in BATCH_OPTIMIZERS:
        batch = solve_batch(problem, SPHERE, optimizer, initial_points=start, max_iterations=1)
        assert batch.runs.status.tolist() == [[Status.MAX_ITERATIONS, Status.CONVERGED]]
        assert batch.runs.iterations.tolist() == [[1, 0]]
        assert batch.start.tolist() == [1]
        exact = solve_batch(problem, SPHERE, optimizer, initial_points=start, min_gradient_norm=0.0)
        # A gradient of exactly zero has converged; rounding in the cost stops Levenberg-Marquardt.
        assert exact.runs.status[0, 1] is Status.CONVERGED
        if optimizer == "levenberg-marquardt":
            assert exact.runs.status[0, 0] in (Status.CONVERGED, Status.STEP_TOO_SMALL)
            assert exact.runs.iterations.max() < 60
        np.testing.assert_allclose(exact.runs.points[0], [[0.0, 0.0, -1.0]] * 2, atol=1e-6)


def test_constant_costs_are_stationary():
    problem = InverseProblem(lambda x: 1 + 0 * x[:2], [1.0, 2.0])
    for optimizer in BATCH_OPTIMIZERS:
        batch = solve_batch(problem, SPHERE, optimizer, n_starts=3, seed=0)
        assert batch.runs.converged.all() and (batch.runs.iterations == 0).all()


def test_damped_steps_minimise_the_model_in_the_ball():
    values = draw(500, 3).sort(-1).values * draw(500, 1, seed=1).exp()
    gradient, radius = draw(500, 3, seed=2), draw(500, seed=3).exp()
    step = damped_steps(values, gradient, radius)
    length = step.norm(dim=-1)
    assert (length <= 1.001 * radius).all()
    # Moré and Sorensen: (H + mu) s = -g with H + mu positive, and mu = 0 inside the ball.
    damping = (-gradient / step - values).mean(-1)
    residual = (values + damping.unsqueeze(-1)) * step + gradient
    assert (residual.norm(dim=-1) <= 1e-6 * gradient.norm(dim=-1)).all()
    assert (damping >= -values[:, 0] - 1e-9).all()
    inside = length < 0.99 * radius
    assert inside.any() and (damping[inside].abs() < 1e-9 * values[inside].abs().amax(-1)).all()


def test_truncated_conjugate_gradient():
    matrix = draw(300, 4, 4)
    hessian = matrix @ matrix.mT - draw(300, 1, 1, seed=3, low=-1.0, high=2.0) * torch.eye(4)
    gradient, radius = 1e-3 * draw(300, 4, seed=1), 1e-3 * draw(300, seed=2).exp()
    step = truncated_conjugate_gradient(hessian, gradient, radius)
    length = step.norm(dim=-1)
    assert (length <= (1 + 1e-9) * radius).all()

    def model(s):
        product = (hessian @ s.unsqueeze(-1)).squeeze(-1)
        return (s * gradient).sum(-1) + 0.5 * (s * product).sum(-1)

    # At least the decrease of the best step along the gradient.
    shares = torch.linspace(0, 1, 101, dtype=torch.float64).view(-1, 1)
    along = -unit(gradient) * radius.unsqueeze(-1)
    cauchy = torch.stack([model(share * along) for share in shares]).amin(0)
    assert (model(step) <= cauchy + 1e-12 * cauchy.abs()).all()
    inside = length < 0.999 * radius
    newton = -torch.linalg.solve(hessian, gradient)
    indefinite = torch.linalg.eigvalsh(hessian)[:, 0] < 0
    assert indefinite.any() and inside.any()
    # Four steps are enough for four dimensions; they may end before by a factor of 1000.
    assert ((step - newton).norm(dim=-1)[inside] <= 2e-2 * newton.norm(dim=-1)[inside]).all()


def test_secant_equation():
    count, d = 200, 3
    given, rows = draw(count, d, d), draw(count, 5, d, seed=1)
    given, gauss_newton = given + given.mT, rows.mT @ rows
    step = draw(count, d, seed=2)
    change = step + 0.3 * draw(count, d, seed=3)
    updated = secant(given, gauss_newton, step, change)
    assert torch.allclose(updated, updated.mT, atol=1e-12)
    usable = (step * change).sum(-1) > 1e-6
    assert usable.sum() > count // 2 and not usable.all()
    product = ((updated + gauss_newton) @ step.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(product[usable], change[usable], atol=1e-8)


def test_repr_and_plot(tmp_path):
    y = draw(20, 3)
    problem = InverseProblem(operators.identity, y[0])
    batch = solve_batch(problem, PLANE, observations=y, n_starts=2, seed=0)
    text = repr(batch)
    assert text.startswith("BatchSolution(20 problems, 2 starts each, levenberg-marquardt: ")
    for status in set(batch.status):
        assert f"{batch.status.count(status)} {status.name}" in text
    assert repr(batch.runs).startswith("BatchRuns(20 problems, 2 starts each; ")
    batch.plot().savefig(tmp_path / "batch.png")
    assert (tmp_path / "batch.png").stat().st_size > 10_000
    failed = solve_batch(InverseProblem(lambda x: (-2 - x).log(), y[0]), PLANE, seed=0)
    assert failed.status == (Status.FAILED,)
    failed.plot().savefig(tmp_path / "failed.png")


DOWN = InverseProblem(operators.identity, [0.0, 0.0, -2.0])
NOISY = InverseProblem(operators.identity, [0.0, 0.0, -2.0], noise_std=0.1)
COUNTS = InverseProblem(lambda x: x.square(), [1.0, 2.0, 0.0], noise=PoissonNoise(2.0))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"problems": 1}, TypeError, "problems must be an InverseProblem or a sequence of them"),
        ({"problems": []}, ValueError, "problems must hold at least one InverseProblem, got none"),
        ({"problems": [DOWN, 3]}, TypeError, r"problems\[1\] must be an InverseProblem, got int"),
        (
            {"problems": [DOWN, InverseProblem(lambda x: x, [1.0, 2.0, 3.0])]},
            ValueError,
            r"problems must share one operator, got FunctionOperator.* in problems\[1\]",
        ),
        (
            {"problems": [DOWN, DOWN, NOISY]},
            ValueError,
            r"problems must have the same noise, got GaussianNoise\(std=0.1\) in problems\[2\]",
        ),
        (
            {"problems": [DOWN, InverseProblem(operators.identity, [1.0, 0, 0], prior_weight=1.0)]},
            ValueError,
            r"problems must have the same prior_weight, got 1.0 in problems\[1\], 0.0",
        ),
        (
            {"problems": [DOWN, InverseProblem(operators.identity, [1.0, 0.0])]},
            ValueError,
            r"observations of the same shape, got \(2,\) in problems\[1\], \(3,\)",
        ),
        (
            {"problems": [DOWN], "observations": np.zeros((2, 3))},
            ValueError,
            "expected them beside a single InverseProblem, got 1 problems in a sequence",
        ),
        ({"observations": np.zeros((2, 4))}, ValueError, r"observations must have shape \(.*, 3\)"),
        ({"observations": np.zeros((0, 3))}, ValueError, "observations must not be empty"),
        ({"observations": [[0.0, 0.0, np.nan]]}, ValueError, "observations must be finite"),
        (
            {"problems": COUNTS, "observations": [[1.0, -2.0, 3.0]]},
            ValueError,
            "observation must be non-negative under Poisson noise",
        ),
        (
            {"problems": InverseProblem(operators.identity, [1.0, 2.0])},
            ValueError,
            "operator must map a point of shape",
        ),
        ({"source": "sphere"}, TypeError, "source must be an Atlas, Charts or PymanoptManifold"),
        ({"optimizer": "newton"}, ValueError, "optimizer must be one of 'levenberg-marquardt'"),
        ({"optimizer": 1}, TypeError, "optimizer must be one of"),
        ({"n_starts": 0}, ValueError, "n_starts must be an integer of at least 1"),
        ({"n_starts": 1.5}, TypeError, "n_starts must be an integer"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"n_screen": -1}, ValueError, "n_screen must be"),
        (
            {"initial_points": np.zeros((2, 4))},
            ValueError,
            r"initial_points must have shape \(S, 3\).* or \(1, S, 3\), got \(2, 4\)",
        ),
        ({"initial_points": np.zeros((2, 1, 3))}, ValueError, r"or \(1, S, 3\), got \(2, 1, 3\)"),
        ({"initial_points": np.zeros((0, 3))}, ValueError, "initial_points must not be empty"),
        (
            {"initial_points": [[1.0, 0, 0], [2.0, 0, 0]]},
            ValueError,
            "initial_points must be on the manifold: it is 1 away",
        ),
        (
            {"initial_points": Located(torch.zeros(2, dtype=torch.int64), torch.zeros(2, 3))},
            ValueError,
            r"initial_points.coords must have shape \(S, 2\)",
        ),
        (
            {"initial_points": Located(torch.zeros(3, dtype=torch.int64), torch.zeros(2, 2))},
            ValueError,
            "initial_points.chart must have shape",
        ),
        (
            {"initial_points": Located(torch.tensor([0, 2]), torch.zeros(2, 2))},
            ValueError,
            r"initial_points.chart must be in 0..1, got values from 0 to 2",
        ),
        (
            {"initial_points": Located(torch.tensor([0]), torch.full((1, 2), 1.5))},
            ValueError,
            r"initial_points.coords must be in the charts' boxes \[-1, 1\], got values up to 1.5",
        ),
        ({"retraction": "exp"}, ValueError, "retraction must be one of"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be"),
        ({"min_gradient_norm": -1.0}, ValueError, "min_gradient_norm must be"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        solve_batch(**{"problems": DOWN, "source": SPHERE, **options})


def test_an_operator_whose_batches_have_another_shape():
    class Wrong(operators.Operator):
        def batch(self, points):
            return points if len(points) == 1 else points[:, :2]

    with pytest.raises(ValueError, match=r"operator must map points \(64, 3\) to observations"):
        solve_batch(InverseProblem(Wrong(), [0.0, 0.0, -2.0]), SPHERE, seed=0)


def test_equal_noise_models_are_the_same():
    problems = [
        InverseProblem(operators.Identity(), [0.0, 0.0, z], noise=GaussianNoise(0.5))
        for z in (2.0, -2.0)
    ]
    batch = solve_batch(problems, SPHERE, seed=0)
    np.testing.assert_allclose(batch.points, [[0, 0, 1], [0, 0, -1]], atol=1e-6)
