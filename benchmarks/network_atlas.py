"""Network charts on pictures: seconds, errors on unseen ones, against nearest pictures and PCA.

python benchmarks/network_atlas.py balls --size 32 --seeds 2 [--save FOLDER]
python benchmarks/network_atlas.py sevens|frey [--dim 6] [--seeds 2] --data FOLDER

Balls are two discs, d = 6, in decibels. Sevens are those of MNIST, 5,000 to learn from and the others to
judge by; Frey faces are parted at random, 1,700 and 265. Errors are root mean square distances from the
held-out pictures in units of the root mean square distance from the mean: of the nearest point of the
atlas, of the best plane of the same dimension, of the nearest picture that was learned from.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.io import loadmat

import learnedmanifolds as lm

IMAGES = {32: 40_000, 64: 30_000, 128: 30_000}


def learned(x, dim, seed):
    """An atlas, its estimator, seconds to learn it and what was warned of."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        model = lm.KernelAtlas(dim=dim, random_state=seed).fit(x)
    return model, time.perf_counter() - start, [str(one.message) for one in told]


def real(name, folder, dim, seed):
    source = torch.Generator().manual_seed(seed)
    if name == "sevens":
        file = np.load(folder / "mnist.npz")
        x, count = file["x_train"][file["y_train"] == 7] / 255.0, 5_000
    else:
        x, count = loadmat(folder / "frey_rawface.mat")["ff"].T.reshape(-1, 28, 20) / 255.0, 1_700
    x = torch.from_numpy(x)[torch.randperm(len(x), generator=source)]
    train, test = x[:count], x[count:]
    model, seconds, told = learned(train, dim, seed)
    flat, other = train.flatten(1), test.flatten(1)
    middle = flat.mean(0)
    spread = (other - middle).square().sum(1).mean().sqrt()
    own = model.atlas_.project(test).flatten(1)
    axes = torch.linalg.svd(flat - middle, full_matrices=False).Vh[: model.dim_]
    plane = middle + (other - middle) @ axes.mT @ axes
    near = torch.cdist(other, flat).amin(1)
    errors = [float((made - other).square().sum(1).mean().sqrt() / spread) for made in (own, plane)]
    errors.append(float(near.square().mean().sqrt() / spread))
    print(
        f"{name}, seed {seed}: d = {model.dim_}, K = {model.n_charts_}, {seconds:.0f} s, error "
        f"{errors[0]:.3f}, PCA {errors[1]:.3f}, nearest picture {errors[2]:.3f}; healthy "
        f"{model.quality_.healthy} {'; '.join(model.quality_.faults)} {told}",
        flush=True,
    )


def balls(size, n_images, seed, n_test, folder):
    x = lm.datasets.balls(n_images, size, seed=seed + 1)
    unseen = lm.datasets.balls(n_test, size, seed=1000 + seed)
    model, seconds, told = learned(x, 6, seed)
    atlas = model.atlas_
    if folder is not None:
        atlas.save(folder / f"balls-{size}-{seed}.safetensors")
    start = time.perf_counter()
    found = atlas.locate(unseen)
    made = atlas.decode(found.coords, found.chart)
    each = (time.perf_counter() - start) / len(unseen)
    psnr = -10 * (made - unseen).square().flatten(1).mean(1).log10()
    near = torch.cdist(unseen.flatten(1), x.flatten(1)).amin(1)
    nearest = -10 * (near.square() / unseen[0].numel()).log10()
    inside = atlas.charts.domain.depth(found.coords, found.chart) >= 0
    print(
        f"balls {size}, {n_images} pictures, seed {seed}: {seconds:.0f} s, K = {atlas.n_charts}, "
        f"mean {psnr.mean():.1f} dB, median {psnr.median():.1f}, least {psnr.min():.1f}; "
        f"nearest picture {nearest.mean():.1f} dB; inside {inside.double().mean():.3f}; "
        f"{1000 * each:.1f} ms a picture to locate; healthy {model.quality_.healthy} "
        f"{'; '.join(model.quality_.faults)} {told}",
        flush=True,
    )
    return float(psnr.mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["balls", "sevens", "frey"])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int)
    parser.add_argument(
        "--dim", default="auto", type=lambda text: text if text == "auto" else int(text)
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--test", type=int, default=500)
    chosen = parser.parse_args()
    for number in range(chosen.seeds):
        if chosen.what == "balls":
            images = chosen.images or IMAGES[chosen.size]
            balls(chosen.size, images, number, chosen.test, chosen.save)
        else:
            real(chosen.what, chosen.data, chosen.dim, number)
