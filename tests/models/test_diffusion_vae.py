"""The variational diffusion autoencoder: its divergence, its walk, its input."""

import math

import pytest
import torch
from scipy.stats import ks_2samp, kstest
from torch.distributions import MultivariateNormal, kl_divergence

import learnedmanifolds as lm
from learnedmanifolds.diffusion import DiffusionMap
from learnedmanifolds.models.diffusion_vae_network import Step
from learnedmanifolds.models.diffusion_vae_training import nearest_other

SMALL = {"n_components": 2, "hidden": (32, 32), "max_steps": 100, "random_state": 0}


def circle(n, seed=0):
    angle = 2 * math.pi * torch.rand(n, generator=torch.Generator().manual_seed(seed))
    return torch.stack([angle.cos(), angle.sin()], 1)


@pytest.fixture(scope="module")
def model():
    return lm.DiffusionVAE(
        2, step="diffusion", alpha=40, max_steps=1000, hidden=(64, 64), random_state=0
    ).fit(circle(1000))


def test_divergence_and_covariance_of_a_step():
    source = torch.Generator().manual_seed(0)
    factor = torch.randn(5, 4, 4, generator=source, dtype=torch.float64).tril()
    factor.diagonal(dim1=-2, dim2=-1).abs_()
    root = torch.randn(5, 4, 4, generator=source, dtype=torch.float64)
    prior = root @ root.mT + 0.1 * torch.eye(4, dtype=torch.float64)
    step = Step(factor)
    mean = torch.zeros(5, 4, dtype=torch.float64)
    expected = kl_divergence(
        MultivariateNormal(mean, step.covariance), MultivariateNormal(mean, prior)
    )
    found = step.divergence(torch.linalg.inv(prior), torch.logdet(prior))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    drawn = Step(factor[:1].expand(200_000, 4, 4)).draw(
        torch.randn(200_000, 4, generator=source, dtype=torch.float64)
    )
    torch.testing.assert_close(torch.cov(drawn.T), step.covariance[0], rtol=0.03, atol=0.03)


def test_the_target_is_another_point_also_among_duplicates():
    psi = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    found = nearest_other(psi, psi, torch.arange(3))
    assert found[:2].tolist() == [1, 0]
    assert found[2] != 2


def test_samples_lie_on_the_circle(model):
    radius = model.sample(2000, seed=0).norm(dim=1)
    assert (radius - 1).abs().quantile(0.95) < 0.1


def test_a_walk_forgets_where_it_started(model):
    """From one point the angles are uniform after ten steps, at an error rate of 1e-4."""
    start = circle(1).expand(1000, 2)
    walk = model.random_walk(start, 10, seed=0)
    assert walk.shape == (11, 1000, 2)
    assert torch.equal(walk[0], start)
    angle = torch.atan2(walk[..., 1], walk[..., 0]) / (2 * math.pi) + 0.5
    assert kstest(angle[1].numpy(), "uniform").pvalue < 1e-6
    assert kstest(angle[-1].numpy(), "uniform").pvalue > 1e-4


def turns(y, x):
    return torch.atan2(y, x) / (2 * math.pi) + 0.5


def test_the_density_of_the_data_is_forgotten():
    """Data of density 1 + 0.6 cos; angles of the walk are uniform, at an error rate of 1e-4."""
    source = torch.Generator().manual_seed(0)
    angle, height = torch.rand(2, 4000, generator=source)
    angle = 2 * math.pi * angle[height * 1.6 <= 1 + 0.6 * torch.cos(2 * math.pi * angle)][:1500]
    x = torch.stack([angle.cos(), angle.sin()], 1)
    model = lm.DiffusionVAE(2, alpha=160, max_steps=1000, hidden=(64, 64), random_state=0).fit(x)
    walk = model.random_walk(x[:1].expand(1000, 2), 10, seed=0)
    assert kstest(turns(x[:, 1], x[:, 0]).numpy(), "uniform").pvalue < 1e-8
    assert kstest(turns(walk[-1, :, 1], walk[-1, :, 0]).numpy(), "uniform").pvalue > 1e-4


