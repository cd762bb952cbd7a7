"""Network charts: derivatives, left inverse, domain and files, of networks with random weights."""

import pytest
import torch
from oracles import draw

import learnedmanifolds as lm
from learnedmanifolds.charts.jet import functional_jet
from learnedmanifolds.charts.network_features import NetworkFeatures
from learnedmanifolds.learning.leverage import leverages

K, D, H, L, N = 2, 4, 16, 2, 30
PAIRS = ((0, 0), (0, 1), (1, 2))


def tensors():
    codes = 0.6 * draw(K, 200, D, seed=1, low=-1, high=1)
    # Nearly flat: the trend is large.
    weights = 0.03 * draw(K, 1 + D + H, N, seed=2)
    weights[:, 1 : 1 + D] = draw(K, D, N, seed=3)
    network = {
        "frequencies": draw(K, D, H, seed=5),
        "phases": draw(K, H, seed=6),
        "layers": draw(K, L, H, H, seed=7) / H**0.5,
        "biases": draw(K, L, H, seed=8),
    }
    features = NetworkFeatures(**network)(codes, None)
    root, own, _ = (torch.stack(part) for part in zip(*map(leverages, features), strict=True))
    levels = -torch.stack([1.1 * own.amax(1), own.median(1).values], 1).log()
    return {
        "center": draw(N, seed=4),
        "weights": weights,
        **network,
        "root": root,
        "levels": levels,
        "codes": codes,
        "mass": torch.ones(K, 200, dtype=torch.float64),
    }


@pytest.fixture(scope="module")
def charts():
    return lm.charts.NetworkCharts(**tensors(), ambient_shape=(N,))


@pytest.mark.parametrize("chart", [0, 1, None])
def test_jets_are_the_derivatives(charts, chart):
    t, a = 0.4 * draw(5, D, low=-1, high=1), draw(3, 5, D, seed=1)
    if chart is None:
        made = charts.jet(t.expand(K, 5, D), None, a.expand(K, 3, 5, D), PAIRS)
        made = type(made)(*(part[1] for part in made))
    else:
        made = charts.jet(t, chart, a, PAIRS)
    expected = functional_jet(
        lambda z: charts.decode(z, 1 if chart is None else chart), t, a, PAIRS
    )
    for found, wanted in zip(made, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)


def test_points_in_charts_of_their_own(charts):
    t, a = 0.4 * draw(6, D, low=-1, high=1), draw(2, 6, D, seed=1)
    chart = torch.tensor([0, 1, 1, 0, 1, 0])
    mixed = charts.local_jet(t, chart, a, ((0, 0), (0, 1)))
    for k in (0, 1):
        own = charts.local_jet(t[chart == k], k, a[:, chart == k], ((0, 0), (0, 1)))
        for found, wanted in zip(mixed, own, strict=True):
            torch.testing.assert_close(found[..., chart == k, :], wanted, rtol=0, atol=1e-11)


def test_the_left_inverse_is_exact(charts):
    t = charts.anchors[0, 100:150] + 0.02 * draw(50, D, seed=9)
    x = charts.decode(t, 0)
    torch.testing.assert_close(charts.encode(x, 0), t, rtol=0, atol=1e-8)
    torch.testing.assert_close(charts.encode(x)[0], t, rtol=0, atol=1e-8)


@pytest.mark.parametrize("chart", [0, "each", None])
def test_the_level_and_its_slope(charts, chart):
    level = charts.domain.level
    t = (1.2 * draw(20, D, low=-1, high=1)).requires_grad_()
    given = {"each": torch.arange(20) % K}.get(chart, chart)
    value, slope = level.slope(t if chart is not None else t.expand(K, 20, D), given)
    plain = level(t if chart is not None else t.expand(K, 20, D), given)
    torch.testing.assert_close(value, plain)
    (expected,) = torch.autograd.grad(plain.sum(), t)
    found = slope if chart is not None else slope.sum(0)
    low = (plain if chart is not None else plain.amax(0)) < 1
    assert 3 < int(low.sum()) < 21
    torch.testing.assert_close(found[low].detach(), expected[low], rtol=0, atol=1e-10)


def test_domains_hold_their_codes_and_end_beyond(charts):
    codes, domain = charts.anchors[0], charts.domain
    assert float(domain.depth(codes, 0).min()) >= 0
    away = torch.nn.functional.normalize(draw(30, D, seed=3), dim=1).clamp(-0.99, 0.99)
    far = away / away.abs().amax(1, keepdim=True)
    assert float(domain.depth(far, 0).max()) <= 0
    border = domain.confine(far, torch.zeros(30, dtype=torch.int64))
    assert float(domain.depth(border, 0).abs().max()) < 1e-6


def test_the_same_bits_come_back(charts, tmp_path):
    atlas = lm.Atlas(charts, noise_std=0.01)
    atlas.save(tmp_path / "a.safetensors")
    again = lm.load(tmp_path / "a.safetensors")
    assert type(again.charts) is lm.charts.NetworkCharts
    at = atlas.sample_coords(20, seed=0)
    assert torch.equal(again.decode(at.coords, at.chart), atlas.decode(at.coords, at.chart))
    single = atlas.to(torch.float32)
    near = single.decode(at.coords, at.chart).double()
    torch.testing.assert_close(near, atlas.decode(at.coords, at.chart), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phases": torch.zeros(K, H + 1)}, "phases must have shape"),
        ({"layers": torch.zeros(K, L, H, H + 1)}, "layers must have shape"),
        ({"weights": torch.zeros(K, D + H, N), "root": torch.zeros(K, D + H, D + H)}, "F = 1"),
        ({"levels": torch.zeros(K, 2)}, "levels must rise"),
        ({"levels": torch.tensor([[5.0, 6.0]] * K)}, "codes must be in the domains"),
        ({"root": torch.zeros(K, 3, 3)}, "root must have shape"),
        ({"mass": torch.zeros(K, 200)}, "mass must be"),
        ({"codes": 2 * torch.ones(K, 200, D)}, "codes must be in the box"),
    ],
)
def test_tensors_that_do_not_fit_together(change, message):
    with pytest.raises(ValueError, match=message):
        lm.charts.NetworkCharts(**{**tensors(), **change}, ambient_shape=(N,))
