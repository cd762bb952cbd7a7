"""Figures show what they are given, print without a display, and refuse what they cannot show."""

import io
import math

import numpy as np
import pytest
import torch
from oracles import random_flow

import learnedmanifolds as lm
from learnedmanifolds import Atlas
from learnedmanifolds.charts import CircleCharts, SphereCharts


def printed(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    return buffer.getvalue()


def test_arcs_are_drawn_on_the_circle_in_their_own_colours():
    x = 1.1 * torch.nn.functional.normalize(torch.randn(30, 2), dim=1)
    ax = lm.plot.charts(Atlas(CircleCharts(2.0, 3)), x)
    lines = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert len(lines) == 3 and len({line.get_color() for line in lines}) == 3
    for line in lines:
        radius = np.hypot(line.get_xdata(), line.get_ydata())
        np.testing.assert_allclose(radius, 2.0)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), x.numpy(), rtol=1e-6)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert set(labels) == {"data", "chart 0", "chart 1", "chart 2"}
    assert printed(ax.figure)[:4] == b"\x89PNG"


def test_sheets_are_drawn_on_the_sphere_and_higher_dimensions_as_points():
    ax = lm.plot.charts(Atlas(SphereCharts(1.5)))
    for line in ax.lines:
        np.testing.assert_allclose(np.linalg.norm(line.get_data_3d(), axis=0), 1.5)
    assert len(ax.get_legend().get_texts()) == 2
    ax = lm.plot.charts(Atlas(random_flow(3, 5)))
    assert len(ax.collections) == 3 and printed(ax.figure)


def test_trajectories_start_and_end_where_the_paths_do():
    paths = [np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0]])]
    ax = lm.plot.trajectories(paths, target=[7.0, 8.0], labels=["a", "b"])
    drawn = [np.column_stack(line.get_data()) for line in ax.lines]
    for point in ([0.0, 0.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]):
        assert any(len(d) == 1 and np.array_equal(d[0], point) for d in drawn)
    assert any(np.array_equal(d, paths[0]) for d in drawn)
    same = lm.plot.trajectories(paths, ax)
    assert same is ax
    space = lm.plot.trajectories([np.zeros((4, 3))])
    assert hasattr(space, "get_zlim")


def test_images_are_reshaped_row_by_row_and_hidden_pixels_are_no_grey():
    values = np.arange(12.0).reshape(2, 6) / 12
    values[0, 0] = math.nan
    figure = lm.plot.images({"truth": values, "again": values}, (2, 3))
    assert len(figure.axes) == 4
    shown = figure.axes[1].images[0].get_array()
    np.testing.assert_allclose(shown, values[1].reshape(2, 3))
    assert bool(np.ma.getmaskarray(figure.axes[0].images[0].get_array())[0, 0])
    assert [ax.get_ylabel() for ax in figure.axes] == ["truth", "", "again", ""]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lm.plot.trajectories([]), "paths must be arrays"),
        (lambda: lm.plot.trajectories([np.zeros((3, 4))]), r"got shapes \[\(3, 4\)\]"),
        (lambda: lm.plot.trajectories([np.zeros(2)]), "paths must be arrays"),
        (lambda: lm.plot.images({"a": np.zeros((2, 5))}, (2, 3)), r"one shape \(N, 6\)"),
        (
            lambda: lm.plot.images({"a": np.zeros((2, 6)), "b": np.zeros((3, 6))}, (2, 3)),
            "one shape",
        ),
        (
            lambda: lm.plot.charts(Atlas(CircleCharts(1.0, 3)), torch.zeros(3, 5)),
            "x must have shape",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
