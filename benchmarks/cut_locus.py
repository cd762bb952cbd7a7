"""Distances and logarithms near the cut locus: analytic sphere, flat torus, learned sphere.

python benchmarks/cut_locus.py [--pairs 125] [--exponents 1 2 3 4 5 6 7 8] [--seed 0]
                               [--only sphere torus learned] [--learned FILE] [--fan 240]
                               [--detours 125]

Pairs at angles pi - 10^-k; on the torus in R^4 one of its two angles, or both, is that far around. On
the analytic manifolds errors are against closed forms. On the learned sphere, by default a
`KernelAtlas`, the shortest path is looked for by brute force: geodesics in ``--fan`` directions of each
start, one more by bisection wherever two neighbours pass a target on different sides. So all geodesics
are found that go about half around, without chains, graphs, or Newton's method.

"Over" is how much longer a distance is than the shortest of them, in units of its length; asymmetry and
what a distance is longer than a detour through a random point are in these units too. The miss is where
the exponential of the logarithm ends. Charts that disagree let no geodesic reach some targets by
exactly one way: see how far in the last column.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.charts.flat_torus import FlatTorusCharts
from learnedmanifolds.geometry import InducedMetric, Located

_STARTS = 25
_BISECTIONS = 30


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def draw(*shape: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64)


def sphere_pairs(n: int, gap: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points of the unit sphere, the same few starts in turn for all gaps, and their distance."""
    x = unit(draw(_STARTS, 3, seed=seed))[torch.arange(n) % _STARTS]
    across = unit(torch.linalg.cross(x, draw(n, 3, seed=seed + 1 + round(-math.log10(gap)))))
    y = -math.cos(gap) * x + math.sin(gap) * across
    return x, y, 2 * torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1))


