"""Distances to manifolds that are known, and how much of one is covered."""

import math

import pytest
import torch
from oracles import draw, torus_distance, unit

import learnedmanifolds as lm
from learnedmanifolds.charts import CircleCharts
from learnedmanifolds.metrics import coverage, distance_to


def test_the_distance_to_a_sphere():
    x = unit(draw(200, 3)) * draw(200, 1, seed=1, low=0.2, high=3)
    found = distance_to(x, lm.datasets.Sphere(1.5))
    torch.testing.assert_close(found.values, (x.norm(dim=1) - 1.5).abs(), rtol=0, atol=1e-12)
    assert found.mean == pytest.approx(float(found.values.mean()))
    assert found.largest == float(found.values.max())


def test_the_distance_to_a_torus_in_single_precision():
    x = 2 * draw(300, 3, seed=2)
    found = distance_to(x.float(), lm.datasets.Torus(2.0, 0.5))
    torch.testing.assert_close(found.values, torus_distance(x, 2.0, 0.5), rtol=0, atol=2e-6)


def test_the_summary():
    """Points at heights 0.01, ..., 1.01 above a plane of points."""
    height = torch.arange(1, 102, dtype=torch.float64) / 100
    found = distance_to(height.unsqueeze(1), [[0.0]])
    assert found.mean == pytest.approx(0.51)
    assert found.median == pytest.approx(0.51)
    assert found.quantile_95 == pytest.approx(0.96)
    assert found.largest == pytest.approx(1.01)


def test_an_atlas_is_a_manifold():
    atlas = lm.Atlas(CircleCharts(2.0).double())
    x = draw(50, 2, seed=3)
    found = distance_to(x, atlas)
    torch.testing.assert_close(found.values, (x.norm(dim=1) - 2).abs(), rtol=0, atol=1e-6)


def test_points_are_a_manifold():
    x = draw(40, 4, seed=4)
    truth = draw(30, 4, seed=5)
    found = distance_to(x, truth.numpy())
    torch.testing.assert_close(found.values, torch.cdist(x, truth).amin(1))
    circle = lm.datasets.Ring(1.0, 1.0 + 1e-9).grid(2000, dtype=torch.float64)
    plane = draw(100, 2, seed=6)
    gap = distance_to(plane, circle).values - (plane.norm(dim=1) - 1).abs()
    assert 0 <= float(gap.min()) and float(gap.max()) < 0.01


def test_images():
    x = draw(10, 1, 3, 3)
    again = distance_to(x + 0.5, x)
    assert again.mean == pytest.approx(1.5)


def test_coverage_with_a_radius_by_hand():
    reference = torch.arange(10.0).unsqueeze(1)
    samples = torch.tensor([[0.0], [4.5], [30.0]])
    assert coverage(samples, reference, radius=0.4) == pytest.approx(0.1)
    assert coverage(samples, reference, radius=0.5) == pytest.approx(0.3)
    assert coverage(samples, reference, radius=1.5) == pytest.approx(0.6)
    assert coverage(samples, reference, radius=21) == 1.0


def test_samples_of_half_a_sphere_cover_half_of_it():
    sphere = lm.datasets.Sphere()
    samples = sphere.sample(20_000, seed=0, dtype=torch.float64)
    half = samples[samples[:, 0] > 0]
    grid = sphere.grid(3000, dtype=torch.float64)
    assert coverage(samples, grid, radius=0.1) == 1.0
    # The cap reaches 0.1 beyond the equator: half of the sphere and the zone of height 0.1.
    chord = 0.1
    reach = math.sin(2 * math.asin(chord / 2))
    assert coverage(half, grid, radius=chord) == pytest.approx(0.5 + reach / 2, abs=0.01)
    assert coverage(half, grid, k=3) == pytest.approx(0.5, abs=0.03)


class Wrong:
    def distance(self, x):
        return x


class Shapeless:
    def project(self, x):
        return x[:, :1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: distance_to(x, object()), TypeError, "manifold must have distance"),
        (lambda x: distance_to(x, "sphere"), TypeError, "manifold must have distance"),
        (lambda x: distance_to(x, x[:, :1]), ValueError, "manifold must have points of the size"),
        (lambda x: distance_to(x, x / 0), ValueError, "manifold must be finite"),
        (lambda x: distance_to(x * math.inf, x), ValueError, "x must be finite"),
        (lambda x: distance_to(x[:0], x), ValueError, "x must not be empty"),
        (lambda x: distance_to(x[0], x), ValueError, r"x must have shape \(N, ...\)"),
        (lambda x: distance_to(x, Wrong()), ValueError, r"manifold.distance\(x\) must have shape"),
        (
            lambda x: distance_to(x, Shapeless()),
            ValueError,
            r"manifold.project\(x\) must have shape",
        ),
        (lambda x: distance_to(x, lm.datasets.Sphere()), ValueError, "x must have shape"),
        (lambda x: coverage(x, x, radius=0), ValueError, "radius must be a positive"),
        (lambda x: coverage(x, x, radius="1"), TypeError, "radius must be a positive"),
        (lambda x: coverage(x, x, k=8), ValueError, "reference must hold more than k=8 points"),
        (lambda x: coverage(x, x, k=0), ValueError, "k must be an integer of at least 1"),
        (lambda x: coverage(x, x[:, :1]), ValueError, "reference must have points of the size"),
        (lambda x: coverage([[math.nan, 0]], x), ValueError, "samples must be finite"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(8, 2))
