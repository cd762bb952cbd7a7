"""Quadrature over priors: exact integrals, closed-form likelihoods, order of the bounds."""

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from oracles import draw

from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.beta_uniform import Cube
from learnedmanifolds.latent.embedding import EmbeddedSpace, Projection
from learnedmanifolds.latent.euclidean import Euclidean
from learnedmanifolds.latent.product import Product
from learnedmanifolds.latent.quadrature import exact_log_likelihood, quadrature
from learnedmanifolds.latent.sphere import Sphere
from learnedmanifolds.latent.torus import Circle, Torus


def mean(space, n, function):
    nodes, log_weights = quadrature(space, n)
    assert nodes.shape[1:] == space.shape and nodes.dtype == torch.float64
    assert float(log_weights.exp().sum()) == pytest.approx(1, abs=1e-13)
    return float((log_weights.exp() * function(nodes)).sum())


@pytest.mark.parametrize("space", [Circle(), EmbeddedSpace(Projection())], ids=repr)
def test_trigonometric_polynomials_on_the_circle(space):
    def harmonic(m, phase):
        return mean(space, 16, lambda z: (m * torch.atan2(z[:, 1], z[:, 0]) + phase).cos())

    for m in range(1, 16):
        assert harmonic(m, 0.4) == pytest.approx(0, abs=1e-14)
    # The first one that 16 nodes do not tell from a constant.
    assert harmonic(16, 0.0) == pytest.approx(1)


