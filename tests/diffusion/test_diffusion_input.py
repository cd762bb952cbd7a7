"""Bad input, kinds of data, and the interface of scikit-learn."""

import math

import numpy as np
import pytest
import torch
from diffusion_shapes import random_circle, regular_circle, sphere
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from learnedmanifolds.diffusion import DiffusionMap, SpectralNet

ESTIMATORS = (DiffusionMap, SpectralNet)


def two_circles(first, second, gap=10.0):
    return np.vstack([regular_circle(first), regular_circle(second) + [gap, 0]])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("parameters", "x", "error", "message"),
    [
        ({}, [[0.0, math.nan]] * 9, ValueError, "x must be finite"),
        ({}, [["a"]] * 9, TypeError, "x must be an array of numbers"),
        ({}, np.zeros(9), ValueError, r"shape \(N, \*ambient_shape\)"),
        ({}, np.zeros((0, 3)), ValueError, "x must not be empty"),
        ({}, np.eye(3), ValueError, "at least 4 points, got 3"),
        (
            {},
            np.ones((20, 3)),
            ValueError,
            "20 points that all coincide: every feature is constant",
        ),
        ({"n_components": 0}, regular_circle(9), ValueError, "n_components"),
        (
            {"n_components": 7},
            regular_circle(9),
            ValueError,
            "at most N - 3 = 6 for 9 points, got 7",
        ),
        ({"n_components": 2.0}, regular_circle(9), TypeError, "n_components must be an integer"),
        ({"n_neighbors": 9}, regular_circle(9), ValueError, "9 neighbours of 9 points"),
        ({"n_neighbors": 0}, regular_circle(9), ValueError, "n_neighbors"),
        ({"epsilon": 0.0}, regular_circle(9), ValueError, "epsilon must be a positive"),
        ({"epsilon": "auto"}, regular_circle(9), TypeError, "epsilon must be a positive"),
        ({"alpha": 1.5}, regular_circle(9), ValueError, r"alpha must be in \[0, 1\], got 1.5"),
        ({"alpha": -1}, regular_circle(9), ValueError, "alpha must be"),
        ({"cutoff": 1.0}, regular_circle(9), ValueError, r"cutoff must be in \(0, 1\)"),
        ({"t": -1}, regular_circle(9), ValueError, "t must be a non-negative"),
        (
            {"epsilon": 0.01, "n_neighbors": 5},
            regular_circle(200),
            ValueError,
            "at most n_neighbors=5 points in the mean, got 0.01, which reaches 4[0-9]",
        ),
        (
            {"epsilon": 0.01},
            two_circles(200, 300),
            ValueError,
            "2 connected components, of 300, 200 points",
        ),
        (
            {"epsilon": 1e-9},
            random_circle(30),
            ValueError,
            r"30 connected components, of 1, 1, 1, 1, 1, \.\.\. points",
        ),
        (
            {"n_neighbors": 40},
            np.repeat(sphere(10), 50, 0),
            ValueError,
            "so many duplicates .in the mean 49.0 of each point.",
        ),
    ],
)
def test_bad_input(estimator, parameters, x, error, message):
    with pytest.raises(error, match=message):
        estimator(**parameters).fit(x)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"hidden": ()}, ValueError, "at least one width"),
        ({"hidden": (32, 2)}, ValueError, "last of hidden must be more than n_components=2, got 2"),
        ({"hidden": (0, 32)}, ValueError, "hidden"),
        ({"max_steps": 0}, ValueError, "max_steps"),
        ({"batch_size": 2}, ValueError, "batch_size must be more than n_components=2"),
        ({"learning_rate": 0}, ValueError, "learning_rate"),
        ({"random_state": -1}, ValueError, "random_state"),
    ],
)
def test_bad_training(parameters, error, message):
    with pytest.raises(error, match=message):
        SpectralNet(**parameters).fit(regular_circle(50))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((9, 8)), r"matrix \(N, N\) of distances"),
        (-regular_circle(9) @ regular_circle(9).T, "at least 0, got -1"),
        (np.ones((9, 9)), "0 from every point to itself"),
        (np.triu(np.ones((9, 9)), 1), "the same in both directions"),
    ],
)
def test_bad_distances(x, message):
    with pytest.raises(ValueError, match=message):
        DiffusionMap(metric="precomputed").fit(x)


def test_bad_metric():
    with pytest.raises(ValueError, match="metric must be one of 'euclidean', 'precomputed'"):
        DiffusionMap(metric="cosine").fit(regular_circle(9))


def test_more_components_than_positive_eigenvalues():
    # Cut at half its height the kernel is no longer positive definite.
    with pytest.raises(ValueError, match="n_components=90 is too large"):
        DiffusionMap(90, epsilon=0.5, cutoff=0.5).fit(regular_circle(100))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_before_fit(estimator):
    with pytest.raises(NotFittedError):
        estimator().transform(regular_circle(9))
    with pytest.raises(NotFittedError):
        estimator().plot()


@pytest.mark.parametrize(
    "fitted",
    [DiffusionMap().fit(regular_circle(50)), SpectralNet(max_steps=20).fit(regular_circle(50))],
)
def test_bad_new_points(fitted):
    with pytest.raises(ValueError, match=r"x must have shape \(any, 2\)"):
        fitted.transform(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="x must be finite"):
        fitted.transform([[0.0, math.inf]])
    with pytest.raises(ValueError, match="color must have shape"):
        fitted.plot(color=[1.0, 2.0])
    assert fitted.transform(np.zeros((0, 2))).shape == (0, 2)


