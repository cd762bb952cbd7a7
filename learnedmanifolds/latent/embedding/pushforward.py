"""Distributions carried to a manifold by an embedding of the cube."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, kl_divergence, register_kl

from learnedmanifolds.latent._pairs import conjugate, multiplied
from learnedmanifolds.latent.beta_uniform import CubeUniform
from learnedmanifolds.latent.embedding.base import Embedding
from learnedmanifolds.latent.embedding.hidden import Hidden
from learnedmanifolds.latent.normal import StandardNormal


class Pushforward(Distribution):
    """Law of z = g phi(t) for a random parameter t of an embedding phi, and a fixed turn g.

    Densities are with respect to the prior, the law of phi(t) for uniform t: the volume factor
    sqrt(det J^T J) is the same in both and cancels in every ratio. `log_density` is the density
    with respect to volume. With a turn they are exact where the prior does not change under turns.

    Parameters
    ----------
    base : torch.distributions.Distribution
        Law of the hidden point, event shape (n,).
    hidden : Hidden
        How hidden points give parameters.
    embedding : Embedding
        phi.
    turn : Tensor, shape (..., l), optional
        Unit pairs, which the pairs of phi(t) are multiplied by as complex numbers.
    """

    arg_constraints = {}
    support = constraints.real_vector

    def __init__(
        self,
        base: Distribution,
        hidden: Hidden,
        embedding: Embedding,
        turn: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.base, self.hidden, self.embedding, self.turn = base, hidden, embedding, turn
        # The last draw and what it came from, so that its density needs no inverse.
        self._last: tuple[Tensor, Tensor] | None = None
        super().__init__(base.batch_shape, Size((embedding.n_ambient,)), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Pushforward:
        """See `torch.distributions.Distribution.expand`."""
        turn = None if self.turn is None else self.turn.expand(*batch_shape, *self.event_shape)
        return Pushforward(self.base.expand(batch_shape), self.hidden, self.embedding, turn)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the hidden law has pathwise derivatives."""
        return self.base.has_rsample

    @property
    def mode(self) -> Tensor:
        """Image of the hidden law's mode; of Beta distributions their mean takes its place."""
        return self.carry(self.base.mode)

    def carry(self, u: Tensor) -> Tensor:
        """Points z of hidden points u, (..., n) -> (..., l)."""
        z = self.embedding(self.hidden.to_cube(u))
        return z if self.turn is None else multiplied(z, self.turn)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with pathwise derivatives."""
        return self._drawn(self.base.rsample(Size(sample_shape)))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws without derivatives."""
        with torch.no_grad():
            return self._drawn(self.base.sample(Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density with respect to the prior, in nats; of points off the image at the nearest.

        Zero for the prior itself. Of the last draw as it came it is exact and needs no inverse.
        """
        if isinstance(self.base, CubeUniform | StandardNormal):
            shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
            return value.new_zeros(shape)
        u = self._hidden_points(value)
        prior = self.hidden.latent.prior()
        return self.base.log_prob(u) - prior.log_prob(u)

    def log_density(self, value: Tensor) -> Tensor:
        """Log density with respect to the volume of the image, in nats."""
        t = self.hidden.to_cube(self._hidden_points(value))
        return self.log_prob(value) - self.embedding.log_volume(t)

    def _drawn(self, u: Tensor) -> Tensor:
        z = self.carry(u)
        self._last = (z, u)
        return z

    def _hidden_points(self, value: Tensor) -> Tensor:
        if self._last is not None and self._last[0] is value:
            return self._last[1]
        z = value if self.turn is None else multiplied(value, conjugate(self.turn))
        return self.hidden.from_cube(self.embedding.inverse(z))


@register_kl(Pushforward, Pushforward)
def _kl_pushforwards(p: Pushforward, q: Pushforward) -> Tensor:
    """That of the hidden laws, where the second has no turn and the first may have one.

    With a turn of the first it is exact where the law of the second does not change under turns.
    """
    if p.embedding is not q.embedding or type(p.hidden) is not type(q.hidden) or q.turn is not None:
        raise NotImplementedError
    return kl_divergence(p.base, q.base)
