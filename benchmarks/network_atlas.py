"""Network charts on pictures of two discs, d = 6: seconds, decibels on unseen pictures, against others.

python benchmarks/network_atlas.py balls --size 32 --seeds 2
"""

import argparse
import time
import warnings

import torch

import learnedmanifolds as lm

IMAGES = {32: 40_000, 64: 30_000, 128: 20_000}


def balls(size, n_images, seed, n_test):
    x = lm.datasets.balls(n_images, size, seed=seed + 1)
    unseen = lm.datasets.balls(n_test, size, seed=1000 + seed)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        model = lm.KernelAtlas(dim=6, random_state=seed).fit(x)
    seconds = time.perf_counter() - start
    atlas = model.atlas_
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
        f"{'; '.join(model.quality_.faults)} {[str(w.message) for w in told]}",
        flush=True,
    )
    return float(psnr.mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["balls"])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int)
    parser.add_argument("--test", type=int, default=500)
    chosen = parser.parse_args()
    for number in range(chosen.seeds):
        balls(chosen.size, chosen.images or IMAGES[chosen.size], number, chosen.test)
