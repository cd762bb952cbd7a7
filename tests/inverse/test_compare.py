"""Comparisons: the same starts, the table, the figure."""

import numpy as np
import pytest
from pymanopt.optimizers import TrustRegions
from rich.console import Console

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import SphereCharts
from learnedmanifolds.inverse import InverseProblem, compare, operators, solve

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
    assert "3 of 3" in text
    comparison.print()
    assert "Steps, seconds and evaluations" in capsys.readouterr().out
    assert "trust-regions: 3 of 3" in repr(comparison)


def test_figure(comparison, tmp_path):
    figure = comparison.plot()
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() > 1]
    assert [line.get_label() for line in thick] == list(comparison.solutions)
    figure.savefig(tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").stat().st_size > 10_000


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
