"""The parametric diffusion map against the exact one."""

import math

import numpy as np
import pytest
import torch
from diffusion_shapes import (
    dense_angles,
    flat_torus,
    on_circle,
    random_circle,
    span_distance,
    sphere,
)
from torch import nn

from learnedmanifolds.diffusion import DiffusionMap, SpectralNet
from learnedmanifolds.diffusion.spectral_training import SpectralTraining, orthonormalize


@pytest.mark.parametrize(
    ("x", "count"), [(random_circle(1500), 4), (flat_torus(1500), 4), (sphere(1000), 3)]
)
def test_spans_the_exact_eigenfunctions(x, count):
    exact = DiffusionMap(count).fit(x)
    learned = SpectralNet(count, max_steps=400, random_state=0).fit(x)
    root = np.sqrt(exact.graph_.stationary)[:, None]
    assert span_distance(root * exact.embedding_.numpy(), root * learned.embedding_.numpy()) < 0.01
    assert learned.epsilon_ == exact.epsilon_
    # Values of Rayleigh and Ritz are from below.
    difference = exact.eigenvalues_ - learned.eigenvalues_
    assert float(difference.min()) > -1e-9
    assert float((difference / (1 - exact.eigenvalues_)).max()) < 0.02


@pytest.fixture(scope="module")
def uneven():
    angle = dense_angles(800, 0.6)
    return angle, SpectralNet(2, epsilon=0.005, t=0, max_steps=300, random_state=0).fit(
        on_circle(angle)
    )


def test_density_is_removed(uneven):
    _, fitted = uneven
    assert fitted.laplacian_eigenvalues_.numpy() == pytest.approx(1, abs=0.02)


def test_functions_are_orthonormal_and_without_the_constant(uneven):
    angle, fitted = uneven
    # The stationary law of alpha = 1 is that of arc length.
    length = np.gradient(np.append(angle, angle[0] + 2 * math.pi))[:-1]
    law = torch.from_numpy(length / length.sum())[:, None]
    f = fitted.embedding_
    assert (law * f).sum(0).numpy() == pytest.approx(0, abs=0.02)
    assert (f.mT @ (law * f)).numpy() == pytest.approx(np.eye(2), abs=0.02)


def test_new_points_of_the_circle(uneven):
    angle, fitted = uneven
    new = 2 * math.pi * np.random.default_rng(0).random(300)
    turn = np.linalg.lstsq(on_circle(angle), fitted.embedding_.numpy(), rcond=None)[0]
    assert turn.T @ turn == pytest.approx(2 * np.eye(2), abs=0.05)
    assert fitted.transform(on_circle(new)).numpy() == pytest.approx(
        on_circle(new) @ turn, abs=0.05
    )


def test_network_is_differentiable_and_the_map_itself(uneven):
    angle, fitted = uneven
    x = torch.from_numpy(on_circle(angle[:50])).requires_grad_()
    psi = fitted.network_(x)
    assert torch.equal(psi.detach(), fitted.transform(x))
    psi.sum().backward()
    # Of mean square 1 along the circle, and constant in no direction along it.
    tangent = torch.stack([-x[:, 1], x[:, 0]], 1).detach()
    slope = torch.func.jvp(fitted.network_, (x.detach(),), (tangent,))[1]
    assert slope.square().sum(1).numpy() == pytest.approx(2, rel=0.1)
    assert not any(p.requires_grad for p in fitted.network_.parameters())


def test_time_scales_the_coordinates():
    x = random_circle(200)
    early, late = (SpectralNet(2, t=t, max_steps=50, random_state=0).fit(x) for t in (0, 3))
    assert torch.allclose(late.embedding_, early.embedding_ * early.eigenvalues_**3, atol=1e-9)


def test_same_seed_same_bits_and_the_global_generator_is_left_alone():
    x = random_circle(200).astype(np.float32)
    before = torch.get_rng_state()
    first, second, other = (
        SpectralNet(2, max_steps=60, random_state=seed).fit(x) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.embedding_, second.embedding_)
    assert not torch.equal(first.embedding_, other.embedding_)
    assert first.embedding_.dtype == torch.float32
    assert span_distance(first.embedding_, other.embedding_) < 0.01


