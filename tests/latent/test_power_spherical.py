"""Laws of draws and of their derivatives against SciPy's Beta law, densities by quadrature."""

import math

import numpy as np
import pytest
import torch
from axial_law import angles, directions, near_poles
from scipy import special, stats
from torch.distributions import kl_divergence

from learnedmanifolds.latent.hyperspherical_uniform import HypersphericalUniform
from learnedmanifolds.latent.power_spherical import PowerSpherical

DIMENSIONS = [2, 3, 5, 32, 256]
KAPPAS = [1e-3, 0.1, 1.0, 10.0, 100.0, 1e4, 1e6]


def tensor(values, dtype=torch.float64, **kwargs):
    return torch.tensor(values, dtype=dtype, **kwargs)


def on_grid(m, dtype=torch.float64):
    return PowerSpherical(directions(len(KAPPAS), m, seed=m, dtype=dtype), tensor(KAPPAS, dtype))


def beta(m, kappa):
    """Law of sin^2(theta / 2)."""
    return stats.beta((m - 1) / 2, (m - 1) / 2 + kappa)


def test_cosines_have_their_law():
    # Of a right sampler the 70 p-values are uniform: one seed in 500 would fail.
    torch.manual_seed(0)
    p_values = []
    for dtype in (torch.float32, torch.float64):
        for m in DIMENSIONS:
            law = on_grid(m, dtype)
            square = (angles(law.sample((5000,)), law.loc) / 2).sin().square()
            for kappa, drawn in zip(KAPPAS, square.T, strict=True):
                p_values.append(stats.kstest(drawn.numpy(), beta(m, kappa).cdf).pvalue)
    assert min(p_values) > 1e-3 / len(p_values)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_pathwise_derivative_of_the_mean_cosine():
    # Deviations in standard errors of 35 cells, normal; one seed in 300 would fail.
    torch.manual_seed(1)
    deviations = []
    for m in DIMENSIONS:
        law = on_grid(m)
        kappa = law.scale.expand(3000, -1).clone().requires_grad_()
        z = PowerSpherical(law.loc, kappa).rsample()
        (rate,) = torch.autograd.grad(-(z - law.loc).square().sum() / 2, kappa)
        # The mean cosine is kappa / (kappa + m - 1).
        exact = (m - 1) / (law.scale + m - 1) ** 2
        deviations.append((rate.mean(0) - exact) / (rate.std(0) / len(rate) ** 0.5))
    deviations = torch.cat(deviations)
    assert deviations.abs().max() < 4
    assert stats.kstest(deviations.numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("m", [2, 3, 8, 40])
@pytest.mark.parametrize("kappa", [0.01, 0.7, 50.0, 1e4])
def test_every_draw_moves_as_its_quantile_does(m, kappa):
    torch.manual_seed(2)
    leaf = torch.full((400,), kappa, dtype=torch.float64, requires_grad=True)
    loc = directions(m)
    theta = angles(PowerSpherical(loc, leaf).rsample(), loc)
    (rate,) = torch.autograd.grad(theta.sum(), leaf)
    theta = theta.detach().numpy()
    h, square = 1e-3 * kappa, np.sin(theta / 2) ** 2
    # SciPy's distribution functions of both tails, each where it is the smaller one.
    lower = [beta(m, kappa + e).cdf(square) for e in (-h, h)]
    upper = [beta(m, kappa + e).sf(square) for e in (h, -h)]
    change = np.where(lower[0] < 0.5, lower[0] - lower[1], upper[0] - upper[1]) / (2 * h)
    density = beta(m, kappa).pdf(square) * np.sin(theta) / 2
    exact = torch.from_numpy(change / density)
    assert torch.allclose(rate, exact, rtol=1e-4, atol=1e-5 * float(exact.abs().max()))


def test_pathwise_derivative_in_the_mean_direction():
    # E (a.z)^2 = s |a|^2 + (1 - m s) (a.mu)^2, s the variance across mu. One seed in 200 fails.
    torch.manual_seed(3)
    worst, kappa = 0.0, 4.0
    for m in (2, 3, 6):
        a = directions(m, seed=9)
        # The cosine is 1 - 2 x, x of the Beta law.
        s = (1 - (1 - 2 * beta(m, kappa).mean()) ** 2 - 4 * beta(m, kappa).var()) / (m - 1)
        for loc in torch.cat([near_poles(m)[::3], directions(3, m, seed=m)]):
            leaf = loc.expand(8000, m).clone().requires_grad_()
            z = PowerSpherical(leaf, kappa).rsample()
            (rate,) = torch.autograd.grad((z @ a).square().sum(), leaf)
            tangent = torch.linalg.svd(loc.unsqueeze(0))[2][1:]
            got = rate @ tangent.T
            exact = tangent @ a * 2 * (1 - m * s) * (a @ loc)
            error = got.std(0) / len(got) ** 0.5
            worst = max(worst, float(((got.mean(0) - exact) / error).abs().max()))
    assert worst < 4


@pytest.mark.parametrize("dtype, most", [(torch.float32, 1e-6), (torch.float64, 2e-15)])
def test_draws_are_on_the_sphere_whatever_the_mean(dtype, most):
    torch.manual_seed(4)
    for m in (2, 3, 40):
        loc = near_poles(m, dtype)
        for kappa in (1e-3, 1.0, 1e3, 1e6):
            z = PowerSpherical(loc, torch.full((len(loc),), kappa, dtype=dtype)).rsample((50,))
            assert z.dtype == dtype and ((z.norm(dim=-1) - 1).abs() <= most).all()


@pytest.mark.parametrize("m", [2, 3, 7, 65, 1025])
@pytest.mark.parametrize("kappa", [0.5, 3.0, 40.0, 1e4])
def test_density_integrates_to_one_and_gives_entropy_and_divergence(m, kappa):
    # Gauss's rule over the part of the angles that holds the law; rings of radius sin(theta).
    most = min(math.pi, (math.sqrt(m) + 14) * math.sqrt(2 / kappa))
    nodes, weights = np.polynomial.legendre.leggauss(600)
    theta, weights = most * (nodes + 1) / 2, most / 2 * weights
    z = torch.zeros(len(theta), m, dtype=torch.float64)
    z[:, 0], z[:, 1] = torch.from_numpy(np.cos(theta)), torch.from_numpy(np.sin(theta))
    law = PowerSpherical(z.new_tensor([1.0] + [0.0] * (m - 1)), kappa)
    log_prob = law.log_prob(z).numpy()
    log_ring = math.log(2) + (m - 1) / 2 * math.log(math.pi) - special.gammaln((m - 1) / 2)
    mass = weights * np.exp(log_prob + log_ring + (m - 2) * np.log(np.sin(theta)))
    assert mass.sum() == pytest.approx(1, rel=1e-6)
    entropy = -(mass * log_prob).sum()
    assert law.entropy().item() == pytest.approx(entropy, rel=1e-5, abs=1e-5)
    uniform = HypersphericalUniform(m)
    divergence = (mass * (log_prob - uniform.log_prob(z).numpy())).sum()
    assert kl_divergence(law, uniform).item() == pytest.approx(divergence, rel=1e-5, abs=1e-9)


def test_densities_have_the_ratio_of_their_definition():
    z, loc = directions(2, 50, 5), directions(50, 5, seed=1)
    law = PowerSpherical(loc, 3.0)
    ratio = (law.log_prob(z[0]) - law.log_prob(z[1])).exp()
    cosines = (z * loc).sum(-1)
    assert torch.allclose(ratio, ((1 + cosines[0]) / (1 + cosines[1])) ** 3, rtol=1e-11)
    assert (law.log_prob(-loc) == -math.inf).all()


def test_everything_is_differentiable():
    torch.manual_seed(5)
    law = PowerSpherical(directions(4, 3), tensor([0.01, 1.0, 20.0, 900.0]))
    leaves = [x.clone().requires_grad_() for x in (law.sample(), law.loc, law.scale)]

    def log_prob(z, loc, kappa):
        return PowerSpherical(loc, kappa, validate_args=False).log_prob(z)

    def divergence(kappa):
        return kl_divergence(PowerSpherical(law.loc, kappa), HypersphericalUniform(3))

    assert torch.autograd.gradcheck(log_prob, leaves)
    assert torch.autograd.gradcheck(divergence, leaves[2])


def test_mean_and_mode_and_shapes():
    torch.manual_seed(6)
    law = PowerSpherical(directions(3, 1, 12), tensor([0.2, 40.0]))
    z = law.sample((20_000,))
    assert z.shape == (20_000, 3, 2, 12)
    errors = z.std(0) / len(z) ** 0.5
    # 72 deviations: one seed in 2000 would fail.
    assert ((z.mean(0) - law.mean) / errors).abs().max() < 4.5
    assert torch.equal(law.mode, law.loc)
    wide = law.expand((4, 3, 2))
    assert isinstance(wide, PowerSpherical) and wide.sample().shape == (4, 3, 2, 12)
    assert torch.equal(wide.scale[1], law.scale)
    assert kl_divergence(wide, HypersphericalUniform(12)).shape == (4, 3, 2)


def test_bad_input():
    loc = directions(2, 3)
    with pytest.raises(ValueError, match=r"loc.*UnitVector"):
        PowerSpherical(0.9 * loc, 1.0)
    for scale in (0.0, 1.1e6, math.nan):
        with pytest.raises(ValueError, match=r"scale.*lower_bound=0.001"):
            PowerSpherical(loc, scale)
    with pytest.raises(ValueError, match=r"scale.*\(2,\).*\(3,\)"):
        PowerSpherical(loc, torch.ones(3, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"scale.*float64.*float32"):
        PowerSpherical(loc, torch.ones(2))
    with pytest.raises(ValueError, match="support"):
        PowerSpherical(loc, 1.0).log_prob(torch.zeros_like(loc))
    with pytest.raises(ValueError, match=r"\(3,\).*\(5,\)"):
        kl_divergence(PowerSpherical(loc, 1.0), HypersphericalUniform(5))
