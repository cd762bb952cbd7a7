"""Products of latent spaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, kl_divergence, register_kl

from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.product import product_charts
from learnedmanifolds.latent._parameters import last_axis, times
from learnedmanifolds.latent.base import LatentSpace


class ProductDistribution(Distribution):
    """Independent distributions, whose draws are flattened and concatenated.

    Parameters
    ----------
    *factors : torch.distributions.Distribution
        Of any event shapes; their batch shapes are broadcast.
    """

    arg_constraints = {}

    def __init__(self, *factors: Distribution, validate_args: bool | None = None) -> None:
        if not factors:
            raise ValueError("factors must hold at least one distribution, got none.")
        batch = torch.broadcast_shapes(*(factor.batch_shape for factor in factors))
        self.factors = tuple(
            factor if factor.batch_shape == batch else factor.expand(batch) for factor in factors
        )
        self._sizes = [factor.event_shape.numel() for factor in factors]
        super().__init__(batch, Size((sum(self._sizes),)), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> ProductDistribution:
        """See `torch.distributions.Distribution.expand`."""
        return ProductDistribution(*(factor.expand(batch_shape) for factor in self.factors))

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether every factor has pathwise derivatives."""
        return all(factor.has_rsample for factor in self.factors)

    @property
    def support(self) -> constraints.Constraint:
        """Concatenated points of the factors' supports."""
        return _ProductConstraint(self)

    @property
    def mean(self) -> Tensor:
        """Means in the ambient space."""
        return self._join([factor.mean for factor in self.factors])

    @property
    def mode(self) -> Tensor:
        """Modes of the factors."""
        return self._join([factor.mode for factor in self.factors])

    @property
    def variance(self) -> Tensor:
        """Variances of the coordinates of the ambient space."""
        return self._join([factor.variance for factor in self.factors])

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with pathwise derivatives."""
        return self._join([factor.rsample(Size(sample_shape)) for factor in self.factors])

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws of the factors."""
        return self._join([factor.sample(Size(sample_shape)) for factor in self.factors])

    def log_prob(self, value: Tensor) -> Tensor:
        """Sum of the factors' log densities, in nats."""
        parts = self.split(value)
        terms = [f.log_prob(part) for f, part in zip(self.factors, parts, strict=True)]
        return torch.stack(torch.broadcast_tensors(*terms)).sum(0)

    def entropy(self) -> Tensor:
        """Sum of the factors' entropies, in nats."""
        return torch.stack([factor.entropy() for factor in self.factors]).sum(0)

    def split(self, value: Tensor) -> list[Tensor]:
        """Points (..., sum of sizes) as the factors' points (..., *event shape)."""
        parts = last_axis(value, "value", sum(self._sizes)).split(self._sizes, -1)
        return [
            part.reshape(*part.shape[:-1], *factor.event_shape)
            for part, factor in zip(parts, self.factors, strict=True)
        ]

    def _join(self, parts: list[Tensor]) -> Tensor:
        shapes = [factor.event_shape for factor in self.factors]
        return _concatenated(parts, shapes)


class _ProductConstraint(constraints.Constraint):
    event_dim = 1

    def __init__(self, distribution: ProductDistribution) -> None:
        self.distribution = distribution

    def check(self, value: Tensor) -> Tensor:
        parts = self.distribution.split(value)
        factors = self.distribution.factors
        checks = [_support(f).check(part) for f, part in zip(factors, parts, strict=True)]
        return torch.stack(torch.broadcast_tensors(*checks)).all(0)


def _support(distribution: Distribution) -> constraints.Constraint:
    support = distribution.support
    return support if isinstance(support, constraints.Constraint) else constraints.real


@register_kl(ProductDistribution, ProductDistribution)
def _kl_products(p: ProductDistribution, q: ProductDistribution) -> Tensor:
    shapes = [[factor.event_shape for factor in product.factors] for product in (p, q)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"the products must have factors of the same event shapes, got {shapes[0]} and {shapes[1]}."
        )
    terms = [kl_divergence(a, b) for a, b in zip(p.factors, q.factors, strict=True)]
    return torch.stack(torch.broadcast_tensors(*terms)).sum(0)