def test_interrupted_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    x = random_circle(200)
    options = {"max_steps": 150, "random_state": 0}
    whole = SpectralNet(2, **options).fit(x)
    edges = SpectralTraining.edges

    def fails(self, step):
        if step == 120:
            raise KeyError("interrupted")
        return edges(self, step)

    monkeypatch.setattr(SpectralTraining, "edges", fails)
    with pytest.raises(KeyError):
        SpectralNet(2, checkpoint_dir=tmp_path, **options).fit(x)
    monkeypatch.setattr(SpectralTraining, "edges", edges)
    resumed = SpectralNet(2, checkpoint_dir=tmp_path, **options).fit(x)
    assert torch.equal(resumed.embedding_, whole.embedding_)
    assert resumed.history_ == whole.history_


def test_images_go_through_convolutions():
    angle = 2 * math.pi * np.random.default_rng(0).random(100)
    grid = np.linspace(-1, 1, 16)
    center = 0.5 * on_circle(angle)
    square = (grid[None, None, :] - center[:, :1, None]) ** 2
    square = square + (grid[None, :, None] - center[:, 1:, None]) ** 2
    images = np.exp(-square / 0.1)[:, None].astype(np.float32)
    fitted = SpectralNet(2, max_steps=60, batch_size=64, random_state=0).fit(images)
    assert any(isinstance(layer, nn.Conv2d) for layer in fitted.network_.modules())
    exact = DiffusionMap(2).fit(images)
    assert span_distance(fitted.embedding_, exact.embedding_) < 0.02


def training(x, graph, network, **options):
    settings = {"batch_size": 200_000, "learning_rate": 1e-3, "max_steps": 10, "seed": 0} | options
    return SpectralTraining(network, x, graph.weights, **settings)


def test_edges_are_drawn_by_weight():
    graph = DiffusionMap(2, epsilon=0.05).fit(sphere(60)).graph_
    first, second = training(torch.zeros(60, 1), graph, nn.Identity()).edges(0)
    counts = np.zeros((60, 60))
    np.add.at(counts, (first.numpy(), second.numpy()), 1)
    expected = graph.weights.toarray()
    expected *= counts.sum() / expected.sum()
    held = expected > 5
    assert not counts[expected == 0].any()
    deviation = ((counts - expected)[held] ** 2 / expected[held]).mean()
    assert deviation == pytest.approx(1, abs=5 * math.sqrt(2 / held.sum()))


def test_loss_of_the_exact_eigenfunctions():
    exact = DiffusionMap(4, epsilon=0.05, t=0).fit(sphere(300))
    table = nn.Embedding.from_pretrained(exact.embedding_)
    index = nn.Sequential(table, nn.Flatten())
    module = training(torch.arange(300)[:, None], exact.graph_, index, batch_size=400_000)
    module.trainer = None
    loss = float(_loss(module))
    assert loss == pytest.approx(float((1 - exact.eigenvalues_).sum()), rel=0.01)


def _loss(module):
    first, second = module.edges(0)
    f = orthonormalize(module.network(module._x[torch.cat([first, second])]))
    near, far = f.split(len(first))
    return (near - far).square().sum(1).mean() / 2


def test_orthonormal_layer():
    values = torch.randn(500, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixed = values @ torch.diag(torch.tensor([1.0, 10, 0.1, 3, 7], dtype=torch.float64)) + 4
    f = orthonormalize(mixed)
    assert f.mean(0).numpy() == pytest.approx(0, abs=1e-12)
    assert (f.mT @ f / 500).numpy() == pytest.approx(np.eye(5), abs=0.01)
    assert span_distance(f, mixed - mixed.mean(0)) < 1e-12


def test_divergence_is_reported():
    with pytest.raises(RuntimeError, match="diverged at step"):
        SpectralNet(2, learning_rate=1e30, max_steps=50, random_state=0).fit(random_circle(50))
