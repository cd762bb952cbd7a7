"""Eigenvalues and eigenfunctions of manifolds whose Laplacian is known."""

import math

import numpy as np
import pytest
import torch
from diffusion_shapes import (
    dense_angles,
    flat_torus,
    on_circle,
    random_circle,
    regular_circle,
    rotation_angles,
    span_distance,
    sphere,
    torus_grid,
)
from scipy.spatial.distance import cdist

from learnedmanifolds.diffusion import DiffusionMap


def test_circle_has_squares_twice():
    fitted = DiffusionMap(6, epsilon=1e-3).fit(regular_circle(1000))
    expected = torch.tensor([1.001, 1.001, 4.004, 4.004, 9.009, 9.009], dtype=torch.float64)
    assert torch.allclose(fitted.laplacian_eigenvalues_, expected, atol=6e-4)


def test_error_on_the_circle_is_of_first_order_in_epsilon():
    widths = np.array([0.004, 0.008, 0.016, 0.032])
    errors = []
    for epsilon in widths:
        fitted = DiffusionMap(4, epsilon=epsilon, cutoff=1e-12).fit(regular_circle(1000))
        errors.append((fitted.laplacian_eigenvalues_.numpy() / [1, 1, 4, 4] - 1)[[0, 2]])
    slopes = np.polyfit(np.log(widths), np.log(np.abs(errors)), 1)[0]
    assert slopes == pytest.approx([1, 1], abs=0.1)


def test_sphere_has_its_multiplicities():
    values = DiffusionMap(15, epsilon=0.02).fit(sphere(2000)).laplacian_eigenvalues_
    for expected, found in zip((2, 6, 12), values.split([3, 5, 7]), strict=True):
        assert found.min() > 0.9 * expected
        assert found.max() < 1.085 * expected
        assert float(found.mean()) == pytest.approx(expected, rel=0.03)


def test_rotations_with_the_angle_as_distance():
    fitted = DiffusionMap(9, epsilon=0.1, metric="precomputed").fit(rotation_angles(2000))
    assert 1.7 < float(fitted.laplacian_eigenvalues_.min())
    assert float(fitted.laplacian_eigenvalues_.max()) < 2.15
    # After the nine of l = 1 come those of l = 2, at 6.
    gaps = fitted.gaps_
    assert float(gaps[-1]) > 5 * float(gaps[1:-1].max())


def test_eigenvalues_of_any_multiplicity_are_complete():
    values = DiffusionMap(12).fit(torus_grid(40)).laplacian_eigenvalues_.numpy()
    ratio = values / values[0]
    assert ratio[:4] == pytest.approx(1, abs=1e-9)
    assert ratio[4:8] == pytest.approx(2, abs=1e-3)
    assert ratio[8:] == pytest.approx(ratio[8], rel=1e-9)
    assert ratio[8] == pytest.approx(4, rel=0.03)


def fokker_planck(share, alpha, n=1500):
    """Eigenvalues of -(p^s f')' / p^s, p = 1 + share cos, s = 2 - 2 alpha, by finite volumes."""
    step = 2 * math.pi / n
    power = 2 - 2 * alpha
    nodes = (1 + share * np.cos(step * np.arange(n))) ** power
    faces = (1 + share * np.cos(step * (np.arange(n) + 0.5))) ** power / step**2
    matrix = np.diag((faces + np.roll(faces, 1)) / nodes)
    for i in range(n):
        j = (i + 1) % n
        matrix[i, j] = matrix[j, i] = -faces[i] / math.sqrt(nodes[i] * nodes[j])
    return np.linalg.eigvalsh(matrix)[1:5]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_alpha_sets_how_much_of_the_density_is_left(alpha):
    x = on_circle(dense_angles(1500, 0.6))
    fitted = DiffusionMap(4, epsilon=2e-3, alpha=alpha).fit(x)
    expected = fokker_planck(0.6, alpha)
    assert fitted.laplacian_eigenvalues_.numpy() == pytest.approx(expected, rel=0.01)
    if alpha == 1:
        assert expected == pytest.approx([1, 1, 4, 4], rel=1e-4)
    else:
        assert abs(expected[0] - expected[1]) > 0.1


def test_random_uneven_sampling_of_the_circle():
    rng = np.random.default_rng(0)
    angle = 2 * math.pi * rng.random(12_000)
    angle = angle[rng.random(len(angle)) < (1 + 0.6 * np.cos(angle)) / 1.6][:3000]
    x = on_circle(angle)
    even = DiffusionMap(2).fit(x).laplacian_eigenvalues_
    uneven = DiffusionMap(2, alpha=0).fit(x).laplacian_eigenvalues_
    assert even.numpy() == pytest.approx([1, 1], abs=0.06)
    assert float(uneven[1] - uneven[0]) > 0.3


def definition(x, epsilon, alpha):
    """The walk of Coifman and Lafon, (N, N), from its definition."""
    kernel = np.exp(-(cdist(x, x) ** 2) / (4 * epsilon))
    q = kernel.sum(1)
    kernel = kernel / np.outer(q**alpha, q**alpha)
    return kernel / kernel.sum(1, keepdims=True)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_walk_of_the_definition(alpha):
    x = np.random.default_rng(1).standard_normal((80, 3))
    fitted = DiffusionMap(6, epsilon=0.5, alpha=alpha, cutoff=1e-200, t=0).fit(x)
    walk = definition(x, 0.5, alpha)
    largest = np.sort(np.linalg.eigvals(walk).real)[::-1]
    assert fitted.eigenvalues_.numpy() == pytest.approx(largest[1:7], rel=1e-9)
    assert fitted.gaps_.numpy() == pytest.approx(largest[:7] - largest[1:8], abs=1e-9)
    assert fitted.spectral_gap_ == pytest.approx(1 - largest[1], abs=1e-9)
    f = fitted.embedding_.numpy()
    assert np.abs(walk @ f - f * largest[1:7]).max() < 1e-7


