"""An inverse problem on SO(3): the pose of a body from one blurred, noisy picture.

A `ManifoldVAE` on SO(3) learns pictures of the body; a share of the poses is known in training
(``--known``; without any, the learned rotations are those of the body up to a homeomorphism at best, and
most encoders fold the group). Then 50 poses, drawn anew, are recovered from pictures blurred by 1/16 of
their side and with noise: screened starts, trust regions. A pose is right within 10 degrees.

Run: ``python benchmarks/rotation_images.py`` (one thread: OMP_NUM_THREADS=1)
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from rich.console import Console
from torch import nn

import learnedmanifolds as lm
from learnedmanifolds.datasets import Solid
from learnedmanifolds.latent import GroupAction, Rotations
from learnedmanifolds.latent.rotations import angle
from learnedmanifolds.models import ManifoldVAE
from learnedmanifolds.operators import GaussianBlur


def decoder(size: int, degree: int, channels: int, width: int) -> nn.Sequential:
    torch.manual_seed(0)
    action = GroupAction(degree, channels)
    return nn.Sequential(
        action, nn.Linear(action.n_features, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
        nn.Linear(width, size**2), nn.Unflatten(1, (1, size, size)),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--known", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--optimizer", default="trust-regions")
    options = parser.parse_args()
    console = Console()
    solid = Solid(options.size)
    x, poses = solid.sample(options.images, 0), solid.sample_rotations(options.images, 0)
    poses[round(options.known * len(poses)) :] = torch.nan
    start = time.perf_counter()
    model = ManifoldVAE(
        Rotations(), decoder=decoder(options.size, 6, 8, 256), max_epochs=options.epochs,
        batch_size=128, cosine=True, random_state=0,
    ).fit(x, poses)  # fmt: skip
    seconds = time.perf_counter() - start
    truth = solid.sample_rotations(options.problems, seed=1)
    clean = solid.render(truth)
    error = (model.decode(truth) - clean).square().mean().sqrt()
    encoded = torch.rad2deg(angle(model.transform(clean) @ truth.mT))
    console.print(
        f"trained in {seconds:.0f} s; decoder at the true pose: {-20 * math.log10(error):.1f} dB; "
        f"encoder off by {encoded.median():.1f} degrees (median)"
    )
    atlas = model.immersion_.to(torch.float64)
    blur = GaussianBlur(options.size / 16)
    generator = torch.Generator().manual_seed(0)
    gaps, times, stops = [], [], {}
    for i, image in enumerate(clean.double()):
        noise = torch.randn(image.shape, generator=generator, dtype=torch.float64)
        problem = lm.InverseProblem(blur, blur(image) + options.noise * noise, options.noise)
        start = time.perf_counter()
        solution = lm.solve(problem, atlas, options.optimizer, n_starts=options.starts, seed=i)
        times.append(time.perf_counter() - start)
        found = atlas.latent_of(torch.as_tensor(solution.point).unsqueeze(0))[0]
        gaps.append(float(torch.rad2deg(angle(found @ truth[i].double().mT))))
        if gaps[-1] > 10:
            console.print(
                f"problem {i}: off by {gaps[-1]:.0f} degrees, cost {solution.cost:.1f}, "
                f"{problem.cost(atlas.immerse(truth[i : i + 1])[0]):.1f} at the true pose"
            )
        stops[solution.status.name] = stops.get(solution.status.name, 0) + 1
    gap = torch.tensor(gaps).sort().values
    console.print(
        f"{int((gap < 10).sum())} of {len(gap)} poses right within 10 degrees; off by "
        f"{gap.median():.2f} (median), {gap[int(0.9 * len(gap))]:.1f} (90 %), {gap[-1]:.0f} at most; "
        f"{torch.tensor(times).median():.2f} s a problem; {stops}"
    )


if __name__ == "__main__":
    main()
