"""Pictures of conductivities: the triangles as the operator sees them, potentials beside them."""

import numpy as np
import pytest
import torch
from printable import assert_printable, no_global_state

from learnedmanifolds.datasets import Balls
from learnedmanifolds.operators.impedance import (
    ElectricalImpedance,
    Electrodes,
    ImpedanceMesh,
)
from learnedmanifolds.plot import plot_conductivity

SIZE = 16
IMAGE = Balls(SIZE).sample(1, seed=0)[0].double()
SQUARE, DISC = ImpedanceMesh.rectangle(6), ImpedanceMesh.disc(2)
OPERATOR = ElectricalImpedance(SQUARE, (1, SIZE, SIZE), scale=1.6, offset=0.2)
ELECTRODES = ElectricalImpedance(
    DISC, (SIZE, SIZE), electrodes=Electrodes([0.6, 0.2, 0.9], [0.1, 0.1, 0.2])
)


def noisy(values, seed=0):
    noise = torch.randn(values.shape, generator=torch.Generator().manual_seed(seed))
    return values + 0.01 * noise


def corners(collection):
    return np.array([path.vertices[:3] for path in collection.get_paths()])


def curves(axis):
    """Of the lines and of the dots, (abscissae, ordinates) each."""
    lines = [line.get_data() for line in axis.lines if line.get_linestyle() != "None"]
    dots = [line.get_data() for line in axis.lines if line.get_marker() == "."]
    return lines, dots


@pytest.mark.parametrize("operator", [OPERATOR, ELECTRODES], ids=["square", "disc"])
def test_triangles_have_the_conductivity_that_the_operator_sees(operator):
    image = IMAGE.reshape(operator.image_shape)
    figure = plot_conductivity(image.numpy(), operator)
    assert_printable(figure)
    (axis,) = figure.axes
    (drawn,) = axis.collections
    mesh = operator.mesh
    np.testing.assert_array_equal(corners(drawn), mesh.nodes[mesh.triangles])
    expected = operator.conductivity(image).numpy()
    np.testing.assert_array_equal(drawn.get_array(), expected)
    assert drawn.get_clim() == (expected.min(), expected.max())
    assert 0 < drawn.get_linewidth()[0] < 0.3
    (bar,) = axis.child_axes
    assert bar.get_xlim() == drawn.get_clim() and bar.get_xlabel() == "conductivity (S/m)"


@pytest.mark.parametrize(
    "mesh",
    [
        SQUARE,
        DISC,
        ImpedanceMesh.rectangle(4, 2, width=2.0),
        ImpedanceMesh.rectangle(2, 4, height=3.0),
    ],
)
def test_without_an_operator_the_image_lies_under_the_mesh(mesh):
    figure = plot_conductivity(IMAGE, mesh, limits=(0.0, 1.0))
    assert_printable(figure)
    (axis,) = figure.axes
    (drawn,) = axis.images
    np.testing.assert_array_equal(drawn.get_array(), IMAGE[0].numpy())
    low, high = mesh.bounds
    assert drawn.get_extent() == [low[0], high[0], low[1], high[1]]
    assert drawn.get_clim() == (0.0, 1.0) and drawn.origin == "upper"
    # The mesh's lines: every edge's ends are vertices, and every vertex is met.
    ends = np.concatenate([np.column_stack(line.get_data()) for line in axis.lines])
    ends = np.unique(ends[np.isfinite(ends).all(1)], axis=0)
    np.testing.assert_allclose(ends, np.unique(mesh.nodes, axis=0))
    beside = plot_conductivity(IMAGE, mesh, data=torch.zeros(2, len(mesh.boundary)))
    assert_printable(beside)


