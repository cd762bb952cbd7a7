"""Checks of what a `ManifoldVAE` is given: parameters, data, known latent points, networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from learnedmanifolds._check import (
    ArrayLike,
    Shape,
    as_tensor,
    integer,
    non_negative,
    positive,
    widths,
)
from learnedmanifolds._convert import to_tensor
from learnedmanifolds._random import seeded
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.models.vae_network import VAENetwork

if TYPE_CHECKING:
    from learnedmanifolds.models.manifold_vae import ManifoldVAE


def check_parameters(model: ManifoldVAE) -> None:
    """`TypeError` or `ValueError` if a parameter is out of range or of the wrong type."""
    if not isinstance(model.latent, LatentSpace):
        raise TypeError(f"latent must be a LatentSpace, got {type(model.latent).__name__}.")
    for name in ("n_starts", "start_epochs"):
        integer(getattr(model, name), name, minimum=1)
    if model.warmup is not None:
        integer(model.warmup, "warmup", minimum=0)
    for name in ("continuity_weight", "equivariance_weight", "guide_weight"):
        non_negative(getattr(model, name), name)
    if model.likelihood not in ("gaussian", "bernoulli"):
        raise ValueError(f"likelihood must be 'gaussian' or 'bernoulli', got {model.likelihood!r}.")
    if model.noise_std is not None:
        positive(model.noise_std, "noise_std")
        if model.likelihood == "bernoulli":
            raise ValueError("noise_std is of a Gaussian likelihood; Bernoulli has none.")
    if model.fourier_scale is not None:
        positive(model.fourier_scale, "fourier_scale")
    if model.binarize and model.likelihood != "bernoulli":
        raise ValueError("binarize needs likelihood='bernoulli'.")
    widths(model.hidden, "hidden", allow_empty=True)
    for name in ("encoder", "decoder"):
        module = getattr(model, name)
        if not isinstance(module, nn.Module | None):
            raise TypeError(f"{name} must be a torch module, got {type(module).__name__}.")
    if not (model.action is None or callable(model.action)):
        raise TypeError(f"action must be callable, got {type(model.action).__name__}.")


def data_tensor(x: ArrayLike, shape: Shape | None, bernoulli: bool) -> Tensor:
    """Data as a tensor of their own dtype; where they are probabilities, bools are 0 and 1."""
    given = to_tensor(x, "x")
    if bernoulli and given.dtype == torch.bool:
        given = given.to(torch.uint8)
    return as_tensor(given, "x", shape=shape)


def checked_data(model: ManifoldVAE, x: ArrayLike) -> Tensor:
    """Data (N, *ambient_shape), of their dtype; `TypeError` or `ValueError` if they do not suit."""
    shape = None if model.ambient_shape is None else (None, *model.ambient_shape)
    bernoulli = model.likelihood == "bernoulli"
    data = as_tensor(data_tensor(x, shape, bernoulli), "x", allow_empty=False).detach()
    if data.dim() < 2:
        raise ValueError(f"x must have shape (N, ...), got {tuple(data.shape)}.")
    if bernoulli and not bool(((data >= 0) & (data <= 1)).all()):
        raise ValueError(
            f"x must be in [0, 1] for a Bernoulli likelihood, got values from "
            f"{float(data.min()):.3g} to {float(data.max()):.3g}."
        )
    return data


def checked_guides(model: ManifoldVAE, y: ArrayLike, count: int) -> Tensor:
    """Latent points (count, *latent.shape), float32, rows of NaN where none is known."""
    given = to_tensor(y, "y").float()
    unknown = given.isnan()
    guides = as_tensor(given.masked_fill(unknown, 0), "y", shape=(count, *model.latent.shape))
    known = ~unknown.flatten(1).any(1)
    guides[~known] = torch.nan
    gap = (model.latent.project(guides[known]) - guides[known]).abs()
    if gap.numel() and float(gap.max()) > 1e-3:
        raise ValueError(
            f"y must be points of {model.latent!r} or rows of NaN, got points off by up to "
            f"{float(gap.max()):.3g}."
        )
    return guides


def held_out_count(model: ManifoldVAE, count: int) -> int:
    """How many of so many data points are held out; none without ``patience``."""
    if model.patience is None:
        return 0
    integer(model.patience, "patience", minimum=1)
    fraction = positive(model.validation_fraction, "validation_fraction")
    held_out = max(1, round(fraction * count))
    if held_out >= count:
        raise ValueError(
            f"validation_fraction must leave data to train on, got {fraction} of {count}."
        )
    return held_out


@torch.no_grad()
@seeded(0)
def check_networks(network: VAENetwork, x: Tensor) -> None:
    """`ValueError` if the encoder or the decoder does not fit data (N, *ambient_shape)."""
    latent, few, shape = network.latent, x[:2], tuple(x.shape[1:])
    out = network.encoder(few)
    if out.shape != (len(few), latent.n_parameters):
        raise ValueError(
            f"encoder must give {latent.n_parameters} numbers a point for {latent!r}, "
            f"got shape {tuple(out.shape)} for {len(few)} points."
        )
    back = network.decoder(x.new_zeros(2, latent.n_ambient))
    if back.shape[0] != 2 or back[0].numel() != math.prod(shape):
        raise ValueError(
            f"decoder must give points of shape {shape}, got {tuple(back.shape)} for two."
        )
