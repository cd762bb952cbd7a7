"""What an atlas knows of its data: their density along it, their noise around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from learnedmanifolds.atlas.density import Bumps, Density, learn_density
from learnedmanifolds.atlas.noise import NormalNoise
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located

# Points that tell the noise: so many, or numbers in them and their tangent spaces.
_POINTS, _NUMBERS, _FEWEST = 4096, 2**23, 128
# Points at a time: numbers in them, their tangent spaces, and directions of noise.
_AT_ONCE = 2**22
# Noise is no less than this part of what the atlas takes for it.
_FLOOR = 0.1
_LEAST_VOLUME = 1e-3
# Names of tensors in files, with their axes.
_SHAPES = {
    "density.chart": "A",
    "density.coords": "Ad",
    "density.weights": "A",
    "density.norms": "A",
    "density.width": "",
    "noise.centers": "Rn",
    "noise.std": "R",
    "noise.directions": "Rnr",
}


class DataDistribution:
    """Density of data along a manifold, learned when it is first asked for, and noise around it.

    Parameters
    ----------
    manifold : ChartedManifold
    data : Located, Density or DataDistribution
        Places of data, the density itself, or that of the manifold in another dtype or on another device.
    noise : NormalNoise
    """

    def __init__(
        self,
        manifold: ChartedManifold,
        data: Located | Density | DataDistribution,
        noise: NormalNoise,
    ) -> None:
        self.manifold, self._data, self.noise = manifold, data, noise

    @classmethod
    @torch.no_grad()
    def of(cls, manifold: ChartedManifold, x: Tensor, at: Located, unseen: Tensor) -> Self:
        """Of points (N, n) and the places nearest to them; some, (N,) of bool, tell the noise."""
        n = x.shape[1]
        count = min(_POINTS, max(_FEWEST, _NUMBERS // (n * (1 + manifold.dim))))
        rows = (
            unseen.nonzero()[:, 0] if bool(unseen.any()) else torch.arange(len(x), device=x.device)
        )
        rows = rows[:: -(-len(rows) // count)]
        local = LocalGeometry(manifold, at.coords[rows], at.chart[rows], first_order=True)
        floor = _FLOOR * manifold.noise_std
        noise = NormalNoise.of(local.point, x[rows] - local.point, local.tangent_basis, floor)
        return cls(manifold, at, noise)

    @property
    def density(self) -> Density:
        """The density along the manifold."""
        if isinstance(self._data, Located):
            self._data = learn_density(self.manifold, self._data)
        elif isinstance(self._data, DataDistribution):
            # It is learned once for all copies.
            self._data = self._data.density.to(self.manifold)
        return self._data

    def log_likelihood(self, x: Tensor, at: Located) -> Tensor:
        """Log density (N,) in nats of points (N, n) of the space, given the places nearest to them.

        The density there times that of the noise, over the volume that normal spaces spread out by,
        det(I - W) with W the Weingarten map of x less its nearest point.

        References
        ----------
        Gray, Tubes, 2004, section 3.1 (the volume about a submanifold).
        """
        n, r = x.shape[1], self.noise.directions.shape[2]
        size = max(1, _AT_ONCE // (n * (1 + self.manifold.dim**2 + r)))
        parts = zip(x.split(size), at.chart.split(size), at.coords.split(size), strict=True)
        return torch.cat([self._log_likelihood(*part) for part in parts])

    def _log_likelihood(self, x: Tensor, chart: Tensor, coords: Tensor) -> Tensor:
        local = LocalGeometry(self.manifold, coords, chart)
        normal, basis = x - local.point, local.tangent_basis
        along = self.density.log_prob(local.point) + self.noise.log_prob(normal, basis, local.point)
        bent = (local.second_derivatives @ normal.view(-1, 1, x.shape[1], 1)).squeeze(-1)
        volume = torch.linalg.det(local.metric - bent) / local.volume_density.square()
        # Beyond the centres of curvature other points are nearer.
        return along - volume.clamp(min=_LEAST_VOLUME).log()

    def to(self, target: torch.dtype | torch.device, manifold: ChartedManifold) -> DataDistribution:
        """The same of the manifold in another dtype or on another device."""
        return DataDistribution(manifold, self, self.noise.to(target))

    def tensors(self) -> dict[str, Tensor]:
        """What a file holds."""
        density = self.density
        chart, coords = density.bumps.centers
        return {
            "density.chart": chart.to(coords),
            "density.coords": coords,
            "density.weights": density.weights,
            "density.norms": density.norms,
            "density.width": density.weights.new_tensor(density.width),
            "noise.centers": self.noise.centers,
            "noise.std": self.noise.std,
            "noise.directions": self.noise.directions,
        }

    @classmethod
    def restored(cls, manifold: ChartedManifold, tensors: Mapping[str, Tensor]) -> Self:
        """That of which a file holds tensors.

        Raises
        ------
        ValueError
            If they are no distribution on the manifold.
        """
        sizes = {"K": manifold.n_charts, "d": manifold.dim, "n": manifold.charts.n_ambient}
        for name, axes in _SHAPES.items():
            if name not in tensors:
                raise ValueError(f"it must have {name} beside the density, got none.")
            shape = tuple(tensors[name].shape)
            for axis, size in zip(axes, shape, strict=False):
                sizes.setdefault(axis, size)
            if shape != tuple(sizes.get(axis) for axis in axes) or (
                axes[:1] in ("A", "R") and not shape[0]
            ):
                raise ValueError(f"its {name} must have shape {tuple(axes)}, got {shape}.")
        # Those of files of half precision are of several dtypes.
        chart, coords, weights, norms, width, centers, std, directions = (
            tensors[n].to(tensors["density.width"].dtype) for n in _SHAPES
        )
        if bool((weights < 0).any()) or float(weights.sum()) <= 0:
            raise ValueError("its density.weights must be non-negative with a positive sum.")
        if not all(bool((t > 0).all()) for t in (norms, width, std)):
            raise ValueError("its density.norms, density.width and noise.std must be positive.")
        index = chart.to(torch.int64)
        if (
            bool((index != chart).any())
            or not 0 <= int(index.min()) <= int(index.max()) < sizes["K"]
        ):
            raise ValueError("its density.chart must be numbers of charts.")
        if float(coords.abs().max()) > 1:
            raise ValueError("its density.coords must be in the box.")
        bumps = Bumps(manifold, Located(index, coords))
        density = Density(bumps, weights, norms, float(width))
        return cls(manifold, density, NormalNoise(centers, std, directions))
