"""Kernel charts: derivatives, left inverse, domain, draws, against what they are fitted to."""

import math

import pytest
import torch
from kernel_examples import disc, disc_charts, graph, wide_charts
from oracles import draw

import learnedmanifolds as lm
from learnedmanifolds.charts.jet import functional_jet

EXAMPLES = {"narrow": disc_charts(), "wide": wide_charts()}


@pytest.fixture(params=EXAMPLES)
def charts(request):
    return EXAMPLES[request.param]


PAIRS = ((0, 0), (0, 1), (1, 1))


@pytest.mark.parametrize("chart", [0, 1, None])
def test_jets_are_the_derivatives(charts, chart):
    t, a = 0.4 * draw(5, 2, low=-1, high=1), draw(2, 5, 2, seed=1)
    if chart is None:
        made = charts.jet(t.expand(2, 5, 2), None, a.expand(2, 2, 5, 2), PAIRS)
        made = type(made)(*(part[1] for part in made))
    else:
        made = charts.jet(t, chart, a, PAIRS)
    expected = functional_jet(lambda z: charts.decode(z, chart or int(chart is None)), t, a, PAIRS)
    for found, wanted in zip(made, expected, strict=True):
        assert torch.allclose(found, wanted, rtol=0, atol=1e-8 * float(wanted.abs().max()))


def test_points_in_charts_of_their_own_are_seen_as_in_one(charts):
    t, a, chart = (
        0.4 * draw(6, 2, low=-1, high=1),
        draw(2, 6, 2, seed=1),
        torch.tensor([0, 1, 1, 0, 1, 0]),
    )
    mixed = charts.local_jet(t, chart, a, PAIRS)
    for k in (0, 1):
        own = charts.local_jet(t[chart == k], k, a[:, chart == k], PAIRS)
        for found, wanted in zip(mixed, own, strict=True):
            assert torch.allclose(found[..., chart == k, :], wanted, rtol=0, atol=1e-9)


def test_a_fit_of_a_graph_is_near_it_inside_its_domain(charts):
    t = disc(30, 400)
    x = charts.decode(t, 0)
    flat = x if x.shape[1] == 3 else x @ torch.linalg.qr(draw(300, 3, seed=5)).Q
    inside = charts.domain.depth(t, 0) > 0
    off = (flat - graph(flat[:, :2]))[inside].norm(dim=1)
    assert float(inside.double().mean()) > 0.9
    # Largest at the border of the domain; the graph rises by 0.3.
    assert float(off.max()) < 2e-3 and float(off.median()) < 1e-4


@pytest.mark.parametrize("chart", [0, None])
def test_the_left_inverse_is_exact_and_ends_at_nearest_points(charts, chart):
    t = 0.6 * disc(40, 50)
    x = charts.decode(t, 0)
    found = charts.encode(x, chart)
    found = found if chart is not None else found[0]
    assert torch.allclose(found, t, rtol=0, atol=1e-9)
    # Off the chart the gap is normal to it.
    away = x + 0.05 * draw(*x.shape, seed=3) / x.shape[1] ** 0.5
    near = charts.encode(away, 0)
    eye = torch.eye(2).double().unsqueeze(1).expand(2, 50, 2)
    jet = charts.jet(near, 0, eye)
    gap = away - jet.value
    assert float((jet.first * gap).sum(-1).abs().max()) < 1e-9 * float(jet.first.norm(dim=-1).max())


def test_the_left_inverse_has_its_derivative(charts):
    t = 0.5 * disc(40, 3)
    x = (charts.decode(t, 0) + 0.01).requires_grad_()
    made = charts.encode(x, 0)
    direction = draw(*x.shape, seed=2)
    step = 1e-5
    ahead, behind = (charts.encode(x.detach() + s * step * direction, 0) for s in (1, -1))
    difference = (ahead - behind) / (2 * step)
    for i in range(2):
        (slope,) = torch.autograd.grad(made[:, i].sum(), x, retain_graph=True)
        along = (slope * direction).sum(1)
        # Where the point is off the chart, the curvature's part is left out.
        assert torch.allclose(along, difference[:, i], rtol=0.05, atol=1e-3)


def test_draws_are_in_the_domain_and_like_the_codes(charts):
    source = torch.Generator().manual_seed(0)
    chart = torch.zeros(20_000, dtype=torch.int64)
    t = charts.draw(chart, source)
    assert bool((charts.domain.depth(t, chart) >= 0).all())
    codes = charts.anchors[0]
    assert torch.allclose(t.mean(0), codes.mean(0), rtol=0, atol=0.01)
    # Draws are moved by some seven hundredths, as codes are apart.
    apart = torch.cdist(codes, codes).sort(1).values[:, 4]
    wide = (codes.var(0) + apart.square().mean()).sqrt()
    assert torch.allclose(t.std(0), wide, rtol=0.02, atol=0)


def test_draws_are_about_codes_as_often_as_their_mass_says(charts):
    codes = charts.anchors
    mass = draw(*codes.shape[:2], low=0, high=1)
    mass[:, codes[0, :, 0] > 0] = 0
    made = lm.charts.KernelCharts(
        **{name: getattr(charts, name) for name in ("center", "weights", "centers", "width")},
        **{name: getattr(charts, name) for name in ("border_low", "border_step", "border")},
        codes=codes,
        ambient_shape=charts.ambient_shape,
        mass=mass,
    )
    chart = torch.arange(2).repeat_interleave(20_000)
    t = made.draw(chart, torch.Generator().manual_seed(1)).view(2, -1, 2)
    wanted = (mass.unsqueeze(2) * codes).sum(1) / mass.sum(1, keepdim=True)
    # Four standard errors.
    assert torch.allclose(t.mean(1), wanted, rtol=0, atol=4 * 0.2 / 20_000**0.5)
    again = type(made).restored(made.config(), made.state_dict())
    source = torch.Generator().manual_seed(1)
    assert torch.equal(again.draw(chart, source).view_as(t), t)


def test_another_dtype_and_a_copy_of_the_state(charts):
    import copy

    single = copy.deepcopy(charts).float()
    t = (0.5 * disc(40, 20)).float().double()
    assert single.decode(t.float(), 0).dtype == torch.float32
    assert torch.allclose(single.decode(t.float(), 0).double(), charts.decode(t, 0), atol=3e-7)


def test_nearest_points_beyond_a_curved_border_are_those_of_the_dense_border():
    charts = EXAMPLES["narrow"]
    atlas = lm.Atlas(charts, noise_std=1e-3)
    angle = torch.linspace(0, 2 * math.pi, 4001, dtype=torch.float64)[:-1]
    ways = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    border = []
    for k in range(2):
        middle = torch.zeros_like(ways)
        border.append(
            charts.decode(middle + charts.domain.exit(middle, ways, k)[:, None] * ways, k)
        )
    turn = draw(60, low=0, high=2 * math.pi)
    out = 1.5 * torch.stack([turn.cos(), turn.sin(), 0.3 * draw(60, seed=2)], 1)
    found = atlas.project(out)
    distance = (found - out).norm(dim=1)
    known = torch.cdist(out, torch.cat(border)).amin(1)
    # The dense border is too far by at most its spacing squared.
    assert float((distance - known).max()) < 1e-6
    assert float((known - distance).max()) < 1e-3
