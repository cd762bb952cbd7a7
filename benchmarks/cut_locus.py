"""Distances and logarithms near the cut locus: analytic sphere, flat torus, learned sphere.

python benchmarks/cut_locus.py [--pairs 125] [--exponents 1 2 3 4 5 6 7 8] [--seed 0]
                               [--only sphere torus learned] [--learned FILE] [--fan 240]

Pairs at angles pi - 10^-k, a multiple of 25 for each k; on the torus in R^4 one of its two angles, or
both, is that far around. On the analytic manifolds errors are against closed forms. On the learned
sphere, by default a `KernelAtlas`, the shortest path is looked for by brute force: geodesics in
``--fan`` directions of each start, and wherever two neighbours pass a target on different sides the one
between them that meets it, by the Illinois rule in the angle and Newton's in the length. So all geodesics
are found that go about half around, without chains, graphs, or the library's shooting.

"Over" is how much longer `dist`, from end to start, is than the shortest of them, in units of its
length: the share above 1e-6, the median, the most, the least. In these units are also how far the length
of `log`, from start to end, is off; the asymmetry, of `dist` there and the distance of `log`; and by how
much `dist` exceeds a detour through the end of another pair of the same start. The miss is where the
exponential of the logarithm ends: charts that disagree let no geodesic reach some targets. About six
minutes for the learned sphere.
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
_ITERATIONS = 40
# A geodesic arrives that passes its target this near.
_ARRIVED = 1e-7


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def draw(*shape: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64)


def sphere_pairs(n: int, gap: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points of the unit sphere, the same few starts in turn for all gaps, and their distance."""
    x = unit(draw(_STARTS, 3, seed=seed))
    # On the side from which `dist` looks, so that the oracle's geodesics go the same way.
    x = -x * x.gather(-1, x.abs().argmax(-1, keepdim=True)).sign()
    x = x[torch.arange(n) % _STARTS]
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


