"""Quality figures on atlases whose every figure is known."""

import json
import math

import pytest
import torch
from oracles import draw

from learnedmanifolds import Atlas
from learnedmanifolds.charts import Charts, CircleCharts, PlaneCharts, SphereCharts


def circle(n, radius=1.0):
    angle = torch.arange(n, dtype=torch.float64) * 2 * math.pi / n
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def test_an_exact_atlas_of_the_circle():
    atlas = Atlas(CircleCharts(1.0, 3), tolerance=1e-6)
    x = circle(3000)
    quality = atlas.quality(x)
    assert quality.n_points == 3000
    assert quality.reconstruction_error_max < 1e-12 and quality.disagreement_95 < 1e-12
    assert quality.coverage == 1 and quality.condition_number_max == pytest.approx(1)
    assert quality.healthy and quality.dead_charts == () and max(quality.folded) == 0
    # Charts' arcs are intervals of the angle: count what two of them hold.
    held = torch.stack([atlas.encode(x, k).abs().amax(1) <= 1 for k in range(3)])
    assert quality.covered_twice == pytest.approx(float((held.sum(0) >= 2).double().mean()))
    depth = torch.stack([1 - atlas.encode(x, k).abs().amax(1) for k in range(3)]).amax(0)
    assert quality.border_depth == pytest.approx(float(depth.min()))
    assert quality.shares == pytest.approx((1 / 3,) * 3, abs=0.01)


def test_errors_that_say_nothing_are_told_in_words_and_no_fault():
    x = draw(200, 2, seed=0, low=-1, high=1)
    region = Atlas(PlaneCharts(torch.eye(2).double()), tolerance=1e-6).quality(x)
    assert region.healthy and region.full_dimension and region.reconstruction_error_max < 1e-12
    assert "errors say nothing" in str(region) and str(region).startswith(repr(region))
    curve = Atlas(CircleCharts(1.0, 3), tolerance=1e-6).quality(circle(100))
    assert not curve.full_dimension and curve.notes == () and str(curve) == repr(curve)
    off = Atlas(CircleCharts(1.0, 3), tolerance=1e-6).quality(circle(100, 2.0))
    assert str(off).endswith(f"Not healthy: {'; '.join(off.faults)}.") and off.faults


def test_points_off_the_manifold_are_errors_and_not_covered():
    atlas = Atlas(CircleCharts(1.0, 3), tolerance=0.05)
    quality = atlas.quality(torch.cat([circle(300, 1.02), circle(100, 1.5)]))
    assert quality.coverage == pytest.approx(0.75)
    assert quality.reconstruction_error == pytest.approx(0.75 * 0.02 + 0.25 * 0.5)
    assert quality.reconstruction_error_max == pytest.approx(0.5)


class Shifted(CircleCharts):
    """A circle whose charts are moved apart: known disagreement."""

    def decode(self, coords, chart=None):
        points = super().decode(coords, chart)
        if chart is None:
            return points + 0.01 * torch.arange(self.n_charts).view(-1, 1, 1) * points
        return points * (1 + 0.01 * chart)


def test_disagreement_of_charts_of_different_radius():
    quality = Atlas(Shifted(1.0, 2), tolerance=0.05).quality(circle(2000))
    assert quality.disagreement == pytest.approx(0.01)
    assert quality.disagreement_95 == pytest.approx(0.01)
    assert quality.covered_twice > 0.02


def test_no_point_held_twice_means_no_disagreement():
    quality = Atlas(PlaneCharts(torch.eye(2).double()[:, :1])).quality(0 * circle(100))
    assert quality.covered_twice == 0 and math.isnan(quality.disagreement)


