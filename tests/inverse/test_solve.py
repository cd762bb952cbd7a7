"""Every optimizer on exact manifolds; histories, statuses, seeds and bad input."""

import copy

import numpy as np
import pytest
import torch
from kernel_atlases import kernel_atlas
from oracles import StepLine
from pymanopt.optimizers import NelderMead, ParticleSwarm, SteepestDescent, TrustRegions
from scipy.optimize import minimize_scalar

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import (
    CircleCharts,
    GraphCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)
from learnedmanifolds.inverse import (
    OPTIMIZERS,
    InverseProblem,
    MaxEvaluations,
    Recorder,
    Status,
    operators,
    solve,
)
from learnedmanifolds.inverse.optimizers import make_optimizer
from learnedmanifolds.inverse.run import run
from learnedmanifolds.manifolds import PymanoptManifold

FIRST_AND_SECOND_ORDER = (
    "steepest-descent",
    "conjugate-gradient",
    "trust-regions",
    "levenberg-marquardt",
    "lbfgs",
)
SPHERE = Atlas(SphereCharts(), tolerance=1e-6)
DOWN = InverseProblem(operators.identity, [0.0, 0.0, -2.0])
SCALES = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]])

# name: problem, atlas, exact minimiser
PROBLEMS = {
    "sphere": (DOWN, SPHERE, [0.0, 0.0, -1.0]),
    "torus": (
        InverseProblem(operators.identity, [0.0, 5.0, 0.0]),
        Atlas(TorusCharts(), tolerance=1e-6),
        [0.0, 4.0, 0.0],
    ),
    "circle": (
        InverseProblem(operators.identity, [3.0, 3.0], noise_std=0.5),
        Atlas(CircleCharts(), tolerance=1e-6),
        [0.5**0.5, 0.5**0.5],
    ),
    "plane": (
        InverseProblem(operators.linear([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]]), [0.4, 0.1]),
        Atlas(PlaneCharts(torch.eye(3, dtype=torch.float64)[:, :2]), tolerance=1e-6),
        [0.2, 0.1, 0.0],
    ),
    "linear on the sphere": (
        InverseProblem(operators.linear(SCALES), [0.0, 0.0, -3.0]),
        SPHERE,
        [0.0, 0.0, -1.0],
    ),
}


@pytest.mark.parametrize("optimizer", FIRST_AND_SECOND_ORDER)
@pytest.mark.parametrize("name", PROBLEMS)
def test_exact_minimiser_is_reached(name, optimizer):
    problem, atlas, expected = PROBLEMS[name]
    solution = solve(problem, atlas, optimizer, n_starts=2, seed=1)
    assert solution.converged
    np.testing.assert_allclose(solution.point, expected, atol=1e-5)
    assert solution.cost == min(run.cost for run in solution.runs)
    assert solution.cost == pytest.approx(float(problem.cost(expected)), abs=1e-9)
    place = atlas.decode(solution.coordinates[None], solution.chart)[0].numpy()
    np.testing.assert_allclose(place, solution.point, atol=1e-12)


@pytest.mark.parametrize(
    "optimizer",
    [ParticleSwarm(population_size=6, max_iterations=15), NelderMead(max_iterations=15)],
)
def test_derivative_free_optimizers_come_close(optimizer):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    solution = solve(DOWN, SPHERE, optimizer, seed=3)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    np.testing.assert_allclose(solution.point, [0.0, 0.0, -1.0], atol=0.2)
    history = solution.history
    assert np.isnan(history.gradient_norm[:-1]).all()
    assert history.gradient_norm[-1] == solution.gradient_norm
    assert (np.diff(history.cost[:-1]) < 0).all()
    assert history.cost[-1] == history.cost.min()


@pytest.mark.parametrize("optimizer", [ParticleSwarm(), NelderMead()])
def test_ready_optimizers_without_limits_of_their_own(optimizer):
    solution = solve(DOWN, SPHERE, optimizer, seed=3, stopping=MaxEvaluations(100))
    assert solution.status is Status.MAX_EVALUATIONS
    assert solution.history.n_cost[-1] == 100


def test_a_fixed_step_is_slow_and_sure():
    slow = solve(DOWN, SPHERE, "fixed-step", seed=1, n_screen=0, max_iterations=2000)
    fast = solve(DOWN, SPHERE, "levenberg-marquardt", seed=1, n_screen=0)
    np.testing.assert_allclose(slow.point, fast.point, atol=1e-5)
    assert slow.converged
    assert slow.runs[0].iterations > 3 * fast.runs[0].iterations