class Product(LatentSpace):
    """Product of latent spaces: points and parameters are the factors', flattened, in order.

    A factor that is a product counts by its own factors.

    Parameters
    ----------
    *spaces : LatentSpace

    Raises
    ------
    TypeError, ValueError
        If a factor is no LatentSpace, or there is none.
    """

    def __init__(self, *spaces: LatentSpace) -> None:
        if not spaces:
            raise ValueError("spaces must hold at least one LatentSpace, got none.")
        for space in spaces:
            if not isinstance(space, LatentSpace):
                raise TypeError(f"spaces must be LatentSpace objects, got {type(space).__name__}.")
        self.factors: tuple[LatentSpace, ...] = tuple(
            part
            for space in spaces
            for part in (space.factors if isinstance(space, Product) else (space,))
        )
        self._sizes = [factor.n_ambient for factor in self.factors]
        super().__init__(
            sum(factor.dim for factor in self.factors),
            (sum(self._sizes),),
            sum(factor.n_parameters for factor in self.factors),
        )

    def __repr__(self) -> str:
        return f"Product({', '.join(map(repr, self.factors))})"

    @property
    def space(self) -> Any:
        """Product of the factors' spaces in geomstats, of flat points."""
        from learnedmanifolds._geomstats import require_geomstats

        require_geomstats()
        from geomstats.geometry.product_manifold import ProductManifold

        return ProductManifold([factor.space for factor in self.factors], point_ndim=1)

    def prior(self) -> ProductDistribution:
        """Product of the priors."""
        return ProductDistribution(*(factor.prior() for factor in self.factors))

    def posterior(self, parameters: Tensor) -> ProductDistribution:
        """Product of the posteriors of parts of the outputs."""
        outputs = last_axis(parameters, "parameters", self.n_parameters)
        parts = outputs.split([factor.n_parameters for factor in self.factors], -1)
        return ProductDistribution(
            *(factor.posterior(part) for factor, part in zip(self.factors, parts, strict=True))
        )

    def divergence(self, posterior: Distribution, z: Tensor) -> Tensor:
        """Sum of the factors' divergences: each exact where it is known, else at its draws."""
        if not isinstance(posterior, ProductDistribution):
            return super().divergence(posterior, z)
        triples = zip(self.factors, posterior.factors, posterior.split(z), strict=True)
        terms = [factor.divergence(part, points) for factor, part, points in triples]
        return torch.stack(torch.broadcast_tensors(*terms)).sum(0)

    def project(self, z: Tensor) -> Tensor:
        """Nearest points factor by factor."""
        pairs = zip(self.factors, self.split(z, "z"), strict=True)
        return self._join([factor.project(part) for factor, part in pairs])

    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """Geodesics of the factors side by side."""
        times(t, start)
        triples = zip(self.factors, self.split(start, "start"), self.split(end, "end"), strict=True)
        return self._join([factor.geodesic(a, b, t) for factor, a, b in triples])

    def charts(self) -> Charts:
        """Products of the factors' charts; see `product_charts`."""
        return product_charts(*(factor.charts() for factor in self.factors))

    def split(self, z: Tensor, name: str = "z") -> list[Tensor]:
        """Points (..., n_ambient) as the factors' points (..., *shape)."""
        parts = last_axis(z, name, self.n_ambient).split(self._sizes, -1)
        return [
            part.reshape(*part.shape[:-1], *factor.shape)
            for part, factor in zip(parts, self.factors, strict=True)
        ]

    def _join(self, parts: list[Tensor]) -> Tensor:
        return _concatenated(parts, [factor.shape for factor in self.factors])


def _concatenated(parts: list[Tensor], shapes: Sequence[tuple[int, ...]]) -> Tensor:
    """Points (..., *shape) of several spaces, flattened, one behind the other."""
    flat = [
        part.reshape(*part.shape[: part.dim() - len(shape)], math.prod(shape))
        for part, shape in zip(parts, shapes, strict=True)
    ]
    return torch.cat(flat, -1)
