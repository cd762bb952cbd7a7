"""Flow charts: left inverse, latent density, placement, dtype, copies."""

import copy

import pytest
import torch
from oracles import draw, random_flow

from learnedmanifolds.charts import FlowCharts

SIZES = [(1, 2), (1, 5), (2, 3), (3, 5)]


@pytest.mark.parametrize(("dim", "n"), SIZES)
def test_encode_inverts_decode(dim, n):
    charts = random_flow(dim, n)
    t = draw(3, 50, dim, low=-1.1, high=1.1)
    x = charts.decode(t)
    assert torch.allclose(charts.encode(x), t, rtol=0, atol=1e-10)
    for k in range(3):
        assert torch.allclose(x[k], charts.decode(t[k], k), rtol=1e-12, atol=1e-12)
        assert torch.allclose(charts.encode(x[k], k), t[k], rtol=0, atol=1e-10)


def test_encode_of_shared_points_takes_them_to_every_chart():
    charts, x = random_flow(2, 3), draw(7, 3)
    whole = charts.encode(x)
    assert whole.shape == (3, 7, 2)
    for k in range(3):
        assert torch.allclose(whole[k], charts.encode(x, k), rtol=1e-11, atol=1e-11)


def pushed(charts, t, chart=None):
    """The variable z of the evidence lower bound that coordinates stand for."""
    return charts.encode_base(charts.decode(t, chart), chart)


def test_latent_variable_is_pushed_through_the_latent_flow():
    charts = random_flow(2, 3)
    t = draw(3, 11, 2, low=-1, high=1)
    z = pushed(charts, t)
    assert (z - t).abs().max() > 0.05
    assert torch.allclose(charts.decode(t), charts.decode_base(z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_prior_is_the_density_of_the_pushed_variable(dim):
    charts = random_flow(dim, 5)
    t = draw(3, 6, dim, low=-0.99, high=0.99)
    log_prob = charts.log_prior(t)
    for k in range(3):
        assert torch.allclose(charts.log_prior(t[k], k), log_prob[k], rtol=0, atol=1e-9)
        for row in range(6):
            jac = torch.func.jacrev(lambda s, k=k: pushed(charts, s[None], k)[0])(t[k, row])
            # Change of variables: density of z times the volume that T makes of dt.
            expected = charts.density.log_prob(t[k, row]) - torch.linalg.slogdet(jac)[1]
            assert torch.allclose(log_prob[k, row], expected, rtol=0, atol=1e-9)


def test_an_untrained_chart_is_a_flat_patch_in_its_frame():
    charts = FlowCharts(2, 2, 4, hidden=8).double()
    q = torch.linalg.qr(draw(2, 4, 4))[0]
    center = draw(2, 1, 4, seed=1)
    with torch.no_grad():
        charts.frame.copy_(q)
        charts.center.copy_(center)
        charts.radius.fill_(3)
    t = draw(5, 2, seed=2)
    expected = center[1] + 3 * (t[:, :1] * q[1, :, 0] + t[:, 1:] * q[1, :, 1])
    assert torch.allclose(charts.decode(t, 1), expected, rtol=0, atol=1e-12)
    off = expected + 5 * q[1, :, 3]
    assert torch.allclose(charts.encode(off, 1), t, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2])
def test_a_new_box_keeps_the_points_between_the_corners(dim):
    charts = random_flow(dim, 3)
    low, high = draw(3, dim, low=-1, high=-0.3), draw(3, dim, low=0.2, high=1, seed=1)
    t = draw(3, 20, dim, low=-1, high=1, seed=2)
    kept = low.unsqueeze(1) + (high - low).unsqueeze(1) * (t + 1) / 2
    before = charts.decode(kept)
    charts.rebox(low, high)
    assert torch.allclose(charts.decode(t), before, rtol=0, atol=1e-12)
    assert torch.allclose(charts.encode(before), t, rtol=0, atol=1e-10)


def test_corners_must_span_a_box():
    charts, ones = FlowCharts(2, 1, 3, hidden=4), torch.ones(2, 1)
    with pytest.raises(ValueError, match="low must be below high"):
        charts.rebox(0.3 * ones, 0.3 * ones)
    with pytest.raises(ValueError, match="low must have shape"):
        charts.rebox(torch.zeros(1, 1), ones)


def test_config_builds_the_family_again():
    charts = random_flow(2, 5)
    other = FlowCharts(**charts.config()).double()
    other.load_state_dict(charts.state_dict())
    t = draw(4, 2)
    assert torch.equal(other.decode(t, 2), charts.decode(t, 2))


def test_seed_decides_the_weights():
    a, b, c = (FlowCharts(2, 2, 3, hidden=4, seed=s).network.weights[0] for s in (4, 4, 5))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("dim", [1, 2])
def test_float32_stays_float32(dim):
    exact = random_flow(dim, 3)
    t = draw(6, dim, low=-1, high=1)
    exact.decode(t, 0)
    charts = copy.deepcopy(exact).to(torch.float32)
    u, v = t.float(), draw(2, 6, dim, seed=1)
    x = charts.decode(u, 0)
    jet, reference = (
        c.jet(s, 0, w, [(0, 1)]) for c, s, w in ((charts, u, v.float()), (exact, t, v))
    )
    for value in (x, charts.encode(x, 0), charts.log_prior(u, 0), *jet):
        assert value.dtype == torch.float32
    for low, high in zip(jet, reference, strict=True):
        assert torch.allclose(low.double(), high, rtol=0, atol=1e-4 * (1 + float(high.abs().max())))


def test_a_copy_is_independent_and_follows_its_own_parameters():
    charts, t = random_flow(2, 3), draw(4, 2)
    x = charts.decode(t, 1)
    other = copy.deepcopy(charts)
    with torch.no_grad():
        other.center.add_(1)
        for parameter in other.parameters():
            parameter.mul_(1.1)
    moved = other.decode(t, 1)
    assert torch.equal(charts.decode(t, 1), x)
    assert (moved - x).abs().max() > 0.5
    assert torch.allclose(other.encode(moved, 1), t, rtol=0, atol=1e-10)


def test_a_network_of_single_precision_is_inverted_in_double():
    # Its frames are orthonormal to the rounding of single precision until they are cast.
    charts = random_flow(2, 5).float().double()
    t = draw(charts.n_charts, 20, 2, low=-1, high=1)
    assert torch.allclose(charts.encode(charts.decode(t)), t, rtol=0, atol=1e-12)
