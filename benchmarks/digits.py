"""Digits with half their pixels hidden: the atlas against the PCA subspace of the same dimension.

python benchmarks/digits.py [--seeds 5] [--first-seed 10] [--images 100]

The number of charts and the dimension were chosen on seed 0. A seed draws the split, the training
and the masks. Errors are root mean square, on hidden pixels.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from pathlib import Path

import numpy as np
import torch

from learnedmanifolds.demo import digits_demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=10)
    parser.add_argument("--images", type=int, default=100)
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    ratios = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            result = digits_demo(Path(folder), seed, False, n_images=arguments.images)
        ratios.append(result.ratio)
        print(
            f"seed {seed}: atlas {result.atlas_error:.4f}, PCA {result.pca_error:.4f}, ratio "
            f"{result.ratio:.3f}; train {result.seconds['train']:.1f} s, restore "
            f"{result.seconds['solve']:.1f} s",
            flush=True,
        )
    print(f"ratio, median {np.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}]")


if __name__ == "__main__":
    main()
