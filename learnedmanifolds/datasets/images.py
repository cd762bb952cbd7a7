"""Manifolds of images that are drawn on the fly: a turning bar, two balls."""

from __future__ import annotations

import abc
import math
from typing import ClassVar, final

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, generator, integer

_PUBLISHED_SIZE = 128
"""Side, in pixels, of the published images; lengths are in their pixels, at any resolution."""

_GREY_LEVELS = 255


class ImageManifold(abc.ABC):
    """A family of grey images (1, S, S) with values in [0, 1], drawn from few parameters.

    Edges are smoothed over one pixel, by the share of the pixel that is covered, so that an image
    depends continuously on its parameters at every resolution. Lengths are in pixels of a side of
    128, and scale with the size.

    Parameters
    ----------
    size : int
        Side S in pixels, at least 8.
    smooth : bool
        False gives sharp edges, as in the published images: a pixel is inside if its centre is.

    Raises
    ------
    TypeError, ValueError
        If the size is not an integer of at least 8.
    """

    name: ClassVar[str]
    dim: ClassVar[int]
    n_parameters: ClassVar[int]

    def __init__(self, size: int = _PUBLISHED_SIZE, *, smooth: bool = True) -> None:
        self.size = integer(size, "size", minimum=8)
        self.smooth = bool(smooth)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, smooth={self.smooth})"

    @property
    def ambient_shape(self) -> tuple[int, int, int]:
        """Shape of an image, (1, S, S)."""
        return 1, self.size, self.size

    @abc.abstractmethod
    def sample_parameters(self, n: int, seed: int | None = None) -> Tensor:
        """Random parameters, (n, n_parameters)."""

    @abc.abstractmethod
    def _draw(self, parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Images (n, S, S) at pixel centres x (S,) to the right and y (S, 1) up, from the middle."""

    def render(self, parameters: ArrayLike) -> Tensor:
        """Images (n, 1, S, S) of parameters (n, n_parameters)."""
        given = as_tensor(parameters, "parameters", shape=(None, self.n_parameters))
        given = given if given.is_floating_point() else given.float()
        offset = torch.arange(self.size, dtype=given.dtype, device=given.device) + 0.5
        offset = offset * (_PUBLISHED_SIZE / self.size) - _PUBLISHED_SIZE / 2
        return self._draw(given, offset, -offset.unsqueeze(-1)).unsqueeze(1)

    def sample(self, n: int, seed: int | None = None, *, dequantise: bool = False) -> Tensor:
        """Random images, float32.

        Parameters
        ----------
        n : int
        seed : int, optional
            Different seeds, different images; fresh entropy by default.
        dequantise : bool
            Whether grey values are rounded down to 1/255 and uniform noise of that size is added, as
            for the published models.

        Returns
        -------
        Tensor, shape (n, 1, S, S)
        """
        images = self.render(self.sample_parameters(n, seed))
        if dequantise:
            source = generator(None if seed is None else seed + 2**62)
            noise = torch.rand(images.shape, generator=source, dtype=images.dtype)
            images = ((images * _GREY_LEVELS).floor() + noise) / (_GREY_LEVELS + 1)
        return images

    def _coverage(self, depth: Tensor) -> Tensor:
        """Share of a pixel that is inside an edge at a depth of its centre."""
        if not self.smooth:
            return (depth >= 0).to(depth.dtype)
        return (depth * (self.size / _PUBLISHED_SIZE) + 0.5).clamp(0, 1)


@final
class Bars(ImageManifold):
    """One bar of 50 x 10 and value 0.75 on a ground of 0.5, centred, at any angle.

    The parameter is the angle in radians; turning by pi gives the same image, so the manifold is a
    circle.

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, section 5.1.
    """

    name: ClassVar[str] = "bars"
    dim: ClassVar[int] = 1
    n_parameters: ClassVar[int] = 1

    length: ClassVar[float] = 50.0
    width: ClassVar[float] = 10.0
    ground: ClassVar[float] = 0.5
    value: ClassVar[float] = 0.75

    def sample_parameters(self, n: int, seed: int | None = None) -> Tensor:
        """Uniform angles in [0, pi), (n, 1)."""
        count = integer(n, "n", minimum=1)
        return math.pi * torch.rand(count, 1, generator=generator(seed), dtype=torch.float32)

    def _draw(self, parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
        cos, sin = parameters.cos().unsqueeze(-1), parameters.sin().unsqueeze(-1)
        along, across = (cos * x + sin * y).abs(), (cos * y - sin * x).abs()
        inside = self._coverage(self.length / 2 - along)
        inside = inside * self._coverage(self.width / 2 - across)
        return self.ground + (self.value - self.ground) * inside


@final
class Balls(ImageManifold):
    """Two separate discs of conductivity 1.5 on a ground of 1, as grey values.

    Parameters are x, y and radius of the one and of the other disc, from the middle of the image, x
    to the right and y up; the discs may be swapped. Radii are uniform in [12, 25], centres at a
    uniform angle and a uniform distance in [0, 45]; discs that come within 62 of the middle's border
    circle or within 6 of each other are drawn again. Grey is (conductivity - 0.2) / 1.6.

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, section 5.2.
    """

    name: ClassVar[str] = "balls"
    dim: ClassVar[int] = 6
    n_parameters: ClassVar[int] = 6

    radii: ClassVar[tuple[float, float]] = (12.0, 25.0)
    largest_distance: ClassVar[float] = 45.0
    border: ClassVar[float] = 62.0
    gap: ClassVar[float] = 6.0
    ground: ClassVar[float] = 0.5
    value: ClassVar[float] = 0.8125

    conductivity_scale: ClassVar[float] = 1.6
    conductivity_offset: ClassVar[float] = 0.2

    def sample_parameters(self, n: int, seed: int | None = None) -> Tensor:
        """Parameters of allowed pairs of discs, (n, 6)."""
        count, source = integer(n, "n", minimum=1), generator(seed)
        found: list[Tensor] = []
        while sum(map(len, found)) < count:
            draw = torch.rand(2 * count + 16, 2, 3, generator=source, dtype=torch.float32)
            angle, distance = 2 * math.pi * draw[..., 0], self.largest_distance * draw[..., 1]
            radius = self.radii[0] + (self.radii[1] - self.radii[0]) * draw[..., 2]
            center = distance.unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], dim=-1)
            apart = (center[:, 0] - center[:, 1]).norm(dim=-1) - radius.sum(-1)
            allowed = (distance + radius < self.border).all(-1) & (apart > self.gap)
            discs = torch.cat([center, radius.unsqueeze(-1)], dim=-1)
            found.append(discs[allowed].flatten(1))
        return torch.cat(found)[:count]

    def _draw(self, parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
        inside = torch.zeros((), dtype=x.dtype)
        for disc in parameters.unflatten(1, (2, 3)).unbind(1):
            cx, cy, radius = disc.unsqueeze(-1).unsqueeze(-1).unbind(1)
            distance = ((x - cx).square() + (y - cy).square()).sqrt()
            inside = inside + self._coverage(radius - distance)
        return self.ground + (self.value - self.ground) * inside


def bars(n: int, size: int = _PUBLISHED_SIZE, seed: int | None = None) -> Tensor:
    """Random images of `Bars`, (n, 1, size, size)."""
    return Bars(size).sample(n, seed)


def balls(n: int, size: int = _PUBLISHED_SIZE, seed: int | None = None) -> Tensor:
    """Random images of `Balls`, (n, 1, size, size)."""
    return Balls(size).sample(n, seed)


IMAGES: dict[str, type[ImageManifold]] = {"bars": Bars, "balls": Balls}
"""The image manifolds by name."""
