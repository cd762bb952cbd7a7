"""Default encoders and decoders of `ManifoldVAE`: smooth, of layers that have exact jets."""

from __future__ import annotations

import itertools
import math

import torch
from torch import nn

from learnedmanifolds.training.fourier import FourierFeatures

_CHANNELS = (32, 64)
_COARSEST = 4


def default_encoder(
    ambient_shape: tuple[int, ...], n_outputs: int, hidden: tuple[int, ...]
) -> nn.Sequential:
    """Data (N, *ambient_shape) to real numbers (N, n_outputs); convolutions for (C, H, W)."""
    if not _convolves(ambient_shape):
        sizes = (math.prod(ambient_shape), *hidden, n_outputs)
        return nn.Sequential(nn.Flatten(), *_dense(sizes))
    layers: list[nn.Module] = []
    channels, height, width = ambient_shape
    for wider in _CHANNELS:
        layers += [
            nn.Conv2d(channels, wider, 4, stride=2, padding=1, dtype=torch.float32),
            nn.SiLU(),
        ]
        channels, height, width = wider, height // 2, width // 2
    sizes = (channels * height * width, hidden[-1], n_outputs)
    return nn.Sequential(*layers, nn.Flatten(), *_dense(sizes))


def default_decoder(
    n_inputs: int,
    ambient_shape: tuple[int, ...],
    hidden: tuple[int, ...],
    fourier_scale: float | None = None,
) -> nn.Sequential:
    """Real numbers (N, n_inputs) to data (N, *ambient_shape), the mirror of the encoder.

    With a ``fourier_scale`` the first layer is `FourierFeatures`.
    """
    back = tuple(reversed(hidden))
    if not _convolves(ambient_shape):
        sizes = (n_inputs, *back, math.prod(ambient_shape))
        return nn.Sequential(*_dense(sizes, fourier_scale), nn.Unflatten(1, ambient_shape))
    channels, height, width = ambient_shape
    scale = 2 ** len(_CHANNELS)
    coarse = (_CHANNELS[-1], height // scale, width // scale)
    dense = _dense((n_inputs, back[0], math.prod(coarse)), fourier_scale)
    layers = [*dense, nn.SiLU(), nn.Unflatten(1, coarse)]
    wide = [*reversed(_CHANNELS), channels]
    for i, (before, after) in enumerate(itertools.pairwise(wide)):
        layers.append(
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, dtype=torch.float32)
        )
        if i < len(wide) - 2:
            layers.append(nn.SiLU())
    return nn.Sequential(*layers)


def _convolves(shape: tuple[int, ...]) -> bool:
    scale = 2 ** len(_CHANNELS)
    sides = shape[1:]
    return len(shape) == 3 and all(s % scale == 0 and s // scale >= _COARSEST for s in sides)


def _dense(sizes: tuple[int, ...], fourier_scale: float | None = None) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after, dtype=torch.float32), nn.SiLU()]
    if fourier_scale is not None:
        layers[:2] = [FourierFeatures(sizes[0], sizes[1], fourier_scale)]
    return layers[:-1]
