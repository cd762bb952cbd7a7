"""The Radon transform against chords of discs, Gaussians and lines through squares."""

import math

import numpy as np
import pytest
import torch
from oracles import draw, slope

from learnedmanifolds.operators import Radon

ANGLES = np.array([0.0, 0.3, math.pi / 4, 1.2, math.pi / 2, 2.0, 3.0, 4.5])


def grid(n, side):
    """Coordinates of the pixels of an image of a side length: x to the right, y upwards."""
    middle = (np.arange(n) + 0.5) * side / n - side / 2
    return np.meshgrid(middle, -middle, indexing="xy")


def chord_area(s, radius):
    """Area of the disc left of a line of offset s."""
    s = np.clip(s / radius, -1, 1)
    return radius**2 * (s * np.sqrt(1 - s**2) + np.arcsin(s) + np.pi / 2)


def test_disc_converges_to_its_chords():
    # A disc of radius 0.7 cm about (0.5, -0.3) in a square of 3 cm, its pixels filled by area.
    side, radius, centre = 3.0, 0.7, (0.5, -0.3)
    sizes, errors = [24, 48, 96, 192], []
    for n in sizes:
        fine = 8
        x, y = grid(n * fine, side)
        inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2
        image = inside.reshape(n, fine, n, fine).mean((1, 3))
        radon = Radon(ANGLES, pixel_size=side / n)
        s = radon.detectors(n, n).numpy()
        assert radon.detector_spacing == side / n
        offset = centre[0] * np.cos(ANGLES) + centre[1] * np.sin(ANGLES)
        edges = s - offset[:, None]
        half = side / n / 2
        chords = (chord_area(edges + half, radius) - chord_area(edges - half, radius)) / (2 * half)
        gap = radon(torch.from_numpy(image)).numpy() - chords
        errors.append(math.sqrt((gap**2).mean()) / math.sqrt((chords**2).mean()))
    assert errors[-1] < 5e-3
    # The chord's length is the root of the distance from the rim, where pixels blur it.
    rate = -float(slope(torch.tensor(sizes), torch.tensor(errors)[:, None]))
    assert 0.9 < rate < 1.7


def test_gaussian_converges_with_the_square_of_the_pixel():
    side, sigma, centre = 4.0, 0.35, (-0.4, 0.6)
    sizes, errors = [32, 64, 128], []
    offset = centre[0] * np.cos(ANGLES) + centre[1] * np.sin(ANGLES)
    for n in sizes:
        x, y = grid(n, side)
        squares = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
        image = torch.from_numpy(np.exp(-squares / (2 * sigma**2)))
        radon = Radon(ANGLES, pixel_size=side / n)
        s = radon.detectors(n, n).numpy() - offset[:, None]
        exact = math.sqrt(2 * math.pi) * sigma * np.exp(-(s**2) / (2 * sigma**2))
        errors.append(np.abs(radon(image).numpy() - exact).max())
    rate = -float(slope(torch.tensor(sizes), torch.tensor(errors)[:, None]))
    assert 1.9 < rate < 2.2
    assert errors[-1] < 2e-3


def length_in_box(angle, s, low, high):
    """Length of the line of normal angle and offsets s inside a box, by clipping."""
    normal = np.array([math.cos(angle), math.sin(angle)])
    along = np.array([-normal[1], normal[0]])
    first, last = np.full_like(s, -1e3), np.full_like(s, 1e3)
    for axis in (0, 1):
        start = s * normal[axis]
        if abs(along[axis]) < 1e-14:
            outside = (start < low[axis]) | (start > high[axis])
            last = np.where(outside, first, last)
            continue
        ends = np.sort([(low[axis] - start) / along[axis], (high[axis] - start) / along[axis]], 0)
        first, last = np.maximum(first, ends[0]), np.minimum(last, ends[1])
    return np.maximum(last - first, 0)


@pytest.mark.parametrize(("n_detectors", "spacing"), [(None, None), (5, 0.9), (40, 0.07)])
def test_every_weight_is_the_mean_length_in_a_pixel(n_detectors, spacing):
    size, height, width = 0.4, 2, 3
    radon = Radon(ANGLES, size, n_detectors, spacing)
    found = torch.func.jacrev(radon)(torch.zeros(height, width, dtype=torch.float64))
    s = radon.detectors(height, width).numpy()
    within = (np.arange(2000) + 0.5) / 2000 - 0.5
    lines = (s[:, None] + within * radon.detector_spacing).ravel()
    for row in range(height):
        for column in range(width):
            low = np.array([(column - width / 2) * size, (height / 2 - row - 1) * size])
            for k, angle in enumerate(ANGLES):
                lengths = length_in_box(angle, lines, low, low + size).reshape(len(s), -1)
                gap = found[k, :, row, column].numpy() - lengths.mean(1)
                # At each of two edges half a line of 2000 is counted on the wrong side.
                assert np.abs(gap).max() < 1.01 * math.sqrt(2) * size / 2000


def test_upright_projections_are_sums_of_columns_and_rows():
    image = draw(5, 8)
    columns = Radon([0.0, math.pi], 0.25, n_detectors=8)(image)
    torch.testing.assert_close(columns[0], 0.25 * image.sum(0))
    torch.testing.assert_close(columns[1], 0.25 * image.sum(0).flip(0))
    rows = Radon([math.pi / 2], 0.25, n_detectors=5)(image)
    torch.testing.assert_close(rows[0], 0.25 * image.sum(1).flip(0))


@pytest.mark.parametrize("spacing", [0.5, 0.31, 1.7])
def test_mass_is_kept_at_every_angle(spacing):
    image = draw(3, 12, 7, seed=1)
    angles = draw(50, seed=2)
    observed = Radon(angles, 0.5, detector_spacing=spacing)(image)
    mass = 0.25 * image.sum((1, 2))
    torch.testing.assert_close(spacing * observed.sum(-1), mass[:, None].expand(3, 50))


def test_half_a_turn_reverses_the_detectors():
    image, angles = draw(9, 6, seed=3), draw(20, seed=4)
    there, back = Radon(angles)(image), Radon(angles + math.pi)(image)
    torch.testing.assert_close(back, there.flip(-1), rtol=1e-9, atol=1e-9)


def test_a_smaller_detector_sees_the_middle():
    image, angles = draw(8, 8, seed=5), draw(6, seed=6)
    all_of_it = Radon(angles, n_detectors=12)(image)
    torch.testing.assert_close(Radon(angles, n_detectors=6)(image), all_of_it[:, 3:9])


def test_one_operator_serves_images_of_several_sizes_and_dtypes():
    shared = Radon([0.2, 1.0])
    for shape in [(4, 6), (6, 4), (5, 5)]:
        for dtype in (torch.float64, torch.float32):
            image = draw(*shape, seed=7).to(dtype)
            torch.testing.assert_close(shared(image), Radon([0.2, 1.0])(image), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([],), ValueError, "angles must not be empty"),
        (([[0.1]],), ValueError, "angles must have shape"),
        (([math.nan],), ValueError, "angles must be finite"),
        (("all",), TypeError, "angles"),
        (([0.1], 0.0), ValueError, "pixel_size must be a positive"),
        (([0.1], 1.0, 0), ValueError, "n_detectors must be an integer of at least 1"),
        (([0.1], 1.0, 2.5), TypeError, "n_detectors must be an integer"),
        (([0.1], 1.0, 3, -1.0), ValueError, "detector_spacing must be a positive"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        Radon(*arguments)
