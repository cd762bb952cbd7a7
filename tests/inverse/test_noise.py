"""Noise models against scipy.stats, moments of samples, Fisher's information by its definition."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from oracles import draw

from learnedmanifolds.inverse.noise import GaussianNoise, NoiseModel, PoissonNoise


def counts(gain, *shape, seed=0):
    """Observations that a Poisson model of a gain can give, zeros among them."""
    return torch.from_numpy(np.random.default_rng(seed).poisson(2.0, shape) / gain)


def test_gaussian_likelihood_up_to_its_constant():
    noise, predicted, observed = GaussianNoise(0.3), draw(5, 2, 4), draw(2, 4, seed=1)
    exact = -scipy.stats.norm(observed, 0.3).logpdf(predicted).sum((1, 2))
    constant = 8 * math.log(0.3 * math.sqrt(2 * math.pi))
    found = noise.negative_log_likelihood(predicted, observed)
    torch.testing.assert_close(found, torch.from_numpy(exact) - constant)


@pytest.mark.parametrize("gain", [0.5, 1.0, 40.0])
def test_poisson_likelihood_up_to_its_constant(gain):
    noise = PoissonNoise(gain)
    predicted, observed = draw(5, 2, 30, low=0.01, high=3), counts(gain, 2, 30)
    assert (observed == 0).any()
    k = (gain * observed).round().numpy()
    exact = -scipy.stats.poisson(gain * predicted).logpmf(k).sum((1, 2))
    constant = (scipy.special.gammaln(k + 1) - scipy.special.xlogy(k, k) + k).sum()
    found = noise.negative_log_likelihood(predicted, observed)
    torch.testing.assert_close(found, torch.from_numpy(exact - constant), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("noise", [GaussianNoise(0.2), PoissonNoise(7.0)])
def test_the_minimum_is_zero_at_the_observation(noise):
    observed = draw(6, 3, low=0.1, high=2)
    assert noise.negative_log_likelihood(observed, observed).abs().max() < 1e-13
    for seed in range(20):
        other = observed * draw(6, 3, seed=seed, low=0.5, high=2)
        assert (noise.negative_log_likelihood(other, observed) > 0).all()


@pytest.mark.parametrize("noise", [GaussianNoise(0.2), PoissonNoise(7.0)])
def test_observations_of_one_and_of_many_problems(noise):
    predicted = draw(4, 3, 2, low=0.5, high=2)
    observed = draw(4, 3, 2, seed=1, low=0, high=2)
    together = noise.negative_log_likelihood(predicted, observed)
    assert together.shape == (4,)
    for i in range(4):
        alone = noise.negative_log_likelihood(predicted[i : i + 1], observed[i])
        torch.testing.assert_close(alone, together[i : i + 1])
    scalars = noise.negative_log_likelihood(predicted[:, 0, 0], observed[:, 0, 0])
    assert scalars.shape == (4,) and len(set(scalars.tolist())) == 4


@pytest.mark.parametrize("noise", [GaussianNoise(0.2), PoissonNoise(7.0)])
def test_derivatives_by_torch(noise):
    predicted = draw(2, 4, low=0.5, high=2).requires_grad_()
    observed = draw(4, seed=1, low=0, high=2)
    observed[0] = 0
    arguments = (lambda p: noise.negative_log_likelihood(p, observed), (predicted,))
    assert torch.autograd.gradcheck(*arguments) and torch.autograd.gradgradcheck(*arguments)


@pytest.mark.parametrize("noise", [GaussianNoise(0.4), PoissonNoise(3.0)])
def test_information_is_the_mean_hessian(noise):
    # Fisher's identity: the mean over observations of the second derivative, within five standard
    # errors of 200,000 samples.
    predicted = torch.tensor([0.2, 0.7, 1.0, 5.0], dtype=torch.float64)
    n = 200_000
    observed = noise.sample(predicted.expand(n, 4), seed=0)
    p = predicted.expand(n, 4).clone().requires_grad_()
    total = noise.negative_log_likelihood(p, observed).sum()
    (first,) = torch.autograd.grad(total, p, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), p)
    information = noise.root_information(predicted).square()
    deviation = 5 * second.std(0) / math.sqrt(n) + 1e-12
    assert ((second.mean(0) - information).abs() <= deviation).all()
    # And the variance of the first derivative.
    variance = first.detach().square()
    deviation = 5 * variance.std(0) / math.sqrt(n)
    assert ((variance.mean(0) - information).abs() <= deviation).all()


@pytest.mark.parametrize(
    ("noise", "variance"),
    [
        (GaussianNoise(0.4), lambda f: 0.16 + 0 * f),
        (PoissonNoise(3.0), lambda f: f / 3),
        (PoissonNoise(0.25), lambda f: f / 0.25),
    ],
)
def test_moments_of_samples(noise, variance):
    # Mean and variance within five standard errors, which fall as the root of n.
    clean = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    for n in (1_000, 100_000):
        samples = noise.sample(clean.expand(n, 3), seed=n)
        error = samples.mean(0) - clean
        assert (error.abs() <= 5 * (variance(clean) / n).sqrt()).all()
        squares = (samples - clean).square()
        error = squares.mean(0) - variance(clean)
        assert (error.abs() <= 5 * squares.std(0) / math.sqrt(n)).all()


def test_distributions_of_samples():
    gaussian = GaussianNoise(0.4).sample(np.ones(20_000), seed=0)
    assert scipy.stats.kstest(gaussian, scipy.stats.norm(1, 0.4).cdf).pvalue > 1e-3
    poisson = 3 * PoissonNoise(3.0).sample(np.full(20_000, 0.8), seed=0)
    assert (poisson - poisson.round()).abs().max() < 1e-12
    found = np.bincount(poisson.round().long().numpy(), minlength=12)[:12]
    expected = 20_000 * scipy.stats.poisson(2.4).pmf(np.arange(12))
    expected[11] += 20_000 - expected.sum()
    found[11] += 20_000 - found.sum()
    assert (
        scipy.stats.chisquare(found[:9], expected[:9] * found[:9].sum() / expected[:9].sum())[1]
        > 1e-3
    )


@pytest.mark.parametrize("noise", [GaussianNoise(0.4), PoissonNoise(3.0)])
def test_samples_are_repeated_by_their_seed_alone(noise):
    clean = draw(3, 4, low=1, high=2)
    state = torch.random.get_rng_state()
    first = noise.sample(clean, seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(noise.sample(clean, seed=5), first)
    assert not torch.equal(noise.sample(clean, seed=6), first)
    assert not torch.equal(noise.sample(clean), noise.sample(clean))
    assert first.dtype == torch.float64 and first.shape == (3, 4)
    assert noise.sample(clean.float(), seed=5).dtype == torch.float32
    assert noise.sample([1, 2], seed=5).dtype == torch.float64


def test_impossible_predictions_under_poisson_noise():
    noise = PoissonNoise(2.0)
    predicted = torch.tensor([[0.0], [0.0], [-1.0], [-1.0]], dtype=torch.float64)
    observed = torch.tensor([[0.0], [1.0], [0.0], [1.0]], dtype=torch.float64)
    found = noise.negative_log_likelihood(predicted.requires_grad_(), observed)
    assert found.tolist() == [0.0, math.inf, math.inf, math.inf]
    (gradient,) = torch.autograd.grad(found[0], predicted)
    assert gradient[0].item() == 2.0 and torch.isfinite(gradient).all()
    assert noise.root_information(predicted.detach()).tolist() == [[0.0]] * 4
    nan = torch.tensor([[math.nan]], dtype=torch.float64)
    for y in (0.0, 1.0):
        value = noise.negative_log_likelihood(nan, torch.tensor([y], dtype=torch.float64))
        assert value.isnan().all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: GaussianNoise(0.0), ValueError, "std must be a positive"),
        (lambda: GaussianNoise("a"), TypeError, "std"),
        (lambda: PoissonNoise(-1.0), ValueError, "gain must be a positive"),
        (lambda: PoissonNoise(None), TypeError, "gain"),
        (lambda: GaussianNoise(1.0).sample([math.nan]), ValueError, "clean must be finite"),
        (lambda: GaussianNoise(1.0).sample("text"), TypeError, "clean"),
        (lambda: GaussianNoise(1.0).sample([1.0], seed=-1), ValueError, "seed"),
        (lambda: PoissonNoise(1.0).sample([1.0, -0.5]), ValueError, "clean must be non-neg.*-0.5"),
        (lambda: PoissonNoise(1.0).sample([1.0], seed=1.5), TypeError, "seed"),
        (lambda: NoiseModel(), TypeError, "abstract"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
