"""Maps of an encoder's outputs to rotations, smooth wherever the topology of SO(3) allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.latent._parameters import last_axis
from learnedmanifolds.latent.rotations.algebra import exp, from_quaternion, hat, normalised


def from_6d(parameters: Tensor) -> Tensor:
    """Rotations whose first two columns are those of (..., 6), made orthonormal (Gram-Schmidt).

    The only one of these maps with a continuous right inverse: an encoder that ends in another one
    has to jump somewhere on SO(3). Columns that vanish or are parallel are replaced.

    References
    ----------
    Zhou, Barnes, Lu, Yang, Li, On the continuity of rotation representations in neural networks,
    CVPR 2019, arXiv 1812.07035; Falorsi et al., arXiv 1807.04689 (there S^2 x S^2).
    """
    first, second = last_axis(parameters, "parameters", 6).split(3, -1)
    eye = torch.eye(3, dtype=parameters.dtype, device=parameters.device)
    one = normalised(first, eye[0])
    scaled = normalised(second, eye[1])
    # The axis farthest from the first column stands for a second one that is parallel to it.
    apart = eye[one.detach().abs().argmin(-1)]
    scaled = torch.where(_across(scaled, one).norm(dim=-1, keepdim=True) > _LEAST, scaled, apart)
    two = normalised(_across(scaled, one), eye[1])
    # Once more: the first time cancellation leaves a part along the first column.
    two = normalised(_across(two, one), eye[1])
    return torch.stack([one, two, torch.linalg.cross(one, two, dim=-1)], -1)


def from_axis_angle(parameters: Tensor) -> Tensor:
    """Rotations about axes (..., :3) by the angles of plane vectors (..., 3:), both of any length."""
    axis, plane = last_axis(parameters, "parameters", 5).split((3, 2), -1)
    eye = torch.eye(3, dtype=parameters.dtype, device=parameters.device)
    generator = hat(normalised(axis, eye[0]))
    cos, sin = normalised(plane, eye[0, :2])[..., None, None, :].unbind(-1)
    return eye + sin * generator + (1 - cos) * generator @ generator


def from_algebra(parameters: Tensor) -> Tensor:
    """Rotations of rotation vectors (..., 3) of any length, in radians."""
    return exp(last_axis(parameters, "parameters", 3))


class Mean(NamedTuple):
    """A map of ``n_parameters`` numbers to rotations, (..., n_parameters) -> (..., 3, 3)."""

    n_parameters: int
    function: Callable[[Tensor], Tensor]


MEANS = {
    "6d": Mean(6, from_6d),
    "quaternion": Mean(4, from_quaternion),
    "axis-angle": Mean(5, from_axis_angle),
    "algebra": Mean(3, from_algebra),
}
"""The maps by name."""

# Sine of the angle below which two columns count as parallel; far above rounding in float32.
_LEAST = 1e-5


def _across(vector: Tensor, unit: Tensor) -> Tensor:
    return vector - (vector * unit).sum(-1, keepdim=True) * unit
