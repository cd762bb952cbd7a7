"""Decoders by group action: a learned spectrum of harmonics, turned by the latent rotation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnedmanifolds._check import integer
from learnedmanifolds.charts import taylor
from learnedmanifolds.charts.jet import JetRule
from learnedmanifolds.latent.rotations.wigner import push_wigner, wigner


class GroupAction(nn.Module):
    """x(R) = network(D^0(R) h_0, ..., D^L(R) h_L) with a learned spectrum h and Wigner's D^l.

    Without a network x is linear in the D^l: x(S R) is x(R) acted on by S, which also keeps |x|.

    Parameters
    ----------
    degree : int
        L.
    channels : int
        Number c of copies of every representation.
    network : nn.Module, optional
        Takes (..., (L + 1)^2 c), degrees one after another, channels the fastest.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    References
    ----------
    Falorsi et al., Explorations in homeomorphic variational auto-encoding, arXiv 1807.04689,
    section 4.
    """

    def __init__(self, degree: int, channels: int, network: nn.Module | None = None) -> None:
        super().__init__()
        self.degree = integer(degree, "degree", minimum=0)
        self.channels = integer(channels, "channels", minimum=1)
        if network is not None and not isinstance(network, nn.Module):
            raise TypeError(f"network must be an nn.Module or None, got {type(network).__name__}.")
        self.spectrum = nn.Parameter(torch.empty((degree + 1) ** 2, channels, dtype=torch.float32))
        self.network = network
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the spectrum anew."""
        nn.init.normal_(self.spectrum)

    @property
    def n_features(self) -> int:
        """Numbers that go into the network, (L + 1)^2 c."""
        return (self.degree + 1) ** 2 * self.channels

    def forward(self, rotation: Tensor) -> Tensor:
        """Images of rotations (..., 3, 3) or, flattened, (..., 9)."""
        if rotation.dim() and rotation.shape[-1] == 9:
            rotation = rotation.unflatten(-1, (3, 3))
        features = act(rotation, self.spectrum.to(rotation)).flatten(-2)
        return features if self.network is None else self.network(features)

    def can_push(self) -> bool:
        """Whether `push` works: whether it does through the network."""
        return self.network is None or taylor.can_push(self.network)

    def push(self, rows: Tensor, rule: JetRule) -> Tensor:
        """Rows of the images from those of flattened rotations, (..., R, N, 9); see `JetRule`."""
        turned = []
        spectrum = self.spectrum.to(rows)
        for spin, d in enumerate(push_wigner(rows, rule, self.degree)):
            size = 2 * spin + 1
            part = spectrum[spin**2 : (spin + 1) ** 2]
            turned.append((d.unflatten(-1, (size, size)) @ part).flatten(-2))
        features = torch.cat(turned, -1)
        if self.network is None:
            return features
        return taylor.push(self.network, features, rule, (self.n_features,))


def act(rotation: Tensor, spectrum: Tensor) -> Tensor:
    """Spectra ((L + 1)^2, c) turned by rotations (..., 3, 3), (..., (L + 1)^2, c)."""
    degree = round(len(spectrum) ** 0.5) - 1
    parts = spectrum.split([2 * spin + 1 for spin in range(degree + 1)])
    turned = [d @ part for d, part in zip(wigner(rotation, degree), parts, strict=True)]
    return torch.cat(turned, -2)