def test_moments_of_the_torus_are_products():
    for powers in itertools.product(range(0, 7, 2), repeat=2):
        value = mean(Torus(2), 12, lambda z, p=powers: z[:, 0] ** p[0] * z[:, 3] ** p[1])
        exact = math.prod(math.comb(p, p // 2) / 2**p for p in powers)
        assert value == pytest.approx(exact, abs=1e-14)


@pytest.mark.parametrize("power", range(9))
def test_moments_of_the_normal_prior_and_of_the_cube(power):
    double_factorial = math.prod(range(power - 1, 0, -2)) if power % 2 == 0 else 0
    normal = mean(Euclidean(1), 60, lambda z: z[:, 0] ** power)
    assert normal == pytest.approx(double_factorial, abs=1e-10)
    assert mean(Cube(1), 5, lambda z: z[:, 0] ** power) == pytest.approx(1 / (power + 1))
    both = Product(Euclidean(1), Circle())
    mixed = mean(both, 60, lambda z: z[:, 0] ** power * z[:, 1].square())
    assert mixed == pytest.approx(double_factorial / 2, abs=1e-10)


@pytest.mark.parametrize("powers", [(2, 0, 0), (0, 2, 4), (2, 2, 2), (4, 0, 2), (1, 0, 2)])
def test_moments_of_spheres(powers):
    """Mean of x^a y^b z^c: (a-1)!! (b-1)!! (c-1)!! / (3 5 ... (a+b+c+1)), 0 for an odd power."""
    odd = [math.prod(range(p - 1, 0, -2)) for p in powers]
    exact = math.prod(odd) / math.prod(range(3, sum(powers) + 2, 2))
    exact = 0.0 if any(p % 2 for p in powers) else exact
    value = mean(Sphere(2), 10, lambda z: (z ** torch.tensor(powers)).prod(-1))
    assert value == pytest.approx(exact, abs=1e-14)
    assert mean(Sphere(1), 10, lambda z: z[:, 0] ** powers[0]) == pytest.approx(
        mean(Circle(), 10, lambda z: z[:, 0] ** powers[0])
    )


def gaussian(sigma, decode):
    def log_likelihood(x, z):
        square = (x.unsqueeze(1) - decode(z)).square().sum(-1)
        constant = 0.5 * x.shape[-1] * math.log(2 * math.pi * sigma**2)
        return -square / (2 * sigma**2) - constant

    return log_likelihood


@pytest.mark.parametrize("dim", [1, 2])
def test_likelihood_of_a_linear_model(dim):
    matrix, sigma = draw(4, dim, seed=1), 0.4
    x = draw(20, 4, seed=2)
    found = exact_log_likelihood(gaussian(sigma, lambda z: z @ matrix.T), x, Euclidean(dim), 300)
    covariance = matrix @ matrix.T + sigma**2 * torch.eye(4).double()
    exact = scipy.stats.multivariate_normal(np.zeros(4), covariance.numpy()).logpdf(x.numpy())
    assert np.allclose(found.numpy(), exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("space", [Circle(), EmbeddedSpace(Projection(), rotation=True)], ids=repr)
def test_likelihood_of_noise_around_the_circle(space):
    sigma, x = 0.2, 1.5 * draw(30, 2, seed=3)
    found = exact_log_likelihood(gaussian(sigma, lambda z: z), x, space, 400)
    radius = x.norm(dim=-1).numpy()
    exact = -((radius - 1) ** 2) / (2 * sigma**2) - math.log(2 * math.pi * sigma**2)
    exact = exact + np.log(scipy.special.i0e(radius / sigma**2))
    assert np.allclose(found.numpy(), exact, rtol=0, atol=1e-10)
    # Of more points than fit in one piece together with all nodes, and in float32.
    many = x.float().repeat(1000, 1)
    again = exact_log_likelihood(gaussian(sigma, lambda z: z), many, space, 400)
    assert np.allclose(again.view(1000, 30)[::999].numpy(), exact, rtol=0, atol=2e-4)


def test_likelihood_on_an_interval():
    """Noise around [0, 1]: a difference of normal distribution functions."""
    sigma = 0.05
    x = draw(30, 1, seed=4, low=-0.2, high=1.2)
    found = exact_log_likelihood(gaussian(sigma, lambda z: z), x, Cube(1), 300)
    cdf = scipy.stats.norm.cdf
    exact = np.log(cdf(x / sigma) - cdf((x - 1) / sigma))[:, 0]
    assert np.allclose(found.numpy(), exact, rtol=0, atol=1e-9)


def test_bounds_are_in_order():
    space, sigma, n = Circle(), 0.5, 4000
    matrix = draw(2, 3, seed=7)
    log_likelihood = gaussian(sigma, lambda z: (z @ matrix).tanh())
    x = (0.5 * draw(6, 2, seed=5) @ matrix).tanh()
    exact = exact_log_likelihood(log_likelihood, x, space, 200)
    raw = draw(6, 3, seed=6)
    # Wide posteriors, so that importance weights have moderate variance.
    raw[:, 2] = raw[:, 2].abs() + 1
    law = space.posterior(raw)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        z = law.rsample((n,))
        terms = torch.stack([log_likelihood(x[i : i + 1], z[:, i])[0] for i in range(6)], -1)
        elbo = (terms - space.divergence(law, z[0])).mean(0)
        log_ratio = terms + space.prior().log_prob(z) - law.log_prob(z)
    of_ten = torch.logsumexp(log_ratio.view(-1, 10, 6), 1).mean(0) - math.log(10)
    assert (elbo < of_ten).all() and (of_ten < exact).all()
    weights = log_ratio.exp()
    error = weights.std(0) / weights.mean(0) / math.sqrt(n)
    assert (error < 0.05).all()
    assert ((weights.mean(0).log() - exact).abs() < 5 * error).all()


class Unknown(LatentSpace):
    def __init__(self):
        super().__init__(1, (1,), 1)

    space = prior = posterior = project = geodesic = None


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: quadrature(Unknown(), 10), TypeError, "Unknown"),
        (lambda: quadrature(Torus(3), 10), ValueError, "dimension 1 or 2"),
        (lambda: quadrature(Product(Torus(2), Circle()), 10), ValueError, "dimension 1 or 2"),
        (lambda: quadrature(Circle(), 0), ValueError, "n must"),
        (lambda: quadrature(Circle(), 2.5), TypeError, "n must"),
        (lambda: quadrature(Euclidean(2), 5000), ValueError, "at most"),
        (
            lambda: exact_log_likelihood(lambda x, z: x, torch.ones(2, 1), Circle(), 10),
            ValueError,
            "log_likelihood must give",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()