def rows(point: Located, index: Tensor) -> Located:
    return Located(point.chart[index], point.coords[index])


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

    Starts are the same few in turn: one fan from each serves all its targets.
    """
    n, y = len(guess), places(metric.manifold, end)
    size = guess.median().expand(_STARTS * fan)
    step = 2 * math.pi / fan
    angle = (step * torch.arange(fan, dtype=torch.float64)).repeat(_STARTS)
    few = torch.arange(_STARTS).repeat_interleave(fan)
    mine = y.view(-1, _STARTS, y.shape[-1]).movedim(0, 1)[few]
    left = passes(metric, rows(start, few), angle, size, mine)[1] > 0
    left = left.view(_STARTS, fan, -1).movedim(-1, 0).flatten(0, 1)
    index, low = (left != left.roll(-1, 1)).nonzero().unbind(1)
    low = low.double()
    # A little wider, for these were passed at the wrong length.
    a, b = step * (low - 0.5), step * (low + 1.5)
    size, target, begin = guess[index], y[index].unsqueeze(1), rows(start, index)

    def at(angle: Tensor, active: Tensor) -> Tensor:
        """By how much targets are to the left; lengths are those of the passage before."""
        found, left = passes(metric, rows(begin, active), angle, size[active], target[active])
        size[active] = found.squeeze(1)
        return left.squeeze(1)

    active = torch.arange(len(index))
    for _ in range(2):
        last = at(b, active)
    size = guess[index]
    for _ in range(2):
        first = at(a, active)
    rest = torch.full_like(first, torch.inf)
    active = ((first > 0) != (last > 0)).nonzero().squeeze(-1)
    for turn in range(_ITERATIONS):
        if not len(active):
            break
        # The Illinois rule: the end that stays twice counts half. Every third step halves for sure.
        low, high = first[active], last[active]
        middle = (a[active] * high - b[active] * low) / (high - low)
        if turn % 3 == 2:
            middle = (a[active] + b[active]) / 2
        value = at(middle, active)
        rest[active] = value
        same = (value > 0) == (high > 0)
        a[active], first[active] = (
            torch.where(same, a[active], b[active]),
            torch.where(same, low / 2, high),
        )
        b[active], last[active] = middle, value
        # Farther off than one can turn within the angles left: there is a jump between them.
        jump = value.abs() > _ARRIVED + 4 * size[active] * (b[active] - a[active]).abs()
        active = active[(value.abs() > _ARRIVED / 10) & ~jump]
    # Between geodesics that cross into different charts none may reach the target.
    reached = rest.abs() <= _ARRIVED
    found = torch.full((n,), torch.inf, dtype=torch.float64)
    found.scatter_reduce_(0, index[reached], size[reached], "amin")
    return found, torch.bincount(index[reached], minlength=n)


def table(
    atlas: lm.Atlas, pairs: tuple[Tensor, Tensor, Tensor], exponents: list[int], fan: int
) -> None:
    """A row an exponent; pairs of all of them at once, for geodesics are fastest in large batches."""
    metric = InducedMetric(atlas)
    start, end = (atlas.locate(p) for p in pairs[:2])
    y, true = places(atlas, end), pairs[2]
    clock = [time.process_time()]

    def lap() -> float:
        clock.append(time.process_time())
        return (clock[-1] - clock[-2]) / len(true)

    found = metric.logarithm(start, end)
    seconds = lap()
    if fan:
        true, ways = shortest(metric, start, end, found.distance, fan)
        print(f"the oracle took {lap() * len(true):.0f} s")
    dist = metric.dist(end, start)
    miss = (places(atlas, metric.exp(start, found.vector.nan_to_num(), stop=True)) - y).norm(dim=-1)
    # The third point is the end of another pair of the same start.
    other = torch.arange(len(dist)).roll(_STARTS)
    detour = dist[other] + metric.dist(rows(end, other), end)
    values = {"over": dist / true - 1, "log": found.vector.norm(dim=-1) / true - 1, "miss": miss}
    values |= {"asymmetry": found.distance / dist - 1, "detour": dist / detour - 1}
    heads = ["k", "pairs", "no log", *(["no oracle", "ways"] if fan else []), "over 1e-6", "median"]
    heads += ["most over", "least over", "log off", "asymmetry", "over detour", "miss"]
    print("".join(f"{head:>12}" for head in heads))
    for place, k in enumerate(exponents):
        own = slice(place * len(dist) // len(exponents), (place + 1) * len(dist) // len(exponents))
        at = {name: value[own] for name, value in values.items()}
        columns = [f"{k}", f"{len(at['over'])}", f"{int(at['log'].isnan().sum())}"]
        if fan:
            columns += [
                f"{int(true[own].isinf().sum())}",
                f"{float(ways[own].double().mean()):.1f}",
            ]
        over = at["over"][true[own].isfinite()]
        columns += [f"{float((over > 1e-6).double().mean()):.3f}"]
        columns += [f"{float(v):.1e}" for v in (over.median(), over.max(), over.min())]
        length = at["log"][true[own].isfinite()].nan_to_num()
        columns += [f"{float(v):.1e}" for v in (length.abs().max(), at["asymmetry"].abs().max())]
        columns += [f"{float(v):.1e}" for v in (at["detour"].max(), at["miss"].max())]
        print("".join(f"{column:>12}" for column in columns), flush=True)
    print(f"{seconds:.3f} s a distance, {clock[-1] - clock[0] + lap() * len(true):.0f} s in all")
    worst = values["over"].nan_to_num().topk(5)
    for value, row in zip(worst.values.tolist(), worst.indices.tolist(), strict=True):
        k = exponents[row * len(exponents) // len(dist)]
        print(f"  pair {row} (k = {k}): dist {float(dist[row]):.9f}, {value:.1e} over")


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
        parts = [pairs(options.pairs, 10.0**-k, options.seed) for k in options.exponents]
        x, y, true = (torch.cat(part) for part in zip(*parts, strict=True))
        table(atlas, (x, y, true), options.exponents, fan)


if __name__ == "__main__":
    main()
