"""A circle in R^100: latent spaces compared by their bounds and by the exact likelihood.

python benchmarks/embedding.py [--rows projection,circle] [--seeds 2] [--steps 4000] [--hidden beta]

Data: z uniform on the circle, x = W2 relu(W1 z) with fixed Xavier uniform weights, 100 hidden units,
fresh batches without noise; the models' noise is Gaussian with a fixed standard deviation. Encoder
and decoder are ReLU networks with a hidden layer of 100. For each row, in nats: the evidence lower
bound, the importance-weighted bound of 200 draws, the exact log-likelihood of the model by
quadrature over its prior; beside the oracle, that of the true decoder. A bound above the exact value
is none: a learned embedding with a turning encoder keeps only an approximate one.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from learnedmanifolds._random import seeded
from learnedmanifolds.latent import (
    Circle,
    EmbeddedSpace,
    EmbeddingSettings,
    Euclidean,
    LatentSpace,
    LearnedEmbedding,
    Projection,
    exact_log_likelihood,
    fit_embedding,
)
from learnedmanifolds.latent.beta_uniform import Cube

AMBIENT, HIDDEN = 100, 100

ROWS: dict[str, tuple[str, Callable[[str, LearnedEmbedding | None], LatentSpace]]] = {
    "normal-1": ("normal posterior, 1-d", lambda hidden, phi: Euclidean(1)),
    "beta-1": ("Beta posterior, 1-d", lambda hidden, phi: Cube(1)),
    "learned": ("learned embedding", lambda hidden, phi: EmbeddedSpace(phi, hidden)),
    "projection": ("exact embedding", lambda hidden, phi: EmbeddedSpace(Projection(), hidden)),
    "learned-group": (
        "learned embedding, turned",
        lambda hidden, phi: EmbeddedSpace(phi, hidden, rotation=True),
    ),
    "projection-group": (
        "exact embedding, turned",
        lambda hidden, phi: EmbeddedSpace(Projection(), hidden, rotation=True),
    ),
    "circle": ("wrapped normal, circle", lambda hidden, phi: Circle()),
    "normal-2": ("normal posterior, 2-d", lambda hidden, phi: Euclidean(2)),
}


def network(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_out))


class Truth:
    """The true decoder and its data."""

    def __init__(self, seed: int) -> None:
        source = torch.Generator().manual_seed(seed)
        self.first, self.second = torch.empty(HIDDEN, 2), torch.empty(AMBIENT, HIDDEN)
        for weight in (self.first, self.second):
            nn.init.xavier_uniform_(weight, generator=source)

    def decode(self, z: Tensor) -> Tensor:
        return (z @ self.first.to(z).T).relu() @ self.second.to(z).T

    def sample(self, n: int) -> Tensor:
        return self.decode(Circle().prior().sample((n,)))


def gaussian(square: Tensor, sigma: float) -> Tensor:
    return -square / (2 * sigma**2) - 0.5 * AMBIENT * math.log(2 * math.pi * sigma**2)


def exact(
    decode: Callable[[Tensor], Tensor], x: Tensor, space: LatentSpace, sigma: float, nodes: int
) -> float:
    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        mean = decode(z.float()).double()
        square = x.square().sum(-1, keepdim=True) + mean.square().sum(-1) - 2 * x @ mean.T
        return gaussian(square, sigma)

    return float(exact_log_likelihood(log_likelihood, x.double(), space, nodes).mean())


def train(
    space: LatentSpace, truth: Truth, sigma: float, steps: int, batch: int, rate: float
) -> tuple[nn.Module, nn.Module]:
    encoder, decoder = network(AMBIENT, space.n_parameters), network(space.n_ambient, AMBIENT)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    adam = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        x = truth.sample(batch)
        posterior = space.posterior(encoder(x))
        z = posterior.rsample()
        likelihood = gaussian((decoder(z.flatten(1)) - x).square().sum(-1), sigma)
        loss = (space.divergence(posterior, z) - likelihood).mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        schedule.step()
    return encoder, decoder


@torch.no_grad()
def bounds(
    space: LatentSpace, encoder: nn.Module, decoder: nn.Module, x: Tensor, sigma: float, draws: int
) -> tuple[float, float]:
    posterior = space.posterior(encoder(x))
    z = posterior.sample((draws,))
    terms = gaussian((decoder(z.flatten(2)) - x).square().sum(-1), sigma)
    elbo = terms - space.divergence(posterior, z)
    weighted = torch.logsumexp(terms + space.log_ratio(posterior, z), 0) - math.log(draws)
    return float(elbo.mean()), float(weighted.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--sigma", type=float, default=0.05)
    parser.add_argument("--hidden", choices=("beta", "normal"), default="beta")
    parser.add_argument("--embedding-steps", type=int, default=4000)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args()
    names = options.rows.split(",")
    console, table = Console(), Table("row", "seed", "ELBO", "IWAE", "exact", "oracle", "seconds")
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        truth = Truth(seed)
        with seeded(10_000 + seed):
            x = truth.sample(options.test)
        oracle = exact(truth.decode, x, Circle(), options.sigma, 4000)
        embedding = None
        if any(name.startswith("learned") for name in names):
            settings = EmbeddingSettings(n_steps=options.embedding_steps)
            embedding = fit_embedding(Circle(), settings=settings, seed=seed)
            console.print(f"embedding, seed {seed}: {embedding.quality}")
        for name in names:
            title, make = ROWS[name]
            space = make(options.hidden, embedding)
            start = time.perf_counter()
            with seeded(seed):
                trained = train(
                    space, truth, options.sigma, options.steps, options.batch, options.rate
                )
                found = bounds(space, *trained, x, options.sigma, options.draws)
            seconds = time.perf_counter() - start
            nodes = 4000 if space.dim == 1 else 400
            value = exact(trained[1], x, space, options.sigma, nodes)
            figures = [f"{v:.2f}" for v in (*found, value, oracle)]
            table.add_row(title, str(seed), *figures, f"{seconds:.0f}")
            console.print(f"{title}, seed {seed}: {figures}")
    console.print(table)


if __name__ == "__main__":
    main()
