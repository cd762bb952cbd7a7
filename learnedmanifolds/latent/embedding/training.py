"""Training of embeddings: a Wasserstein autoencoder with a maximum mean discrepancy."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, non_negative, positive
from learnedmanifolds._grad import differentiable, ordinary
from learnedmanifolds._random import seeded
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.embedding.learned import LearnedEmbedding
from learnedmanifolds.latent.embedding.quality import EmbeddingQuality, Gate, measure_embedding

_SAMPLES = 65_536


@dataclass(frozen=True)
class EmbeddingSettings:
    """Settings of `fit_embedding`.

    Attributes
    ----------
    width : int
        Width of the two hidden layers of both networks.
    n_steps, batch_size : int
    learning_rate : float
        Initial rate of Adam; it falls to zero along a cosine.
    weight : float
        lambda, of the discrepancy against the reconstruction error.
    scales : tuple of float
        c of the kernels c / (c + |t - t'|^2), whose discrepancies are added.
    """

    width: int = 128
    n_steps: int = 4000
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight: float = 1.0
    scales: tuple[float, ...] = (0.01, 0.1, 1.0)

    def __post_init__(self) -> None:
        integer(self.width, "width", minimum=1)
        integer(self.n_steps, "n_steps", minimum=1)
        integer(self.batch_size, "batch_size", minimum=2)
        positive(self.learning_rate, "learning_rate")
        non_negative(self.weight, "weight")
        for scale in self.scales:
            positive(scale, "scales")


def fit_embedding(
    source: ArrayLike | LatentSpace,
    dim: int = 1,
    *,
    settings: EmbeddingSettings | None = None,
    gate: Gate | None = None,
    n_starts: int = 4,
    seed: int = 0,
) -> LearnedEmbedding:
    """Learn phi: [0, 1]^n -> R^l that carries the uniform distribution to that of samples.

    A decoder phi and an encoder Q minimise

        mean |z - phi(Q(z))|^2 + lambda MMD^2(Q(z), t),   t uniform,

    with inverse multiquadric kernels. The first start whose figures pass the gate is taken. It suits
    curves, closed ones too, and pieces of surfaces; a closed surface is no image of a square without
    places that are torn or crushed, and fails (for tori there are `Projection` and `Product`).

    Parameters
    ----------
    source : array, shape (N, l), or LatentSpace
        Samples of the manifold, or a space whose prior is drawn from.
    dim : int
        n, at most l.
    settings : EmbeddingSettings, optional
    gate : Gate, optional
        Bounds of the figures; its defaults where not given.
    n_starts : int
        Starts at most, from the seeds ``seed``, ``seed + 1``, ...
    seed : int

    Raises
    ------
    RuntimeError
        If no start passes the gate; the message lists their figures.
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    References
    ----------
    Golikov, Kretov, Embedding-reparameterization procedure for manifold-valued latent variables in
    generative models, 2018. Tolstikhin, Bousquet, Gelly, Schoelkopf, Wasserstein auto-encoders,
    ICLR 2018, arXiv 1711.01558.
    """
    n, first = integer(dim, "dim", minimum=1), integer(seed, "seed", minimum=0)
    samples = _samples(source, first)
    if n > samples.shape[1]:
        raise ValueError(f"dim must be at most the samples' {samples.shape[1]}, got {n}.")
    settings, gate = settings or EmbeddingSettings(), gate or Gate()
    tried: list[EmbeddingQuality] = []
    for start in range(first, first + integer(n_starts, "n_starts", minimum=1)):
        embedding = _train(samples, n, settings, start)
        quality = measure_embedding(embedding, samples)
        if gate.passes(quality):
            embedding.quality = quality
            return embedding
        tried.append(quality)
    listed = "".join(f"\n  seed {first + k}: {quality}" for k, quality in enumerate(tried))
    raise RuntimeError(
        f"no embedding passed the gate {gate}; try more starts, other settings, or a wider gate if "
        f"the figures suffice:{listed}"
    )


def _samples(source: ArrayLike | LatentSpace, seed: int) -> Tensor:
    if isinstance(source, LatentSpace):
        with seeded(seed), torch.no_grad():
            return source.prior().sample((_SAMPLES,)).flatten(1).double()
    samples = as_tensor(source, "source", shape=(None, None), allow_empty=False).double()
    if not bool((samples != samples[:1]).any()):
        raise ValueError(f"source must hold samples of a manifold, got {len(samples)} equal ones.")
    return samples


@differentiable()
def _train(samples: Tensor, dim: int, settings: EmbeddingSettings, seed: int) -> LearnedEmbedding:
    embedding = LearnedEmbedding(dim, samples.shape[1], settings.width, seed).float()
    centre = samples.mean(0)
    scale = float((samples - centre).square().sum(-1).mean().sqrt())
    points = ordinary(((samples - centre) / scale).float())
    source = torch.Generator().manual_seed(seed)
    parameters = [*embedding.network.parameters(), *embedding.encoder.parameters()]
    adam = torch.optim.Adam(parameters, lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: 0.5 * (1 + math.cos(math.pi * step / settings.n_steps))
    )
    for _ in range(settings.n_steps):
        pick = torch.randint(len(points), (settings.batch_size,), generator=source)
        z = points[pick]
        coords = embedding.encoder(z)
        uniform = torch.rand(settings.batch_size, dim, generator=source, dtype=z.dtype)
        error = (embedding.network(coords) - z).square().sum(-1).mean()
        discrepancy = imq_discrepancy((1 + coords) / 2, uniform, settings.scales)
        loss = error + settings.weight * discrepancy
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        schedule.step()
    with torch.no_grad():
        # The networks then work in the units of the samples.
        embedding = copy.deepcopy(embedding).double().requires_grad_(False)
        *_, weight, bias = embedding.network.parameters()
        weight.mul_(scale)
        bias.mul_(scale).add_(centre)
        weight, bias, *_ = embedding.encoder.parameters()
        weight.div_(scale)
        bias.sub_(weight @ centre)
    return embedding


def imq_discrepancy(a: Tensor, b: Tensor, scales: tuple[float, ...]) -> Tensor:
    """Unbiased squared maximum mean discrepancy of (N, n) and (M, n), summed over the scales.

    Kernels c / (c + |t - t'|^2).

    References
    ----------
    Gretton, Borgwardt, Rasch, Schoelkopf, Smola, A kernel two-sample test, JMLR 13, 2012, lemma 6.
    """

    def kernels(x: Tensor, y: Tensor) -> Tensor:
        square = (x.unsqueeze(1) - y).square().sum(-1)
        return sum((1 / (1 + square / scale) for scale in scales), torch.zeros_like(square))

    def within(x: Tensor) -> Tensor:
        # On the diagonal every kernel is 1.
        n = len(x)
        return (kernels(x, x).sum() - n * len(scales)) / (n * (n - 1))

    return within(a) + within(b) - 2 * kernels(a, b).mean()
