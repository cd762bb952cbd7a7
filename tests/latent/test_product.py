"""Products of latent spaces: sums of divergences, concatenated points, product geometry."""

import math

import pytest
import torch
from oracles import draw
from torch.distributions import (
    Distribution,
    Gamma,
    Independent,
    Normal,
    Poisson,
    StudentT,
    kl_divergence,
)

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.beta_uniform import Cube
from learnedmanifolds.latent.euclidean import Euclidean
from learnedmanifolds.latent.product import Product, ProductDistribution
from learnedmanifolds.latent.torus import Circle, Torus


class Matrices(LatentSpace):
    """Points with two axes, and posteriors whose divergence has no closed form."""

    def __init__(self):
        super().__init__(4, (2, 2), 4)

    @property
    def space(self):
        raise NotImplementedError

    def prior(self) -> Distribution:
        return Independent(StudentT(3.0).expand((2, 2)), 2)

    def posterior(self, parameters) -> Distribution:
        return Independent(Normal(parameters.unflatten(-1, (2, 2)), 1.0), 2)

    def project(self, z):
        return z

    def geodesic(self, start, end, t):
        return start + t.view(-1, *[1] * start.dim()) * (end - start)


SPACES = {
    "circle": Circle(),
    "torus": Torus(2),
    "euclidean": Euclidean(3, half_width=6),
    "cube": Cube(2),
    "product": Product(Circle(), Euclidean(2), Cube(1)),
    "power": Product(Circle(), Circle(), Circle()),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_space_keeps_the_protocol(name):
    space = SPACES[name]
    raw = draw(3, 5, space.n_parameters, seed=1).float().requires_grad_()
    law, prior = space.posterior(raw), space.prior()
    assert isinstance(space, LatentSpace) and prior.batch_shape == ()
    assert tuple(law.event_shape) == space.shape == tuple(prior.event_shape)
    z = law.rsample((4,))
    assert z.shape == (4, 3, 5, *space.shape) and z.dtype == torch.float32
    assert law.log_prob(z).shape == (4, 3, 5) and prior.log_prob(z).shape == (4, 3, 5)
    assert space.divergence(law, z).shape == (3, 5)
    (z.square().sum() + z.sum() + space.divergence(law, z).sum()).backward()
    assert torch.isfinite(raw.grad).all() and (raw.grad != 0).any()
    assert torch.allclose(space.project(law.mode), law.mode, atol=1e-6)
    with torch.no_grad():
        start, end = law.mode[0], prior.sample((5,))
        t = torch.linspace(0, 1, 3)
        curve = space.geodesic(start, end, t)
        assert curve.shape == (3, 5, *space.shape)
        assert torch.allclose(curve[0], start, atol=1e-5)
        assert torch.allclose(curve[-1], end, atol=1e-5)
        assert torch.allclose(space.project(curve), curve, atol=1e-5)


@pytest.mark.parametrize("name", SPACES)
def test_charts_hold_draws_of_the_prior(name):
    space = SPACES[name]
    charts = space.charts()
    assert isinstance(charts, Charts) and charts.dim == space.dim
    assert charts.n_ambient == space.n_ambient
    atlas = Atlas(charts)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = space.prior().sample((200,)).double()
    located = atlas.locate(space.project(z))
    again = atlas.decode(located.coords, located.chart)
    assert torch.allclose(again, space.project(z), rtol=0, atol=1e-6)


def test_a_product_is_its_factors_side_by_side():
    factors = (Torus(2), Euclidean(1))
    space = Product(*factors)
    assert (space.dim, space.shape, space.n_parameters) == (3, (5,), 8)
    raw = draw(7, 8, seed=2)
    law, parts = space.posterior(raw), [factors[0].posterior(raw[:, :6])]
    parts.append(factors[1].posterior(raw[:, 6:]))
    z = law.rsample()
    split = (z[:, :4], z[:, 4:])
    summed = sum(part.log_prob(piece) for part, piece in zip(parts, split, strict=True))
    assert torch.allclose(law.log_prob(z), summed)
    assert torch.equal(law.mode, torch.cat([part.mode for part in parts], -1))
    assert torch.equal(law.mean, torch.cat([part.mean for part in parts], -1))
    entropy = parts[0].entropy() + parts[1].entropy()
    assert torch.allclose(law.entropy(), entropy)
    kl = sum(f.divergence(p, s) for f, p, s in zip(factors, parts, split, strict=True))
    assert torch.allclose(space.divergence(law, z), kl)
    assert torch.allclose(kl_divergence(law, space.prior()), kl)


def test_divergence_of_a_product_of_circles_is_that_of_the_torus():
    raw = draw(6, seed=3)
    torus = Torus(2)
    product = Product(Circle(), Circle())
    # The torus takes both directions first, then both scales.
    reordered = raw[[0, 1, 4, 2, 3, 5]]
    one, other = torus.posterior(raw), product.posterior(reordered)
    z = one.sample()
    assert torch.allclose(torus.divergence(one, z), product.divergence(other, z))
    assert torch.allclose(one.log_prob(z), other.log_prob(z))
    start, end = torus.prior().sample((2,)).double()
    t = torch.tensor([0.3]).double()
    assert torch.allclose(torus.geodesic(start, end, t), product.geodesic(start, end, t))


def test_only_factors_without_a_closed_divergence_use_the_draws():
    space = Product(Circle(), Matrices())
    raw = draw(7, seed=4).float()
    law = space.posterior(raw)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        z = law.sample((20_000,))
    values = space.divergence(law, z)
    exact_part = Circle().divergence(law.factors[0], z[0, :2])
    rest = values - exact_part
    matrices = z[:, 2:].unflatten(-1, (2, 2))
    ratio = Matrices().posterior(raw[3:]).log_prob(matrices) - Matrices().prior().log_prob(matrices)
    assert torch.allclose(rest, ratio, atol=1e-4)
    with pytest.raises(NotImplementedError):
        kl_divergence(law, space.prior())


def test_factors_of_any_event_shape_and_batch_shape():
    gamma = Gamma(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 1.0]))
    matrix = Independent(Normal(torch.zeros(3, 1, 2, 2), 1.0), 2)
    law = ProductDistribution(gamma, matrix)
    assert law.batch_shape == (3, 2) and law.event_shape == (5,)
    z = law.rsample((6,))
    assert z.shape == (6, 3, 2, 5)
    expected = gamma.log_prob(z[..., 0]) + matrix.log_prob(z[..., 1:].unflatten(-1, (2, 2)))
    assert torch.allclose(law.log_prob(z), expected)
    assert law.mean.shape == law.variance.shape == (3, 2, 5)
    assert law.expand((4, 3, 2)).entropy().shape == (4, 3, 2)
    assert law.support.check(z).all() and not law.support.check(-z.abs()).any()
    assert law.has_rsample
    discrete = ProductDistribution(Poisson(torch.ones(2)), gamma)
    assert not discrete.has_rsample and discrete.sample().shape == (2, 2)