def test_bad_new_distances():
    x = regular_circle(50)
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    fitted = DiffusionMap(metric="precomputed").fit(distances)
    with pytest.raises(ValueError, match="x must hold distances of at least 0"):
        fitted.transform(-distances)
    with pytest.raises(ValueError, match=r"x must have shape \(any, 50\)"):
        fitted.transform(distances[:, :9])


def test_distances_give_what_their_points_give():
    x = sphere(300)
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    ours = DiffusionMap(3).fit(x)
    theirs = DiffusionMap(3, metric="precomputed").fit(distances)
    assert torch.allclose(ours.embedding_, theirs.embedding_, atol=1e-8)


def test_every_point_twice_changes_nothing():
    x = sphere(400)
    once = DiffusionMap(3, epsilon=0.05, t=0).fit(x)
    twice = DiffusionMap(3, epsilon=0.05, t=0).fit(np.repeat(x, 2, 0))
    assert torch.allclose(once.eigenvalues_, twice.eigenvalues_, atol=1e-12)
    assert torch.allclose(twice.embedding_[::2], twice.embedding_[1::2], atol=1e-8)
    assert torch.allclose(twice.embedding_[::2], once.embedding_, atol=1e-7)


def test_one_point_many_times_hardly_changes_the_circle():
    x = np.vstack([regular_circle(500), np.repeat(regular_circle(500)[:1], 20, 0)])
    even = DiffusionMap(2, epsilon=0.005).fit(x).laplacian_eigenvalues_
    uneven = DiffusionMap(2, epsilon=0.005, alpha=0).fit(x).laplacian_eigenvalues_
    assert even.numpy() == pytest.approx(1, abs=0.06)
    assert float(uneven[1] - uneven[0]) > 3 * float(even[1] - even[0])


def test_constant_features_are_fine():
    x = sphere(300)
    wide = np.hstack([x, np.full((300, 2), 3.0)])
    first, second = DiffusionMap(3).fit(x), DiffusionMap(3).fit(wide)
    assert torch.allclose(first.eigenvalues_, second.eigenvalues_, atol=1e-9)
    assert second.n_features_in_ == 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kinds_of_data(dtype):
    x = torch.from_numpy(sphere(200)).to(dtype)
    images = x.reshape(200, 1, 3, 1).requires_grad_()
    flat = DiffusionMap(3).fit(x.numpy())
    shaped = DiffusionMap(3).fit(images)
    assert shaped.embedding_.dtype == shaped.transform(images).dtype == dtype
    assert torch.equal(flat.embedding_, shaped.embedding_)
    assert not shaped.embedding_.requires_grad
    whole = DiffusionMap(2).fit((1000 * x).round().to(torch.int64))
    assert whole.embedding_.dtype == torch.float64
    assert whole.n_features_in_ == shaped.n_features_in_ == 3


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_in_scikit_learn(estimator):
    options = {"max_steps": 20, "random_state": 0} if estimator is SpectralNet else {}
    model = clone(estimator(3, t=2, **options))
    assert model.get_params()["t"] == 2
    x = sphere(200)
    steps = make_pipeline(StandardScaler(), model)
    assert steps.fit_transform(x).shape == (200, 3)
    assert torch.allclose(steps.transform(x), model.embedding_, atol=1e-8)


@pytest.mark.parametrize(("count", "color"), [(1, None), (2, True), (4, None)])
def test_figure(count, color):
    x = sphere(200)
    fitted = DiffusionMap(count).fit(x)
    figure = fitted.plot(color=x[:, 2] if color else None)
    plane, spectrum, slope = figure.axes
    assert len(plane.collections[0].get_offsets()) == 200
    drawn = spectrum.lines[0].get_ydata()
    assert drawn[1:-1] == pytest.approx(fitted.eigenvalues_.numpy())
    assert -np.diff(drawn) == pytest.approx(fitted.gaps_.numpy())
    assert slope.lines[-1].get_xdata()[0] == pytest.approx(fitted.epsilon_)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_rounded_distances(dtype):
    """Distances from differences of squares: not 0 on the diagonal, not quite symmetric."""
    x = torch.from_numpy(sphere(300)) + 2
    given = x.to(dtype).float()
    square = given.square().sum(1)
    distances = (square[:, None] + square - 2 * given @ given.mT).clamp(min=0).sqrt()
    distances = distances.to(dtype)
    assert dtype == torch.float16 or float(distances.diagonal().max()) > 1e-6
    ours = DiffusionMap(3, epsilon=0.05).fit(given.double())
    theirs = DiffusionMap(3, epsilon=0.05, metric="precomputed").fit(distances)
    assert torch.allclose(ours.eigenvalues_, theirs.eigenvalues_, atol=2e-3)
    assert theirs.embedding_.dtype == dtype
    noise = 0.1 * torch.rand(300, 300, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="the same in both directions"):
        DiffusionMap(3, metric="precomputed").fit(distances + noise.fill_diagonal_(0).to(dtype))


def test_a_batch_too_small_for_the_components_is_named():
    with pytest.raises(RuntimeError, match="batch_size=32 is small for n_comp.* at least 120"):
        SpectralNet(30, batch_size=32, max_steps=50, random_state=0).fit(regular_circle(200))