@pytest.mark.parametrize("name", ["particle-swarm", "nelder-mead"])
def test_derivative_free_optimizers_by_name_repeat_with_a_seed(name):
    first, second = (solve(DOWN, SPHERE, name, seed=5, max_iterations=2) for _ in range(2))
    np.testing.assert_array_equal(first.history.points, second.history.points)
    assert first.status is Status.MAX_ITERATIONS


@pytest.mark.parametrize("optimizer", FIRST_AND_SECOND_ORDER)
def test_history_is_consistent(optimizer):
    problem, atlas, _ = PROBLEMS["torus"]
    solution = solve(problem, atlas, optimizer, seed=4)
    history, best = solution.history, solution.runs[0]
    assert (np.diff(history.cost) <= 0).all()
    costs = [float(problem.cost(point)) for point in history.points]
    np.testing.assert_allclose(history.cost, costs, rtol=1e-12)
    hosted = PymanoptManifold(atlas)
    for i in range(len(history)):
        point = hosted.point(history.coords[i], int(history.chart[i]))
        np.testing.assert_allclose(point, history.points[i], atol=1e-12)
        gradient = hosted.projection(point, problem.gradient(history.points[i]).numpy())
        assert np.linalg.norm(gradient) == pytest.approx(history.gradient_norm[i], abs=1e-9)
    for name in ("time", "n_cost", "n_gradient", "n_hessian"):
        assert (np.diff(getattr(history, name)) >= 0).all()
    np.testing.assert_array_equal(history.points[-1], solution.point)
    assert history.cost[-1] == solution.cost
    second_order = ("trust-regions", "levenberg-marquardt")
    assert (history.n_hessian[-1] > 0) == (optimizer in second_order)
    # Steepest descent counts the iteration whose step it never looks at; trust regions and
    # conjugate gradient count from the first iterate.
    if optimizer in ("levenberg-marquardt", "lbfgs"):
        assert len(history) == best.iterations + 1
        assert history.n_cost[-1] >= len(history) <= history.n_gradient[-1]
    elif optimizer == "trust-regions":
        assert len(history) <= best.iterations + 1
    elif optimizer == "conjugate-gradient":
        assert len(history) == best.iterations
    else:
        assert len(history) in (best.iterations, best.iterations + 1)
    frame = history.to_frame()
    assert list(frame["cost"]) == list(history.cost)
    assert "coords_1" in frame


def test_recorder_computes_a_point_once_and_leaves_the_problem_alone():
    manifold = PymanoptManifold(SPHERE, seed=0)
    problem = DOWN.to_pymanopt(manifold)
    before = copy.copy(vars(problem))
    recorder = Recorder(problem)
    point = manifold.random_point()
    for _ in range(3):
        assert recorder.problem.cost(point) == problem.cost(point)
        gradient = recorder.problem.riemannian_gradient(point)
        hessian = recorder.problem.riemannian_hessian(point, gradient)
    np.testing.assert_array_equal(hessian, problem.riemannian_hessian(point, gradient))
    assert (recorder.n_cost, recorder.n_gradient, recorder.n_hessian) == (1, 1, 3)
    assert len(recorder.finish(point)) == 1
    assert before["_cost"] is problem._cost
    assert before["manifold"] is problem.manifold


def test_recorder_sees_a_point_whose_entries_changed_and_copies_of_one_as_the_same():
    manifold = PymanoptManifold(SPHERE, seed=0)
    problem = DOWN.to_pymanopt(manifold)
    recorder = Recorder(problem)
    point, other = manifold.random_point(), manifold.random_point()
    recorder.problem.riemannian_gradient(point)
    kept = np.array(point)
    recorder.problem.riemannian_gradient(point.copy_with_place())
    assert (recorder.n_cost, recorder.n_gradient) == (1, 1)
    point[:] = other
    assert recorder.problem.cost(point) == pytest.approx(problem.cost(other), rel=1e-12)
    np.testing.assert_allclose(
        recorder.problem.riemannian_gradient(point), problem.riemannian_gradient(other), atol=1e-12
    )
    np.testing.assert_allclose(
        recorder.problem.riemannian_hessian(point, np.ones(3)),
        problem.riemannian_hessian(other, np.ones(3)),
        atol=1e-12,
    )
    np.testing.assert_array_equal(recorder.finish(point).points[0], kept)


