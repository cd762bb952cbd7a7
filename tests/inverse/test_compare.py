"""Comparisons: the same starts, the table, the figure."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from pymanopt.optimizers import TrustRegions
from rich.console import Console

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import PlaneCharts, SphereCharts
from learnedmanifolds.inverse import (
    OPTIMIZERS,
    FixedStep,
    InverseProblem,
    compare,
    operators,
    solve,
)

SPHERE = Atlas(SphereCharts(), tolerance=1e-6)
DOWN = InverseProblem(operators.identity, [0.0, 0.0, -2.0])


@pytest.fixture(scope="module")
def comparison():
    return compare(DOWN, SPHERE, n_starts=3, seed=2)


def test_starts_are_those_of_solve(comparison):
    alone = solve(DOWN, SPHERE, "trust-regions", n_starts=3, seed=2, n_screen=0)
    for solution in comparison.solutions.values():
        for run, other in zip(solution.runs, alone.runs, strict=True):
            np.testing.assert_array_equal(run.history.points[0], other.history.points[0])
    assert comparison.solutions["trust-regions"].cost == alone.cost


def test_screened_starts_are_those_of_solve():
    names = ["levenberg-marquardt", "lbfgs", "fixed-step"]
    comparison = compare(DOWN, SPHERE, names, 2, 5, n_screen=40)
    alone = solve(DOWN, SPHERE, "trust-regions", 2, 5, n_screen=40)
    for solution in comparison.solutions.values():
        for run, other in zip(solution.runs, alone.runs, strict=True):
            np.testing.assert_array_equal(run.history.points[0], other.history.points[0])
    frame = comparison.to_frame()
    assert list(frame["converged"]) == [2, 2, 2]
    assert frame.loc["levenberg-marquardt", "median_n_hessian"] > 0
    fixed, marquardt = frame.loc["fixed-step"], frame.loc["levenberg-marquardt"]
    assert fixed["median_iterations"] > marquardt["median_iterations"]


def test_frame(comparison):
    frame = comparison.to_frame()
    assert list(frame.index) == ["steepest-descent", "conjugate-gradient", "trust-regions"]
    assert list(frame["converged"]) == [3, 3, 3]
    assert list(frame["starts"]) == [3, 3, 3]
    np.testing.assert_allclose(frame["median_cost"], 0.5, atol=1e-9)
    np.testing.assert_allclose(frame["best_cost"], comparison.best_cost, atol=1e-9)
    runs = comparison.solutions["trust-regions"].runs
    expected = np.median([run.iterations for run in runs])
    assert frame.loc["trust-regions", "median_iterations"] == expected
    assert frame.loc["trust-regions", "median_n_hessian"] > 0
    assert frame.loc["steepest-descent", "median_n_hessian"] == 0
    assert frame.loc["steepest-descent", "statuses"] == "CONVERGED 3"


def test_table(comparison, capsys):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))
    with console.file:
        console.print(comparison)
        text = console.export_text()
    # Nothing is cut in a terminal of the usual width.
    assert "conjugate-gradient" in text and "…" not in text
    assert "3 of 3" in text and "at best" in text and "1e-06 of the decrease" in text
    comparison.print()
    assert "Steps, seconds, evaluations" in capsys.readouterr().out
    assert "trust-regions: 3 of 3" in repr(comparison)


def test_figure(comparison, tmp_path):
    figure = comparison.plot()
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() > 1]
    assert [line.get_label() for line in thick] == list(comparison.solutions)
    figure.savefig(tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").stat().st_size > 10_000


def test_starts_that_reached_the_best_cost():
    # (x^2 - 1)^2 + x + 3, halved, on a line: the lower minimum is near -1, the other one near 1.
    line = Atlas(PlaneCharts(torch.tensor([[1.8]], dtype=torch.float64)), tolerance=1e-6)
    double = InverseProblem(lambda x: torch.cat([x**2 - 1, (x + 3).sqrt()]), [0.0, 0.0])
    starts = np.array([[-1.7], [-0.3], [0.4], [1.5], [1.7]])
    names = ["trust-regions", "levenberg-marquardt", "lbfgs"]
    comparison = compare(double, line, names, initial_points=starts)
    frame = comparison.to_frame()
    assert list(frame["starts"]) == [5, 5, 5]
    # The number of runs that ended left of the hill between the minima.
    for name in names:
        left = sum(run.point[0] < 0 for run in comparison.solutions[name].runs)
        assert 0 < frame.loc[name, "reached_best"] == left < 5
    # No run ends higher than the highest start.
    assert list(comparison.to_frame(tolerance=1.0)["reached_best"]) == [5, 5, 5]
    assert comparison.to_frame(0.0)["reached_best"].max() >= 1
    for bad, error in ((-1e-3, ValueError), ("all", TypeError)):
        with pytest.raises(error, match="tolerance must be a non-negative"):
            comparison.to_frame(bad)


def test_an_unfinished_run_has_not_reached_it():
    short = FixedStep(0.1, max_iterations=3)
    comparison = compare(DOWN, SPHERE, [short, "trust-regions"], n_starts=4, seed=2)
    frame = comparison.to_frame()
    assert list(frame["reached_best"]) == [0, 4]
    gaps = sorted(run.cost - 0.5 for run in comparison.solutions["FixedStep"].runs)
    fall = max(run.history.cost[0] for run in comparison.solutions["FixedStep"].runs) - 0.5
    for count, gap in enumerate(gaps):
        assert comparison.to_frame(0.99 * gap / fall).loc["FixedStep", "reached_best"] == count


def test_failed_runs_have_not_reached_it(tmp_path):
    # Two of three starts are outside the operator's domain, where the cost is infinite.
    def root(x):
        if float(x.detach()[2]) < 0:
            raise operators.OutsideDomainError("below")
        return x[2:].sqrt()

    starts = [[0.6, 0.0, 0.8], [0.6, 0.0, -0.8], [0.0, 0.6, -0.8]]
    problem = InverseProblem(root, [0.5])
    comparison = compare(problem, SPHERE, ["lbfgs", "trust-regions"], initial_points=starts)
    assert list(comparison.to_frame()["reached_best"]) == [1, 1]
    assert comparison.best_cost < 1e-9
    comparison.plot().savefig(tmp_path / "comparison.png")


def test_the_legend_covers_nothing(comparison):
    six = compare(DOWN, SPHERE, OPTIMIZERS[:6], n_starts=2, seed=2, max_iterations=8)
    for one in (comparison, six):
        figure = one.plot()
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        (legend,) = [*figure.legends, *(a.legend_ for a in figure.axes if a.legend_)]
        assert [text.get_text() for text in legend.get_texts()] == list(one.solutions)
        box = legend.get_window_extent(renderer)
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
        for axes in figure.axes:
            assert not box.overlaps(axes.get_tightbbox(renderer))
            # The curves keep the room that they had with few optimizers.
            assert axes.get_window_extent(renderer).height > 2.0 * figure.dpi


@pytest.mark.parametrize(
    ("optimizers", "error", "message"),
    [
        ("trust-regions", TypeError, "optimizers must be a sequence"),
        ([], ValueError, "optimizers must be at least one"),
        (["trust-regions"] * 2, ValueError, "each of its own name"),
        ([TrustRegions(), TrustRegions()], ValueError, "each of its own name"),
        (["newton"], ValueError, "optimizer must be one of"),
    ],
)
def test_bad_optimizers(optimizers, error, message):
    with pytest.raises(error, match=message):
        compare(DOWN, SPHERE, optimizers)