def test_a_dead_and_a_folded_chart_are_reported():
    dead = Atlas(SphereCharts(1.0), weights=[1.0, 1e-9], noise_std=0.3)
    # Points near one pole, which the other chart does not claim.
    x = torch.nn.functional.normalize(
        torch.tensor([0.0, 0.0, 1.0]).double() + 0.1 * draw(200, 3), dim=1
    )
    shares = dead.quality(x).shares
    assert dead.quality(x).dead_charts == (int(shares[1] < shares[0]),)
    assert any("hardly any data" in fault for fault in dead.quality(x).faults)
    assert not dead.quality(x).healthy
    # Of ten of a thousand points one can make a chart.
    angle = torch.cat([torch.linspace(-1.4, 1.4, 990), math.pi + torch.linspace(-0.1, 0.1, 10)])
    x = torch.stack([angle.cos(), angle.sin()], 1).double()
    quality = Atlas(Arcs(-0.2), noise_std=0.01).quality(x)
    assert min(quality.shares) < 0.05 and quality.dead_charts == ()
    assert Atlas(Arcs(-0.2), noise_std=0.01).quality(x[:992]).dead_charts == (1,)

    class Folded(Charts):
        """t -> (t^2, 0): both halves of the box on the same points."""

        def __init__(self):
            super().__init__(1, 1, (2,))

        def decode(self, coords, chart=None):
            coords = coords if chart is not None else coords.expand(1, *coords.shape[-2:])
            return torch.cat([coords.square(), 0 * coords], -1)

        def encode(self, x, chart=None):
            root = x[..., :1].clamp(min=0).sqrt()
            return root if chart is not None else root.expand(1, *root.shape[-2:])

    line = torch.linspace(0, 1, 50).double().unsqueeze(1)
    quality = Atlas(Folded(), noise_std=0.005).quality(torch.cat([line, 0 * line], 1))
    # Only |t| < 0.25 has its mirror image within a quarter of the box's width.
    assert quality.folded[0] == pytest.approx(0.75, abs=0.06)
    assert not quality.healthy and quality.faults[0].startswith("folded charts, by up to 0.7")


class Arcs(Charts):
    """Two charts of a circle whose boxes end before each other: a gap of a known angle at two places."""

    def __init__(self, gap):
        super().__init__(2, 1, (2,))
        self.half = (math.pi - gap) / 2

    def encode(self, x, chart=None):
        start = torch.tensor([0.0, math.pi]).double().view(2, 1, 1)
        angle = torch.atan2(x[..., 1], x[..., 0]).unsqueeze(-1) - start
        coords = (torch.remainder(angle + math.pi, 2 * math.pi) - math.pi) / self.half
        return coords if chart is None else coords[chart]

    def decode(self, coords, chart=None):
        start = torch.tensor([0.0, math.pi]).double().view(2, 1, 1)
        angle = coords * self.half + (start if chart is None else start[chart])
        return torch.cat([angle.cos(), angle.sin()], -1)


class Lines(Charts):
    """Two lines of length 2 that cross at an angle, in their middles."""

    def __init__(self, angle):
        super().__init__(2, 1, (2,))
        self.along = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]]).double()

    def encode(self, x, chart=None):
        coords = (x @ self.along.mT).movedim(-1, 0).unsqueeze(-1)
        return coords if chart is None else coords[chart]

    def decode(self, coords, chart=None):
        return coords * (self.along.unsqueeze(1) if chart is None else self.along[chart])


@pytest.mark.parametrize("angle", [0.2, 0.7, 0.9, 1.5])
def test_lines_that_cross_are_no_manifold_unless_they_hardly_do(angle):
    charts, t = Lines(angle), torch.linspace(-1, 1, 2001).double().unsqueeze(-1)
    x = torch.cat([t * along for along in charts.along])
    quality = Atlas(charts, noise_std=0.005, tolerance=0.02).quality(x)
    # Each line is within the tolerance of the other where |t| sin(angle) is.
    assert quality.covered_twice == pytest.approx(0.02 / math.sin(angle), rel=0.05)
    across = angle > math.pi / 4
    assert quality.crossing == pytest.approx(across * quality.covered_twice)
    assert quality.healthy == (not across)
    assert [fault.startswith("sheets that cross") for fault in quality.faults] == [True] * across


