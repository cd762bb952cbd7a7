"""Wrapped normal distributions: against the definition, theta functions, quadrature, moments."""

import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from oracles import draw
from torch.distributions import kl_divergence

from learnedmanifolds.latent.wrapped_normal import TorusUniform, WrappedNormal

# From hardly wrapped to hardly anything but uniform, on both sides of every change of formula.
SCALES = [1e-3, 0.05, 0.34, 0.36, 1.0, 2.0, 2.5, 2.51, 3.0, 6.0, 100.0]


def pairs(angles):
    angles = torch.as_tensor(angles, dtype=torch.float64)
    return torch.stack([angles.cos(), angles.sin()], -1).flatten(-2)


def circle(scale, angle=0.0):
    return WrappedNormal(pairs([angle]), torch.tensor([scale], dtype=torch.float64))


def oracle_density(angle, scale):
    """Sum over turns of the normal density, or for wide ones Jacobi's theta function."""
    if scale < 3:
        turns = np.arange(-6, 7)
        return scipy.stats.norm.pdf(np.add.outer(angle, 2 * np.pi * turns), scale=scale).sum(-1)
    nome = mpmath.exp(-(mpmath.mpf(scale) ** 2) / 2)
    values = [float(mpmath.jtheta(3, float(a) / 2, nome)) for a in np.atleast_1d(angle)]
    return np.array(values) / (2 * np.pi)


