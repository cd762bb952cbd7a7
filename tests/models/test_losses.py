import math

import pytest
import torch
from kernel_atlases import kernel_atlas

from learnedmanifolds.charts import LiftedCharts
from learnedmanifolds.models.losses import (
    consensus_loss,
    lipschitz_loss,
    mixture_loss,
    negative_elbo,
    overlap_weights,
)


@pytest.fixture(scope="module")
def charts():
    """Two halves of a sphere, with flows of random weights."""
    start = kernel_atlas("sphere").charts
    family = LiftedCharts(start, torch.eye(3).repeat(2, 1, 1), hidden=8, n_blocks=2).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in family.parameters():
        parameter.data = 0.3 * torch.randn(
            parameter.shape, generator=generator, dtype=torch.float64
        )
    return family.requires_grad_(False)


def none(points):
    return torch.zeros(2, points, 2, dtype=torch.float64)


def test_the_bound_of_points_on_a_chart_is_their_latent_density(charts):
    generator = torch.Generator().manual_seed(3)
    t = 2 * torch.rand(2, 500, 2, generator=generator).double() - 1
    loss, again = negative_elbo(charts, charts.decode(t), 0.1, none(500))
    torch.testing.assert_close(again, charts.decode(t))
    inside = charts.domain.depth(t)
    # Even within a domain, and ever less from its shell on.
    assert bool((loss[inside > 0.2].abs() < 1e-9).all())
    assert bool((loss[inside < 0].diff() != 0).all()) and float(loss[inside < 0].min()) > 1


def test_error_of_the_bound_scales_with_the_noise(charts):
    x = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    a, again = negative_elbo(charts, x, 0.1, none(20))
    b, _ = negative_elbo(charts, x, 0.2, none(20))
    square = (again - x).square().sum(-1)
    assert torch.allclose(a - b, square * (1 / 0.02 - 1 / 0.08))


def test_mixture_loss_is_bounded_by_the_log_likelihood_and_tight_for_one_chart():
    losses = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)).double()
    log_weights = torch.log_softmax(torch.randn(4).double(), 0)
    loss, beta = mixture_loss(losses, log_weights)
    likelihood = -torch.logsumexp(log_weights.unsqueeze(1) - losses, 0).mean()
    assert torch.allclose(beta.sum(0), torch.ones(50).double())
    assert float(likelihood) <= float(loss) <= float(likelihood) + math.log(4)
    alone, _ = mixture_loss(losses[:1], torch.zeros(1).double())
    assert float(alone) == pytest.approx(float(losses[0].mean()))


def test_lipschitz_loss_of_an_isometry():
    # An untrained flow is the identity, so each step is as long as its noise.
    start = kernel_atlas("sphere").charts
    family = LiftedCharts(start, torch.eye(3).repeat(2, 1, 1)).double().requires_grad_(False)
    noise = 0.01 * torch.randn(2, 4000, 2, generator=torch.Generator().manual_seed(0)).double()
    loss = lipschitz_loss(family, torch.zeros_like(noise), noise, noise_std=0.1)
    # Two dimensions of variance 0.01^2; relative standard error 1 / sqrt(8000).
    assert float(loss) == pytest.approx(2 * 0.01**2 / 0.1**2, rel=0.05)


def test_overlap_weights_widen_the_claims(charts):
    generator = torch.Generator().manual_seed(2)
    x = charts.decode(2 * torch.rand(2, 300, 2, generator=generator).double() - 1).flatten(0, 1)
    log_weights = torch.full((2,), math.log(1 / 2)).double()
    losses, _ = negative_elbo(charts, x, 0.1, none(600))
    plain = torch.softmax(log_weights.unsqueeze(1) - losses, 0)
    wide = overlap_weights(charts, x, log_weights, 0.1, 1.5)
    assert torch.allclose(wide.sum(0), torch.ones(600).double())
    entropy = -(wide * wide.clamp(min=1e-30).log()).sum(0).mean()
    assert entropy > -(plain * plain.clamp(min=1e-30).log()).sum(0).mean()
    same = overlap_weights(charts, x, log_weights, 0.1, 1.0)
    assert torch.allclose(same, plain)


def test_consensus_vanishes_for_agreeing_charts_and_pulls_both_together():
    points = torch.zeros(2, 1, 3).double()
    weights = torch.full((2, 1), 0.5).double()
    assert float(consensus_loss(points, weights, 1.0)) == 0
    points[1, 0, 0] = 1.0
    points.requires_grad_()
    consensus_loss(points, weights, 1.0).backward()
    assert points.grad[0, 0, 0] < 0 < points.grad[1, 0, 0]
