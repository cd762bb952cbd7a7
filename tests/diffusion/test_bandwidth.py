"""The width of the kernel that is chosen from the data."""

import math

import numpy as np
import pytest
from diffusion_shapes import (
    flat_torus,
    random_circle,
    regular_circle,
    rotation_angles,
    sphere,
)
from scipy.stats import chi2

from learnedmanifolds.diffusion import DiffusionMap

SHAPES = {
    "circle": (random_circle, 1, [1, 1, 4, 4]),
    "even circle": (lambda n, seed: regular_circle(n), 1, [1, 1, 4, 4]),
    "sphere": (sphere, 2, [2] * 3),
    "flat torus": (flat_torus, 2, [1] * 4 + [2] * 4),
}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", SHAPES)
def test_chosen_width_gives_the_spectrum_and_the_dimension(name, seed):
    sample, dim, expected = SHAPES[name]
    fitted = DiffusionMap(len(expected)).fit(sample(2000, seed))
    ratio = fitted.laplacian_eigenvalues_.numpy() / expected
    assert ratio == pytest.approx(1, abs=0.09)
    assert float(ratio.mean()) == pytest.approx(1, abs=0.045)
    assert fitted.dimension_ == pytest.approx(dim, abs=0.1)
    low, high = fitted.bandwidth_.linear
    assert low <= fitted.epsilon_ <= high


def test_dimension_of_rotations():
    fitted = DiffusionMap(2, metric="precomputed").fit(rotation_angles(2000))
    assert fitted.dimension_ == pytest.approx(3, abs=0.15)


def test_width_of_the_greatest_slope_is_too_large():
    chosen = DiffusionMap(2).fit(random_circle(1000)).bandwidth_
    greatest = float(chosen.grid[chosen.slope.argmax()])
    wide = DiffusionMap(2, epsilon=greatest).fit(random_circle(1000))
    assert float(wide.laplacian_eigenvalues_[0]) > 1.3


def test_slope_is_the_derivative_of_the_kernel_sum():
    x = flat_torus(400)
    bandwidth = DiffusionMap(2).fit(x).bandwidth_
    square = ((x[:, None] - x[None]) ** 2).sum(-1)

    def log_sum(log_epsilon):
        return math.log(np.exp(-square / (4 * math.exp(log_epsilon))).sum())

    for epsilon in (0.01, 0.1, 1.0):
        middle = math.log(epsilon)
        expected = (log_sum(middle + 1e-4) - log_sum(middle - 1e-4)) / 2e-4
        found = np.interp(middle, np.log(bandwidth.grid), bandwidth.slope)
        assert found == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize(("sample", "dim"), [(random_circle, 1), (sphere, 2)])
@pytest.mark.parametrize("cutoff", [1e-2, 1e-3])
def test_neglected_share_is_that_of_the_gaussian(sample, dim, cutoff):
    epsilon = 0.004 if dim == 1 else 0.01
    found = DiffusionMap(2, epsilon=epsilon, cutoff=cutoff).fit(sample(2000)).bandwidth_.neglected
    assert found == pytest.approx(chi2.sf(-2 * math.log(cutoff), dim), rel=0.15)


def test_neighbours_are_bounded():
    x = sphere(3000)
    free = DiffusionMap(3).fit(x)
    bounded = DiffusionMap(3, n_neighbors=280).fit(x)
    mean = bounded.graph_.weights.nnz / 3000 - 1
    assert mean == pytest.approx(280, rel=0.05)
    assert bounded.epsilon_ < free.epsilon_


def test_warns_where_the_bound_makes_the_kernel_too_narrow():
    with pytest.warns(UserWarning, match="n_neighbors=40 keeps the kernel to epsilon"):
        DiffusionMap(3, n_neighbors=40).fit(sphere(3000))