def torus_pairs(n: int, gap: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points of the flat torus of angles, and their distance."""
    source = torch.Generator().manual_seed(seed + round(-math.log10(gap)))
    a, turn = math.pi * (2 * torch.rand(2, n, 2, generator=source, dtype=torch.float64) - 1)
    turn[:, 0] = math.pi - gap
    turn[::2, 1] = gap - math.pi
    x, y = (torch.stack([t.cos(), t.sin()], -1).flatten(1) for t in (a, a + turn))
    return x, y, turn.norm(dim=-1)


def places(atlas: lm.Atlas, located: Located) -> Tensor:
    return atlas.decode(located.coords, located.chart).flatten(1)


def frame(metric: InducedMetric, start: Located, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Unit tangent vectors at angles, and those across."""
    first, second = metric.local(start).tangent_basis.unbind(-1)
    c, s = angle.cos().unsqueeze(-1), angle.sin().unsqueeze(-1)
    return c * first + s * second, c * second - s * first


def passes(
    metric: InducedMetric, start: Located, angle: Tensor, length: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Lengths at which geodesics pass nearest to targets, and by how much to the left of them.

    From lengths near them; targets (N, n) or, one geodesic for all, (N, M, n).
    """
    ahead, across = frame(metric, start, angle)
    vector = length.unsqueeze(-1) * ahead
    end, moved = metric.parallel_transport(torch.stack([ahead, across], 1), start, vector)
    gap = target - places(metric.manifold, end).unsqueeze(1)
    along, left = (gap @ moved.mT).unbind(-1)
    return length.unsqueeze(1) + along, left


def shortest(
    metric: InducedMetric, start: Located, end: Located, guess: Tensor, fan: int
) -> tuple[Tensor, Tensor]:
    """Length of the shortest geodesic about half around for each pair, and how many there are.

    Starts are the same few in turn.
    """
    n, y = len(guess), places(metric.manifold, end)
    size = guess.median().expand(_STARTS * fan)
    step = 2 * math.pi / fan
    angle = (step * torch.arange(fan, dtype=torch.float64)).repeat(_STARTS)
    few = torch.arange(_STARTS).repeat_interleave(fan)
    mine = y.view(-1, _STARTS, y.shape[-1]).movedim(0, 1)[few]
    begin = Located(start.chart[few], start.coords[few])
    left = passes(metric, begin, angle, size, mine)[1] > 0
    left = left.view(_STARTS, fan, -1).movedim(-1, 0).flatten(0, 1)
    index, low = (left != left.roll(-1, 1)).nonzero().unbind(1)
    # A little wider, for these were passed at the wrong length.
    a, b = step * (low - 0.5), step * (low + 1.5)
    begin, target = Located(start.chart[index], start.coords[index]), y[index].unsqueeze(1)
    size = guess[index]

    def at(angle: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        size, left = passes(metric, begin, angle, size, target)
        return size.squeeze(1), left.squeeze(1)

    for _ in range(3):
        size, first = at(a, size)
    last = at(b, size)[1]
    for _ in range(_BISECTIONS):
        middle = (a + b) / 2
        size, rest = at(middle, size)
        same = (rest > 0) == (first > 0)
        a, b = torch.where(same, middle, a), torch.where(same, b, middle)
    # Between geodesics that cross into different charts none may reach the target.
    reached = ((first > 0) != (last > 0)) & (rest.abs() <= 1e-7)
    found = torch.full((n,), torch.inf, dtype=torch.float64)
    found.scatter_reduce_(0, index[reached], size[reached], "amin")
    return found, torch.bincount(index[reached], minlength=n)


def row(
    atlas: lm.Atlas, pairs: tuple[Tensor, Tensor, Tensor], seed: int, fan: int, detours: int
) -> list[str]:
    metric = InducedMetric(atlas)
    start, end = (atlas.locate(p) for p in pairs[:2])
    y, true, n = places(atlas, end), pairs[2], len(pairs[2])
    began = time.process_time()
    found = metric.logarithm(start, end)
    seconds = (time.process_time() - began) / n
    missing = found.vector.isnan().any(-1)
    vector = found.vector.nan_to_num()
    miss = (places(atlas, metric.exp(start, vector, stop=True)) - y).norm(dim=-1)[~missing]
    columns = [f"{int(missing.sum())}"]
    if fan:
        true, ways = shortest(metric, start, end, found.distance, fan)
        columns += [f"{int(true.isinf().sum())}", f"{float(ways.double().mean()):.1f}"]
        missing |= true.isinf()
    over = (found.distance / true - 1)[~missing]
    columns += [f"{int((over > 1e-6).sum())}", f"{float(over.max()):.1e}"]
    columns += [f"{float(over.min()):.1e}"]
    columns += [f"{float(((vector.norm(dim=-1) / true - 1)[~missing]).abs().max()):.1e}"]
    start, end = (Located(p.chart[:detours], p.coords[:detours]) for p in (start, end))
    back = metric.dist(end, start)
    dist = metric.dist(start, end)
    other = atlas.locate(atlas.sample(len(dist), seed=seed))
    detour = metric.dist(start, other) + metric.dist(other, end)
    columns += [f"{float((back / dist - 1).abs().max()):.1e}"]
    columns += [f"{float((dist / detour - 1).max()):.1e}"]
    columns += [f"{float(miss.median()):.1e}", f"{float(miss.max()):.1e}", f"{seconds:.3f}"]
    return columns


def learned(file: str | None) -> lm.Atlas:
    if file:
        return lm.load(file)
    x = lm.datasets.Sphere().sample(10_240, noise=0.01, seed=0)
    return lm.KernelAtlas(random_state=0).fit(x).atlas_


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=125)
    parser.add_argument("--exponents", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learned")
    parser.add_argument("--fan", type=int, default=240)
    parser.add_argument("--detours", type=int, default=125)
    parser.add_argument("--only", nargs="+", default=["sphere", "torus", "learned"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = {
        "sphere": (lambda: lm.Atlas(lm.charts.SphereCharts()), sphere_pairs, 0),
        "torus": (lambda: lm.Atlas(FlatTorusCharts()), torus_pairs, 0),
        "learned": (lambda: learned(options.learned), sphere_pairs, options.fan),
    }
    for name in options.only:
        make, pairs, fan = cases[name]
        atlas = make().to(torch.float64)
        print(Path(options.learned).stem if options.learned and fan else name, atlas)
        heads = ["k", "not found", *(["no oracle", "ways"] if fan else [])]
        heads += ["over 1e-6", "most over", "least over", "|log|", "asymmetry", "over detour"]
        heads += ["miss (median)", "miss (most)", "s a pair"]
        print("".join(f"{head:>14}" for head in heads))
        for k in options.exponents:
            chosen = pairs(options.pairs, 10.0**-k, options.seed)
            columns = row(atlas, chosen, options.seed, fan, options.detours)
            print("".join(f"{column:>14}" for column in [str(k), *columns]), flush=True)


if __name__ == "__main__":
    main()
