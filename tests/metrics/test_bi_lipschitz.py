"""The local bi-Lipschitz constant on maps whose constant is known."""

import math

import numpy as np
import pytest
import torch
from oracles import draw, slope
from scipy.spatial import cKDTree

from learnedmanifolds.metrics import bi_lipschitz


def frame(n, d, seed=0):
    return torch.linalg.qr(draw(n, d, seed=seed))[0]


def lattice(side, spacing=1.0):
    axis = spacing * torch.arange(side, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def inner(side):
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[1:-1, 1:-1] = True
    return inside.flatten()


@pytest.mark.parametrize("seed", range(5))
def test_an_isometry_has_constant_one(seed):
    z = draw(80, 2, seed=seed)
    found = bi_lipschitz(z, z @ frame(7, 2, seed).T + draw(7, seed=seed), 10)
    torch.testing.assert_close(found.values, torch.ones(80).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.scale_free, torch.ones(80).double(), rtol=0, atol=1e-12)
    assert found.median == pytest.approx(1, abs=1e-12)
    assert found.scale_free_median == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("scale", [0.2, 0.99, 1.7, 40.0])
def test_scaling_by_s_has_the_larger_of_s_and_its_inverse(scale):
    z = draw(60, 3, seed=1)
    found = bi_lipschitz(z, scale * z @ frame(5, 3).T, 8)
    expected = torch.full((60,), max(scale, 1 / scale), dtype=torch.float64)
    torch.testing.assert_close(found.values, expected, rtol=1e-9, atol=0)
    assert found.median == pytest.approx(max(scale, 1 / scale), abs=1e-6)
    assert found.scale_free_median == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("a", "b"), [(3.0, 0.5), (0.25, 2.0), (5.0, 4.0), (0.5, 0.4)])
def test_a_diagonal_map_of_a_lattice(a, b):
    """The four nearest neighbours of an inner point are along the axes."""
    z = lattice(7)
    found = bi_lipschitz(z, z * torch.tensor([a, b], dtype=torch.float64), 4)
    inside = inner(7)
    expected = max(a, b, 1 / a, 1 / b)
    assert found.values[inside].tolist() == pytest.approx([expected] * 25, abs=1e-12)
    ratio = math.sqrt(max(a, b) / min(a, b))
    assert found.scale_free[inside].tolist() == pytest.approx([ratio] * 25, abs=1e-12)


def test_a_conformal_map_tends_to_its_derivative():
    """Of exp: |exp'| = exp(Re z); stretching alike in all directions, to first order in h."""
    spacings, errors = [0.1, 0.05, 0.025, 0.0125], []
    for h in spacings:
        z = lattice(5, h) + torch.tensor([0.5, 0.0])
        w = torch.exp(torch.complex(z[:, 0], z[:, 1]))
        found = bi_lipschitz(z, torch.stack([w.real, w.imag], 1), 8)
        middle = 12
        assert torch.equal(z[middle], torch.tensor([0.5 + 2 * h, 2 * h], dtype=torch.float64))
        errors.append(
            [
                float(found.values[middle]) - math.exp(0.5 + 2 * h),
                float(found.scale_free[middle]) - 1,
            ]
        )
    assert slope(spacings, errors).tolist() == pytest.approx([1, 1], abs=0.1)


def test_neighbours_are_those_in_latent_space():
    z = torch.tensor([[0.0], [1.0], [3.0]])
    x = torch.tensor([[0.0], [5.0], [0.5]])
    found = bi_lipschitz(z, x, 1)
    assert found.values.tolist() == pytest.approx([5, 5, 2.25])
    found = bi_lipschitz(z, x, 2)
    assert found.values.tolist() == pytest.approx([6, 5, 6])
    assert found.scale_free.tolist() == pytest.approx(
        [math.sqrt(5 * 6), math.sqrt(5 / 2.25), math.sqrt(2.25 * 6)]
    )
    assert found.median == pytest.approx(6)


