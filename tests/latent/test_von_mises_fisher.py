"""Laws of draws and of their derivatives against quadrature, densities against SciPy."""

import math

import pytest
import torch
from axial_law import AngleLaw, angles, directions, near_poles
from scipy import stats
from scipy.special import ive
from torch.distributions import Normal, kl_divergence

from learnedmanifolds.latent.hyperspherical_uniform import HypersphericalUniform
from learnedmanifolds.latent.von_mises_fisher import VonMisesFisher

DIMENSIONS = [2, 3, 5, 10, 32, 64, 256]
KAPPAS = [0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5]


def tensor(values, dtype=torch.float64, **kwargs):
    return torch.tensor(values, dtype=dtype, **kwargs)


def on_grid(m, dtype=torch.float64):
    """One law for every kappa, each with a direction of its own."""
    return VonMisesFisher(directions(len(KAPPAS), m, seed=m, dtype=dtype), tensor(KAPPAS, dtype))


def resultant(m, kappa):
    return ive(m / 2, kappa) / ive(m / 2 - 1, kappa)


def log_mean(m, kappa):
    """Log E exp(kappa u_1) of uniform points, by SciPy."""
    order = m / 2 - 1
    return math.log(ive(order, kappa)) + kappa + math.lgamma(m / 2) - order * math.log(kappa / 2)


def test_cosines_have_their_law():
    # Of a right sampler the 98 p-values are uniform: one seed in 500 would fail.
    torch.manual_seed(0)
    p_values = []
    for dtype in (torch.float32, torch.float64):
        for m in DIMENSIONS:
            law = on_grid(m, dtype)
            theta = angles(law.sample((5000,)), law.loc).T
            for kappa, drawn in zip(KAPPAS, theta, strict=True):
                # The angle is a function of 1 - w, which single precision does not round to zero.
                p_values.append(stats.kstest(drawn.numpy(), AngleLaw(m, kappa).cdf).pvalue)
    assert min(p_values) > 1e-3 / len(p_values)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_directions_around_the_mean_are_uniform():
    torch.manual_seed(1)
    p_values = []
    for m in (2, 3, 7):
        loc = torch.cat([near_poles(m), directions(4, m)])
        z = VonMisesFisher(loc, torch.full((len(loc),), 5.0, dtype=torch.float64)).sample((4000,))
        across = torch.linalg.svd(loc.unsqueeze(1))[2][:, 1:]
        v = torch.einsum("cij,ncj->nci", across, z)
        v = v / v.norm(dim=-1, keepdim=True)
        for c in range(len(loc)):
            if m == 2:
                p_values.append(stats.binomtest(int((v[:, c, 0] > 0).sum()), len(v)).pvalue)
                continue
            a = (m - 2) / 2
            # A mixed coordinate too, which the frame has no part in.
            for one in (v[:, c, 0], v[:, c, -1], v[:, c].sum(-1) / math.sqrt(m - 1)):
                p_values.append(stats.kstest(((1 + one) / 2).numpy(), stats.beta(a, a).cdf)[1])
    # 140 p-values: one seed in 500 would fail.
    assert min(p_values) > 2e-3 / len(p_values)


@pytest.mark.parametrize("dtype, most", [(torch.float32, 1e-6), (torch.float64, 2e-15)])
def test_draws_are_on_the_sphere_whatever_the_mean(dtype, most):
    torch.manual_seed(2)
    for m in (2, 3, 40):
        loc = torch.cat([near_poles(m, dtype), directions(20, m, dtype=dtype)])
        for kappa in (1e-3, 1.0, 1e3, 1e6):
            z = VonMisesFisher(loc, torch.full((len(loc),), kappa, dtype=dtype)).rsample((50,))
            assert z.dtype == dtype and z.shape == (50, len(loc), m)
            # The mean directions are themselves rounded.
            assert ((z.norm(dim=-1) - 1).abs() <= most).all()


