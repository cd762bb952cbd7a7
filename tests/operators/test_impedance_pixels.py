"""From pixels to triangles."""

from pathlib import Path

import numpy as np
import pytest

from learnedmanifolds.operators.impedance import ImpedanceMesh
from learnedmanifolds.operators.impedance.pixels import area_average, midpoint_pixel

DATA = Path(__file__).parents[3] / "shared" / "data" / "eit"
UNIT = (1.0, 1.0)


def scattered(cells: int, seed: int, **size: float) -> ImpedanceMesh:
    """A rectangle whose inner vertices are moved at random."""
    mesh = ImpedanceMesh.rectangle(cells, **size)
    inner = np.setdiff1d(np.arange(len(mesh.nodes)), mesh.boundary)
    nodes = mesh.nodes.copy()
    step = 0.3 * np.array(mesh.bounds[1]) / cells
    nodes[inner] += step * np.random.default_rng(seed).uniform(-1, 1, (len(inner), 2))
    return ImpedanceMesh(nodes, mesh.triangles)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("cells", "shape"), [(3, (7, 5)), (20, (4, 6)), (9, (9, 9))])
def test_area_weights_share_out_triangles_and_pixels(cells, shape, seed):
    mesh = scattered(cells, seed, width=1.5, height=0.8)
    weights = area_average(mesh, shape, (1.5, 0.8))
    assert weights.data.min() > 0
    np.testing.assert_allclose(weights.sum(1), 1)
    # Every pixel is covered once.
    np.testing.assert_allclose(weights.T @ mesh.areas, 1.5 * 0.8 / np.prod(shape))


@pytest.mark.parametrize("seed", range(4))
def test_area_weights_against_counting(seed):
    source = np.random.default_rng(seed)
    points = source.random((3, 2))
    inner = np.concatenate([points, [[0, 0], [1, 0], [1, 1], [0, 1]]])
    # One triangle in a body that is that triangle: the box around it is the image.
    low, size = points.min(0), np.ptp(points, 0)
    mesh = ImpedanceMesh((inner[:3] - low), [[0, 1, 2]])
    weights = area_average(mesh, (4, 3), tuple(size)).toarray()[0].reshape(4, 3)
    fine = 480
    x = (np.arange(fine) + 0.5) / fine
    grid = np.stack(np.meshgrid(x, x[::-1]), -1) * size
    a, b, c = mesh.nodes
    sides = [
        (q[0] - p[0]) * (grid[..., 1] - p[1]) - (q[1] - p[1]) * (grid[..., 0] - p[0])
        for p, q in ((a, b), (b, c), (c, a))
    ]
    hit = np.all([s > 0 for s in sides], 0) | np.all([s < 0 for s in sides], 0)
    counted = hit.reshape(4, fine // 4, 3, fine // 3).sum((1, 3)) / hit.sum()
    np.testing.assert_allclose(weights, counted, atol=0.01)


def test_triangle_weights_are_the_mean_of_those_of_its_parts():
    mesh = scattered(4, 0)
    a, b, c = np.moveaxis(mesh.nodes[mesh.triangles], 1, 0)
    # Each triangle cut from its first corner to the middle of the opposite side: halves.
    first = np.stack([a, b, (b + c) / 2], 1)
    second = np.stack([a, (b + c) / 2, c], 1)

    def weights(corners):
        # Loose triangles are no mesh; only what `area_average` reads is given.
        class Loose:
            nodes = corners.reshape(-1, 2)
            triangles = np.arange(3 * len(corners)).reshape(-1, 3)

        return area_average(Loose(), (5, 5), UNIT).toarray()

    whole = weights(np.stack([a, b, c], 1))
    np.testing.assert_allclose((weights(first) + weights(second)) / 2, whole, atol=1e-12)


def test_area_average_of_a_linear_image_converges_to_the_midpoint_value():
    mesh = scattered(5, 1)
    middle = mesh.nodes[mesh.triangles].mean(1) @ [1.0, -2.0]
    errors = []
    for size in (16, 32, 64):
        t = (np.arange(size) + 0.5) / size
        image = t[None] - 2 * t[::-1, None]
        found = area_average(mesh, (size, size), UNIT) @ image.ravel()
        errors.append(np.abs(found - middle).max())
    # Steps cancel inside a triangle and are left along its rim.
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > 1.5)


@pytest.mark.parametrize("rule", [area_average, midpoint_pixel])
def test_row_zero_is_on_top_and_column_zero_on_the_left(rule):
    mesh = ImpedanceMesh.rectangle(8)
    image = np.zeros((4, 4))
    image[0, 1] = 1
    found = rule(mesh, (4, 4), UNIT) @ image.ravel()
    x, y = mesh.nodes[mesh.triangles].mean(1).T
    np.testing.assert_allclose(found, (x > 0.25) & (x < 0.5) & (y > 0.75), atol=1e-12)


def test_a_midpoint_between_pixels_belongs_to_the_left_or_lower_one():
    nodes = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]])
    mesh = ImpedanceMesh(nodes, [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    bottom, right, top, left = midpoint_pixel(mesh, (2, 2), UNIT).indices
    assert (bottom, right, left) == (2, 3, 2)
    # In the published arithmetic this midpoint is to the right of the line by rounding.
    assert top == 1


def test_midpoints_of_one_pixel_images_and_of_the_rim():
    mesh = ImpedanceMesh.rectangle(3)
    assert midpoint_pixel(mesh, (1, 1), UNIT).indices.tolist() == [0] * 18


@pytest.mark.parametrize("name", ["reconstruction", "generation"])
def test_midpoint_rule_is_the_published_one(name):
    path = DATA / f"mesh_{name}.npz"
    if not path.exists():
        pytest.skip("shared data are absent")
    with np.load(path) as file, np.load(DATA / "pixel_of_refined_cell.npz") as pixels:
        mesh = ImpedanceMesh(file["nodes"], file["tris"])
        found = midpoint_pixel(mesh, (128, 128), UNIT)
        np.testing.assert_array_equal(found.indices, pixels[name])
        np.testing.assert_array_equal(mesh.boundary, file["boundary_vertices"])
