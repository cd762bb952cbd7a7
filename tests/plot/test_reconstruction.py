"""Pictures of reconstructions show what they are given, on scales that can be compared."""

import math

import numpy as np
import pytest
import torch
from printable import assert_printable, boxes, no_global_state

from learnedmanifolds.datasets import Bars
from learnedmanifolds.metrics import psnr
from learnedmanifolds.plot import plot_reconstruction

SIZE = 16
TRUTH = Bars(SIZE).sample(3, seed=0)
START = Bars(SIZE).sample(3, seed=1)
NOISE = torch.randn(TRUTH.shape, generator=torch.Generator().manual_seed(2))
FOUND = TRUTH + 0.01 * NOISE
SEEN = TRUTH + 0.2 * NOISE
NAMES = ("ground truth", "observation", "start", "reconstruction", "error")


def shown(axis):
    (image,) = axis.images
    return np.ma.filled(image.get_array(), np.nan)


def grid(figure, rows, columns):
    """The pictures by row, and the colour bars."""
    return np.array(figure.axes[: rows * columns]).reshape(rows, columns), figure.axes[
        rows * columns :
    ]


def test_every_picture_is_what_was_given_and_its_title_tells_how_good():
    with no_global_state():
        figure = plot_reconstruction(TRUTH, SEEN, START, FOUND)
        assert_printable(figure)
    axes, bars = grid(figure, 3, 5)
    assert len(bars) == 2
    columns = (TRUTH, SEEN, START, FOUND, FOUND.double() - TRUTH.double())
    for i in range(3):
        for j, values in enumerate(columns):
            np.testing.assert_array_equal(shown(axes[i, j]), values[i, 0].numpy())
            lines = axes[i, j].get_title().split("\n")
            assert (lines[0] == NAMES[j]) == (i == 0)
            if j in (1, 2, 3):
                assert lines[-1] == f"{float(psnr(values[i], TRUTH[i])):.1f} dB"
            else:
                assert "dB" not in lines[-1]


def test_images_share_a_grey_scale_and_errors_one_centred_at_zero():
    axes, bars = grid(plot_reconstruction(TRUTH, SEEN, START, FOUND), 3, 5)
    everything = torch.stack([TRUTH, START, FOUND])
    for axis in axes[:, :4].flat:
        assert axis.images[0].get_clim() == (float(everything.min()), float(everything.max()))
        assert axis.images[0].get_cmap().name == axes[0, 0].images[0].get_cmap().name
    largest = float((FOUND.double() - TRUTH.double()).abs().max())
    for axis in axes[:, 4]:
        assert axis.images[0].get_clim() == (-largest, largest)
        middle = axis.images[0].to_rgba(np.zeros((1, 1)))[0, 0, :3]
        assert np.ptp(middle) < 0.02 and middle.min() > 0.9
    assert bars[0].get_xlim() == axes[0, 0].images[0].get_clim()
    assert bars[1].get_xlim() == (-largest, largest)


def test_the_grey_scale_holds_the_truth_the_start_and_the_result():
    found = torch.full_like(TRUTH, 0.6)
    axes, _ = grid(plot_reconstruction(TRUTH - 1, None, START + 1, found), 3, 4)
    assert axes[0, 2].images[0].get_clim() == (float(TRUTH.min() - 1), float(START.max() + 1))


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [(0.0, 0.0, "neither"), (-1.0, 0.0, "min"), (0.0, 1.0, "max"), (-1.0, 1.0, "both")],
)
def test_a_colour_bar_says_at_which_end_values_leave_it(low, high, ends):
    seen = TRUTH.clone()
    seen[:, :, 0, 0] += low
    seen[:, :, 1, 1] += high
    axes, _ = grid(plot_reconstruction(TRUTH, seen, None, TRUTH), 3, 4)
    assert axes[0, 0].images[0].colorbar.extend == ends