def test_pathwise_derivative_of_the_mean_cosine():
    # Deviations in standard errors of 49 cells, normal; one seed in 200 would fail.
    torch.manual_seed(3)
    deviations = []
    for m in DIMENSIONS:
        law = on_grid(m)
        kappa = law.concentration.expand(3000, -1).clone().requires_grad_()
        z = VonMisesFisher(law.loc, kappa).rsample()
        gap = (z - law.loc).square().sum(-1) / 2
        (rate,) = torch.autograd.grad(-gap.sum(), kappa)
        for k, one in zip(KAPPAS, rate.T, strict=True):
            # In an exponential family the derivative of the mean is the variance.
            exact = AngleLaw(m, k).cosine_variance()
            deviations.append((float(one.mean()) - exact) / float(one.std() / len(one) ** 0.5))
    deviations = tensor(deviations)
    assert deviations.abs().max() < 4
    assert stats.kstest(deviations.numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("m, kappa", [(2, 0.5), (2, 50.0), (3, 3.0), (8, 4.0), (40, 1e3)])
def test_every_draw_moves_as_its_quantile_does(m, kappa):
    torch.manual_seed(4)
    leaf = torch.full((400,), kappa, dtype=torch.float64, requires_grad=True)
    loc = directions(m)
    z = VonMisesFisher(loc, leaf).rsample()
    theta = angles(z, loc)
    (rate,) = torch.autograd.grad(theta.sum(), leaf)
    theta = theta.detach().numpy()
    h = 1e-3 * kappa
    above, below = (AngleLaw(m, kappa + e).cdf(theta) for e in (h, -h))
    exact = torch.from_numpy((below - above) / (2 * h) / AngleLaw(m, kappa).density(theta))
    assert torch.allclose(rate, exact, rtol=1e-4, atol=1e-5 * float(exact.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pathwise_derivative_in_the_mean_direction(dtype):
    # E exp(a.z) = exp(F(|kappa mu + a|) - F(kappa)). About 150 deviations: one seed in 100 fails.
    torch.manual_seed(5)
    worst = 0.0
    for m, kappa in ((2, 2.0), (3, 8.0), (6, 5.0)):
        a = directions(m, seed=9)
        for loc in torch.cat([near_poles(m)[::3], directions(3, m, seed=m)]):
            leaf = loc.to(dtype).expand(8000, m).clone().requires_grad_()
            z = VonMisesFisher(leaf, torch.full((8000,), kappa, dtype=dtype)).rsample()
            (rate,) = torch.autograd.grad((z @ a.to(dtype)).exp().sum(), leaf)
            tangent = torch.linalg.svd(loc.unsqueeze(0))[2][1:]
            got = rate.double() @ tangent.T
            r = float((kappa * loc + a).norm())
            value = math.exp(log_mean(m, r) - log_mean(m, kappa))
            exact = tangent @ a * value * kappa * resultant(m, r) / r
            error = got.std(0) / len(got) ** 0.5
            worst = max(worst, float(((got.mean(0) - exact) / error).abs().max()))
    assert worst < 4


@pytest.mark.parametrize("kappa", [1e-3, 1.0, 50.0, 1e3])
def test_density_integrates_to_one_on_the_circle_and_the_sphere(kappa):
    n = 4000
    angle = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    law = VonMisesFisher(circle[7], kappa)
    assert law.log_prob(circle).exp().mean() * 2 * math.pi == pytest.approx(1, rel=1e-9)
    law = VonMisesFisher(tensor([0.6, 0.0, 0.8]), kappa)
    theta = (torch.arange(1000, dtype=torch.float64) + 0.5) * (math.pi / 1000)
    phi = angle[::10]
    ring = theta.sin().unsqueeze(1)
    z = torch.stack([ring * phi.cos(), ring * phi.sin(), theta.cos().unsqueeze(1) + 0 * ring * phi])
    total = (law.log_prob(z.movedim(0, -1)).exp() * ring).sum()
    area = math.pi / 1000 * (phi[1] - phi[0])
    assert total * area == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("m", [2, 3, 6, 30, 129])
@pytest.mark.parametrize("kappa", [1.0, 37.0, 2e3])
def test_density_and_entropy_are_those_of_scipy(m, kappa):
    loc = directions(m)
    law, known = VonMisesFisher(loc, kappa), stats.vonmises_fisher(loc.numpy(), kappa)
    z = torch.cat([directions(20, m, seed=3), law.sample((20,)), loc[None], -loc[None]])
    assert torch.allclose(law.log_prob(z), tensor(known.logpdf(z.numpy())), rtol=1e-6, atol=1e-6)
    assert law.entropy().item() == pytest.approx(float(known.entropy()), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("m, kappa", [(2, 0.3), (6, 3.0), (64, 40.0), (200, 1e4)])
def test_divergence_and_entropy_are_means_of_log_densities(m, kappa):
    # Eight deviations in standard errors: one seed in 2000 would fail.
    torch.manual_seed(6)
    law, uniform = VonMisesFisher(directions(m), kappa), HypersphericalUniform(m)
    z = law.sample((20_000,))
    log_prob = law.log_prob(z)
    error = 4 * log_prob.std() / len(z) ** 0.5
    divergence = kl_divergence(law, uniform)
    assert (log_prob.mean() - uniform.log_prob(z).mean() - divergence).abs() < error
    assert (log_prob.mean() + law.entropy()).abs() < error


def test_single_precision_keeps_the_density_of_narrow_laws():
    torch.manual_seed(7)
    for m in (2, 10, 256):
        loc = directions(m, dtype=torch.float32)
        for kappa in (1.0, 1e3, 1e6):
            law = VonMisesFisher(loc, kappa)
            z = law.sample((200,))
            exact = VonMisesFisher(loc.double(), kappa).log_prob(z.double())
            assert law.log_prob(z).dtype == torch.float32
            # The squared distance alone has the rounding of the points, relative to it 1e-4.
            most = 1e-3 * m + 1e-6 * exact.abs()
            assert ((law.log_prob(z) - exact).abs() < most).all()


def test_log_density_is_differentiable_in_everything():
    torch.manual_seed(8)
    law = VonMisesFisher(directions(4, 3), tensor([0.01, 1.0, 20.0, 900.0]))
    arguments = [law.sample(), law.loc, law.concentration]
    leaves = [x.clone().requires_grad_() for x in arguments]

    def log_prob(z, loc, kappa):
        return VonMisesFisher(loc, kappa, validate_args=False).log_prob(z)

    assert torch.autograd.gradcheck(log_prob, leaves)
    assert torch.autograd.gradgradcheck(log_prob, leaves)


def test_mean_variance_and_mode():
    torch.manual_seed(9)
    for m in (2, 3, 12):
        law = VonMisesFisher(directions(3, m), tensor([0.2, 4.0, 300.0]))
        z = law.sample((20_000,))
        errors = z.std(0) / len(z) ** 0.5
        assert ((z.mean(0) - law.mean) / errors).abs().max() < 4.5
        spread = (z - law.mean).square()
        errors = spread.std(0) / len(z) ** 0.5
        assert ((spread.mean(0) - law.variance) / errors).abs().max() < 4.5
        assert torch.equal(law.mode, law.loc)


def test_the_mean_is_finite_and_small_for_hardly_any_concentration():
    law = VonMisesFisher(directions(1000), tensor(1e-3, requires_grad=True))
    divergence = kl_divergence(law, HypersphericalUniform(1000))
    assert divergence.item() == pytest.approx(1e-6 / 2000, rel=1e-6)
    divergence.backward()
    assert law.concentration.dim() == 0 and law.mean.norm().item() == pytest.approx(1e-6, rel=1e-5)


def test_shapes_and_expansion():
    law = VonMisesFisher(directions(5, 1, 4), tensor([1.0, 2.0, 3.0]))
    assert law.batch_shape == (5, 3) and law.event_shape == (4,)
    assert law.rsample().shape == (5, 3, 4) and law.sample((2, 0)).shape == (2, 0, 5, 3, 4)
    assert law.log_prob(law.sample((7,))).shape == (7, 5, 3)
    wide = law.expand((6, 5, 3))
    assert wide.sample().shape == (6, 5, 3, 4) and wide.entropy().shape == (6, 5, 3)
    assert torch.equal(wide.mean[2], law.mean) and isinstance(wide, VonMisesFisher)
    alone = VonMisesFisher(directions(4), 2.0)
    assert alone.batch_shape == () and alone.sample().shape == (4,)
    prior = HypersphericalUniform(4).expand((2, 1, 1))
    assert kl_divergence(law, prior).shape == (2, 5, 3)


def test_the_same_seed_gives_the_same_draws():
    law = on_grid(5)
    draws = []
    for _ in range(2):
        torch.manual_seed(11)
        draws.append(law.rsample((9,)))
    assert torch.equal(*draws)


def test_bad_input():
    loc = directions(2, 3)
    with pytest.raises(ValueError, match=r"loc.*UnitVector"):
        VonMisesFisher(1.1 * loc, 1.0)
    with pytest.raises(ValueError, match=r"loc.*UnitVector"):
        VonMisesFisher(loc * math.nan, 1.0)
    for kappa in (0.0, -1.0, 9e-4, 1.1e6, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"concentration.*lower_bound=0.001"):
            VonMisesFisher(loc, kappa)
    with pytest.raises(ValueError, match=r"concentration.*\(2,\).*\(3,\)"):
        VonMisesFisher(loc, torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"loc.*m >= 2.*\(2, 1\)"):
        VonMisesFisher(torch.ones(2, 1), 1.0)
    with pytest.raises(TypeError, match=r"loc.*list"):
        VonMisesFisher([0.0, 1.0], 1.0)
    with pytest.raises(TypeError, match=r"concentration.*float64.*float32"):
        VonMisesFisher(loc, torch.ones(2))
    law = VonMisesFisher(loc, 1.0)
    with pytest.raises(ValueError, match="support"):
        law.log_prob(2 * loc)
    with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)"):
        kl_divergence(law, HypersphericalUniform(4))
    with pytest.raises(NotImplementedError):
        kl_divergence(law, Normal(0.0, 1.0))
