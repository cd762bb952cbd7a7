"""Latent spaces that are the image of the unit cube under an embedding."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from learnedmanifolds._check import one_of
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.latent._call import call
from learnedmanifolds.latent._pairs import normalised
from learnedmanifolds.latent._parameters import last_axis
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.embedding.base import Embedding
from learnedmanifolds.latent.embedding.hidden import HIDDEN
from learnedmanifolds.latent.embedding.learned import LearnedEmbedding, geodesic
from learnedmanifolds.latent.embedding.pushforward import Pushforward

# Turned copies of a learned circle that close its seam.
_TURNS = 3


class EmbeddedSpace(LatentSpace):
    """The image of [0, 1]^n under an embedding phi, with the law of phi(t), t uniform, as prior.

    A posterior is the law of z = g phi(t): t has a Beta distribution in every coordinate, or a
    normal distribution of its probits; g is the identity or, with ``rotation``, turns every pair of
    coordinates of R^l as the encoder says. Its divergence from the prior is exactly that of t from
    the uniform distribution; with a rotation, where phi(t) is as likely as g phi(t). A learned phi
    is so only nearly, and the bound on the evidence is then off by as much: compare it with
    `exact_log_likelihood`.

    An encoder gives 2n numbers for t (see `Cube` and `Euclidean`), then, with a rotation, the l
    entries of vectors whose directions are the turns.

    Parameters
    ----------
    embedding : Embedding
    hidden : {"beta", "normal"}
    rotation : bool

    Raises
    ------
    TypeError, ValueError
        If the embedding is none, the hidden family is not known or an odd number of ambient
        coordinates is to be turned.

    References
    ----------
    Golikov, Kretov, Embedding-reparameterization procedure for manifold-valued latent variables in
    generative models, 2018.
    """

    def __init__(self, embedding: Embedding, hidden: str = "beta", rotation: bool = False) -> None:
        if not isinstance(embedding, Embedding):
            raise TypeError(f"embedding must be an Embedding, got {type(embedding).__name__}.")
        if rotation and embedding.n_ambient % 2:
            raise ValueError(
                f"rotation needs an even number of ambient coordinates, got {embedding.n_ambient}."
            )
        self._family = one_of(hidden, "hidden", HIDDEN)
        self.embedding, self.hidden = embedding, HIDDEN[hidden](embedding.dim)
        self.rotation = rotation
        n, l_ambient = embedding.dim, embedding.n_ambient
        super().__init__(n, (l_ambient,), 2 * n + (l_ambient if rotation else 0))

    def __repr__(self) -> str:
        return call(
            EmbeddedSpace, embedding=self.embedding, hidden=self._family, rotation=self.rotation
        )

    @property
    def space(self) -> Any:
        """See `Embedding.space`."""
        return self.embedding.space

    def prior(self) -> Pushforward:
        """Law of phi(t) for uniform t."""
        return Pushforward(self.hidden.latent.prior(), self.hidden, self.embedding)

    def posterior(self, parameters: Tensor) -> Pushforward:
        """Law of g phi(t); see `EmbeddedSpace` for the outputs."""
        outputs = last_axis(parameters, "parameters", self.n_parameters)
        base = self.hidden.latent.posterior(outputs[..., : 2 * self.dim])
        turn = normalised(outputs[..., 2 * self.dim :]) if self.rotation else None
        return Pushforward(base, self.hidden, self.embedding, turn)

    def project(self, z: Tensor) -> Tensor:
        """Nearest points of phi's image."""
        return self.embedding(self.embedding.inverse(z))

    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """Shortest curves of the image; with a rotation, across its seam too."""
        if self.rotation and isinstance(self.embedding, LearnedEmbedding):
            return geodesic(self.embedding.atlas(_TURNS), start, end, t)
        return self.embedding.geodesic(start, end, t)

    def charts(self) -> Charts:
        """Charts of the image; with a rotation, of a learned one, and of turned copies of it."""
        return self.embedding.charts(_TURNS if self.rotation else 1)
