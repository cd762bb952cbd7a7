"""Losses of the mixture of variational autoencoders, per chart and per point.

Source: Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, section 3. All are evaluated
for the K charts in one batched call; points are (N, n) or (K, N, n), results (K, N), in nats.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from learnedmanifolds.charts.learned import LearnedCharts

LATENT_NOISE = 0.01
"""Standard deviation sigma_z of the encoder's noise (the published value)."""

LEAST_STRETCH = 0.2
"""Smallest stretch of a chart's box, relative to the chart's size, that costs nothing."""


def negative_elbo(
    charts: LearnedCharts, x: Tensor, noise_std: float, latent_noise: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Minus the evidence lower bound up to a constant, (K, N), and the reconstructions (K, N, n).

    |x - D(z)|^2 / (2 sigma_x^2) - log q(T^-1 z) - log |det DT^-1(z)|, z = E(x) + sigma_z eps.

    Parameters
    ----------
    charts : LearnedCharts
    x : Tensor, shape (N, n) or (K, N, n)
    noise_std : float
        sigma_x, in the units of x.
    latent_noise : Tensor, shape (K, N, d), or None
        eps; None for the deterministic value that queries use.
    """
    z = charts.encode_base(x)
    if latent_noise is not None:
        z = z + LATENT_NOISE * latent_noise
    reconstruction = charts.decode_base(z)
    error = (x - reconstruction).square().sum(-1) / (2 * noise_std**2)
    return error - charts.base_prior(z)[0], reconstruction


def evidence_lower_bound(charts: LearnedCharts, x: Tensor, noise_std: float) -> Tensor:
    """The evidence lower bound of every chart with all its constants, (K, N), in nats.

    E log p(x | z) + log p(z) - log q(z | x) with z = E(x) + sigma_z eps. The expectation over eps
    is by the spherical cubature of degree 3, so the value is deterministic.
    """
    d, n = charts.dim, x.shape[-1]
    z = charts.encode_base(x)
    total = torch.zeros(z.shape[:-1], dtype=x.dtype, device=x.device)
    for node in math.sqrt(d) * LATENT_NOISE * torch.eye(d, dtype=x.dtype, device=x.device):
        for at in (z + node, z - node):
            error = (x - charts.decode_base(at)).square().sum(-1) / (2 * noise_std**2)
            total += charts.base_prior(at)[0] - error
    gaussian = -0.5 * n * math.log(2 * math.pi * noise_std**2)
    entropy = 0.5 * d * math.log(2 * math.pi * math.e * LATENT_NOISE**2)
    return total / (2 * d) + gaussian + entropy


def mixture_loss(losses: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over points of sum_k beta_k (loss_k - log alpha_k), and the responsibilities (K, N).

    beta = softmax_k(log alpha_k - loss_k); the gradient passes through beta too.
    """
    costs = losses - log_weights.unsqueeze(-1)
    responsibilities = torch.softmax(-costs, dim=0)
    return (responsibilities * costs).sum(0).mean(), responsibilities


def lipschitz_loss(charts: LearnedCharts, t: Tensor, noise: Tensor, noise_std: float) -> Tensor:
    """Mean of |D(t) - D(t + sigma_z eps)|^2 / sigma_x^2 over t and charts; t, eps (K, N, d)."""
    step = charts.decode_base(t) - charts.decode_base(t + LATENT_NOISE * noise)
    return step.square().sum(-1).mean() / noise_std**2


def consensus_loss(reconstructions: Tensor, weights: Tensor, noise_std: float) -> Tensor:
    """Disagreement of the charts that share a point: sum_k w_k |x_k - mean|^2 / (2 sigma_x^2).

    The mean over charts is held constant, so that each chart moves toward it.
    """
    mean = (weights.unsqueeze(-1) * reconstructions).sum(0).detach()
    square = (reconstructions - mean).square().sum(-1)
    return (weights * square).sum(0).mean() / (2 * noise_std**2)


def squeeze_loss(x: Tensor, y: Tensor, s: Tensor, t: Tensor, length: Tensor) -> Tensor:
    """Mean square by which the logarithm of a stretch is below that of `LEAST_STRETCH`.

    The stretch is |x - y| / (length |s - t|) of points x, y (K, N, n) with coordinates s, t
    (K, N, d); length, (K, 1, 1), is that of a unit of the coordinates. Without it, a part of a box
    that holds no data may collapse onto a ribbon of the manifold.
    """
    gap = (x - y).square().sum(-1) / (length[..., 0] ** 2 * (s - t).square().sum(-1))
    return 0.25 * (math.log(LEAST_STRETCH**2) - (gap + 1e-12).log()).clamp(min=0).square().mean()


@torch.no_grad()
def overlap_weights(
    charts: LearnedCharts, x: Tensor, log_weights: Tensor, noise_std: float, factor: float
) -> Tensor:
    """Responsibilities with every chart's claim widened in turn, (K, N).

    For one chart at a time its latent coordinate is shrunk by 1 / factor, so that it claims a wider
    region; the maximum over these K distributions is renormalised.
    """
    z = charts.encode_base(x)
    error = (x - charts.decode_base(z)).square().sum(-1) / (2 * noise_std**2)
    prior, t = charts.base_prior(z)
    # The flow's determinant stays: only the latent density sees the shrunk coordinate.
    log_det = prior - charts.density.log_prob(t)
    logits = log_weights.unsqueeze(-1) + prior - error
    wide = log_weights.unsqueeze(-1) + charts.density.log_prob(t / factor) + log_det - error
    best = torch.softmax(logits, dim=0)
    for k in range(charts.n_charts):
        shifted = logits.clone()
        shifted[k] = wide[k]
        best = torch.maximum(best, torch.softmax(shifted, dim=0))
    return best / best.sum(0, keepdim=True)
