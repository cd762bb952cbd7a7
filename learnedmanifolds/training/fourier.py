"""Random Fourier features whose frequencies are trained: a first layer for curved images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.jet import JetRule


class FourierFeatures(nn.Module):
    """sin(W z + b), (N, m) -> (N, n), with W normal of a given standard deviation and b uniform.

    A dense network fits low frequencies first; data that vary fast along Z, the pictures of a turning
    object, are learned sooner from these. The scale is about the inverse of the distance in Z over
    which the data change.

    Parameters
    ----------
    n_inputs, n_outputs : int
    scale : float
        Standard deviation of W, in inverse units of Z.

    References
    ----------
    Tancik et al., Fourier features let networks learn high frequency functions in low dimensional
    domains, 2020.
    """

    def __init__(self, n_inputs: int, n_outputs: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(n_outputs, n_inputs, dtype=torch.float32))
        self.bias = nn.Parameter(torch.empty(n_outputs, dtype=torch.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, from torch's generator."""
        nn.init.normal_(self.weight, 0, self.scale)
        nn.init.uniform_(self.bias, -math.pi, math.pi)

    def forward(self, z: Tensor) -> Tensor:
        """The features (..., n) of points (..., m)."""
        return nn.functional.linear(z, self.weight, self.bias).sin()

    def can_push(self) -> bool:
        """Its Taylor arithmetic is known."""
        return True

    def push(self, rows: Tensor, rule: JetRule) -> Tensor:
        """Rows (..., R, N, n) of the features from those of the points, (..., R, N, m)."""
        return rule.cos_sin(rule.shift(rows @ self.weight.mT, self.bias.unsqueeze(0)))[1]