def test_walks_on_a_torus_are_stationary_within_ten_steps():
    """And nearly uniform: within 0.12 here, and 0.06 after the training of benchmarks/random_walks.py.

    The two comparisons have error rates of 1e-4.
    """
    x = lm.datasets.Torus(2.0, 1.0).sample(1500, seed=0)
    model = lm.DiffusionVAE(12, alpha=40, max_steps=1400, random_state=0).fit(x)
    walk = model.random_walk(x[:1].expand(1000, 3), 20, seed=0)
    around = walk[..., :2].norm(dim=-1)
    v = torch.atan2(walk[..., 2], around - 2)
    for share in (
        turns(walk[..., 1], walk[..., 0]),
        # Area grows with the distance from the axis, 2 + cos v.
        (v + math.pi + 0.5 * v.sin()) / (2 * math.pi),
    ):
        assert kstest(share[10].numpy(), "uniform").statistic < 0.12
        assert ks_2samp(share[10].numpy(), share[20].numpy()).pvalue > 1e-4
    assert kstest(turns(walk[1, :, 1], walk[1, :, 0]).numpy(), "uniform").statistic > 0.3


def test_samples_near_a_point_stay_near(model):
    x = circle(1)
    near = (model.sample(200, seed=0, steps=1, near=x) - x).norm(dim=1).median()
    far = (model.sample(200, seed=0) - x).norm(dim=1).median()
    assert near < 0.7 * far


def test_bound_and_covariances(model):
    x = circle(50, 1)
    values = torch.linalg.eigvalsh(model.covariance(x))
    assert (values > 0).all()
    assert model.elbo(x, 5, seed=0).isfinite().all()
    assert model.history_["loss"][-1] < model.history_["loss"][0]
    torch.testing.assert_close(model.decode(model.transform(x)), x, rtol=0, atol=0.1)


def test_the_same_seed_and_an_interrupted_training_give_the_same_weights(tmp_path):
    x = circle(200)
    first, second = (lm.DiffusionVAE(**SMALL).fit(x) for _ in range(2))
    resumed = lm.DiffusionVAE(**SMALL, checkpoint_dir=tmp_path).fit(x)
    for other in (second, resumed):
        torch.testing.assert_close(other.sample(20, seed=1), first.sample(20, seed=1))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components"),
        (
            {"n_neighbors": 40, "step": "neighbors"},
            ValueError,
            "n_neighbors must be less than the number of points",
        ),
        ({"step": "jump"}, ValueError, "step"),
        ({"alpha": -1.0}, ValueError, "alpha"),
        ({"alpha": 1.5, "step": "diffusion"}, ValueError, "whole number of steps"),
        ({"noise_std": 0.0}, ValueError, "noise_std"),
        ({"hidden": ()}, ValueError, "hidden"),
        ({"decoder": 3}, TypeError, "decoder must be a torch module"),
        ({"diffusion": 3}, TypeError, "diffusion must be"),
        ({"diffusion": DiffusionMap(metric="precomputed")}, ValueError, "must take data"),
    ],
)
def test_bad_parameters(options, error, message):
    with pytest.raises(error, match=message):
        lm.DiffusionVAE(**options).fit(circle(40))


def test_bad_data(model):
    with pytest.raises(ValueError, match="NaN"):
        lm.DiffusionVAE(2).fit(circle(40) * math.nan)
    with pytest.raises(ValueError, match="2 connected components"):
        lm.DiffusionVAE(2, diffusion=DiffusionMap(2, epsilon=0.01)).fit(
            torch.cat([circle(100), circle(100) + 10])
        )
    with pytest.raises(ValueError, match="shape"):
        model.transform(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="steps"):
        model.random_walk(circle(3), -1)