def test_nested_products_flatten():
    nested = Product(Circle(), Product(Euclidean(1), Torus(2)))
    assert [type(factor) for factor in nested.factors] == [Circle, Euclidean, Torus]
    assert repr(nested) == "Product(Circle(), Euclidean(1), Torus(2))"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_geomstats_holds_the_points_and_the_metric():
    space = Product(Circle(), Euclidean(2))
    start, end = space.prior().sample((2, 10))
    assert space.space.shape == (4,) and space.space.belongs(start, atol=1e-5).all()
    angle = (start[:, :2] * end[:, :2]).sum(-1).clamp(-1, 1).arccos()
    length = torch.hypot(angle, (end - start)[:, 2:].norm(dim=-1))
    assert torch.allclose(space.space.metric.dist(start, end), length, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: Product(), ValueError, "at least one"),
        (lambda: Product(Circle(), "sphere"), TypeError, "str"),
        (lambda: ProductDistribution(), ValueError, "at least one"),
        (lambda: SPACES["product"].posterior(torch.zeros(5)), ValueError, "parameters"),
        (lambda: SPACES["product"].project(torch.zeros(4)), ValueError, "z"),
        (lambda: SPACES["product"].prior().log_prob(torch.zeros(4)), ValueError, "value"),
        (lambda: SPACES["power"].geodesic(*torch.zeros(2, 6), torch.ones(2, 1)), ValueError, "t"),
        (
            lambda: kl_divergence(SPACES["power"].prior(), SPACES["product"].prior()),
            ValueError,
            "same event shapes",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()


def test_the_entropy_of_the_prior_is_the_log_volume():
    entropy = float(Product(Circle(), Torus(2), Cube(3)).prior().entropy())
    assert entropy == pytest.approx(3 * math.log(2 * math.pi))
