"""Strips of images show the iterates of a run, their cost and their chart."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from printable import assert_printable, boxes, no_global_state

from learnedmanifolds.datasets import Bars
from learnedmanifolds.inverse import History, Run, Solution, Status
from learnedmanifolds.metrics import psnr
from learnedmanifolds.plot import plot_image_path

SIZE = 12
TRUTH = Bars(SIZE).render([[1.5]])[0]


def turning(length, charts=3, channel=True):
    """A run along which the bar turns at a constant speed past that of the truth."""
    angle = torch.linspace(0, 1.6, length, dtype=torch.float64).unsqueeze(1)
    points = Bars(SIZE).render(angle).numpy()
    count = np.arange(length)
    return History(
        cost=10.0**4 * (1.6 - angle[:, 0].numpy()) ** 2,
        gradient_norm=np.ones(length),
        time=0.1 * count,
        n_cost=count,
        n_gradient=count,
        n_hessian=count,
        chart=count * charts // length,
        coords=angle.numpy(),
        points=points if channel else points[:, 0],
    )


def finished(history):
    last = history.points[-1], int(history.chart[-1]), history.coords[-1], float(history.cost[-1])
    return Run(*last, 1.0, history, Status.CONVERGED, "by hand", 1.0, len(history))


def pictures(figure):
    return [axis for axis in figure.axes if axis.images]


def numbers(axes):
    return [int(axis.get_title().split("\n")[0].removeprefix("iterate ")) for axis in axes]


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [
        (31, 4, [0, 10, 20, 30]),
        (10, 2, [0, 9]),
        (5, 8, [0, 1, 2, 3, 4]),
        (1, 8, [0]),
        (101, 8, [0, 14, 29, 43, 57, 71, 86, 100]),
    ],
)
def test_iterates_are_evenly_spaced_and_hold_both_ends(length, count, expected):
    history = turning(length)
    figure = plot_image_path(history, count)
    assert numbers(pictures(figure)) == expected
    for axis, iterate in zip(pictures(figure), expected, strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), history.points[iterate, 0])
        shown = float(axis.get_xlabel().removeprefix("cost "))
        assert shown == pytest.approx(history.cost[iterate], rel=1e-3)
    assert_printable(figure)


def test_frames_have_the_colour_of_their_chart_and_the_legend_names_it():
    history = turning(8, charts=4)
    figure = plot_image_path(history)
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["chart 0", "chart 1", "chart 2", "chart 3"]
    colours = [to_rgba(line.get_color()) for line in legend.get_lines()]
    assert len(set(colours)) == 4
    for axis, chart in zip(pictures(figure), history.chart, strict=True):
        assert {spine.get_edgecolor() for spine in axis.spines.values()} == {colours[chart]}


def test_many_charts_remain_apart():
    history = turning(18, charts=18)
    with no_global_state():
        figure = plot_image_path(history, 18)
    lines = figure.legends[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 18


@pytest.mark.parametrize("channel", [True, False])
def test_the_truth_stands_at_the_end_and_everything_is_measured_by_it(channel):
    history = turning(9, channel=channel)
    with no_global_state():
        figure = plot_image_path(finished(history), 5, TRUTH.numpy())
        assert_printable(figure)
    *path, last = pictures(figure)
    np.testing.assert_array_equal(last.images[0].get_array(), TRUTH[0].numpy())
    assert last.get_title().startswith("truth") and last.get_xlabel() == ""
    assert {spine.get_edgecolor() for spine in last.spines.values()} == {to_rgba("black")}
    for axis, iterate in zip(path, (0, 2, 4, 6, 8), strict=True):
        ratio = float(psnr(history.points[iterate].reshape(1, SIZE, SIZE), TRUTH))
        assert axis.get_title().endswith(f"\n{ratio:.1f} dB")


def test_images_share_one_grey_scale():
    history = turning(6)
    history.points[:] *= np.linspace(0.5, 1.2, 6).reshape(6, 1, 1, 1)
    figure = plot_image_path(history, 6, TRUTH)
    low = min(history.points.min(), float(TRUTH.min()))
    high = max(history.points.max(), float(TRUTH.max()))
    assert {axis.images[0].get_clim() for axis in pictures(figure)} == {(low, high)}
    assert figure.axes[-1].get_ylim() == (low, high)
    figure = plot_image_path(history, 6, limits=(0, 2))
    assert {axis.images[0].get_clim() for axis in pictures(figure)} == {(0.0, 2.0)}


def test_several_runs_have_a_row_each():
    runs = {"short": turning(3), "long": finished(turning(20))}
    figure = plot_image_path(runs, 5, TRUTH)
    assert_printable(figure)
    rows = np.array(figure.axes[:12]).reshape(2, 6)
    assert [axis.get_ylabel() for axis in rows[:, 0]] == ["short", "long"]
    assert numbers(rows[0, :3]) == [0, 1, 2] and numbers(rows[1, :5]) == [0, 5, 10, 14, 19]
    assert not any(axis.axison for axis in [*rows[0, 3:5], rows[1, 5]])
    assert rows[0, 5].axison and rows[0, 5].get_title().startswith("truth")
    left, bottom, width, height = boxes(rows)
    np.testing.assert_allclose(width, height, rtol=1e-3)
    np.testing.assert_allclose(left[1], left[0], atol=0.5)
    np.testing.assert_allclose(bottom, bottom[:, :1] + 0 * bottom, atol=0.5)


def test_the_best_run_of_a_solution_is_drawn():
    bad, good = finished(turning(4)), finished(turning(7))
    bad.history.points[:] = 0.0
    runs = (Run(**(vars(bad) | {"cost": 5.0})), good)
    figure = plot_image_path(Solution.best_of(runs), 7)
    assert len(pictures(figure)) == 7
    np.testing.assert_array_equal(
        pictures(figure)[3].images[0].get_array(), good.history.points[3, 0]
    )


def vectors():
    history = turning(4)
    return History(**(vars(history) | {"points": history.points.reshape(4, -1)}))


def other_size():
    history = turning(4)
    return History(**(vars(history) | {"points": history.points[..., :6]}))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot_image_path([turning(3)]), TypeError, "run must be a History, Run or Sol"),
        (lambda: plot_image_path({"a": None}), TypeError, "got NoneType"),
        (lambda: plot_image_path({}), ValueError, "at least one"),
        (lambda: plot_image_path(vectors()), ValueError, r"points of shape \(144,\)"),
        (
            lambda: plot_image_path({"a": turning(3), "b": other_size()}),
            ValueError,
            r"one shape, got \(12, 12\), \(12, 6\)",
        ),
        (lambda: plot_image_path(turning(3), 1), ValueError, "n_images must be an integer of at"),
        (lambda: plot_image_path(turning(3), 2.0), TypeError, "n_images must be an integer"),
        (
            lambda: plot_image_path(turning(3), truth=torch.zeros(2, SIZE, SIZE)),
            ValueError,
            r"truth must be 1 image\(s\) of 12 x 12",
        ),
        (lambda: plot_image_path(turning(3), limits=(1, 0)), ValueError, "limits must be"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
