"""Charts of a noisy sphere before and after they are made to agree."""

import pytest
import torch
from oracles import draw
from torch.nn.functional import normalize

from learnedmanifolds.charts.kernel import KernelCharts
from learnedmanifolds.learning.cells import Cover
from learnedmanifolds.learning.chart_fits import ChartFits
from learnedmanifolds.learning.nodes import make_nodes

ROUNDS = 6


def sphere(n, seed):
    return normalize(draw(n, 3, seed=seed), dim=1)


def halves(x):
    """Nodes and the two cells of a sphere."""
    nodes = make_nodes(x.numpy(), 300, 12, 0, False)
    cover = Cover(nodes, 0, 2)
    cover.split(0)
    return nodes, cover.cells


def charts_of(fits):
    weights = [made.fit.weights for made in fits._made]
    return KernelCharts(
        center=torch.zeros(3, dtype=torch.float64), ambient_shape=(3,), **fits.stacked(weights)
    )


def figures(charts):
    """Mean distance of two charts where both are, and of the nearer one from clean points."""
    x = sphere(2000, 100)
    codes = charts.encode(x)
    points, depth = charts.decode(codes), charts.domain.depth(codes)
    both = (depth >= 0).all(0)
    assert 50 < int(both.sum()) < 1500
    gap = (points[0] - points[1])[both].norm(dim=1).mean()
    own = points[depth.argmax(0), torch.arange(len(x))]
    return float(gap), float((own - x).norm(dim=1).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_charts_agree_better_afterwards_and_are_as_near_to_the_sphere(seed):
    x = sphere(1500, seed) + 0.03 * draw(1500, 3, seed=seed + 10)
    nodes, cells = halves(x)
    fits = ChartFits(x, nodes)
    fits.update(cells)
    gap, off = figures(charts_of(fits))
    fits.agree(ROUNDS)
    new_gap, new_off = figures(charts_of(fits))
    assert new_gap < 0.5 * gap
    assert new_off <= off < 0.03 / 4


def test_charts_turn_with_the_data():
    x = sphere(800, 2) + 0.02 * draw(800, 3, seed=3)
    turn = torch.linalg.qr(draw(3, 3, seed=4)).Q
    made = []
    for data in (x, x @ turn):
        nodes, cells = halves(data)
        fits = ChartFits(data, nodes)
        fits.update(cells)
        fits.agree(ROUNDS)
        made.append(charts_of(fits))
    codes = made[0].anchors
    gap = made[0].decode(codes) @ turn - made[1].decode(codes)
    assert float(gap.norm(dim=-1).max()) < 1e-6
    # They are charts of the sphere.
    assert float(made[0].decode(codes).norm(dim=-1).sub(1).abs().max()) < 0.02