def test_pictures_are_squares_in_rows_and_columns():
    for given in ((SEEN, START), (None, START), (SEEN[:, :, ::2, ::2], None)):
        figure = plot_reconstruction(TRUTH, *given, FOUND)
        assert_printable(figure)
        columns = 3 + sum(one is not None for one in given)
        axes, _ = grid(figure, 3, columns)
        left, bottom, width, height = boxes(axes)
        np.testing.assert_allclose(width, height, rtol=1e-3)
        np.testing.assert_allclose(width, width[0, 0], rtol=1e-3)
        np.testing.assert_allclose(left, left[:1] + 0 * left, atol=0.5)
        np.testing.assert_allclose(bottom, bottom[:, :1] + 0 * bottom, atol=0.5)


@pytest.mark.parametrize(
    ("shape", "row"), [((SIZE, SIZE), 1), ((1, SIZE, SIZE), 1), ((1, 1, SIZE, SIZE), 1)]
)
def test_one_image_of_any_shape(shape, row):
    one = TRUTH[0].reshape(shape)
    figure = plot_reconstruction(one.numpy(), None, None, one)
    axes, bars = grid(figure, row, 3)
    assert len(bars) == 2
    assert axes[0, 1].get_title() == "reconstruction\n\N{INFINITY} dB"
    np.testing.assert_array_equal(shown(axes[0, 0]), TRUTH[0, 0].numpy())
    np.testing.assert_array_equal(shown(axes[0, 2]), 0.0)
    assert_printable(figure)


def test_columns_are_left_out_and_without_the_truth_nothing_is_measured():
    figure = plot_reconstruction(None, None, START, FOUND)
    axes, bars = grid(figure, 3, 2)
    assert [axis.get_title() for axis in axes[0]] == ["start", "reconstruction"]
    assert [axis.get_title() for axis in axes[1]] == ["", ""]
    assert len(bars) == 1
    figure = plot_reconstruction(TRUTH, reconstruction=FOUND, limits=(0.0, 2.0), peak=2.0)
    axes, bars = grid(figure, 3, 3)
    assert axes[0, 0].images[0].get_clim() == bars[0].get_xlim() == (0.0, 2.0)
    expected = 20 * math.log10(2) + float(psnr(FOUND[0], TRUTH[0]))
    assert axes[0, 1].get_title() == f"reconstruction\n{expected:.1f} dB"


def test_an_observation_of_another_shape_has_a_scale_of_its_own():
    coarse = 100 * torch.nn.functional.avg_pool2d(TRUTH, 4)
    figure = plot_reconstruction(TRUTH, coarse, START, FOUND)
    axes, bars = grid(figure, 3, 5)
    for axis, values in zip(axes[:, 1], coarse, strict=True):
        np.testing.assert_array_equal(shown(axis), values[0].numpy())
        assert axis.images[0].get_clim() == (float(coarse.min()), float(coarse.max()))
    assert axes[0, 0].images[0].get_clim()[1] < 2
    assert len(bars) == 3 and bars[0].get_xlabel() == "observation"
    assert "dB" not in axes[0, 1].get_title()
    # As wide as the picture above it.
    np.testing.assert_allclose(boxes(bars[::2])[::2], boxes(axes[-1, [1, 4]])[::2], rtol=1e-3)


def test_hidden_pixels_are_no_grey():
    hidden = TRUTH.clone()
    hidden[:, :, 4:8, 2:9] = math.nan
    axes, _ = grid(plot_reconstruction(TRUTH, hidden, None, FOUND), 3, 4)
    picture = axes[0, 1].images[0]
    np.testing.assert_array_equal(shown(axes[0, 1]), hidden[0, 0].numpy())
    colour = picture.to_rgba(picture.get_array())
    assert np.ptp(colour[5, 5, :3]) > 0.3 and np.ptp(colour[0, 0, :3]) == 0
    assert "dB" not in axes[0, 1].get_title()


