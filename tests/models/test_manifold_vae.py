"""Variational autoencoders on latent manifolds."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from torch import nn

import learnedmanifolds as lm
from learnedmanifolds.latent import Circle, Euclidean, Product, Rotations, Sphere
from learnedmanifolds.models import ManifoldVAE

SMALL = {"hidden": (32, 16), "max_epochs": 15, "learning_rate": 5e-3, "random_state": 0}


def ring(n=512, seed=0):
    """A noisy curve in R^6 with the topology of a circle, and the angles."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    x = torch.stack([f(k * angle) / k for k in (1, 2, 3) for f in (torch.cos, torch.sin)], dim=1)
    return x + 0.05 * torch.randn(x.shape, generator=generator), angle


@pytest.fixture(scope="module")
def model():
    return ManifoldVAE(Circle(), cosine=True, **{**SMALL, "max_epochs": 60}).fit(ring()[0])


@pytest.fixture(scope="module")
def linear():
    """Linear networks on a Gaussian latent space: probabilistic principal components."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 2, generator=generator) @ torch.tensor(
        [[1.5, 0, 0.5, -1, 0], [0, 1, 0.5, 0.3, -0.4]]
    )
    x = x + 0.3 * torch.randn(x.shape, generator=generator) + 1
    model = ManifoldVAE(
        Euclidean(2), encoder=nn.Linear(5, 4), decoder=nn.Linear(2, 5), max_epochs=60,
        learning_rate=1e-2, cosine=True, random_state=0,
    )  # fmt: skip
    return model.fit(x), x


def test_linear_networks_find_probabilistic_principal_components(linear):
    model, x = linear
    best = PCA(2).fit(x.numpy()).score(x.numpy())
    assert (
        model.log_likelihood(x[:500], 500, seed=0).mean()
        <= PCA(2).fit(x[:500]).score(x[:500]) + 1e-2
    )
    assert model.score(x) > best - 0.05
    assert abs(float(model.network_.log_noise.exp()) - 0.3) < 0.02


def test_importance_weighted_bound_against_the_exact_likelihood(linear):
    model, x = linear
    decoder = model.network_.decoder
    noise = model.network_.log_noise.exp() ** 2
    exact = torch.distributions.MultivariateNormal(
        decoder.bias, decoder.weight @ decoder.weight.T + noise * torch.eye(5)
    ).log_prob(x[:200])
    found = model.log_likelihood(x[:200], 2000, seed=0)
    # The posterior of this model is a Gaussian that the encoder may only match up to a rotation.
    assert (found - exact).abs().mean() < 0.03
    torch.testing.assert_close(
        model.exact_log_likelihood(x[:200], 150), exact.double(), rtol=0, atol=1e-3
    )
    means = [float(model.elbo(x[:200], 200, seed=0).mean())]
    means += [float(model.log_likelihood(x[:200], n, seed=0).mean()) for n in (5, 50, 2000)]
    assert all(low <= high + 0.02 for low, high in itertools.pairwise([*means, exact.mean()]))


def test_bounds_come_in_order(model):
    x, _ = ring(100, seed=4)
    exact = model.exact_log_likelihood(x, 4000).mean()
    bounds = [model.elbo(x, 50, seed=0), *(model.log_likelihood(x, n, seed=0) for n in (5, 500))]
    means = [float(bound.mean()) for bound in bounds]
    assert means == sorted(means)
    assert means[-1] < float(exact) + 0.02
    assert means[-1] > float(exact) - 0.2
    with pytest.raises(TypeError, match="quadrature"):
        ManifoldVAE(Rotations(), **{**SMALL, "max_epochs": 1}).fit(x).exact_log_likelihood(x)


def test_bernoulli_likelihoods_of_all_images_add_to_one():
    images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))
    weights = torch.rand(16, generator=torch.Generator().manual_seed(0))
    data = images[torch.multinomial(weights, 400, True, generator=torch.Generator().manual_seed(1))]
    model = ManifoldVAE(Sphere(2), likelihood="bernoulli", **SMALL).fit(data)
    total = model.log_likelihood(images, 20_000, seed=0).exp().sum()
    assert abs(float(total) - 1) < 0.02


def test_a_circle_is_learned(model):
    x, angle = ring(seed=7)
    assert (model.decode(model.transform(x)) - x).pow(2).mean().sqrt() < 0.08
    z = model.transform(x)
    found = torch.atan2(z[:, 1], z[:, 0])
    # The winding number along the data is one in size: the latent circle is wrapped once.
    order = angle.argsort()
    steps = found[order].diff(append=found[order][:1])
    turns = float((torch.remainder(steps + math.pi, 2 * math.pi) - math.pi).sum()) / (2 * math.pi)
    assert abs(abs(turns) - 1) < 1e-3


def test_immersion_of_the_model(model):
    x, _ = ring(100, seed=3)
    immersion = model.immersion_
    assert (immersion.project(x) - x).norm(dim=1).max() < 0.3
    torch.testing.assert_close(
        immersion.immerse(model.transform(x)), model.decode(model.transform(x))
    )
    problem = lm.InverseProblem(
        lm.operators.mask(torch.tensor([True, True, False, False, False, False])), x[0, :2], 0.05
    )
    solution = lm.solve(problem, immersion, "trust-regions", n_starts=3, seed=0)
    assert np.linalg.norm(np.asarray(solution.point) - x[0].numpy()) < 0.3


def test_samples_and_interpolation(model):
    assert torch.equal(model.sample(5, seed=1), model.sample(5, seed=1))
    assert model.sample(7).shape == (7, 6)
    x, _ = ring(4, seed=2)
    path = model.interpolate(x[:2], x[2:], 9)
    assert path.shape == (9, 2, 6)
    for at, ends in ((0, x[:2]), (-1, x[2:])):
        torch.testing.assert_close(path[at], model.decode(model.transform(ends)), rtol=0, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_torch_is_left_alone():
    x = ring(200)[0]
    options = {**SMALL, "max_epochs": 2}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = ManifoldVAE(Circle(), **options).fit(x)
    assert torch.equal(torch.rand(3), expected)
    two = ManifoldVAE(Circle(), **options).fit(x)
    for a, b in zip(one.network_.parameters(), two.network_.parameters(), strict=True):
        assert torch.equal(a, b)


def test_of_several_starts_the_best_is_trained_in_full():
    x = ring(200)[0]
    options = {**SMALL, "max_epochs": 3}
    losses = [
        ManifoldVAE(Circle(), **{**options, "max_epochs": 2, "random_state": 7919 * start})
        .fit(x)
        .history_["loss"][-1]
        for start in range(3)
    ]
    found = ManifoldVAE(Circle(), n_starts=3, start_epochs=2, **options).fit(x)
    alone = ManifoldVAE(Circle(), **{**options, "random_state": 7919 * int(np.argmin(losses))})
    alone.fit(x)
    for a, b in zip(found.network_.parameters(), alone.network_.parameters(), strict=True):
        assert torch.equal(a, b)


def test_given_modules_start_anew():
    encoder = nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 3))
    before = [p.clone() for p in encoder.parameters()]
    options = {**SMALL, "max_epochs": 1, "encoder": encoder}
    one = ManifoldVAE(Circle(), n_starts=4, start_epochs=1, **options).fit(ring(200)[0])
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    two = ManifoldVAE(Circle(), **options).fit(ring(200)[0])
    assert one.history_["loss"][-1] <= two.history_["loss"][-1]


def test_an_interrupted_training_ends_in_the_same_weights(tmp_path):
    x = ring(200)[0]
    options = {**SMALL, "patience": 50}
    whole = ManifoldVAE(Circle(), **{**options, "max_epochs": 4}).fit(x)
    ManifoldVAE(Circle(), **{**options, "max_epochs": 2}, checkpoint_dir=tmp_path).fit(x)
    rest = ManifoldVAE(Circle(), **{**options, "max_epochs": 4}, checkpoint_dir=tmp_path).fit(x)
    for a, b in zip(whole.network_.parameters(), rest.network_.parameters(), strict=True):
        assert torch.equal(a, b)
    assert rest.history_["epoch"] == whole.history_["epoch"]


def test_early_stopping_keeps_the_best_weights():
    x = ring(64)[0]
    model = ManifoldVAE(
        Euclidean(2), hidden=(64,), max_epochs=400, patience=8, learning_rate=2e-2, noise_std=0.05,
        validation_fraction=0.3, random_state=0,
    ).fit(x)  # fmt: skip
    held_out = model.history_["held_out"]
    assert len(held_out) < 400
    assert len(held_out) - 1 - int(np.argmin(held_out)) == 8


def test_equivariance_and_continuity_terms_do_what_they_say():
    """Rotating the first two, second two and third two coordinates rotates the latent circle."""
    x = ring()[0]

    def action(data, z):
        turn = 2 * math.pi * torch.rand(len(data))
        moved = data.clone()
        for k in (1, 2, 3):
            c, s = torch.cos(k * turn), torch.sin(k * turn)
            a, b = data[:, 2 * k - 2], data[:, 2 * k - 1]
            moved[:, 2 * k - 2], moved[:, 2 * k - 1] = c * a - s * b, s * a + c * b
        c, s = torch.cos(turn), torch.sin(turn)
        return moved, torch.stack([c * z[:, 0] - s * z[:, 1], s * z[:, 0] + c * z[:, 1]], dim=1)

    def violation(model):
        torch.manual_seed(0)
        moved, expected = action(x, model.transform(x))
        return float((model.transform(moved) - expected).square().sum(1).mean())

    plain = ManifoldVAE(Circle(), **SMALL).fit(x)
    tied = ManifoldVAE(Circle(), action=action, equivariance_weight=20.0, **SMALL).fit(x)
    assert violation(tied) < 0.3 * violation(plain)
    assert violation(tied) < 0.1

    near = torch.cdist(x, x).fill_diagonal_(torch.inf).argmin(1)

    def jump(model):
        z = model.transform(x)
        return float((z - z[near]).square().sum(1).mean())

    free = ManifoldVAE(Euclidean(2), **SMALL).fit(x)
    smooth = ManifoldVAE(Euclidean(2), continuity_weight=20.0, **SMALL).fit(x)
    assert jump(smooth) < 0.7 * jump(free)
    # And not by saying the same of all data.
    assert (smooth.decode(smooth.transform(x)) - x).square().mean() < 0.1 * x.var()


def test_known_latent_points_fix_the_gauge():
    """With 16 of 512 angles known the latent circle is the circle of angles."""
    x, angle = ring()
    z = torch.stack([angle.cos(), angle.sin()], dim=1)
    some = torch.full_like(z, torch.nan)
    some[:16] = z[:16]
    model = ManifoldVAE(Circle(), **{**SMALL, "max_epochs": 30}).fit(x, some)
    fresh, angle = ring(seed=9)
    truth = torch.stack([angle.cos(), angle.sin()], dim=1)
    assert (model.transform(fresh) - truth).norm(dim=1).median() < 0.15
    with pytest.raises(ValueError, match="y must be points of Circle"):
        model.fit(x, 2 * z)
    with pytest.raises(ValueError, match="y must have shape"):
        model.fit(x, z[:5])


@pytest.mark.parametrize(
    "latent", [Sphere(3), Rotations(), Product(Circle(), Euclidean(1))], ids=repr
)
def test_images_on_every_latent_space(latent):
    images = torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    model = ManifoldVAE(latent, likelihood="bernoulli", binarize=True, **{**SMALL, "max_epochs": 1})
    model.fit(images)
    assert model.sample(2, seed=0).shape == (2, 1, 16, 16)
    assert model.transform(images).shape == (40, *latent.shape)
    assert model.log_likelihood(images[:3], 10, seed=0).isfinite().all()
    x = model.immersion_.sample(3, seed=0)
    assert float(x.min()) >= 0 and float(x.max()) <= 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"latent": 2}, TypeError, "latent must be a LatentSpace, got int"),
        ({"ambient_shape": (5,)}, ValueError, "x must have shape"),
        ({"encoder": nn.Linear(6, 7)}, ValueError, "encoder must give 3 numbers a point"),
        ({"encoder": 3}, TypeError, "encoder must be a torch module, got int"),
        ({"decoder": nn.Linear(2, 7)}, ValueError, r"decoder must give points of shape \(6,\)"),
        ({"likelihood": "poisson"}, ValueError, "likelihood must be"),
        ({"likelihood": "bernoulli"}, ValueError, r"x must be in \[0, 1\]"),
        ({"noise_std": -1.0}, ValueError, "noise_std"),
        ({"binarize": True}, ValueError, "binarize needs"),
        ({"max_epochs": 0}, ValueError, "max_epochs"),
        ({"patience": 0}, ValueError, "patience"),
        ({"patience": 3, "validation_fraction": 1.0}, ValueError, "validation_fraction"),
        ({"patience": 3, "validation_fraction": 0.98}, ValueError, "validation_fraction"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"random_state": 1.5}, TypeError, "random_state"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"continuity_weight": -1.0}, ValueError, "continuity_weight"),
        ({"action": 3}, TypeError, "action must be callable"),
        ({"hidden": (0,)}, ValueError, "hidden"),
        ({"fourier_scale": -1.0}, ValueError, "fourier_scale"),
    ],
)
def test_bad_parameters(options, error, message):
    with pytest.raises(error, match=message):
        ManifoldVAE(**{"latent": Circle(), **options}).fit(ring(20)[0])


def test_bad_data(model):
    with pytest.raises(NotFittedError):
        ManifoldVAE(Circle()).transform(torch.zeros(1, 6))
    with pytest.raises(ValueError, match="finite"):
        ManifoldVAE(Circle()).fit(torch.full((9, 3), torch.nan))
    with pytest.raises(ValueError, match="x must have shape"):
        model.transform(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="z must have shape"):
        model.decode(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="as many points"):
        model.interpolate(torch.zeros(1, 6), torch.zeros(2, 6))
    with pytest.raises(ValueError, match="n must be"):
        model.log_likelihood(torch.zeros(1, 6), 0)


def test_a_training_that_diverges_says_so():
    with pytest.raises(RuntimeError, match="diverged"):
        ManifoldVAE(Euclidean(1), noise_std=1e-18, max_epochs=3, learning_rate=1e3).fit(
            1e10 * ring(100)[0]
        )


def test_a_second_fit_renews_the_immersion():
    options = {**SMALL, "max_epochs": 1}
    model = ManifoldVAE(Circle(), **options).fit(ring(64)[0])
    before = model.immersion_
    again = model.fit(-ring(64)[0]).immersion_
    z = Circle().prior().sample((3,))
    assert not torch.equal(before.immerse(z), again.immerse(z))
    torch.testing.assert_close(again.immerse(z), model.decode(z))