@pytest.mark.parametrize("mesh", [SQUARE, DISC])
def test_the_boundary_is_drawn_with_its_parameter_at_the_quarters(mesh):
    figure = plot_conductivity(IMAGE, mesh)
    (axis,) = figure.axes
    np.testing.assert_array_equal(axis.patches[0].get_xy()[:-1], mesh.nodes[mesh.boundary])
    # Both bodies are as wide as high, and their boundary starts at or towards the lower right.
    reach = 0.5 if mesh is SQUARE else np.sqrt(1 / 8)
    places = {text.get_text(): text.xy for text in axis.texts}
    turns = {"0": (1, -1), "0.25": (1, 1), "0.5": (-1, 1), "0.75": (-1, -1)}
    assert places.keys() == turns.keys()
    for name, turn in turns.items():
        np.testing.assert_allclose(places[name], 0.5 + reach * np.array(turn), atol=1e-12)
    figure.draw_without_rendering()
    for text in axis.texts:
        box = text.get_window_extent()
        middle = axis.transData.inverted().transform(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
        assert (np.abs(middle - 0.5).max() if mesh is SQUARE else np.hypot(*(middle - 0.5))) > 0.5
        outline = axis.patches[0].get_window_extent()
        assert outline.x0 - 1 <= box.x0 and box.x1 <= outline.x1 + 1


@pytest.mark.parametrize(("width", "height"), [(2.0, 1.0), (1.0, 3.0), (1.0, 1.5)])
def test_the_parameter_is_written_outside_of_a_rectangle(width, height):
    figure = plot_conductivity(IMAGE, ImpedanceMesh.rectangle(4, width=width, height=height))
    assert_printable(figure)
    (axis,) = figure.axes
    body = axis.patches[0].get_path().get_extents(axis.patches[0].get_transform())
    for text in axis.texts:
        box = text.get_window_extent()
        across = min(box.x1, body.x1) - max(box.x0, body.x0)
        assert min(across, min(box.y1, body.y1) - max(box.y0, body.y0)) < 0


def test_data_are_dots_and_predictions_lines_over_the_boundary():
    predicted = OPERATOR(IMAGE)
    data = noisy(predicted)
    with no_global_state():
        figure = plot_conductivity(IMAGE, OPERATOR, predicted.numpy(), data, currents=[4, 0])
        assert_printable(figure)
    _, axis = figure.axes
    lines, dots = curves(axis)
    parameter = SQUARE.boundary_parameter
    for shown, values in ((lines, predicted), (dots, data)):
        assert len(shown) == 2
        for (x, y), row in zip(shown, values[[4, 0]], strict=True):
            np.testing.assert_array_equal(x, parameter)
            np.testing.assert_array_equal(y, row.numpy())
    assert len({line.get_color() for line in axis.lines}) == 2
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["current 4", "0", "data", "prediction"]


def test_the_operator_predicts_where_only_data_are_given():
    data = noisy(OPERATOR(IMAGE))
    lines, dots = curves(plot_conductivity(IMAGE, OPERATOR, data=data).axes[1])
    assert len(lines) == len(dots) == 3
    for i, (line, dot) in enumerate(zip(lines, dots, strict=True)):
        np.testing.assert_array_equal(line[1], OPERATOR(IMAGE)[i].numpy())
        np.testing.assert_array_equal(dot[1], data[i].numpy())
    lines, dots = curves(plot_conductivity(IMAGE, SQUARE, data=data[:2]).axes[1])
    assert not lines and len(dots) == 2


def test_electrodes_stand_at_their_middles():
    image = IMAGE[0]
    data = ELECTRODES(image)
    figure = plot_conductivity(image, ELECTRODES, data=data)
    assert_printable(figure)
    lines, dots = curves(figure.axes[1])
    for (x, y), row in zip([*lines, *dots], torch.cat([data, data]), strict=True):
        # The last electrode reaches past the end of the boundary.
        np.testing.assert_allclose(x, [0.0, 0.25, 0.65], atol=1e-12)
        np.testing.assert_array_equal(y, row[[2, 1, 0]].numpy())


DATA = torch.zeros(15, len(SQUARE.boundary))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot_conductivity(IMAGE, None), TypeError, "mesh must be an ImpedanceMesh or Ele"),
        (lambda: plot_conductivity(IMAGE[0], OPERATOR), ValueError, "image must have shape"),
        (
            lambda: plot_conductivity(torch.ones(2, 4, 4), SQUARE),
            ValueError,
            "image must be one image, got 2",
        ),
        (lambda: plot_conductivity(torch.ones(4), SQUARE), ValueError, "must be grey images"),
        (lambda: plot_conductivity(IMAGE / 0, SQUARE), ValueError, "image must be finite"),
        (
            lambda: plot_conductivity(IMAGE, SQUARE, DATA[:, :5]),
            ValueError,
            "potentials must have shape",
        ),
        (
            lambda: plot_conductivity(IMAGE, SQUARE, data=DATA[0]),
            ValueError,
            "data must have shape",
        ),
        (
            lambda: plot_conductivity(IMAGE, SQUARE, DATA, DATA[:3]),
            ValueError,
            "of the same currents, got 15 and 3",
        ),
        (
            lambda: plot_conductivity(IMAGE, SQUARE, DATA, currents=[15]),
            ValueError,
            "currents must be different numbers below 15",
        ),
        (
            lambda: plot_conductivity(IMAGE, SQUARE, DATA, currents=[1, 1]),
            ValueError,
            "different numbers",
        ),
        (lambda: plot_conductivity(IMAGE, SQUARE, DATA, currents=[]), ValueError, "different num"),
        (lambda: plot_conductivity(IMAGE, SQUARE, DATA, currents=3), TypeError, "a sequence of"),
        (lambda: plot_conductivity(IMAGE, SQUARE, DATA, currents=[0.5]), TypeError, "an integer"),
        (lambda: plot_conductivity(IMAGE, SQUARE, limits=(2, 1)), ValueError, "limits must be"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
