"""Euclidean and cube latent spaces: normal and Beta posteriors against scipy and quadrature."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from oracles import draw
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.latent.beta_uniform import BetaCube, Cube, CubeUniform
from learnedmanifolds.latent.euclidean import Euclidean
from learnedmanifolds.latent.normal import StandardNormal


def test_normal_posterior_and_its_divergence_from_torch():
    space = Euclidean(3)
    raw = draw(4, 6, seed=1)
    law = space.posterior(raw)
    assert law.batch_shape == (4,) and law.event_shape == (3,)
    assert torch.equal(law.mode, raw[:, :3])
    covariance = torch.diag_embed((torch.log1p(raw[:, 3:].exp()) + 1e-4).square())
    full = MultivariateNormal(raw[:, :3], covariance)
    standard = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    z = draw(4, 3, seed=2)
    assert torch.allclose(law.log_prob(z), full.log_prob(z))
    assert torch.allclose(space.divergence(law, z), kl_divergence(full, standard))
    prior = space.prior()
    assert torch.allclose(prior.log_prob(z), standard.log_prob(z))
    assert float(prior.entropy()) == pytest.approx(float(standard.entropy()))
    assert prior.expand((7,)).log_prob(z[0]).shape == (7,)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = prior.sample((5000,))
    assert scipy.stats.kstest(drawn.flatten().numpy(), scipy.stats.norm.cdf).pvalue > 1e-3
    assert torch.equal(prior.mode, prior.mean) and torch.equal(prior.variance, torch.ones(3))


def test_other_laws_have_no_closed_divergence_and_fall_back_on_draws():
    space = Euclidean(2)
    law = Independent(torch.distributions.Laplace(torch.zeros(2), torch.ones(2)), 1)
    with pytest.raises(NotImplementedError):
        kl_divergence(law, space.prior())
    z = torch.tensor([[0.3, -2.0]])
    laplace = scipy.stats.laplace.logpdf([0.3, -2.0]).sum()
    normal = scipy.stats.norm.logpdf([0.3, -2.0]).sum()
    assert float(space.divergence(law, z)) == pytest.approx(laplace - normal, rel=1e-6)


def test_lines_charts_and_geomstats():
    space = Euclidean(2, half_width=3.0)
    start, end = draw(2, 5, 2, seed=3)
    curve = space.geodesic(start, end, torch.tensor([0.0, 0.25, 1.0]).double())
    assert torch.equal(curve[0], start) and torch.allclose(curve[2], end)
    assert torch.allclose(curve[1], 0.75 * start + 0.25 * end)
    assert torch.equal(space.project(start), start)
    atlas = Atlas(space.charts())
    corners = torch.tensor([[3.0, -3.0], [1.0, 0.5]], dtype=torch.float64)
    assert torch.allclose(atlas.encode(corners, 0), corners / 3)
    outside = torch.tensor([[4.0, 1.0]], dtype=torch.float64)
    assert torch.allclose(atlas.project(outside), torch.tensor([[3.0, 1.0]]).double())
    assert space.space.metric.dist(start.float(), end.float()).shape == (5,)


CONCENTRATIONS = [(0.3, 0.4), (1.0, 1.0), (2.0, 5.0), (0.5, 40.0), (4000.0, 900.0)]


def mean_log(a, b):
    """Mean of log t for a Beta law, by quadrature with its singular weight where it has one."""
    if max(a, b) < 100:
        weighted = scipy.integrate.quad(
            lambda t: 1.0, 0, 1, weight="alg-loga", wvar=(a - 1, b - 1), epsabs=1e-11
        )
        return weighted[0] / scipy.special.beta(a, b)
    low, high = scipy.stats.beta(a, b).ppf([1e-15, 1 - 1e-15])
    density = scipy.stats.beta(a, b).pdf
    return scipy.integrate.quad(lambda t: math.log(t) * density(t), low, high, epsabs=1e-12)[0]


@pytest.mark.parametrize(("a", "b"), CONCENTRATIONS)
def test_beta_law_against_scipy(a, b):
    law = BetaCube(*torch.tensor([[a], [b]], dtype=torch.float64))
    oracle = scipy.stats.beta(a, b)
    t = torch.tensor(oracle.ppf([0.01, 0.3, 0.9]), dtype=torch.float64).unsqueeze(-1)
    assert np.allclose(law.log_prob(t).numpy(), oracle.logpdf(t[:, 0].numpy()), rtol=1e-9)
    assert float(law.mean) == pytest.approx(oracle.mean())
    assert float(law.variance) == pytest.approx(oracle.var(), rel=1e-9)
    kl = float(kl_divergence(law, CubeUniform(1)))
    integral = -scipy.special.betaln(a, b)
    integral += (a - 1) * mean_log(a, b) + (b - 1) * mean_log(b, a)
    assert kl == pytest.approx(integral, abs=1e-6)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        draws = law.sample((4000,))
    assert scipy.stats.kstest(draws.flatten().numpy(), oracle.cdf).pvalue > 1e-3


@pytest.mark.parametrize(("a", "b"), CONCENTRATIONS)
def test_pathwise_derivatives_of_beta_moments(a, b):
    n = 20_000
    first = torch.full((n, 1), a, dtype=torch.float64, requires_grad=True)
    second = torch.full((n, 1), b, dtype=torch.float64, requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        t = BetaCube(first, second).rsample()
    by = torch.autograd.grad(t.sum(), (first, second))
    exact = (b / (a + b) ** 2, -a / (a + b) ** 2)
    for gradient, wanted in zip(by, exact, strict=True):
        error = float(gradient.std()) / math.sqrt(n)
        # torch's derivative of the incomplete beta function is itself good to about 1e-3.
        assert abs(float(gradient.mean()) - wanted) < 4.5 * error + 2e-3 * abs(wanted)


def test_narrow_beta_laws_keep_their_divergence_in_float32():
    raw = torch.tensor([20_000.0, 7000.0])
    space = Cube(1)
    law = space.posterior(raw)
    exact = space.posterior(raw.double())
    kl = space.divergence(law, law.mode)
    assert kl.dtype == torch.float32
    assert float(kl) == pytest.approx(float(space.divergence(exact, exact.mode)), rel=1e-5)
    # A narrow Beta law is nearly normal.
    sigma = math.sqrt(float(exact.variance))
    assert float(kl) == pytest.approx(-0.5 * math.log(2 * math.pi * math.e * sigma**2), abs=1e-3)


def test_draws_stay_off_the_ends_where_densities_are_infinite():
    law = Cube(1).posterior(torch.full((1000, 2), -20.0))
    t = law.rsample()
    assert (t > 0).all() and (t < 1).all() and torch.isfinite(law.log_prob(t)).all()


def test_the_cube_as_a_latent_space():
    space = Cube(2)
    law = space.posterior(torch.zeros(3, 4))
    assert law.batch_shape == (3,) and torch.allclose(law.mode, torch.tensor(0.5))
    z = torch.tensor([[0.2, 1.4], [-0.3, 0.5]], dtype=torch.float64)
    near = space.project(z)
    assert torch.equal(near, torch.tensor([[0.2, 1.0], [0.0, 0.5]], dtype=torch.float64))
    curve = space.geodesic(near[0], near[1], torch.tensor([0.5]).double())
    assert torch.allclose(curve[0], near.mean(0))
    atlas = Atlas(space.charts())
    assert torch.allclose(atlas.project(z), near, rtol=0, atol=1e-9)
    prior = space.prior()
    assert torch.equal(prior.log_prob(near), torch.zeros(2).double()) and prior.entropy() == 0
    drawn = prior.expand((2,)).sample((3,))
    assert drawn.shape == (3, 2, 2) and torch.equal(prior.mean, torch.full((2,), 0.5))
    assert law.expand((5, 3)).entropy().shape == (5, 3)
    assert space.space.dim == 2


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: Euclidean(0), ValueError, "dim"),
        (lambda: Euclidean(2, half_width=0.0), ValueError, "half_width"),
        (lambda: Euclidean(2).posterior(torch.zeros(3)), ValueError, "parameters"),
        (lambda: Euclidean(2).geodesic(*torch.ones(2, 3), torch.zeros(1)), ValueError, "start"),
        (lambda: StandardNormal(True), TypeError, "dim"),
        (lambda: StandardNormal(2).log_prob(torch.zeros(3)), ValueError, "shape"),
        (lambda: Cube(0), ValueError, "dim"),
        (lambda: CubeUniform(-1), ValueError, "dim"),
        (lambda: CubeUniform(1).log_prob(torch.tensor([1.5])), ValueError, "support"),
        (lambda: BetaCube(torch.ones(2), torch.ones(3)), ValueError, "a and b"),
        (lambda: BetaCube(torch.ones(2), -torch.ones(2)), ValueError, "parameter b"),
        (
            lambda: kl_divergence(BetaCube(torch.ones(2), torch.ones(2)), CubeUniform(3)),
            ValueError,
            "dimension",
        ),
        (
            lambda: kl_divergence(Independent(Normal(torch.ones(2), 1.0), 1), StandardNormal(3)),
            ValueError,
            "dimension",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()
