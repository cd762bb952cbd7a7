"""Images of one rigid body in every orientation: a manifold with the topology of SO(3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, generator, integer

# Centres, radii and grey values of the balls that make the body: no rotation maps it to itself.
_CENTERS = (
    (0.0, 0.0, 0.0),
    (0.62, 0.0, 0.0),
    (-0.1, 0.55, 0.1),
    (0.0, -0.2, -0.6),
    (0.3, 0.35, 0.45),
)
_RADII = (0.36, 0.24, 0.3, 0.26, 0.2)
_GREYS = (0.15, 0.75, 0.35, 0.6, 0.5)

_DEPTH = 0.1
"""Depth, in units of the body, over which a nearer ball hides a farther one."""


class Solid:
    """Grey images (1, S, S) in [0, 1] of a body of five balls, seen from the front.

    The view is parallel, along the third axis, of the square [-1, 1]^2; nearer balls hide farther
    ones and are brighter, with edges smoothed over a pixel, so that an image is a smooth function
    of the rotation, and no two rotations give the same one.

    Parameters
    ----------
    size : int
        Side S in pixels, at least 8.

    Raises
    ------
    TypeError, ValueError
        If the size is not an integer of at least 8.
    """

    def __init__(self, size: int = 32) -> None:
        self.size = integer(size, "size", minimum=8)

    def __repr__(self) -> str:
        return f"Solid(size={self.size})"

    @property
    def ambient_shape(self) -> tuple[int, int, int]:
        """Shape of an image, (1, S, S)."""
        return 1, self.size, self.size

    def render(self, rotations: ArrayLike) -> Tensor:
        """Images (n, 1, S, S) of the body turned by rotation matrices (n, 3, 3).

        Raises
        ------
        TypeError, ValueError
            If the matrices are not rotations up to 1e-4.
        """
        r = as_tensor(rotations, "rotations", shape=(None, 3, 3))
        r = r if r.is_floating_point() else r.float()
        eye = torch.eye(3, dtype=r.dtype, device=r.device)
        off = (r @ r.mT - eye).abs().amax((-1, -2))
        if len(r) and not bool((off < 1e-4).all() and (torch.linalg.det(r) > 0).all()):
            raise ValueError(
                f"rotations must be orthogonal with determinant 1, got matrices off by up to "
                f"{float(off.max()):.3g}."
            )
        centers, radii, greys = (
            torch.tensor(part, dtype=r.dtype, device=r.device)
            for part in (_CENTERS, _RADII, _GREYS)
        )
        x, y, z = (centers @ r.mT).unsqueeze(-1).unsqueeze(-1).unbind(2)
        pixel = 2 / self.size
        side = (torch.arange(self.size, dtype=r.dtype, device=r.device) + 0.5) * pixel - 1
        square = (side - x).square() + (-side.unsqueeze(-1) - y).square()
        radius = radii.view(-1, 1, 1)
        # The distance to the edge, nearly; smooth at the middle of a ball too.
        cover = torch.sigmoid((radius**2 - square) / (radius * pixel))
        front = z + radius * (1 - square / radius**2).clamp(min=0)
        weight = cover * (front / _DEPTH).exp()
        value = greys.view(-1, 1, 1) * (1 + 0.45 * z)
        shown = (weight * value).sum(1) / weight.sum(1)
        return (shown * (1 - (1 - cover).prod(1))).clamp(0, 1).unsqueeze(1)

    def sample_rotations(
        self, n: int, seed: int | None = None, axis: ArrayLike | None = None
    ) -> Tensor:
        """Uniform rotations (n, 3, 3): all of SO(3), or those about an axis (3,)."""
        count, source = integer(n, "n", minimum=1), generator(seed)
        if axis is None:
            q = torch.randn(count, 4, generator=source, dtype=torch.float32)
            q = q / q.norm(dim=-1, keepdim=True)
        else:
            direction = as_tensor(axis, "axis", shape=(3,)).float()
            if float(direction.norm()) == 0:
                raise ValueError("axis must not be zero, got [0, 0, 0].")
            half = math.pi * torch.rand(count, 1, generator=source, dtype=torch.float32)
            q = torch.cat([half.cos(), half.sin() * direction / direction.norm()], dim=-1)
        w, v = q[:, :1, None], q[:, 1:]
        cross = torch.linalg.cross(
            torch.eye(3, dtype=v.dtype).expand(count, 3, 3), v.unsqueeze(1), dim=-1
        )
        outer = v.unsqueeze(-1) * v.unsqueeze(-2)
        square = v.square().sum(-1).view(-1, 1, 1)
        return (w.square() - square) * torch.eye(3, dtype=v.dtype) + 2 * outer + 2 * w * cross

    def sample(self, n: int, seed: int | None = None, axis: ArrayLike | None = None) -> Tensor:
        """Images (n, 1, S, S), float32, of uniform rotations, see `sample_rotations`."""
        return self.render(self.sample_rotations(n, seed, axis))