def test_seed_fixes_starts_and_results():
    first = solve(DOWN, SPHERE, "conjugate-gradient", n_starts=2, seed=7)
    again = solve(DOWN, PymanoptManifold(SPHERE, seed=99), "conjugate-gradient", 2, 7)
    other = solve(DOWN, SPHERE, "trust-regions", n_starts=2, seed=7)
    different = solve(DOWN, SPHERE, "trust-regions", n_starts=2, seed=8)
    for a, b, c, d in zip(first.runs, again.runs, other.runs, different.runs, strict=True):
        np.testing.assert_array_equal(a.history.points, b.history.points)
        np.testing.assert_array_equal(a.history.points[0], c.history.points[0])
        assert not np.array_equal(a.history.points[0], d.history.points[0])


def test_initial_points_are_the_starts():
    starts = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])
    solution = solve(DOWN, SphereCharts(), initial_points=starts)
    for one, start in zip(solution.runs, starts, strict=True):
        np.testing.assert_allclose(one.history.points[0], start, atol=1e-9)


def test_conjugate_gradients_slide_round_a_hole_without_creeping():
    # Straight ways from here to the target lead through the hole of the ring, at most 0.5 wide.
    turn = torch.linspace(0.25, 0.5, 5, dtype=torch.float64)
    radius = torch.tensor([0.6, 1.1, 0.7, 1.3, 0.9], dtype=torch.float64)
    starts = (radius * torch.stack([turn.cos(), turn.sin()])).mT
    problem = InverseProblem(operators.identity, [-1.0, 0.0])
    solution = solve(
        problem,
        kernel_atlas("ring"),
        "conjugate-gradient",
        initial_points=starts,
        seed=0,
        max_iterations=30,
    )
    for one in solution.runs:
        assert one.status is Status.CONVERGED
        np.testing.assert_allclose(one.point, [-1.0, 0.0], atol=1e-3)