@pytest.mark.parametrize("t", [2, 3.5])
def test_distance_of_coordinates_is_the_diffusion_distance(t):
    x = np.random.default_rng(2).standard_normal((60, 2))
    fitted = DiffusionMap(20, epsilon=1.0, cutoff=1e-200, t=t).fit(x)
    values, right = np.linalg.eig(definition(x, 1.0, 1.0))
    # P^t by the eigenvectors of the unsymmetric matrix; for integers it is the matrix power.
    power = ((right * np.abs(values.real) ** t) @ np.linalg.inv(right)).real
    law = np.linalg.matrix_power(definition(x, 1.0, 1.0), 2000)[0]
    expected = (((power[:, None] - power[None]) ** 2) / law).sum(-1)
    coordinates = fitted.embedding_.numpy()
    assert cdist(coordinates, coordinates) ** 2 == pytest.approx(expected, abs=1e-6)


def test_cutting_the_kernel_hardly_changes_it():
    x = sphere(1000)
    cut, full = (DiffusionMap(8, epsilon=0.02, cutoff=c).fit(x) for c in (1e-5, 1e-200))
    assert cut.graph_.weights.nnz < 0.3 * full.graph_.weights.nnz
    change = cut.laplacian_eigenvalues_ / full.laplacian_eigenvalues_ - 1
    # Loss of the second moment: P(chi2_4 > 2 log 1e5) = 1.25e-4.
    assert change.numpy() == pytest.approx(-1.25e-4, abs=1e-4)


def test_extension_at_the_data_is_the_embedding():
    for x in (random_circle(500), flat_torus(600), sphere(400)):
        for t in (0, 1, 3):
            fitted = DiffusionMap(4, t=t).fit(x)
            assert torch.allclose(fitted.transform(x), fitted.embedding_, atol=1e-8)
    angle = rotation_angles(300)
    fitted = DiffusionMap(9, metric="precomputed").fit(angle)
    assert torch.allclose(fitted.transform(angle[:40]), fitted.embedding_[:40], atol=1e-8)


def test_extension_to_new_points_of_the_circle():
    fitted = DiffusionMap(4, epsilon=5e-3, t=0).fit(regular_circle(600))
    angle = 2 * math.pi * np.random.default_rng(3).random(400)
    exact = math.sqrt(2) * np.hstack([on_circle(angle), on_circle(2 * angle)])
    grid = 2 * math.pi * np.arange(600) / 600
    basis = math.sqrt(2) * np.hstack([on_circle(grid), on_circle(2 * grid)])
    # The arbitrary rotation within each eigenspace, from the data.
    turn = basis.T @ fitted.embedding_.numpy() / 600
    assert np.abs(turn[:2, 2:]).max() < 1e-8
    assert turn.T @ turn == pytest.approx(np.eye(4), abs=1e-3)
    assert fitted.transform(on_circle(angle)).numpy() == pytest.approx(exact @ turn, abs=2e-3)


def test_extension_to_new_points_of_the_sphere():
    fitted = DiffusionMap(3, t=0).fit(sphere(3000))
    new = sphere(500, seed=1)
    turn = np.linalg.lstsq(sphere(3000), fitted.embedding_.numpy(), rcond=None)[0]
    # Eigenfunctions of mean square 1 are sqrt(3) times the coordinates.
    assert turn.T @ turn == pytest.approx(3 * np.eye(3), abs=0.15)
    error = fitted.transform(new).numpy() - new @ turn
    assert np.sqrt((error**2).mean()) < 0.05


def test_eigenfunctions_converge_with_more_points():
    errors = []
    for n in (200, 800, 3200):
        x = random_circle(n, seed=4)
        f = DiffusionMap(2).fit(x).embedding_
        errors.append(span_distance(f, x))
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2


def test_far_points_take_the_value_of_their_nearest():
    x = regular_circle(200)
    fitted = DiffusionMap(2, t=1).fit(x)
    far = fitted.transform(1e4 * x[:5])
    assert torch.allclose(far, fitted.embedding_[:5] / fitted.eigenvalues_, atol=1e-6)
    # Continuous where the kernel's reach ends.
    edge = 1 + fitted.graph_.radius
    near = [fitted.transform(x[:1] * (edge + step)) for step in (-1e-6, 1e-6)]
    assert torch.allclose(*near, atol=1e-4)


def test_motions_scales_and_order_do_not_matter():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((300, 3)) * [3, 1.7, 1]
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    order = rng.permutation(300)
    base = DiffusionMap(3).fit(x)
    moved = DiffusionMap(3).fit(x @ turn + 100)
    larger = DiffusionMap(3).fit(1e3 * x)
    wide = DiffusionMap(3).fit(np.hstack([x, np.full((300, 4), 7.0)]))
    shuffled = DiffusionMap(3, epsilon=base.epsilon_).fit(x[order])
    for other in (moved, larger, wide):
        assert torch.allclose(other.embedding_, base.embedding_, atol=1e-5)
    assert torch.allclose(shuffled.embedding_, base.embedding_[order], atol=1e-7)
    assert larger.epsilon_ == pytest.approx(1e6 * base.epsilon_, rel=1e-6)


def test_same_data_same_bits():
    x = flat_torus(500)
    assert torch.equal(DiffusionMap(4).fit_transform(x), DiffusionMap(4).fit_transform(x))
    assert float(DiffusionMap(3).fit_transform(x).abs().amax()) == float(
        DiffusionMap(3).fit_transform(x).amax()
    )
