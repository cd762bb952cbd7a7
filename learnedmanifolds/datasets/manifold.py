"""The interface of manifolds that are known exactly, to train on and to compare with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from learnedmanifolds._check import (
    ArrayLike,
    as_tensor,
    floating_dtype,
    generator,
    integer,
    non_negative,
)
from learnedmanifolds.datasets._maps import even_lattice


@dataclass(frozen=True)
class ToySettings:
    """Settings with which the published method learns a toy manifold.

    Source: Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, arXiv 2303.15244. Circle and
    loop are not among its examples: they have those of its two circles, the circle half the charts.

    Attributes
    ----------
    n_charts : int
        Number of charts.
    dim : int
        Dimension of the charts.
    noise_std : float
        Standard deviation of the model's observation noise, ``sigma_x``.
    noise : float
        Standard deviation of the noise added to the data.
    n : int
        Number of training points.
    """

    n_charts: int
    dim: int
    noise_std: float
    noise: float
    n: int = 10_240


@dataclass(frozen=True)
class ToyManifold(ABC):
    """A compact manifold in R^m with exact samples, distances and nearest points.

    Attributes
    ----------
    name : str
        Name in the registry `learnedmanifolds.datasets.TOYS`.
    dim, ambient_dim : int
        Dimension of the manifold and of the space around it.
    n_components : int
        Number of connected components.
    has_boundary : bool
        Whether the manifold ends somewhere.
    settings : ToySettings
        Settings of the published method for it.
    """

    name: ClassVar[str]
    dim: ClassVar[int]
    ambient_dim: ClassVar[int]
    n_components: ClassVar[int]
    has_boundary: ClassVar[bool]
    settings: ClassVar[ToySettings]

    @property
    @abstractmethod
    def volume(self) -> float:
        """Riemannian volume: length for curves, area for surfaces."""

    def sample(
        self,
        n: int,
        noise: float = 0.0,
        seed: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> torch.Tensor:
        """Draw points, uniformly with respect to the volume unless the class says otherwise.

        The same seed gives the same points on the manifold for every `noise` and `dtype`.

        Parameters
        ----------
        n : int
            Number of points, at least 1.
        noise : float
            Standard deviation of Gaussian noise, added to every ambient coordinate.
        seed : int, optional
            Seed of the draw; fresh entropy by default.
        dtype : torch.dtype
            Floating point dtype of the result; the draw itself is in float64.

        Returns
        -------
        torch.Tensor, shape (n, ambient_dim)

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or is out of range.
        """
        n = integer(n, "n", minimum=1)
        noise = non_negative(noise, "noise")
        dtype = floating_dtype(dtype)
        source = generator(seed)
        points = self._random(torch.rand(n, self.dim, generator=source, dtype=torch.float64))
        points += noise * torch.randn(points.shape, generator=source, dtype=torch.float64)
        return points.to(dtype)

    def grid(self, n: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return `n` points spread evenly with respect to the volume, shape (n, ambient_dim).

        Raises
        ------
        TypeError, ValueError
            If `n` is not an integer of at least 1, or `dtype` not a floating point dtype.
        """
        n = integer(n, "n", minimum=1)
        dtype = floating_dtype(dtype)
        return self._even(even_lattice(n, self.dim)).to(dtype)

    def nearest(self, x: ArrayLike) -> torch.Tensor:
        """Return a nearest point of the manifold, computed in float64; any one where several are.

        The result is a constant for autograd.

        Parameters
        ----------
        x : array, shape (n, ambient_dim)
            Points of the ambient space.

        Returns
        -------
        torch.Tensor, shape (n, ambient_dim)
            In the dtype of `x`, float64 for integers.

        Raises
        ------
        TypeError, ValueError
            If `x` is not a finite array of this shape.
        """
        points = self._points(x)
        return self._nearest(points.detach().double()).to(points.dtype)

    def distance(self, x: ArrayLike) -> torch.Tensor:
        """Return the distance ``|x - nearest(x)|`` of each point to the manifold, shape (n,).

        It is differentiable in `x`. The gradient is ``(x - nearest(x)) / distance(x)`` and exact,
        although `nearest` is held constant, because the distance is stationary in the nearest point.

        Parameters
        ----------
        x : array, shape (n, ambient_dim)
            Points of the ambient space.

        Raises
        ------
        TypeError, ValueError
            If `x` is not a finite array of this shape.
        """
        points = self._points(x)
        wide = points.double()
        return torch.linalg.vector_norm(wide - self._nearest(wide.detach()), dim=-1).to(
            points.dtype
        )

    def component(self, x: ArrayLike) -> torch.Tensor:
        """Return the label of the component nearest to each point, shape (n,), int64.

        Raises
        ------
        TypeError, ValueError
            If `x` is not a finite array of shape (n, ambient_dim).
        """
        return self._component(self._points(x).detach())

    def _points(self, x: ArrayLike) -> torch.Tensor:
        points = as_tensor(x, "x", shape=(None, self.ambient_dim))
        return points if points.is_floating_point() else points.double()

    @abstractmethod
    def _random(self, unit: torch.Tensor) -> torch.Tensor:
        """Map uniform points of the unit cube, (n, dim), to the law of `sample`."""

    @abstractmethod
    def _even(self, unit: torch.Tensor) -> torch.Tensor:
        """Map the unit cube onto the manifold; equal volumes go to equal volumes."""

    @abstractmethod
    def _nearest(self, x: torch.Tensor) -> torch.Tensor:
        """Return nearest points of float64 points, (n, ambient_dim)."""

    @abstractmethod
    def _component(self, x: torch.Tensor) -> torch.Tensor:
        """Return component labels of points, (n,), int64."""