@pytest.mark.parametrize("optimizer", FIRST_AND_SECOND_ORDER)
@pytest.mark.parametrize("curved", [False, True])
def test_minimiser_beyond_the_boundary(optimizer, curved):
    plane = PlaneCharts(torch.eye(3, dtype=torch.float64)[:, :2])
    graph = GraphCharts(lambda t: 0.3 * t.square().sum(-1, keepdim=True))
    problem = InverseProblem(operators.identity, [3.0, 0.2, 0.0])
    atlas = Atlas(graph if curved else plane, tolerance=1e-6)
    solution = solve(problem, atlas, optimizer, seed=0, max_iterations=60)
    assert solution.status is Status.AT_BOUNDARY
    assert not solution.converged
    assert solution.coordinates[0] == pytest.approx(1, abs=1e-6)
    # The minimiser along the face, by a search in one dimension.
    along = minimize_scalar(
        lambda b: float(problem.cost(atlas.decode(torch.tensor([[1.0, b]]), 0)[0])),
        bounds=(-1, 1),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert solution.coordinates[1] == pytest.approx(along.x, abs=1e-5)
    assert solution.gradient_norm < 1e-5


@pytest.mark.parametrize("optimizer", FIRST_AND_SECOND_ORDER)
def test_a_border_behind_which_a_chart_follows_is_no_boundary(optimizer):
    # Start at the end of the first chart; the minimiser is just behind it, in the second one.
    problem = InverseProblem(operators.identity, [1.0 + 5e-8, 0.0])
    manifold = PymanoptManifold(Atlas(StepLine(0.0), tolerance=0.1))
    hosted = problem.to_pymanopt(manifold)
    one = run(
        hosted,
        manifold,
        make_optimizer(optimizer),
        manifold.point(np.array([1.0]), 0),
        np.random.SeedSequence(0),
    )
    assert one.status is Status.CONVERGED


@pytest.mark.parametrize("optimizer", ["steepest-descent", "conjugate-gradient"])
def test_a_small_gradient_at_the_start_does_not_stop_the_line_search(optimizer):
    # The first step has length 1, most of the way; the next one is tried as much longer as the
    # gradient has grown, and ends anywhere on the circle.
    angle = np.geomspace(1e-4, 1e-2, 5)
    starts = 0.4 * np.column_stack([np.cos(angle), np.sin(angle)])
    problem = InverseProblem(operators.identity, [-6.0, 0.0])
    atlas = Atlas(CircleCharts(0.4, 3), tolerance=1e-6)
    solution = solve(problem, atlas, optimizer, initial_points=starts)
    for one in solution.runs:
        np.testing.assert_allclose(one.point, [-0.4, 0.0], atol=1e-4)


@pytest.mark.parametrize("optimizer", FIRST_AND_SECOND_ORDER)
def test_a_jump_between_charts_does_not_stop_a_run(optimizer):
    # The charts disagree by 0.02, which costs more than the whole rest of the way gains.
    problem = InverseProblem(lambda x: torch.stack([x[0], 100 * x[1]]), [2.0, 0.0])
    start = np.array([[-0.7, 0.0]])
    solution = solve(problem, Atlas(StepLine(0.02), tolerance=0.1), optimizer, initial_points=start)
    assert solution.status is Status.CONVERGED
    assert solution.chart == 1
    np.testing.assert_allclose(solution.point, [2.0, 0.02], atol=1e-5)
    history = solution.history
    assert set(history.chart.tolist()) == {0, 1}
    assert (np.diff(history.time) >= 0).all() and (np.diff(history.n_cost) >= 0).all()
    few = solve(
        problem,
        Atlas(StepLine(0.02), tolerance=0.1),
        optimizer,
        initial_points=start,
        max_iterations=1,
    )
    assert few.status is Status.MAX_ITERATIONS


@pytest.mark.parametrize("optimizer", FIRST_AND_SECOND_ORDER)
def test_start_at_the_minimiser(optimizer):
    plane = Atlas(PlaneCharts(torch.eye(3, dtype=torch.float64)[:, :2]), tolerance=1e-6)
    problem = InverseProblem(operators.identity, [0.0, 0.0, 1.0])
    solution = solve(problem, plane, optimizer, initial_points=np.zeros((1, 3)))
    assert solution.status is Status.CONVERGED
    assert solution.gradient_norm == 0
    assert len(solution.history) == 1


def test_other_statuses():
    start = np.array([[1.0, 0.0, 0.0]])

    def status(optimizer, problem=DOWN, **options):
        return solve(problem, SPHERE, optimizer, initial_points=start, **options).status

    assert status("steepest-descent", max_iterations=1) is Status.MAX_ITERATIONS
    assert status("trust-regions", max_iterations=1) is Status.MAX_ITERATIONS
    assert status("steepest-descent", max_time=1e-9) is Status.MAX_TIME
    coarse = SteepestDescent(min_step_size=0.5)
    assert status(coarse) is Status.STEP_TOO_SMALL
    swarm = ParticleSwarm(population_size=3, max_cost_evaluations=6, max_iterations=50)
    assert status(swarm) is Status.MAX_EVALUATIONS
    nan = InverseProblem(lambda x: x.log(), [0.0, 0.0, -2.0])
    assert status("trust-regions", nan) is Status.FAILED
    assert status(swarm, InverseProblem(lambda x: (-2 - x).log(), [0.0] * 3)) is Status.FAILED


def test_nan_in_a_trial_step_is_stepped_back_from():
    # The cost is not defined below the height -0.5, and falls towards it.
    problem = InverseProblem(lambda x: (x[2:] + 0.5).sqrt(), [0.3])
    start = np.array([[0.8, 0.0, 0.6]])
    for optimizer in FIRST_AND_SECOND_ORDER:
        solution = solve(problem, SPHERE, optimizer, initial_points=start)
        assert solution.converged
        assert solution.point[2] == pytest.approx(0.09 - 0.5, abs=1e-5)


def half_defined(x):
    """The height, and NaN in one half of space."""
    return torch.where(x[:1] < 0.2, torch.nan, x[2:] + 0.3 * x[1:2])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nan_on_a_part_of_the_manifold(optimizer):
    # The cost falls towards the undefined half from the first start, beside it from the second.
    problem = InverseProblem(half_defined, [-2.0])
    starts = [[0.8, 0.0, 0.6], [0.6, 0.64, 0.48], [-0.6, 0.0, 0.8]]
    solution = solve(problem, SPHERE, optimizer, seed=2, initial_points=starts, max_iterations=15)
    *defined, undefined = solution.runs
    for one in defined:
        assert np.isfinite(one.cost) and one.point[0] >= 0.2
        assert one.cost == pytest.approx(float(problem.cost(one.point)))
        assert one.cost <= one.history.cost[0]
        assert np.isfinite(one.history.cost).all()
    if optimizer not in ("particle-swarm", "nelder-mead"):
        assert undefined.status is Status.FAILED
    assert np.isfinite(solution.cost)


@pytest.mark.parametrize("optimizer", FIRST_AND_SECOND_ORDER)
def test_nan_in_a_derivative_gives_the_last_good_iterate(optimizer):
    # The cost is finite everywhere; below the height 0.1 its derivatives are not.
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient + (torch.nan if float(x[..., 2].detach()) < 0.1 else 0.0)

        @staticmethod
        def jvp(ctx, tangent):
            return tangent

    problem = InverseProblem(lambda x: Broken.apply(x)[2:], [-2.0])
    manifold = PymanoptManifold(SPHERE)
    hosted = problem.to_pymanopt(manifold)
    hosted.linearize = lambda x: lambda v: np.array([vector[2:] for vector in v])
    start = manifold.locate(np.array([0.6, 0.0, 0.8]))
    for limit in (1, 2, 3, 100):
        ready = make_optimizer(optimizer, max_iterations=limit)
        one = run(hosted, manifold, ready, start, np.random.SeedSequence(0))
        assert one.status is not Status.CONVERGED
        # Its first step, of length 1, ends where the gradient is not finite.
        assert one.status is Status.FAILED or optimizer != "steepest-descent"
        assert one.point[2] >= 0.1
        assert np.isfinite(one.cost) and np.isfinite(one.gradient_norm)
        assert one.cost <= one.history.cost[0]
        assert one.cost == pytest.approx(0.5 * (one.point[2] + 2) ** 2)


def test_singular_jacobian_is_a_failed_run():
    cusp = GraphCharts(lambda t: t, dim=1, n_ambient=2)
    cusp.decode = lambda coords, chart: torch.cat([coords**3, coords**5], -1)
    problem = InverseProblem(operators.identity, [1.0, 1.0])
    manifold = PymanoptManifold(Atlas(cusp, tolerance=1.0))
    cusp_point, seed = manifold.point(np.zeros(1), 0), np.random.SeedSequence(0)
    hosted = problem.to_pymanopt(manifold)
    solution = run(hosted, manifold, TrustRegions(verbosity=0), cusp_point, seed)
    assert solution.status is Status.FAILED
    assert np.isnan(solution.gradient_norm)


def test_repr_and_plot(tmp_path):
    solution = solve(DOWN, SPHERE, n_starts=2, seed=0)
    assert repr(solution).startswith("Solution(CONVERGED, cost=0.5")
    assert "2 of 2 starts converged" in repr(solution)
    solution.plot().savefig(tmp_path / "solution.png")
    assert (tmp_path / "solution.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"problem": 1}, TypeError, "problem must be an InverseProblem, got int"),
        ({"source": "sphere"}, TypeError, "source must be an Atlas, Charts or PymanoptManifold"),
        ({"optimizer": "newton"}, ValueError, "optimizer must be one of 'steepest-descent'"),
        ({"optimizer": SteepestDescent}, TypeError, "or a pymanopt Optimizer"),
        ({"n_starts": 0}, ValueError, "n_starts must be an integer of at least 1"),
        ({"n_starts": 1.5}, TypeError, "n_starts must be an integer"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"initial_points": np.zeros((2, 4))}, ValueError, "initial_points must have shape"),
        ({"initial_points": np.zeros((0, 3))}, ValueError, "initial_points must not be empty"),
        (
            {"initial_points": [[1.0, 0, 0], [2.0, 0, 0]]},
            ValueError,
            r"initial_points\[1\]: point must be on the manifold",
        ),
        ({"n_screen": -1}, ValueError, "n_screen must be an integer of at least 0"),
        ({"n_screen": 1.5}, TypeError, "n_screen must be an integer"),
        ({"stopping": 3}, TypeError, "stopping must be a Criterion, got int"),
        ({"retraction": "exp"}, ValueError, "retraction must be one of"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be"),
        ({"min_gradient_norm": -1.0}, ValueError, "min_gradient_norm must be"),
        ({"max_time": 0.0}, ValueError, "max_time must be"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        solve(**{"problem": DOWN, "source": SPHERE, **options})