def test_a_chart_that_crosses_itself_is_told():
    class Eight(Charts):
        """A figure-eight that passes its middle twice, flat or as a spiral above it."""

        def __init__(self, crossing):
            super().__init__(1, 1, (3,))
            self.lift = 0.0 if crossing else 0.2

        def decode(self, coords, chart=None):
            t = coords if chart is not None else coords.expand(1, *coords.shape[-2:])
            u = math.pi * (0.7 * t + 0.5)
            return torch.cat([u.sin(), (2 * u).sin(), self.lift * t], -1)

        def encode(self, x, chart=None):
            grid = torch.linspace(-1, 1, 2001).double().unsqueeze(-1)
            t = grid[torch.cdist(x, self.decode(grid, 0)).argmin(-1)]
            return t if chart is not None else t.expand(1, *t.shape[-2:])

    for crossing in (True, False):
        charts = Eight(crossing)
        x = charts.decode(torch.linspace(-1, 1, 1000).double().unsqueeze(-1), 0)
        quality = Atlas(charts, noise_std=0.01).quality(x)
        assert (quality.crossing > 0) == crossing == (not quality.healthy)
        assert max(quality.folded) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_gap_is_told_from_outliers(seed):
    source = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(4000, 1, generator=source, dtype=torch.float64)
    x = torch.cat([angle.cos(), angle.sin()], 1)
    x = x + 0.01 * torch.randn(x.shape, generator=source, dtype=torch.float64)
    whole, torn = Atlas(Arcs(-0.2), noise_std=0.01), Atlas(Arcs(0.01), noise_std=0.01)
    assert whole.quality(x).healthy and whole.quality(x).in_gaps == 0
    quality = torn.quality(x)
    # Two gaps of 0.01 of the circumference 2 pi; nearly all data are covered.
    assert quality.in_gaps == pytest.approx(0.02 / (2 * math.pi), rel=0.6)
    assert quality.coverage > 0.99 and not quality.healthy
    # One point in a hundred lies off by up to half the radius: that is no gap.
    x[::100] *= 1 + 0.5 * torch.rand(40, 1, generator=source, dtype=torch.float64)
    outliers = whole.quality(x)
    assert outliers.in_gaps == 0 and outliers.healthy and outliers.coverage < 0.995


class Lost(Arcs):
    """Left inverses that are lost outside their boxes, as trained ones are: they claim the centre."""

    def encode(self, x, chart=None):
        coords = super().encode(x, chart)
        return torch.where(coords.abs() > 1, 0.0, coords)


@pytest.mark.parametrize("family", [Arcs, Lost])
def test_a_point_in_a_gap_is_located_at_its_border(family):
    torn, x = Atlas(family(0.1), noise_std=0.01), circle(1000)
    located = torn.locate(x)
    assert float(located.coords.abs().max()) <= 1
    away = (torn.decode(located.coords, located.chart) - x).norm(dim=-1)
    assert float(away.max()) <= 0.05 and float(away.max()) > 0.04


def test_bad_input_and_json():
    atlas = Atlas(CircleCharts(1.0, 3))
    for wrong, message in (
        (torch.zeros(0, 2), "must not be empty"),
        (torch.zeros(5, 3), "x must have shape"),
        (torch.full((5, 2), math.nan), "x must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            atlas.quality(wrong)
    figures = json.loads(json.dumps(atlas.quality(circle(50)).to_dict()))
    assert figures["n_points"] == 50 and figures["folded"] == [0, 0, 0]


@pytest.mark.parametrize(("n_points", "missed"), [(30, 1), (50, 1), (100, 2), (150, 3), (1000, 20)])
def test_two_percent_may_be_uncovered_and_one_point_of_few(n_points, missed):
    x = circle(n_points)
    x[:missed] *= 1.5
    atlas = Atlas(CircleCharts(1.0, 3), noise_std=0.01)
    assert atlas.quality(x).coverage == pytest.approx(1 - missed / n_points)
    assert not any(fault.startswith("coverage") for fault in atlas.quality(x).faults)
    x[: missed + 1] *= 1.5
    assert any(fault.startswith("coverage") for fault in atlas.quality(x).faults)
