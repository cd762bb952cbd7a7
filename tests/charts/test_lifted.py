"""Lifted charts: exact left inverse, derivatives, nearest points and files, with random flows."""

import pytest
import torch
from kernel_atlases import kernel_atlas
from oracles import draw
from test_network import tensors

import learnedmanifolds as lm
from learnedmanifolds.charts import LiftedCharts, NetworkCharts
from learnedmanifolds.charts.jet import functional_jet

PAIRS = ((0, 0), (0, 1))
STARTS = ("network", "kernel")


def random_lifted(name):
    """A flow with random weights into nine of thirty coordinates, or into all three of a sphere."""
    if name == "network":
        start = NetworkCharts(**tensors(), ambient_shape=(30,))
        basis = torch.linalg.qr(draw(2, 30, 9, seed=11)).Q
    else:
        start = kernel_atlas("sphere").charts
        basis = torch.eye(3).double().repeat(start.n_charts, 1, 1)
    charts = LiftedCharts(start, basis, hidden=6, n_blocks=2).double()
    source = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in charts.parameters():
            parameter.normal_(0, 0.3, generator=source)
    # A float32 basis is orthonormal to its own rounding only.
    charts.basis = torch.linalg.qr(charts.basis).Q
    return charts.requires_grad_(False)


@pytest.fixture(scope="module", params=STARTS)
def charts(request):
    return random_lifted(request.param)


def codes(charts, count, seed=0):
    return 0.3 * draw(charts.n_charts, count, charts.dim, seed=seed, low=-1, high=1)


def test_the_left_inverse_is_exact(charts):
    t = codes(charts, 40)
    torch.testing.assert_close(charts.left_inverse(charts.decode(t)), t, rtol=0, atol=1e-10)
    for k in range(charts.n_charts):
        back = charts.left_inverse(charts.decode(t[k], k), k)
        torch.testing.assert_close(back, t[k], rtol=0, atol=1e-10)


def test_all_but_leading_coordinates_are_of_the_start(charts):
    t = codes(charts, 20)
    off = charts.decode(t) - charts.start.decode(t)
    along = (off @ charts.basis) @ charts.basis.mT
    torch.testing.assert_close(off, along, rtol=0, atol=1e-10)
    # Leading ones are the flow's.
    leading = charts.leading(charts.decode(t))
    torch.testing.assert_close(leading, charts.flow.decode(t), rtol=0, atol=1e-10)
    assert float(off.norm(dim=-1).min()) > 1e-3


@pytest.mark.parametrize("chart", [0, 1, None])
def test_jets_are_the_derivatives(charts, chart):
    t, a = codes(charts, 5)[0], draw(2, 5, charts.dim, seed=1)
    k = 1 if chart is None else chart
    if chart is None:
        n = charts.n_charts
        made = charts.jet(t.expand(n, *t.shape), None, a.expand(n, *a.shape), PAIRS)
        made = type(made)(*(part[1] for part in made))
    else:
        made = charts.jet(t, chart, a, PAIRS)
    expected = functional_jet(lambda z: charts.decode(z, k), t, a, PAIRS)
    for found, wanted in zip(made, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_points_off_a_chart_get_the_nearest_ones_of_it(charts):
    t = codes(charts, 10)[0]
    x = charts.decode(t, 0)
    x = x + 1e-3 * draw(*x.shape, seed=3)
    found = charts.encode(x, 0)
    slope = charts.jet(found, 0, torch.eye(charts.dim).double().unsqueeze(1).expand(-1, 10, -1))
    residual = x - slope.value
    pull = (slope.first * residual).sum(-1) / slope.first.norm(dim=-1)
    assert float(pull.abs().max()) < 1e-9 < 1e-5 < float(residual.norm(dim=1).max())
    # The same of all charts together, and of their own points what the left inverse says.
    torch.testing.assert_close(charts.encode(x)[0], found, rtol=0, atol=1e-8)
    torch.testing.assert_close(charts.encode(charts.decode(t, 0), 0), t, rtol=0, atol=1e-9)


def test_the_encoder_has_the_derivative_of_the_nearest_point(charts):
    t = codes(charts, 1)[0]
    x = charts.decode(t, 0)
    x = (x + 1e-3 * draw(*x.shape, seed=4)).requires_grad_()
    along = draw(*x.shape, seed=6)
    weights = draw(1, charts.dim, seed=7)
    (slope,) = torch.autograd.grad((weights * charts.encode(x, 0)).sum(), x)
    step = 1e-5 * along
    change = charts.encode((x + step).detach(), 0) - charts.encode((x - step).detach(), 0)
    expected = (weights * change).sum() / 2e-5
    assert float((slope * along).sum()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", STARTS)
def test_single_precision_is_inverted_in_double(name):
    charts = random_lifted(name).float().double()
    t = codes(charts, 20)
    torch.testing.assert_close(charts.left_inverse(charts.decode(t)), t, rtol=0, atol=1e-10)


def test_the_same_bits_come_back(charts, tmp_path):
    atlas = lm.Atlas(charts, noise_std=0.01)
    atlas.save(tmp_path / "a.safetensors")
    again = lm.load(tmp_path / "a.safetensors")
    t = codes(charts, 30)[0]
    assert torch.equal(atlas.decode(t, 1), again.decode(t, 1))
    assert again.charts.config() == charts.config()
    assert torch.equal(again.charts.domain.depth(t, 0), charts.domain.depth(t, 0)) and torch.equal(
        again.sample(5, seed=0), atlas.sample(5, seed=0)
    )


@pytest.mark.parametrize("name", STARTS)
def test_a_widened_domain_ends_where_it_was_as_deep(name):
    charts = random_lifted(name).start
    box = 1.9 * draw(3000, charts.dim, low=-0.5, high=0.5)
    low = torch.tensor([-0.3] * charts.n_charts).double()
    before = charts.domain.depth(box, 0)
    charts.widen(low)
    after = charts.domain.depth(box, 0)
    # The faces of the box stay where they were.
    inner = box.abs().amax(1) < 0.9
    assert ((before < -0.3) & inner).any() and ((before > -0.3) & (before < 0) & inner).any()
    assert torch.equal((before >= -0.3)[inner], (after >= 0)[inner])


@pytest.mark.parametrize("shape", [(2, 30, 1), (2, 30, 3), (2, 29, 9), (1, 30, 9), (2, 30, 31)])
def test_a_basis_of_the_wrong_shape(shape):
    start = NetworkCharts(**tensors(), ambient_shape=(30,))
    with pytest.raises(ValueError, match="basis must have shape"):
        LiftedCharts(start, torch.zeros(shape))


def test_a_start_of_another_family():
    with pytest.raises(TypeError, match="start must be FeatureCharts, got int"):
        LiftedCharts(3, torch.eye(3))