@pytest.mark.parametrize("scale", SCALES)
def test_log_density_is_that_of_the_definition(scale):
    near = draw(20, seed=1, low=-4, high=4).clamp(-math.pi / scale, math.pi / scale) * scale
    angle = torch.cat([near, torch.tensor([0.0, 3.14, math.pi], dtype=torch.float64)])
    if scale <= 0.05:
        angle = near
    log_prob = circle(scale).log_prob(pairs(angle.unsqueeze(-1)))
    wanted = np.log(oracle_density(angle.numpy(), scale))
    assert np.allclose(log_prob.numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_far_tails_of_a_narrow_one_do_not_underflow():
    log_prob = circle(1e-3).log_prob(pairs([3.0]))
    assert float(log_prob) == pytest.approx(scipy.stats.norm.logpdf(3.0, scale=1e-3), rel=1e-12)


@pytest.mark.parametrize("scale", SCALES[1:])
def test_density_integrates_to_one(scale):
    angle = 2 * math.pi * torch.arange(2000, dtype=torch.float64) / 2000
    density = circle(scale, 0.7).log_prob(pairs(angle.unsqueeze(-1))).exp()
    assert float(density.mean() * 2 * math.pi) == pytest.approx(1, abs=1e-13)


def test_density_on_a_torus_is_a_product_and_integrates_to_one():
    scale = torch.tensor([0.4, 1.7], dtype=torch.float64)
    law = WrappedNormal(pairs([0.3, -2.0]), scale)
    line = 2 * math.pi * torch.arange(120, dtype=torch.float64) / 120
    grid = torch.cartesian_prod(line, line)
    log_prob = law.log_prob(pairs(grid))
    assert float(log_prob.exp().mean() * (2 * math.pi) ** 2) == pytest.approx(1, abs=1e-13)
    first = circle(0.4, 0.3).log_prob(pairs(grid[:, :1]))
    second = circle(1.7, -2.0).log_prob(pairs(grid[:, 1:]))
    assert torch.allclose(log_prob, first + second, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_entropy_and_divergence_by_adaptive_quadrature(scale):
    law = circle(scale)

    def minus_log(a):
        p = float(oracle_density(np.array([a]), scale)[0])
        return -p * math.log(p) if p > 0 else 0.0

    reach = min(math.pi, 12 * scale)
    half = scipy.integrate.quad(minus_log, 0, reach, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
    assert float(law.entropy()) == pytest.approx(2 * half, abs=1e-11)
    kl = kl_divergence(law, TorusUniform(1))
    assert float(kl) == pytest.approx(math.log(2 * math.pi) - 2 * half, abs=1e-11)


def test_divergence_keeps_its_relative_precision_when_nearly_uniform():
    # The first harmonic alone: the mean of u^2 / 2 with u = 2 exp(-s^2 / 2) cos a, less a part of
    # order u^4 / 12.
    for scale in (4.0, 7.0, 15.0):
        kl = kl_divergence(circle(scale), TorusUniform(1))
        assert float(kl) == pytest.approx(math.exp(-(scale**2)), rel=1.1e-7, abs=0)
    assert float(kl_divergence(circle(50.0), TorusUniform(1))) == 0


@pytest.mark.parametrize("scale", [0.02, 0.2, 0.36, 1.1, 2.49, 2.52, 5.0])
def test_derivatives_of_density_and_divergence(scale):
    s = torch.tensor([scale], dtype=torch.float64, requires_grad=True)
    mean = draw(2, seed=3).requires_grad_()
    value = pairs([0.4])

    def density(s, mean):
        loc = mean / mean.norm()
        return WrappedNormal(loc, s, validate_args=False).log_prob(value)

    def divergence(s):
        return kl_divergence(WrappedNormal(pairs([0.0]), s), TorusUniform(1))

    assert torch.autograd.gradcheck(density, (s, mean), eps=1e-7, rtol=1e-4)
    assert torch.autograd.gradcheck(divergence, (s,), eps=1e-7, rtol=1e-4)
    # What Fisher's identity says of every density: the score has mean zero.
    angle = 2 * math.pi * torch.arange(3000, dtype=torch.float64) / 3000
    log_prob = WrappedNormal(pairs([0.0]), s.expand(3000, 1)).log_prob(pairs(angle.unsqueeze(-1)))
    (score,) = torch.autograd.grad((log_prob * log_prob.detach().exp()).sum(), s)
    assert abs(float(score)) * 2 * math.pi / 3000 < 1e-10


def test_draws_have_the_distribution_function():
    scale, mean = 1.3, 2.0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = circle(scale, mean).sample((4000,))
    assert z.shape == (4000, 2) and torch.allclose(z.norm(dim=-1), torch.ones(1).double())
    angle = torch.atan2(z[:, 1], z[:, 0]).numpy()
    turns = 2 * np.pi * np.arange(-6, 7)

    def cdf(a):
        ends = scipy.stats.norm.cdf(np.add.outer(a, turns), mean, scale)
        starts = scipy.stats.norm.cdf(-np.pi + turns, mean, scale)
        return (ends - starts).sum(-1)

    assert scipy.stats.kstest(angle, cdf).pvalue > 1e-3


@pytest.mark.parametrize("scale", [0.1, 1.0, 2.0])
def test_pathwise_derivatives_of_trigonometric_moments(scale):
    """E cos(m a) = cos(m mu) exp(-m^2 s^2 / 2), and its derivatives in s and mu."""
    n, mu = 20_000, 0.6
    s = torch.full((n, 1), scale, dtype=torch.float64, requires_grad=True)
    angle = torch.full((n, 1), mu, dtype=torch.float64, requires_grad=True)
    loc = torch.cat([angle.cos(), angle.sin()], -1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        z = WrappedNormal(loc, s).rsample()
    double = z[:, 0].square() - z[:, 1].square()
    moments = ((1, z[:, 0]), (2, double))
    for m, values in moments:
        damping = math.exp(-((m * scale) ** 2) / 2)
        in_s, in_mu = torch.autograd.grad(values.sum(), (s, angle), retain_graph=True)
        expected = [
            (values, math.cos(m * mu) * damping),
            (in_s, -(m**2) * scale * math.cos(m * mu) * damping),
            (in_mu, -m * math.sin(m * mu) * damping),
        ]
        for draws, wanted in expected:
            error = float(draws.detach().std()) / math.sqrt(n)
            assert abs(float(draws.detach().mean()) - wanted) < 4.5 * error + 1e-12


def test_mean_is_the_ambient_expectation_and_mode_the_densest_point():
    law = WrappedNormal(pairs([0.5, -1.0]), torch.tensor([0.3, 2.0], dtype=torch.float64))
    line = 2 * math.pi * torch.arange(200, dtype=torch.float64) / 200
    points = pairs(torch.cartesian_prod(line, line))
    density = law.log_prob(points).exp()
    mean = (points * density.unsqueeze(-1)).mean(0) * (2 * math.pi) ** 2
    assert torch.allclose(law.mean, mean, rtol=0, atol=1e-12)
    assert (law.log_prob(law.mode) >= law.log_prob(points)).all()


def test_turning_everything_changes_nothing():
    scale = torch.tensor([0.7], dtype=torch.float64)
    angles = draw(3, 50, 1, seed=5, low=-7, high=7)
    one = WrappedNormal(pairs(angles[0]), scale).log_prob(pairs(angles[1]))
    other = WrappedNormal(pairs(angles[0] + angles[2]), scale).log_prob(
        pairs(angles[1] + angles[2])
    )
    assert torch.allclose(one, other, rtol=0, atol=1e-10)


def test_shapes_dtypes_and_expansion():
    loc, scale = pairs(draw(4, 1, 3)), torch.full((5, 3), 0.2).double()
    law = WrappedNormal(loc, scale)
    assert law.batch_shape == (4, 5) and law.event_shape == (6,)
    z = law.rsample((7,))
    assert z.shape == (7, 4, 5, 6)
    wide = law.expand((2, 4, 5))
    assert wide.batch_shape == (2, 4, 5)
    # The last bit depends on how sums over broadcast tensors are vectorised.
    again = law.log_prob(z[0]).expand(2, 4, 5)
    assert torch.allclose(wide.log_prob(z[0]), again, rtol=1e-14, atol=1e-13)
    assert wide.entropy().shape == (2, 4, 5)
    single = WrappedNormal(loc.float(), scale.float())
    assert single.rsample().dtype == single.log_prob(z.float()).dtype == torch.float32
    assert torch.allclose(single.log_prob(z.float()).double(), law.log_prob(z), atol=1e-4)
    assert torch.allclose(single.entropy().double(), law.entropy(), atol=1e-5)


def test_the_uniform_distribution():
    uniform = TorusUniform(2)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        z = uniform.expand((3,)).sample((5000,))
    assert z.shape == (5000, 3, 4)
    angle = torch.atan2(z[:, 1, 3], z[:, 1, 2]).numpy()
    assert scipy.stats.kstest(angle, scipy.stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    assert torch.allclose(uniform.log_prob(z).exp(), torch.tensor(1 / (2 * math.pi) ** 2))
    assert float(uniform.entropy()) == pytest.approx(2 * math.log(2 * math.pi))
    assert torch.equal(uniform.mean, torch.zeros(4))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: WrappedNormal(torch.ones(4), torch.ones(3)), "loc and scale"),
        (lambda: WrappedNormal(torch.ones(4), torch.ones(2)), "loc"),
        (lambda: WrappedNormal(torch.tensor([1.0, 0]), torch.tensor([-1.0])), "scale"),
        (lambda: WrappedNormal(torch.tensor([1.0, 0]), torch.tensor([torch.nan])), "scale"),
        (lambda: circle(1.0).log_prob(torch.tensor([2.0, 0.0])), "support"),
        (lambda: TorusUniform(0), "dim"),
        (lambda: TorusUniform(1).log_prob(torch.tensor([0.1, 0.0])), "support"),
        (lambda: kl_divergence(circle(1.0), TorusUniform(2)), "same torus"),
    ],
)
def test_bad_arguments_are_named(make, name):
    with pytest.raises(ValueError, match=name):
        make()
