"""The image of a latent manifold under a decoder, as a manifold."""

import warnings

import numpy as np
import pymanopt
import pytest
import torch
from torch import nn

import learnedmanifolds as lm
from learnedmanifolds.atlas.immersion import Immersion
from learnedmanifolds.charts.jet import functional_jet
from learnedmanifolds.latent import Circle, Euclidean, Product, Rotations, Sphere, Torus

SPACES = [Sphere(1), Sphere(2), Sphere(4), Circle(), Torus(2), Rotations(), Euclidean(2)]


class Constant(nn.Module):
    """The worst encoder."""

    def __init__(self, point):
        super().__init__()
        self.register_buffer("point", point)

    def forward(self, x):
        return self.point.expand(len(x), -1)


def network(m, n, seed=0):
    """Wide and random, so an embedding of compact Z; of layers that have closed jets."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(m, 64), nn.Tanh(), nn.Linear(64, n)).double()


class Generic(nn.Module):
    """The same map for automatic differentiation."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, z):
        return self.module(z)


def immersed(space, n=20):
    decoder = network(space.n_ambient, n)
    start = space.prior().sample((1,)).double().flatten(1)
    return Immersion(space, decoder, Constant(start), (n,))


@pytest.fixture(params=SPACES, ids=repr)
def immersion(request):
    return immersed(request.param)


@pytest.mark.parametrize("scale", [1e6, 1e17, 1e155, 1e300])
def test_far_points_are_nearest_to_the_extreme_ones_in_their_direction(immersion, scale):
    generator = torch.Generator().manual_seed(3)
    u = torch.randn(20, 20, generator=generator, dtype=torch.float64)
    u = u / u.norm(dim=-1, keepdim=True)
    every = immersion.sample(5000, seed=4)
    for x in (immersion.project(scale * u), immersion.immerse(immersion.latent_of(scale * u))):
        assert ((u * x).sum(-1) >= (u @ every.T).amax(-1) - 1e-4).all()


def test_latent_points_have_the_derivative_of_the_nearest_one_at_any_distance():
    immersion = immersed(Sphere(2))
    for scale in (0.1, 3.0):
        x = immersion.sample(1, seed=5)
        x = x + scale * torch.randn(x.shape, generator=torch.Generator().manual_seed(6)).double()
        y = x.clone().requires_grad_(True)
        assert torch.autograd.gradcheck(immersion.latent_of, y, atol=1e-5)
        assert torch.equal(immersion.latent_of(y).detach(), immersion.latent_of(x))


def test_left_inverse_with_the_worst_encoder(immersion):
    x = immersion.sample(100, seed=0)
    torch.testing.assert_close(immersion.immerse(immersion.latent_of(x)), x, rtol=0, atol=1e-9)
    located = immersion.find(x)
    torch.testing.assert_close(immersion.decode(*reversed(located)), x, rtol=0, atol=1e-9)


def test_charts_agree_where_they_overlap(immersion):
    coords, error = immersion.claims(immersion.sample(200, seed=1).flatten(1))
    assert float(error.max()) < 1e-9
    inside = coords.abs().amax(-1) <= 1
    assert bool(inside.any(0).all())


def test_first_and_second_order_conformance(immersion):
    manifold = lm.PymanoptManifold(immersion, seed=0)
    for check in (lm.check_retraction, lm.check_transport):
        result = check(manifold, n_points=2)
        assert result.passed, str(result)


def test_round_sphere():
    """A linear isometry times r: curvature 1 / r^2, the volume 4 pi r^2, distances r angle."""
    r = 2.5
    linear = nn.Linear(3, 7, bias=False).double()
    with torch.no_grad():
        linear.weight.copy_(r * torch.linalg.qr(torch.randn(7, 3, dtype=torch.float64))[0])
    sphere = Immersion(Sphere(2), linear, Constant(torch.tensor([[1.0, 0, 0]]).double()), (7,))
    points = sphere.sample(50, seed=0)
    assert points.norm(dim=1).sub(r).abs().max() < 1e-12
    located = sphere.find(points)
    geometry = sphere.geometry(located.coords, located.chart)
    scalar = lm.geometry.Curvature(geometry).scalar
    torch.testing.assert_close(scalar, torch.full_like(scalar, 2 / r**2), rtol=1e-8, atol=0)


def test_geodesic_steps_cross_charts():
    """Trust regions reach the pole that is nearest to a target outside, from everywhere."""
    r = 2.0
    linear = nn.Linear(3, 3, bias=False).double()
    with torch.no_grad():
        linear.weight.copy_(r * torch.eye(3))
    sphere = Immersion(Sphere(2), linear, Constant(torch.tensor([[0.0, 1, 0]]).double()), (3,))
    manifold = lm.PymanoptManifold(sphere, seed=0)
    target = torch.tensor([0.5, -1.0, 4.0], dtype=torch.float64)

    @pymanopt.function.pytorch(manifold)
    def cost(x):
        return (x - target).square().sum()

    problem = pymanopt.Problem(manifold, cost)
    optimizer = pymanopt.optimizers.TrustRegions(verbosity=0, min_gradient_norm=1e-7)
    expected = (r * target / target.norm()).numpy()
    for _ in range(10):
        found = optimizer.run(problem, initial_point=manifold.random_point(), mininner=0).point
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6)


