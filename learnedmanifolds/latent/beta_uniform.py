"""The unit cube as a latent space: uniform prior, Beta posteriors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Beta, constraints, register_kl

from learnedmanifolds._check import integer
from learnedmanifolds.charts.analytic import PlaneCharts
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.latent._expanding import Expanding
from learnedmanifolds.latent._parameters import last_axis, positive_part, times
from learnedmanifolds.latent.base import LatentSpace

# Keeps the singularities of the density at the ends of the interval integrable in float32.
_LEAST_CONCENTRATION = 1e-2

unit_cube = constraints.independent(constraints.unit_interval, 1)


class CubeUniform(Expanding):
    """Uniform distribution on [0, 1]^d; it holds no tensors, draws are in torch's default dtype.

    Parameters
    ----------
    dim : int
        d.
    """

    arg_constraints = {}
    support = unit_cube

    def __init__(self, dim: int, validate_args: bool | None = None) -> None:
        self.dim = integer(dim, "dim", minimum=1)
        super().__init__(Size(), Size((self.dim,)), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The centre."""
        return torch.full(self.batch_shape + self.event_shape, 0.5)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Independent uniform numbers."""
        return torch.rand(Size(sample_shape) + self.batch_shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Zero."""
        if self._validate_args:
            self._validate_sample(value)
        return value.new_zeros(torch.broadcast_shapes(value.shape[:-1], self.batch_shape))

    def entropy(self) -> Tensor:
        """Zero."""
        return torch.zeros(self.batch_shape)


class BetaCube(Expanding):
    """Product of d Beta distributions; draws stay off the ends of the interval by rounding.

    Computed in float64, because the log-gamma functions of a narrow one cancel; results are in the
    dtype of the parameters.

    Parameters
    ----------
    a, b : Tensor, shape (..., d)
        Concentrations, > 0; the density of a coordinate is t^(a - 1) (1 - t)^(b - 1) / B(a, b).
    """

    arg_constraints = {
        "a": constraints.independent(constraints.positive, 1),
        "b": constraints.independent(constraints.positive, 1),
    }
    _batched = {"a": 1, "b": 1}
    support = unit_cube
    has_rsample = True

    def __init__(self, a: Tensor, b: Tensor, validate_args: bool | None = None) -> None:
        if a.dim() < 1 or a.shape[-1:] != b.shape[-1:]:
            raise ValueError(
                f"a and b must have shapes (..., d), got {tuple(a.shape)} and {tuple(b.shape)}."
            )
        self.a, self.b = torch.broadcast_tensors(a, b)
        super().__init__(self.a.shape[:-1], self.a.shape[-1:], validate_args=validate_args)

    @property
    def _beta(self) -> Beta:
        return Beta(self.a.double(), self.b.double(), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """A / (a + b)."""
        return self.a / (self.a + self.b)

    @property
    def mode(self) -> Tensor:
        """The mean in its place: with a or b below 1 there is no one point of largest density."""
        return self.mean

    @property
    def variance(self) -> Tensor:
        """Variances of the coordinates."""
        return self._beta.variance.to(self.a.dtype)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with pathwise derivatives."""
        margin = torch.finfo(self.a.dtype).eps
        draws = self._beta.rsample(Size(sample_shape))
        return draws.clamp(margin, 1 - margin).to(self.a.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats."""
        if self._validate_args:
            self._validate_sample(value)
        return self._beta.log_prob(value.double()).sum(-1).to(self.a.dtype)

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        return self._beta.entropy().sum(-1).to(self.a.dtype)


@register_kl(BetaCube, CubeUniform)
def _kl_beta_uniform(p: BetaCube, q: CubeUniform) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"the distributions must be of the same dimension, got event shapes "
            f"{tuple(p.event_shape)} and {tuple(q.event_shape)}."
        )
    return (-p.entropy()).expand(torch.broadcast_shapes(p.batch_shape, q.batch_shape))


class Cube(LatentSpace):
    """[0, 1]^d with the uniform prior and products of Beta distributions as posteriors.

    An encoder gives d numbers for a and d for b, a concentration being softplus(r) + 0.01. A point
    of the encoder (`mode`) is the posterior's mean.

    Parameters
    ----------
    dim : int
        d.
    """

    def __init__(self, dim: int) -> None:
        d = integer(dim, "dim", minimum=1)
        super().__init__(d, (d,), 2 * d)

    def __repr__(self) -> str:
        return f"Cube({self.dim})"

    @property
    def space(self) -> Any:
        """The Euclidean space that the cube is a part of, in geomstats."""
        from learnedmanifolds.latent.euclidean import Euclidean

        return Euclidean(self.dim).space

    def prior(self) -> CubeUniform:
        """The uniform distribution."""
        return CubeUniform(self.dim)

    def posterior(self, parameters: Tensor) -> BetaCube:
        """Product of Beta distributions; see `Cube` for the outputs (..., 2d)."""
        outputs = last_axis(parameters, "parameters", self.n_parameters)
        a, b = positive_part(outputs, _LEAST_CONCENTRATION).chunk(2, -1)
        return BetaCube(a, b)

    def project(self, z: Tensor) -> Tensor:
        """Coordinates clipped to [0, 1]."""
        return last_axis(z, "z", self.n_ambient).clamp(0, 1)

    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """Straight lines."""
        start = last_axis(start, "start", self.n_ambient)
        step = last_axis(end, "end", self.n_ambient) - start
        return start + times(t, step) * step

    def charts(self) -> Charts:
        """One chart, the cube itself."""
        half = torch.full((self.dim,), 0.5, dtype=torch.float64)
        return PlaneCharts(half.diag(), half)