def test_potentials_are_curves_over_the_boundary():
    parameter = np.linspace(0, 1, SIZE, endpoint=False)
    # Of the very shape of the images: it is the boundary that makes them curves.
    data = torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    figure = plot_reconstruction(TRUTH, data, START, FOUND, boundary_parameter=parameter)
    assert_printable(figure)
    axes, bars = grid(figure, 3, 5)
    assert len(bars) == 2
    for axis, curves in zip(axes[:, 1], data.double().numpy(), strict=True):
        assert not axis.images and len(axis.lines) == SIZE
        for line, curve in zip(axis.lines, curves, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), parameter)
            np.testing.assert_array_equal(line.get_ydata(), curve)
        assert axis.get_ylim() == axes[0, 1].get_ylim()
        assert axis.get_ylim()[0] < float(data.min()) and axis.get_ylim()[1] > float(data.max())
    one = plot_reconstruction(TRUTH[0], data[0, :2], None, FOUND[0], boundary_parameter=parameter)
    assert len(one.axes[1].lines) == 2
    vector = plot_reconstruction(TRUTH[0], data[0, 0], None, FOUND[0]).axes[1]
    np.testing.assert_array_equal(vector.lines[0].get_ydata(), data[0, 0].numpy())
    assert vector.get_xlabel() == "entry"


def test_images_that_are_not_square():
    tall = torch.rand(2, 12, 7, generator=torch.Generator().manual_seed(0))
    figure = plot_reconstruction(tall, None, None, tall + 0.1)
    assert_printable(figure)
    _, _, width, height = boxes(grid(figure, 2, 3)[0])
    np.testing.assert_allclose(height / width, 12 / 7, rtol=1e-2)
    for axis, error in zip(grid(figure, 2, 3)[0][:, 2], tall, strict=True):
        np.testing.assert_allclose(shown(axis), 0.1 + 0 * error, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"truth": TRUTH}, TypeError, "reconstruction must be an array, got None"),
        (
            {"truth": TRUTH[:2], "reconstruction": FOUND},
            ValueError,
            r"truth must be 3 image\(s\) of 16 x 16 pixels, got shape \(2, 1, 16, 16\)",
        ),
        ({"truth": TRUTH, "start": START[0], "reconstruction": FOUND}, ValueError, "start must be"),
        (
            {"truth": None, "reconstruction": torch.zeros(2, 3, 4, 4)},
            ValueError,
            r"reconstruction must be grey images .* got \(2, 3, 4, 4\)",
        ),
        ({"truth": None, "reconstruction": torch.zeros(4)}, ValueError, "must be grey images"),
        ({"truth": None, "reconstruction": FOUND * math.nan}, ValueError, "must be finite"),
        (
            {"truth": None, "observation": SEEN[:2], "reconstruction": FOUND},
            ValueError,
            "observation must be one for each of the 3 images",
        ),
        (
            {"truth": None, "observation": 1.0, "reconstruction": FOUND},
            ValueError,
            "observation must be one for each",
        ),
        (
            {"truth": None, "observation": torch.zeros(3, 2, 4, 4), "reconstruction": FOUND},
            ValueError,
            "observation must be an image or a vector",
        ),
        (
            {"truth": None, "observation": SEEN * math.inf, "reconstruction": FOUND},
            ValueError,
            "observation must be finite",
        ),
        (
            {"truth": None, "observation": SEEN * math.nan, "reconstruction": FOUND},
            ValueError,
            "observation must have a value",
        ),
        (
            {
                "truth": None,
                "observation": torch.zeros(3, 5, 8),
                "reconstruction": FOUND,
                "boundary_parameter": np.zeros(9),
            },
            ValueError,
            r"observation must be \(currents, 9\)",
        ),
        (
            {"truth": None, "reconstruction": FOUND, "limits": (1.0, 1.0)},
            ValueError,
            "limits must be a lower and a higher value",
        ),
        (
            {"truth": None, "reconstruction": FOUND, "limits": (1.0,)},
            ValueError,
            "limits must have shape",
        ),
        ({"truth": TRUTH, "reconstruction": FOUND, "peak": -1.0}, ValueError, "peak must be"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        plot_reconstruction(**arguments)
