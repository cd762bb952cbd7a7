"""Diffusion maps in local units: what they take the density to be, and whom they reach."""

import math

import numpy as np
import pytest
import torch
from diffusion_shapes import dense_angles, on_circle, random_circle, regular_circle, span_distance
from scipy.spatial.distance import cdist

from learnedmanifolds.diffusion import DiffusionMap, SpectralNet


def uneven_circle(n):
    return on_circle(dense_angles(n, 0.8))


@pytest.mark.parametrize("count", [9, 21])
def test_any_density_on_a_closed_curve_looks_even(count):
    """In the angle u = 2 pi times the share of the data passed, steps are k - 1 points to both sides.

    The generator div(q r^2 grad f) / q is then r^2 d^2 f / du^2, with r the part pi (k - 1) / N of the
    circle: eigenvalues are the squares of its multiples.
    """
    n = 4000
    fitted = DiffusionMap(6, epsilon=1.0, alpha=0.0, local_scale=count).fit(uneven_circle(n))
    step = math.pi * (count - 1) / n
    expected = step**2 * np.array([1, 1, 4, 4, 9, 9])
    assert fitted.laplacian_eigenvalues_.numpy() == pytest.approx(expected, rel=0.025)


def test_the_walk_stays_at_the_density_of_the_data():
    share = DiffusionMap(2, alpha=0.0, local_scale=15).fit(uneven_circle(1000)).graph_.stationary
    assert np.abs(1000 * share - 1).max() < 0.05
    plain = DiffusionMap(2, alpha=0.0).fit(uneven_circle(1000)).graph_.stationary
    assert plain.max() > 4 * plain.min()


def test_reaches_outliers():
    x = np.vstack([regular_circle(500), [[1.6, 0.0], [0.0, -1.5]]])
    with pytest.raises(ValueError, match="3 connected components"):
        DiffusionMap(2, epsilon=0.001).fit(x)
    fitted = DiffusionMap(2, local_scale=10, epsilon=1.0).fit(x)
    # The circle's own two functions, and not the outliers against the rest.
    ideal = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert span_distance(fitted.embedding_.numpy(), ideal) < 0.02


def test_units_of_length_do_not_matter():
    x = random_circle(300)
    first, second = (DiffusionMap(2, local_scale=10).fit(s * x) for s in (1.0, 1000.0))
    torch.testing.assert_close(second.embedding_, first.embedding_)
    assert second.epsilon_ == pytest.approx(first.epsilon_)


def test_extension_at_the_data_and_between_them():
    x = random_circle(400)
    fitted = DiffusionMap(4, local_scale=12).fit(x[:300])
    torch.testing.assert_close(fitted.transform(x[:300]), fitted.embedding_, rtol=0, atol=1e-8)
    whole = DiffusionMap(4, local_scale=16).fit(x)
    new, known = fitted.transform(x[300:]), whole.embedding_[300:]
    residual = known - new @ torch.linalg.lstsq(new, known).solution
    assert residual.norm() < 0.1 * known.norm()


def test_distances_give_what_their_points_give():
    x = random_circle(200)
    points = DiffusionMap(3, local_scale=8).fit(x)
    given = DiffusionMap(3, local_scale=8, metric="precomputed").fit(cdist(x, x))
    torch.testing.assert_close(given.embedding_, points.embedding_, rtol=0, atol=1e-6)


@pytest.mark.parametrize("estimator", [DiffusionMap, SpectralNet])
@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        (1, ValueError, "local_scale"),
        (51, ValueError, "local_scale must be at most the number of points"),
        (2.5, TypeError, "local_scale"),
        (3, ValueError, "drop duplicates or raise local_scale"),
    ],
)
def test_bad_input(estimator, scale, error, message):
    x = random_circle(50)
    x[:3] = x[0]
    with pytest.raises(error, match=message):
        estimator(2, local_scale=scale).fit(x)
