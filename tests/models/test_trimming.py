"""Boxes are cut where charts are wrong or empty, and nowhere that a point needs them."""

import torch

from learnedmanifolds import Atlas
from learnedmanifolds.charts import CircleCharts
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.models.trimming import RESERVE, trimmed_boxes


class BentLine(Charts):
    """The segment [-1, 2.2] of the first axis; chart 0 leaves it beyond |t| = start.

    Chart 0 holds [-1, 1] of the axis, chart 1 [0.2, 2.2].
    """

    def __init__(self, rise=0.2, start=0.5):
        super().__init__(2, 1, (2,))
        self.rise, self.start = rise, start

    def decode(self, coords, chart=None):
        if chart is None:
            return torch.stack([self.decode(t, k) for k, t in enumerate(coords)])
        bend = self.rise * (coords.abs() - self.start).clamp(min=0) if chart == 0 else 0 * coords
        return torch.cat([coords + 1.2 * chart, bend], dim=-1)

    def encode(self, x, chart=None):
        if chart is None:
            return torch.stack([self.encode(x, k) for k in range(2)])
        return x[..., :1] - 1.2 * chart


def on_the_axis(low, high, count=2000):
    line = torch.linspace(low, high, count, dtype=torch.float64)
    return torch.stack([line, torch.zeros_like(line)], dim=1)


def test_a_bent_end_is_cut_where_the_other_chart_holds_the_points():
    atlas = Atlas(BentLine(), noise_std=0.04)
    low, high = trimmed_boxes(atlas, on_the_axis(-1, 2.2))
    # Chart 0 is 0.01, a quarter of the noise, off at 0.55; it ends where its outer strip of 0.1 is
    # off by less. Its other end is as bad, but the points there have no other chart.
    assert 0.5 < float(high[0]) < 0.7
    uncut = torch.stack([low[0], low[1], -high[1]])
    assert torch.allclose(uncut, -torch.ones_like(uncut), atol=1e-6)


def test_every_point_keeps_a_chart_at_the_reserve():
    # Bent so much that the whole overlap is worth cutting, from both sides.
    atlas = Atlas(BentLine(rise=2.0, start=0.0), noise_std=0.1, tolerance=10.0)
    x = on_the_axis(-1, 2.2)
    low, high = trimmed_boxes(atlas, x)
    coords = atlas.charts.encode(x)
    depth = torch.minimum(coords - low.unsqueeze(1), high.unsqueeze(1) - coords).amin(-1)
    before = (1 - coords.abs()).amin(-1).amax(0)
    assert bool((depth.amax(0) >= before.clamp(max=RESERVE) - 1e-4).all())
    overlap = float(high[0] - (low[1] + 1.2))
    assert 2 * RESERVE - 1e-4 <= overlap < 2 * RESERVE + 0.05
    assert torch.allclose(torch.stack([-low[0], high[1]]), torch.ones_like(low), atol=1e-6)


def test_exact_charts_full_of_data_are_left_alone():
    atlas = Atlas(CircleCharts(2.0, 3), noise_std=0.01)
    low, high = trimmed_boxes(atlas, atlas.sample(2000, seed=0))
    assert torch.allclose(low, -torch.ones_like(low), atol=1e-6)
    assert torch.allclose(high, torch.ones_like(high), atol=1e-6)


def test_empty_ends_are_cut_and_half_of_a_box_is_kept():
    atlas = Atlas(BentLine(rise=0.0), noise_std=0.01)
    low, high = trimmed_boxes(atlas, on_the_axis(-0.7, 1.6))
    # Strips of 0.1 that hold no data go; chart 1 ends at 0.4 of its coordinate.
    assert -0.8 - 1e-6 <= float(low[0]) <= -0.7 and 0.4 <= float(high[1]) <= 0.5 + 1e-6
    few = trimmed_boxes(atlas, on_the_axis(-0.05, 0.05))
    assert float((few[1] - few[0]).min()) >= 1.0 - 1e-6


class Apart(Charts):
    """Two charts of the first axis whose boxes, [-1, 1] and [1.05, 3.05], do not meet."""

    def __init__(self):
        super().__init__(2, 1, (2,))

    def decode(self, coords, chart=None):
        if chart is None:
            return torch.stack([self.decode(t, k) for k, t in enumerate(coords)])
        return torch.cat([coords + 2.05 * chart, 0 * coords], dim=-1)

    def encode(self, x, chart=None):
        if chart is None:
            return torch.stack([self.encode(x, k) for k in range(2)])
        return x[..., :1] - 2.05 * chart


def test_a_gap_between_charts_is_closed():
    atlas = Atlas(Apart(), noise_std=0.01)
    low, high = trimmed_boxes(atlas, on_the_axis(-1.1, 3.15), widest=1.2)
    # Every point of the gap is as deep as the reserve in the chart that is widened over it.
    assert float(high[0]) >= 1.05 + RESERVE - 1e-4 or float(low[1]) + 2.05 <= 1 - RESERVE + 1e-4
    assert float(high[0]) <= 1.2 + 1e-6 and float(low[1]) >= -1.2 - 1e-6
    # The outer ends, where only one chart could go on, stay.
    assert abs(float(low[0]) + 1) < 1e-6 and abs(float(high[1]) - 1) < 1e-6
