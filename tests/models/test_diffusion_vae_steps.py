"""Prior laws of steps in diffusion space, against their definitions and the circle's own diffusion."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

import learnedmanifolds as lm
from learnedmanifolds.diffusion import DiffusionMap
from learnedmanifolds.models.diffusion_vae_network import local_scale
from learnedmanifolds.models.diffusion_vae_steps import DiffusionSteps, NeighbourSteps


def even_circle(n):
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return torch.stack([angle.cos(), angle.sin()], 1)


@pytest.mark.parametrize("steps", [1, 7, 30])
def test_a_step_of_the_diffusion_on_the_circle(steps):
    """With lambda_2 of the second harmonic: mean lambda_1^s psi, and second moments known in closed form.

    psi psi^T is |psi|^2 I / 2 and a part of the second harmonic, so that along psi the covariance is
    |psi|^2 (1/2 + lambda_2^s / 2 - lambda_1^2s), across it |psi|^2 (1/2 - lambda_2^s / 2).
    """
    x = even_circle(400)
    found = DiffusionMap(4, epsilon=0.01).fit(x)
    first, second = (float(found.eigenvalues_[k]) ** steps for k in (0, 2))
    psi = found.embedding_[:, :2]
    rule = DiffusionSteps(
        found.graph_, x.numpy().mean(0), psi, found.eigenvalues_[:2], steps, 1e-12
    )
    law = rule.law(None, psi)
    torch.testing.assert_close(law.mean, first * psi)
    square = psi.square().sum(1)
    along = psi / square.sqrt().unsqueeze(1)
    across = torch.stack([-along[:, 1], along[:, 0]], 1)
    for direction, share in (
        (along, 0.5 + 0.5 * second - first**2),
        (across, 0.5 - 0.5 * second),
    ):
        value = torch.einsum("na,nab,nb->n", direction, law.covariance, direction)
        torch.testing.assert_close(value, share * square, rtol=1e-6, atol=1e-9)
    mixed = torch.einsum("na,nab,nb->n", along, law.covariance, across)
    assert float(mixed.abs().max()) < 1e-9
    # New data at the old ones have the same law.
    torch.testing.assert_close(rule.law(x[:9], psi[:9]).covariance, law.covariance[:9])


def test_neighbours_are_others_and_their_covariance_is_centred():
    psi = torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    law = NeighbourSteps(psi, 8, 2.5, 0.2).law(None, psi)
    torch.testing.assert_close(law.mean, psi)
    for i in (0, 17, 59):
        near = torch.cdist(psi[i : i + 1], psi)[0].argsort()[1:9]
        own = 2.5 * torch.from_numpy(np.cov(psi[near].T.numpy(), bias=True))
        extra = law.covariance[i] - own
        # What is added is a multiple of the identity, a fifth of the mean variance and little more.
        torch.testing.assert_close(extra, extra[0, 0] * torch.eye(3, dtype=extra.dtype))
        assert 0.2 < float(extra[0, 0] / own.diagonal().mean()) < 0.201


def test_inverse_of_a_law():
    psi = torch.randn(60, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    law = NeighbourSteps(psi, 8, 1.0, 0.1).law(None, psi)
    precision, log_det = law.inverse()
    torch.testing.assert_close(
        precision @ law.covariance, torch.eye(3, dtype=psi.dtype).expand(60, 3, 3)
    )
    torch.testing.assert_close(log_det, torch.logdet(law.covariance))


@pytest.mark.parametrize("factor", [1e-3, 1.0, 250.0])
def test_scale_makes_ways_as_long_as_in_the_data(factor):
    x = even_circle(500)
    isometric = factor * x
    assert local_scale(isometric, x) == pytest.approx(1 / factor)
    assert local_scale(isometric, 3 * x) == pytest.approx(3 / factor)


def test_a_fitted_model_keeps_lengths():
    x = 40 * even_circle(500)
    model = lm.DiffusionVAE(2, max_steps=2, hidden=(4,), random_state=0).fit(x)
    psi = model.transform(x)
    near = (psi.roll(1, 0) - psi).norm(dim=1) / (x.roll(1, 0) - x).norm(dim=1)
    torch.testing.assert_close(near, torch.ones_like(near), rtol=0.02, atol=0)


def test_steps_among_neighbours_settle_where_data_are_dense():
    """On a circle of density q the walk's is q^2: the statistic's error rate is 1e-4 at 0.025."""
    n, walkers = 3000, 8000
    shares = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    grid = torch.linspace(0, 2 * math.pi, 200_001, dtype=torch.float64)
    passed = (grid + 0.5 * grid.sin()) / (2 * math.pi)
    angle = torch.from_numpy(np.interp(shares, passed, grid))
    psi = torch.stack([angle.cos(), angle.sin()], 1)
    root = torch.linalg.cholesky(NeighbourSteps(psi, 150, 1.0, 1e-6).law(None, psi).covariance)
    source, borders = torch.Generator().manual_seed(0), (angle[1:] + angle[:-1]) / 2
    at = torch.randint(n, (walkers,), generator=source)
    for _ in range(1200):
        noise = torch.randn(walkers, 2, 1, generator=source, dtype=torch.float64)
        y = psi[at] + (root[at] @ noise).squeeze(-1)
        # On a circle the nearest point is that of the nearest angle.
        at = torch.searchsorted(borders, torch.atan2(y[:, 1], y[:, 0]) % (2 * math.pi))
    ends = angle[at].numpy()

    def law(power):
        total = np.cumsum((1 + 0.5 * np.cos(grid.numpy())) ** power)
        return kstest(ends, lambda t: np.interp(t, grid.numpy(), total / total[-1])).statistic

    assert law(2) < 0.025
    assert min(law(1), law(3)) > 0.04
