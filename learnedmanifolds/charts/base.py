"""The chart protocol: K injective decoders of domains in [-1, 1]^d with exact left inverses."""

from __future__ import annotations

import abc
import copy
import inspect
import itertools
import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from learnedmanifolds._half import halved, is_large
from learnedmanifolds.charts.density import SmoothedUniform
from learnedmanifolds.charts.domain import Box, Domain
from learnedmanifolds.charts.jet import Jet, Pairs, functional_jet

_BOX = Box()


class Charts(nn.Module, abc.ABC):
    """K charts of one architecture, evaluated one at a time or all in one call.

    A subclass gives `decode` and `encode`; `jet` and `log_prior` have general defaults that a
    family with a faster or a richer way overrides. ``chart`` is the index of one chart, or None
    for all: coordinates then carry a leading axis of length K. Charts are trusted on their ``domain``,
    the whole box unless a subclass sets another.

    Parameters
    ----------
    n_charts : int
    dim : int
        Dimension d of the coordinates.
    ambient_shape : tuple of int
        Shape of one data point; n is the product.
    """

    def __init__(self, n_charts: int, dim: int, ambient_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.n_charts = n_charts
        self.dim = dim
        self.ambient_shape = ambient_shape
        self.density = SmoothedUniform()

    @torch.no_grad()
    def rounded(self) -> Self:
        """A copy of which `is_large` tensors have values of half precision.

        Raises
        ------
        ValueError
            If they are too large or too small for it.
        """
        made = copy.deepcopy(self)
        for name, tensor in made.state_dict().items():
            if is_large(tensor):
                tensor.copy_(halved(tensor, name))
        return made

    def overlap_within(self, distance: float) -> None:
        """Be told how far apart charts may be that hold one point, where not all need be looked in."""

    @property
    def n_ambient(self) -> int:
        """Number n of entries of one data point."""
        return math.prod(self.ambient_shape)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of points, that of the parameters."""
        held = itertools.chain(self.parameters(), self.buffers())
        return next((tensor.dtype for tensor in held), torch.float64)

    @property
    def domain(self) -> Domain:
        """Where the charts are trusted."""
        return _BOX

    @abc.abstractmethod
    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """Points of the ambient space, (N, d) -> (N, n), or (K, N, d) -> (K, N, n)."""

    @abc.abstractmethod
    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """Coordinates, (N, n) -> (N, d), or for all charts (N, n) or (K, N, n) -> (K, N, d)."""

    def draw(self, chart: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Random coordinates (N, d) in the domains of charts (N,), by the latent density; float64."""
        return self.density.sample(
            len(chart), self.dim, generator=generator, truncated=True, dtype=torch.float64
        )

    def log_latent(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """Log of the latent density of coordinates, in nats, (..., N)."""
        return self.density.log_prob(coords)

    def log_prior(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """Log density of the latent variable at the coordinates, in nats, (..., N)."""
        return self.log_latent(coords, chart)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """Value, derivatives along tangents and second derivatives along pairs of them.

        Parameters
        ----------
        coords : Tensor, shape (N, d), or (K, N, d) for all charts
        chart : int or None
        tangents : Tensor, shape (T, N, d), or (K, T, N, d)
        pairs : sequence of (int, int)
            Indices into the tangents.
        """
        if chart is not None:
            return functional_jet(lambda z: self.decode(z, chart), coords, tangents, pairs)
        jets = [self.jet(coords[k], k, tangents[k], pairs) for k in range(self.n_charts)]
        return Jet(*(torch.stack(part) for part in zip(*jets, strict=True)))

    def config(self) -> dict[str, object]:
        """Arguments that build this family again; what a saved file holds beside the weights."""
        raise NotImplementedError(f"{type(self).__name__} cannot be saved: it has no config().")

    @classmethod
    def config_names(cls) -> dict[str, bool]:
        """What a `config` may hold, and whether it must; tensors are in the state."""
        given = inspect.signature(cls).parameters
        return {
            name: argument.default is inspect.Parameter.empty
            for name, argument in given.items()
            if argument.annotation != "Tensor"
        }

    @classmethod
    def restored(cls, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Self:
        """Charts of a `config` and of what was their ``state_dict()``, bit by bit.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            If they do not fit together.
        """
        charts = cls(**config)
        charts.load_state_dict(state, assign=True)
        return charts
