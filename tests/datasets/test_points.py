"""Points that are no toy manifold: the bunny, clusters on a grid, data scaled to a box."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from learnedmanifolds.datasets import NINE_CELLS, bunny, gaussian_grid, scale_to_box

BUNNY = Path(__file__).parents[3] / "shared" / "data" / "bunny_vertices.npy"


@pytest.mark.parametrize("shape", [(20, 3), (20, 1, 4, 5), (20, 1)])
def test_scaling_fills_the_box_and_keeps_proportions(shape):
    for seed in range(20):
        source = np.random.default_rng(seed)
        x = torch.from_numpy(source.normal(source.normal() * 5, math.exp(source.normal()), shape))
        y = scale_to_box(x)
        assert y.shape == x.shape and y.dtype == x.dtype
        assert float(y.abs().max()) == pytest.approx(1)
        # Every coordinate is centred, and the widest reaches both ends.
        torch.testing.assert_close(y.amin(0), -y.amax(0))
        before, after = (torch.pdist(z.flatten(1)) for z in (x, y))
        ratios = after / before
        assert float(ratios.max() / ratios.min()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.ones(4, 2), ValueError, "4 times the same one"),
        (torch.zeros(5), ValueError, r"x must have shape \(N, \*ambient_shape\)"),
        (torch.zeros(0, 3), ValueError, "x must not be empty"),
        ([[1.0, math.nan]], ValueError, "x must be finite"),
        ("abc", TypeError, "x must be an array"),
    ],
)
def test_scaling_bad_input(x, error, message):
    with pytest.raises(error, match=message):
        scale_to_box(x)


def test_clusters_of_the_grid_are_gaussian_around_their_centres():
    data = gaussian_grid(seed=0, dtype=torch.float64)
    assert data.points.shape == (7500, 2) and data.centres.shape == (25, 2)
    assert torch.equal(data.labels.bincount(), torch.full((25,), 300))
    assert sorted(map(tuple, data.centres.tolist())) == sorted(
        (float(i), float(j)) for i in range(-2, 3) for j in range(-2, 3)
    )
    # The label is that of the nearest centre, 5 standard deviations from the border.
    assert torch.equal(torch.cdist(data.points, data.centres).argmin(1), data.labels)
    offsets = data.points - data.centres[data.labels]
    assert stats.kstest(offsets.flatten() / 0.1, "norm").pvalue > 1e-3
    correlation = float((offsets[:, 0] * offsets[:, 1]).mean()) / 0.01
    assert abs(correlation) < 4 / math.sqrt(7500)
    assert repr(data) == "Clusters(7500 points, 25 clusters, std=0.1)"


def test_nine_clusters_spacing_and_order_of_cells():
    nine = gaussian_grid(10, NINE_CELLS, std=0.0, seed=0)
    assert nine.points.dtype == torch.float32 and len(nine.points) == 90
    assert set(map(tuple, nine.points.tolist())) == {(a, b) for a in (-2, 0, 2) for b in (-2, 0, 2)}
    neighbours = gaussian_grid(1, side=3, spacing=0.5)
    assert float(torch.pdist(neighbours.centres).min()) == 0.5
    assert float(neighbours.centres.abs().max()) == 0.5
    # Row is y, column is x, and the order is the caller's.
    two = gaussian_grid(1, [(1, 0), (0, 2)], side=3)
    assert two.centres.tolist() == [[-1, 0], [1, -1]]


def test_seeds_of_the_grid():
    first, second, other = (gaussian_grid(5, seed=s).points for s in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be"),
        ({"side": 2.0}, TypeError, "side must be"),
        ({"spacing": 0.0}, ValueError, "spacing must be"),
        ({"std": -0.1}, ValueError, "std must be"),
        ({"cells": []}, ValueError, "cells must"),
        ({"cells": [(0, 5)]}, ValueError, "rows and columns from 0 to 4, got 0 to 5"),
        ({"cells": [(-1, 0)]}, ValueError, "rows and columns from 0 to 4"),
        ({"cells": [(0, 1), (0, 1)]}, ValueError, "cells must be different"),
        ({"cells": [(0.5, 1)]}, TypeError, "cells must have dtype"),
        ({"cells": [0, 1]}, ValueError, "cells must have shape"),
        ({"seed": -1}, ValueError, "seed"),
        ({"dtype": torch.int64}, ValueError, "dtype must be"),
    ],
)
def test_bad_input_of_the_grid(arguments, error, message):
    with pytest.raises(error, match=message):
        gaussian_grid(**arguments)


def test_bunny_from_a_file(tmp_path):
    vertices = np.random.default_rng(0).normal(2, 0.5, (30, 3))
    np.save(tmp_path / "b.npy", vertices)
    x = bunny(tmp_path / "b.npy")
    assert x.dtype == torch.float32
    np.testing.assert_array_equal(x.numpy(), vertices.astype(np.float32))
    scaled = bunny(str(tmp_path / "b.npy"), scaled=True)
    assert scaled.dtype == torch.float32 and float(scaled.abs().max()) == pytest.approx(1)
    torch.testing.assert_close(
        torch.pdist(scaled) / torch.pdist(scaled)[0], torch.pdist(x) / torch.pdist(x)[0]
    )


def test_the_recipe_for_the_bunny_reads_its_polygon_file(tmp_path):
    """The message names the lines of the published file, whose header has twelve."""
    header = ["ply", "format ascii 1.0", "comment zipper output", "element vertex 35947"]
    header += [f"property float {p}" for p in ("x", "y", "z", "confidence", "intensity")]
    header += ["element face 69451", "property list uchar int vertex_indices", "end_header"]
    vertices = [f"{i} {2 * i} {3 * i} 0.5 0.5 " for i in range(35_947)]
    (tmp_path / "bun_zipper.ply").write_text("\n".join([*header, *vertices, "3 0 1 2 "]))
    with pytest.raises(FileNotFoundError) as caught:
        bunny(tmp_path / "bunny_vertices.npy")
    code = str(caught.value).partition("Save the vertices of bun_zipper.ply: ")[2].rstrip(".")
    for name in ("bun_zipper.ply", "bunny_vertices.npy"):
        code = code.replace(name, (tmp_path / name).as_posix())
    exec(code, {"numpy": np})
    x = bunny(tmp_path / "bunny_vertices.npy")
    assert len(x) == 35_947 and x[-1].tolist() == [35_946, 2 * 35_946, 3 * 35_946]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones((4, 2)), r"one array \(any, 3\).* holds one array \(4, 2\) float64"),
        (np.array([["a", "b", "c"]]), "one array"),
        (np.full((2, 3), np.nan), "must be finite"),
        (np.ones((0, 3)), r"holds one array \(0, 3\)"),
        (np.array([[{}, 1, 2]], dtype=object), "allow_pickle=False"),
    ],
)
def test_bad_bunnies(tmp_path, content, message):
    np.save(tmp_path / "b.npy", content)
    with pytest.raises(ValueError, match=message):
        bunny(tmp_path / "b.npy")


def test_missing_and_foreign_bunnies(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"https://graphics.stanford.edu.*\(any, 3\)"):
        bunny(tmp_path / "absent.npy")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        bunny(tmp_path)
    with pytest.raises(TypeError, match="path must be a str or Path"):
        bunny(None)
    (tmp_path / "x.npy").write_bytes(b"solid bunny")
    with pytest.raises(ValueError, match=r"readable NumPy file with one array \(any, 3\)"):
        bunny(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", v=np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"holds v \(2, 3\) float64"):
        bunny(tmp_path / "x.npz")


@pytest.mark.skipif(not BUNNY.exists(), reason="shared data are absent")
def test_the_bunny():
    x = bunny(BUNNY, scaled=True)
    assert x.shape == (34_834, 3) and float(x.abs().max()) == 1
    # A surface: the number of points within a radius grows with its square.
    near = torch.cdist(x[::200].double(), x.double())
    counts = [float((near < r).sum()) for r in (0.04, 0.08)]
    assert math.log2(counts[1] / counts[0]) == pytest.approx(2, abs=0.15)
