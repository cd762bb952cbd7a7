"""Losses of the mixture of variational autoencoders, per chart and per point.

Source: Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, section 3. All are evaluated
for the K charts in one batched call; points are (N, n) or (K, N, n), results (K, N), in nats.
"""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.lifted import LiftedCharts

LATENT_NOISE = 0.01
"""Standard deviation sigma_z of the encoder's noise (the published value)."""


def negative_elbo(
    charts: LiftedCharts, x: Tensor, noise_std: float, latent_noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Minus the evidence lower bound up to a constant, (K, N), and the reconstructions (K, N, n).

    |x - D(t)|^2 / (2 sigma_x^2) - log q(t), t = E(x) + latent_noise, with q the charts' latent density.

    Parameters
    ----------
    charts : LiftedCharts
    x : Tensor, shape (N, n) or (K, N, n)
    noise_std : float
        sigma_x, in the units of x.
    latent_noise : Tensor, shape (K, N, d)
    """
    t = charts.left_inverse(x) + latent_noise
    reconstruction = charts.decode(t)
    error = (x - reconstruction).square().sum(-1) / (2 * noise_std**2)
    return error - charts.log_latent(t).to(error), reconstruction


def mixture_loss(losses: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over points of sum_k beta_k (loss_k - log alpha_k), and the responsibilities (K, N).

    beta = softmax_k(log alpha_k - loss_k); the gradient passes through beta too.
    """
    costs = losses - log_weights.unsqueeze(-1)
    responsibilities = torch.softmax(-costs, dim=0)
    return (responsibilities * costs).sum(0).mean(), responsibilities


def lipschitz_loss(
    charts: LiftedCharts, t: Tensor, latent_noise: Tensor, noise_std: float
) -> Tensor:
    """Mean of |D(t) - D(t + latent_noise)|^2 / sigma_x^2 over t (K, N, d) and charts."""
    step = charts.decode(t) - charts.decode(t + latent_noise)
    return step.square().sum(-1).mean() / noise_std**2


def consensus_loss(reconstructions: Tensor, weights: Tensor, noise_std: float) -> Tensor:
    """Disagreement of the charts that share a point: sum_k w_k |x_k - mean|^2 / (2 sigma_x^2).

    The mean over charts is held constant, so that each chart moves toward it.
    """
    mean = (weights.unsqueeze(-1) * reconstructions).sum(0).detach()
    square = (reconstructions - mean).square().sum(-1)
    return (weights * square).sum(0).mean() / (2 * noise_std**2)


@torch.no_grad()
def overlap_weights(
    charts: LiftedCharts, x: Tensor, log_weights: Tensor, noise_std: float, factor: float
) -> Tensor:
    """Responsibilities with every chart's claim widened in turn, (K, N).

    For one chart at a time its latent coordinate is shrunk by 1 / factor, so that it claims a wider
    region; the maximum over these K distributions is renormalised.
    """
    t = charts.left_inverse(x)
    error = (x - charts.decode(t)).square().sum(-1) / (2 * noise_std**2)
    logits = log_weights.unsqueeze(-1) + charts.log_latent(t).to(error) - error
    wide = log_weights.unsqueeze(-1) + charts.log_latent(t / factor).to(error) - error
    best = torch.softmax(logits, dim=0)
    for k in range(charts.n_charts):
        shifted = logits.clone()
        shifted[k] = wide[k]
        best = torch.maximum(best, torch.softmax(shifted, dim=0))
    return best / best.sum(0, keepdim=True)