def test_many_points_in_several_blocks():
    z, x = draw(2500, 3, seed=2), draw(2500, 4, seed=3)
    gap, near = cKDTree(z.numpy()).query(z.numpy(), 4)
    jump = np.linalg.norm(x.numpy()[near[:, 1:]] - x.numpy()[:, None], axis=-1) / gap[:, 1:]
    expected = np.maximum(jump, 1 / jump).max(1)
    found = bi_lipschitz(z, x, 3)
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)
    assert found.median == pytest.approx(np.median(expected), rel=1e-2)


def test_images_and_single_precision():
    z = draw(50, 2).float()
    x = (z @ frame(12, 2).float().T).reshape(50, 1, 3, 4)
    found = bi_lipschitz(z, x.numpy(), 5)
    assert found.values.dtype == torch.float64
    assert found.median == pytest.approx(1, abs=1e-5)


def test_coordinates_in_charts_have_neighbours_in_their_chart():
    z = draw(40, 2).repeat(2, 1)
    chart = torch.arange(2).repeat_interleave(40)
    x = torch.cat([z, 100.0 * chart.unsqueeze(1)], 1)
    apart = bi_lipschitz(z, x, 5, chart=chart)
    torch.testing.assert_close(apart.values, torch.ones(80).double(), rtol=0, atol=1e-12)
    assert bi_lipschitz(z, x, 5).median == math.inf
    lonely = chart.clone()
    lonely[0] = 2
    found = bi_lipschitz(z, x, 5, chart=lonely)
    assert math.isnan(found.values[0]) and found.median == pytest.approx(1)


def test_equal_points():
    z = torch.tensor([[0.0], [0.0], [1.0], [3.0]])
    x = torch.tensor([[0.0], [0.0], [2.0], [2.0]])
    found = bi_lipschitz(z, x, 3)
    # Rows 0 and 1 are one point; rows 2 and 3 have one image, which no inverse takes apart.
    assert found.values.tolist() == pytest.approx([2, 2, math.inf, math.inf])
    assert found.scale_free.tolist() == pytest.approx(
        [math.sqrt(3), math.sqrt(3), math.inf, math.inf]
    )
    torn = bi_lipschitz(z, torch.tensor([[0.0], [1.0], [2.0], [3.0]]), 1)
    assert torn.values[:2].tolist() == [math.inf, math.inf]
    once = bi_lipschitz(z, x, 1)
    assert once.values[:2].isnan().all() and once.values[2:].tolist() == [2.0, math.inf]
    assert once.median == 2.0
    assert math.isnan(bi_lipschitz(0 * z, 0 * x, 2).median)
    merged = bi_lipschitz(torch.arange(4.0).view(4, 1), torch.zeros(4, 1), 2)
    assert merged.median == math.inf and merged.scale_free_median == math.inf


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z: bi_lipschitz(z, z[:-1], 3), ValueError, "z and x must be as many points"),
        (lambda z: bi_lipschitz(z, z, 10), ValueError, "n_neighbors must be less than .* 10; got"),
        (lambda z: bi_lipschitz(z, z, 0), ValueError, "n_neighbors must be an integer of at least"),
        (lambda z: bi_lipschitz(z, z, 2.0), TypeError, "n_neighbors must be an integer"),
        (lambda z: bi_lipschitz(z[:, 0], z, 3), ValueError, r"z must have shape \(N, ...\)"),
        (lambda z: bi_lipschitz(z, z * math.nan, 3), ValueError, "x must be finite"),
        (lambda z: bi_lipschitz("z", z, 3), TypeError, "z must be an array"),
        (lambda z: bi_lipschitz(z, z, 3, chart=[0, 1]), ValueError, "chart must have shape"),
        (lambda z: bi_lipschitz(z, z, 3, chart=z[:, 0]), TypeError, "chart must have dtype"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(10, 2))
