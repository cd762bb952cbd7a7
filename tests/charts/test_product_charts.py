"""Products of charts: every factor in its place, cross derivatives zero, curvature of a product."""

import itertools

import pytest
import torch
from oracles import draw, random_flow

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts import CircleCharts, PlaneCharts, SphereCharts
from learnedmanifolds.charts.jet import functional_jet
from learnedmanifolds.charts.product import (
    AnalyticProductCharts,
    ProductCharts,
    product_charts,
)
from learnedmanifolds.geometry import Curvature

CIRCLE, SPHERE = CircleCharts(2.0, 3), SphereCharts(1.5)
FLOW = random_flow(2, 4, n_charts=2)


def make():
    return ProductCharts(CIRCLE, FLOW, SPHERE)


def test_there_is_a_chart_for_every_choice_in_order():
    charts = make()
    assert (charts.n_charts, charts.dim, charts.n_ambient) == (12, 5, 9)
    t = draw(12, 7, 5, low=-1, high=1)
    x = charts.decode(t)
    for k, (a, b, c) in enumerate(itertools.product(range(3), range(2), range(2))):
        parts = [CIRCLE.decode(t[k, :, :1], a), FLOW.decode(t[k, :, 1:3], b)]
        expected = torch.cat([*parts, SPHERE.decode(t[k, :, 3:], c)], -1)
        assert torch.allclose(x[k], expected, rtol=0, atol=1e-12)
        assert torch.allclose(charts.decode(t[k], k), expected, rtol=0, atol=1e-12)
        one = FLOW.log_prior(t[k, :, 1:3], b) + CIRCLE.log_prior(t[k, :, :1], a)
        prior = one + SPHERE.log_prior(t[k, :, 3:], c)
        assert torch.allclose(charts.log_prior(t[k], k), prior)
        assert torch.allclose(charts.log_prior(t)[k], prior)


def test_encoding_inverts_decoding_in_every_form():
    charts = make()
    t = draw(12, 6, 5, seed=1, low=-1, high=1)
    x = charts.decode(t)
    assert torch.allclose(charts.encode(x), t, rtol=0, atol=1e-9)
    everywhere = charts.encode(x[4])
    assert everywhere.shape == (12, 6, 5)
    for k in range(12):
        assert torch.allclose(everywhere[k], charts.encode(x[4], k), rtol=0, atol=1e-12)
    assert torch.allclose(everywhere[4], t[4], rtol=0, atol=1e-9)


def test_jet_against_nested_differentiation():
    charts, pairs = make(), [(0, 0), (0, 1), (2, 1)]
    t = draw(12, 3, 5, seed=2, low=-1, high=1)
    tangents = draw(12, 3, 3, 5, seed=3)
    jet = charts.jet(t, None, tangents, pairs)
    for k in (0, 5, 11):
        oracle = functional_jet(lambda z, k=k: charts.decode(z, k), t[k], tangents[k], pairs)
        alone = charts.jet(t[k], k, tangents[k], pairs)
        for together, single, wanted in zip(jet, alone, oracle, strict=True):
            assert torch.allclose(together[k], wanted, rtol=0, atol=1e-10)
            assert torch.allclose(single, wanted, rtol=0, atol=1e-10)


def test_analytic_factors_stay_analytic():
    generic, analytic = ProductCharts(CIRCLE, SPHERE), product_charts(CIRCLE, SPHERE)
    assert isinstance(analytic, AnalyticProductCharts)
    assert isinstance(product_charts(CIRCLE, FLOW), ProductCharts)
    t, tangents = draw(6, 4, 3, seed=8, low=-1, high=1), draw(6, 2, 4, 3, seed=9)
    x = generic.decode(t)
    assert torch.allclose(analytic.decode(t), x)
    assert torch.equal(analytic.encode(x[0]), generic.encode(x[0]))
    assert torch.equal(analytic.log_prior(t), generic.log_prior(t))
    pairs = [(0, 0), (0, 1)]
    for k in (None, 4):
        at = (t, k, tangents, pairs) if k is None else (t[k], k, tangents[k], pairs)
        for one, other in zip(analytic.jet(*at), generic.jet(*at), strict=True):
            assert torch.allclose(one, other, rtol=0, atol=1e-12)
    nested = ProductCharts(FLOW, analytic)
    assert len(nested.factors) == 3
    with pytest.raises(TypeError, match="FlowCharts"):
        AnalyticProductCharts(CIRCLE, FLOW).decode(draw(6, 2, 3))


def test_curvature_of_a_sphere_times_a_circle():
    charts = ProductCharts(SPHERE, CIRCLE)
    atlas = Atlas(charts)
    x = charts.decode(draw(charts.n_charts, 10, 3, seed=4, low=-0.8, high=0.8)).flatten(0, 1)
    located = atlas.locate(x)
    curvature = Curvature(atlas.geometry(located.coords, located.chart))
    zero = torch.zeros(len(x), 2).double()
    around = torch.stack([-x[:, 4], x[:, 3]], -1)
    on_circle = torch.cat([torch.zeros(len(x), 3).double(), around], -1)
    u, v = (torch.cat([torch.linalg.cross(x[:, :3], w), zero], -1) for w in draw(2, len(x), 3))
    # Planes of the sphere have its curvature, mixed ones are flat.
    assert torch.allclose(curvature.sectional(u, v), torch.full((len(x),), 1 / 1.5**2).double())
    assert curvature.sectional(u, on_circle).abs().max() < 1e-12


def test_nested_products_flatten():
    nested = ProductCharts(CIRCLE, ProductCharts(FLOW, SPHERE))
    t = draw(12, 4, 5, seed=5, low=-1, high=1)
    assert len(nested.factors) == 3
    assert torch.equal(nested.decode(t), make().decode(t))


def test_a_single_factor_is_that_factor():
    t = draw(3, 4, 1, seed=6, low=-1, high=1)
    assert torch.equal(ProductCharts(CIRCLE).decode(t), CIRCLE.decode(t))
    plane = ProductCharts(PlaneCharts(torch.eye(2).double()), CIRCLE)
    x = plane.decode(draw(3, 4, 3, seed=7))
    assert plane.encode(x[0]).shape == (3, 4, 3)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="at least one"):
        ProductCharts()
    with pytest.raises(TypeError, match="str"):
        ProductCharts(CIRCLE, "sphere")
