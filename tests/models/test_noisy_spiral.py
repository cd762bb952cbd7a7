"""A noisy spiral, whose arms are twelve noise widths apart: nothing leads from one to the next."""

import math

import torch

import learnedmanifolds as lm
from learnedmanifolds.geometry import InducedMetric, Located
from learnedmanifolds.learning.codes import interpolate
from learnedmanifolds.learning.nodes import make_nodes


def spiral(r):
    return torch.stack([r * r.cos(), r * r.sin()], 1)


def arc_length(r):
    return (r * (1 + r * r).sqrt() + torch.asinh(r)) / 2


def noisy(seed):
    source = torch.Generator().manual_seed(seed)
    r = math.pi * (1.5 + 3 * torch.rand(1500, generator=source, dtype=torch.float64))
    return r, spiral(r) + 0.5 * torch.randn(1500, 2, generator=source, dtype=torch.float64)


def radius(points):
    """The parameter of the nearest point of the spiral."""
    r = math.pi * torch.linspace(1.4, 4.6, 4000, dtype=torch.float64)
    return r[torch.cdist(points, spiral(r)).argmin(1)]


def test_nodes_of_one_arm_are_not_joined_to_the_next():
    for seed in range(4):
        nodes = make_nodes(noisy(seed)[1].numpy(), 400, 10, 0, True)
        r = radius(torch.from_numpy(nodes.points))
        row, column = nodes.graph.tocoo().coords
        assert float((r[row] - r[column]).abs().max()) < math.pi / 2
        assert nodes.component.max() == 0


def test_codes_are_taken_from_nodes_of_the_same_arm():
    r = math.pi * torch.linspace(1.5, 4.5, 30, dtype=torch.float64)
    code = arc_length(r).unsqueeze(1) / arc_length(r).max()
    between = math.pi * torch.linspace(1.6, 4.4, 300, dtype=torch.float64)
    found = interpolate(spiral(between), spiral(r).numpy(), code.numpy()).squeeze(1)
    wanted = arc_length(between) / arc_length(r).max()
    assert float((found - wanted).abs().max()) < 0.05


def test_distances_are_arc_lengths():
    for seed in range(2):
        atlas = lm.KernelAtlas(dim=1, random_state=0).fit(noisy(seed)[1]).atlas_
        r = math.pi * torch.linspace(1.6, 4.4, 6, dtype=torch.float64)
        at = atlas.nearest(spiral(r))
        i, j = torch.triu_indices(6, 6, 1)
        start, end = (Located(at.chart[k], at.coords[k]) for k in (i, j))
        found = InducedMetric(atlas).dist(start, end)
        wanted = (arc_length(r[i]) - arc_length(r[j])).abs()
        assert float((found / wanted - 1).abs().max()) < 0.03