@pytest.mark.parametrize("chart", [0, None])
@pytest.mark.parametrize("space", [Sphere(2), Product(Circle(), Euclidean(1))], ids=repr)
@pytest.mark.parametrize("wrap", [Generic, lambda module: module])
def test_jets_against_automatic_differentiation(space, chart, wrap):
    decoder = network(space.n_ambient, 6)
    start = space.prior().sample((1,)).double().flatten(1)
    charts = Immersion(space, wrap(decoder), Constant(start), (6,)).charts
    d, lead = space.dim, (() if chart is not None else (charts.n_charts,))
    generator = torch.Generator().manual_seed(0)
    t = 1.6 * torch.rand(*lead, 4, d, generator=generator, dtype=torch.float64) - 0.8
    tangents = torch.randn(*lead, 2, 4, d, generator=generator, dtype=torch.float64)
    for pairs in [((0, 0), (0, 1), (1, 1)), ((1, 0),), ()]:
        ours = charts.jet(t, chart, tangents, pairs)
        for k in range(charts.n_charts) if chart is None else [chart]:
            at, along = (t, tangents) if chart is not None else (t[k], tangents[k])
            theirs = functional_jet(
                lambda z, k=k: decoder(charts.space.decode(z, k)), at, along, pairs
            )
            for a, b in zip(ours, theirs, strict=True):
                found = a if chart is not None else a[k]
                torch.testing.assert_close(found, b, rtol=1e-9, atol=1e-11)


def test_samples_follow_the_prior():
    """E z = 0 and E z z^T = I / 3 on the sphere: 4,000 draws, 4 standard errors."""
    sphere = immersed(Sphere(2))
    z = sphere.latent_of(sphere.sample(4000, seed=3))
    assert z.mean(0).abs().max() < 4 / np.sqrt(3 * 4000)
    assert (z.T @ z / 4000 - torch.eye(3) / 3).abs().max() < 4 * 0.3 / np.sqrt(4000)
    assert torch.equal(sphere.sample(5, seed=1), sphere.sample(5, seed=1))


def test_log_density_is_constant_on_a_group_and_differentiable():
    circle = immersed(Circle())
    x = circle.sample(20, seed=0).requires_grad_(True)
    density = circle.log_density(x)
    torch.testing.assert_close(density, density[:1].expand(20), rtol=0, atol=1e-9)
    (gradient,) = torch.autograd.grad(density.sum(), x)
    assert gradient.abs().max() < 1e-6
    off = (x + 0.01 * torch.randn_like(x)).detach().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda y: circle.log_density(y), off[:3], atol=1e-4)


def test_an_inverse_problem_is_one_line():
    torus = immersed(Torus(2))
    truth = torus.sample(1, seed=5)[0]
    mask = torch.arange(20) % 2 == 0
    problem = lm.InverseProblem(lm.operators.mask(mask), truth[mask], noise_std=0.01)
    solution = lm.solve(problem, torus, "trust-regions", n_starts=4, seed=0)
    np.testing.assert_allclose(np.asarray(solution.point), truth.numpy(), atol=1e-5)


def test_bad_input():
    decoder, guess = network(3, 5), Constant(torch.tensor([[1.0, 0, 0]]).double())
    with pytest.raises(TypeError, match="latent must be a LatentSpace, got int"):
        Immersion(3, decoder, guess, (5,))
    with pytest.raises(TypeError, match="decoder must be a torch module, got function"):
        Immersion(Sphere(2), lambda z: z, guess, (5,))
    with pytest.raises(ValueError, match=r"decoder must give points of shape \(4,\)"):
        Immersion(Sphere(2), decoder, guess, (4,))
    with pytest.raises(ValueError, match="z must have shape"):
        Immersion(Sphere(2), decoder, guess, (5,)).immerse(torch.zeros(2, 4))


@pytest.mark.parametrize("optimizer", ["levenberg-marquardt", "trust-regions"])
@pytest.mark.parametrize("space", [Sphere(2), Rotations()], ids=["sphere", "rotations"])
def test_batches_of_inverse_problems(space, optimizer):
    immersion = immersed(space)
    truths = immersion.sample(6, seed=1)
    problem = lm.InverseProblem(lm.operators.Identity(), truths[0], noise_std=0.01)
    found = lm.solve_batch(problem, immersion, optimizer, n_starts=4, seed=0, observations=truths)
    # Points of the manifold are their own nearest points; four starts find them.
    np.testing.assert_allclose(found.points, truths.numpy(), rtol=0, atol=1e-5)


def test_other_hosts():
    immersion = immersed(Sphere(2))
    geoopt = lm.GeooptManifold(immersion)
    x = immersion.sample(5, seed=0)
    assert geoopt.check_point_on_manifold(x[0])
    tangent = geoopt.proju(x, torch.randn(5, 20, dtype=torch.float64))
    moved = geoopt.retr(x, 0.01 * tangent)
    assert all(geoopt.check_point_on_manifold(point) for point in moved)
    with warnings.catch_warnings():
        # That geomstats' estimators compute in torch's default dtype does not matter here.
        warnings.simplefilter("ignore", UserWarning)
        space = lm.GeomstatsManifold(immersion)
    assert bool(space.belongs(x).all())
    assert not bool(space.belongs(x + 1).any())
