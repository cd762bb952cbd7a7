"""Digits by random walks: how long a walk of the diffusion VAE keeps the digit that it starts from.

Walks start at held-out digits; after every step a classifier that was trained on other, real digits names
what is there. Beside it the same share for the walk of the diffusion map on the data, whose labels are
known, as far as the graph itself leads from digit to digit, and chance.

Run: ``OMP_NUM_THREADS=1 python benchmarks/walk_labels.py mnist.npz --seeds 3 --figure walks.png``
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from sklearn.svm import SVC
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.diffusion import SpectralNet
from learnedmanifolds.diffusion.graph import build_graph
from learnedmanifolds.diffusion.neighbors import DataDistances

SHOWN = (0, 1, 4, 10)
ALONG = 8


def shuffled(path: Path, seed: int) -> tuple[Tensor, np.ndarray]:
    """All images (N, 784) in [0, 1] and their labels, in random order."""
    digits = lm.datasets.mnist(path)
    order = torch.randperm(len(digits.images), generator=torch.Generator().manual_seed(seed))
    return digits.images.flatten(1)[order].float(), np.asarray(digits.labels)[order.numpy()]


def graph_walk(
    net: SpectralNet, x: Tensor, labels: np.ndarray, steps: int, seed: int
) -> list[float]:
    """Share of walks on the graph of the data that are at the label of their start, step by step."""
    distances = DataDistances(x.double().numpy(), net.local_scale)
    graph = build_graph(distances, net.epsilon_, net.alpha, net.cutoff)
    rng = np.random.default_rng(seed)
    at = np.arange(len(labels))
    kept = [1.0]
    for _ in range(steps):
        rows = graph.weights[at].tocsr()
        ends = np.cumsum(rows.data)
        first, last = np.append(0, ends)[rows.indptr[:-1]], np.append(0, ends)[rows.indptr[1:]]
        place = first + rng.random(len(at)) * (last - first)
        at = rows.indices[np.searchsorted(ends, place).clip(max=len(ends) - 1)]
        kept.append(float((labels[at] == labels).mean()))
    return kept


def figure(walks: Tensor, curves: np.ndarray, graph: np.ndarray, chance: float) -> Figure:
    """Some walks, an image a step, and the curves of all seeds."""
    page = Figure(figsize=(7, 2.6), dpi=200, layout="constrained")
    left, right = page.subplots(1, 2, width_ratios=(1.5, 1))
    rows = walks[:, :ALONG].transpose(0, 1)
    left.imshow(
        rows.unflatten(-1, (28, 28)).permute(0, 2, 1, 3).flatten(2).flatten(0, 1),
        cmap="gray_r",
        vmin=0,
        vmax=1,
    )
    left.set_xticks(28 * np.arange(len(walks)) + 14, range(len(walks)), fontsize=7)
    left.set_yticks([])
    left.set_xlabel("step", fontsize=8)
    for values, name, color in ((curves, "diffusion VAE", "C0"), (graph, "walk on the data", "C1")):
        for k, curve in enumerate(values):
            right.plot(curve, color=color, linewidth=1, marker=".", label=name if k == 0 else None)
    right.axhline(chance, color="0.6", linewidth=0.8, linestyle="--", label="chance")
    right.set_xlabel("step", fontsize=8)
    right.set_ylabel("share at the digit of the start", fontsize=8)
    right.set_ylim(0, 1.02)
    right.tick_params(labelsize=7)
    right.legend(fontsize=7, frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=3000, help="digits of the diffusion VAE")
    parser.add_argument("--classify", type=int, default=4000, help="digits of the classifier")
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--components", type=int, default=40)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    console = Console(width=110)
    curves, graph_curves, accuracies = [], [], []
    walks, chance = torch.empty(0), 0.0
    for seed in range(options.seeds):
        x, labels = shuffled(options.data, seed)
        ends = np.cumsum([options.train, options.classify, options.starts])
        if ends[-1] > len(x):
            raise SystemExit(f"{options.data} holds {len(x)} digits; {ends[-1]} are asked for.")
        train, known, fresh = (slice(a, b) for a, b in zip([0, *ends], ends, strict=False))
        classifier = SVC(C=10).fit(x[known].numpy(), labels[known])
        accuracies.append(float(classifier.score(x[fresh].numpy(), labels[fresh])))
        start = time.process_time()
        net = SpectralNet(
            options.components, alpha=0.0, local_scale=10, n_neighbors=64, cutoff=0.01,
            hidden=(256, 128), random_state=seed,
        )  # fmt: skip
        model = lm.DiffusionVAE(
            diffusion=net, hidden=(256, 256), max_steps=3000, random_state=seed
        ).fit(x[train])
        seconds = time.process_time() - start
        walks = model.random_walk(x[fresh], options.steps, seed=seed)
        named = [classifier.predict(points.numpy()) for points in walks]
        curves.append([float((name == labels[fresh]).mean()) for name in named])
        graph_curves.append(
            graph_walk(model.diffusion_, x[train], labels[train], options.steps, seed)
        )
        shares = np.bincount(labels[train], minlength=10) / options.train
        chance = float(np.square(shares).sum())
        found = np.bincount(named[-1].astype(int), minlength=10) / options.starts
        console.print(
            f"seed {seed}: classifier {accuracies[-1]:.3f} right; trained in {seconds:.0f} s; at the "
            f"end every digit between {found.min():.3f} and {found.max():.3f} of the walks",
            soft_wrap=True,
        )
    shown = [k for k in SHOWN if k <= options.steps]
    table = Table("walk", *(f"step {k}" for k in shown),
                  title=f"share of {options.starts} walks at the digit of their start; median and "
                  f"range of {options.seeds} seeds; chance {chance:.2f}")  # fmt: skip
    for name, values in (("diffusion VAE", curves), ("graph of the data", graph_curves)):
        columns = np.array(values)[:, shown].T
        table.add_row(
            name, *(f"{np.median(c):.2f} [{c.min():.2f}, {c.max():.2f}]" for c in columns)
        )
    console.print(table)
    if options.figure:
        page = figure(walks, np.array(curves), np.array(graph_curves), chance)
        page.savefig(options.figure)


if __name__ == "__main__":
    main()
