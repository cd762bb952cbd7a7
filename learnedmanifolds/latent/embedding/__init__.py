"""Latent manifolds as images of the unit cube: exact and learned embeddings, group action."""

from learnedmanifolds.latent.embedding.base import Embedding
from learnedmanifolds.latent.embedding.learned import LearnedEmbedding
from learnedmanifolds.latent.embedding.projection import Projection
from learnedmanifolds.latent.embedding.pushforward import Pushforward
from learnedmanifolds.latent.embedding.quality import EmbeddingQuality, Gate, measure_embedding
from learnedmanifolds.latent.embedding.space import EmbeddedSpace
from learnedmanifolds.latent.embedding.training import EmbeddingSettings, fit_embedding

__all__ = [
    "EmbeddedSpace",
    "Embedding",
    "EmbeddingQuality",
    "EmbeddingSettings",
    "Gate",
    "LearnedEmbedding",
    "Projection",
    "Pushforward",
    "fit_embedding",
    "measure_embedding",
]
