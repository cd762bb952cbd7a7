"""SO(3) as a latent space: means, posteriors, projection, geodesics."""

import math

import numpy as np
import pytest
import torch
from oracles import draw, unit
from scipy.spatial.transform import Rotation, Slerp
from torch.distributions import kl_divergence

from learnedmanifolds.charts.rotations import RotationCharts
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.rotations import (
    MEANS,
    HaarUniform,
    IsotropicGaussian,
    RotationNormal,
    Rotations,
    angle,
    exp,
    from_6d,
    from_algebra,
    from_axis_angle,
    hat,
    random_rotations,
)

SPACES = [
    (mean, family, MEANS[mean].n_parameters + extra)
    for mean in MEANS
    for family, extra in (("normal", 3), ("isotropic", 1))
]


def is_rotation(r, atol):
    gap = (r.mT @ r - torch.eye(3, dtype=r.dtype)).abs().max()
    return float(gap) < atol and bool((torch.linalg.det(r) > 0).all())


def scipy_matrix(vectors):
    return torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix())


def test_means_are_scipys_rotations():
    r = random_rotations(50, 0, torch.float64)
    columns = r[..., :2].mT.flatten(1)
    assert torch.allclose(from_6d(columns), r, rtol=0, atol=1e-14)
    # Lengths, and in the second column a part along the first, do not count.
    mixed = torch.cat([3 * columns[:, :3], 0.2 * columns[:, 3:] - 5 * columns[:, :3]], -1)
    assert torch.allclose(from_6d(mixed), r, rtol=0, atol=1e-13)
    axis, turn = unit(draw(50, 3)), draw(50, 1, seed=1, low=-4, high=4)
    plane = 0.3 * torch.cat([turn.cos(), turn.sin()], -1)
    expected = scipy_matrix(turn * axis)
    ours = from_axis_angle(torch.cat([7 * axis, plane], -1))
    assert torch.allclose(ours, expected, rtol=0, atol=1e-14)
    assert torch.allclose(from_algebra(turn * axis), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_means_are_rotations_with_finite_gradients_everywhere(name, dtype):
    size, function = MEANS[name]
    normal = draw(200, size).to(dtype)
    parallel = torch.ones(1, size, dtype=dtype)
    almost = parallel + 1e-4 * normal[:20]
    inputs = torch.cat(
        [normal, 1e3 * normal, 1e-3 * normal, 1e-30 * normal, 0 * normal[:1], parallel, almost]
        + [torch.eye(size, dtype=dtype), -torch.eye(size, dtype=dtype)]
    ).requires_grad_()
    r = function(inputs)
    assert r.shape == (len(inputs), 3, 3) and r.dtype == dtype
    # Rounding of an argument of 1e3 radians is 1e-4 in float32, but the result is a rotation.
    assert is_rotation(r.detach(), 2e-6 if dtype == torch.float32 else 1e-13)
    weights = draw(3, 3, seed=3).to(dtype)
    assert torch.isfinite(torch.autograd.grad((r * weights).sum(), inputs)[0]).all()


@pytest.mark.parametrize(("mean", "family", "size"), SPACES)
def test_posteriors(mean, family, size):
    latent = Rotations(mean, family)
    assert isinstance(latent, LatentSpace)
    assert (latent.dim, latent.shape, latent.n_ambient) == (3, (3, 3), 9)
    assert latent.n_parameters == size
    parameters = draw(4, 5, size).float().requires_grad_()
    posterior = latent.posterior(parameters)
    assert posterior.batch_shape == (4, 5) and posterior.event_shape == (3, 3)
    assert is_rotation(posterior.mode.detach(), 1e-6)
    z = posterior.rsample()
    divergence = latent.divergence(posterior, z)
    assert divergence.shape == (4, 5) and divergence.dtype == torch.float32
    gradient = torch.autograd.grad(divergence.sum() + z.sum(), parameters)[0]
    assert torch.isfinite(gradient).all() and (gradient.abs().sum((0, 1)) > 0).all()


@pytest.mark.parametrize(("mean", "family", "size"), SPACES)
def test_extreme_outputs_give_bounded_scales(mean, family, size):
    latent = Rotations(mean, family)
    for value in (-1e4, -100.0, 0.0, 100.0, 1e4):
        parameters = torch.full((2, size), value, requires_grad=True)
        posterior = latent.posterior(parameters)
        z = posterior.rsample()
        scale = posterior.scale if family == "normal" else (2 * posterior.time).sqrt()
        scale = scale.detach()
        assert 1e-3 * (1 - 1e-4) <= float(scale.min())
        assert float(scale.max()) <= latent.max_scale * (1 + 1e-6)
        divergence = latent.divergence(posterior, z)
        assert torch.isfinite(divergence).all()
        assert torch.isfinite(torch.autograd.grad(divergence.sum(), parameters)[0]).all()


def test_narrow_and_wide_posteriors():
    for family, largest in (("normal", 0.02), ("isotropic", 1e-6)):
        latent = Rotations("algebra", family)
        size = latent.n_parameters
        wide = latent.posterior(torch.full((1, size), 40.0, dtype=torch.float64))
        narrow = latent.posterior(torch.full((1, size), -40.0, dtype=torch.float64))
        if family == "normal":
            wide, narrow = (RotationNormal(p.loc, p.scale[..., 0]) for p in (wide, narrow))
        assert 0 <= float(kl_divergence(wide, HaarUniform())) < largest
        # N(0, 1e-6) in R^3 against a volume of 8 pi^2.
        flat = math.log(8 * math.pi**2) - 1.5 * math.log(2 * math.pi * math.e * 1e-6)
        assert float(kl_divergence(narrow, HaarUniform())) == pytest.approx(flat, abs=1e-5)
    assert Rotations("6d", "normal", max_scale=0.5).max_scale == 0.5


@pytest.mark.parametrize(("family", "bound"), [("normal", 5.0), ("isotropic", math.sqrt(20))])
def test_the_largest_scales_are_in_range_in_float32(family, bound):
    latent = Rotations("algebra", family, max_scale=bound)
    posterior = latent.posterior(torch.full((3, latent.n_parameters), 50.0))
    assert torch.isfinite(posterior.log_prob(posterior.rsample())).all()


def test_the_divergence_at_draws_averages_to_the_exact_one():
    latent = Rotations()
    loc = torch.eye(3).double().expand(20_000, 3, 3)
    scale = torch.tensor(0.7, dtype=torch.float64)
    diagonal = RotationNormal(loc, scale.expand(20_000, 3))
    assert not diagonal.isotropic
    with torch.random.fork_rng():
        torch.manual_seed(4)
        each = latent.divergence(diagonal, diagonal.rsample())
    exact = kl_divergence(RotationNormal(loc[0], scale), HaarUniform())
    assert abs(float(each.mean() - exact)) < 4 * float(each.std()) / math.sqrt(20_000)


def test_projection_gives_the_nearest_rotation():
    latent = Rotations()
    z = torch.cat([draw(100, 3, 3), random_rotations(20, 1, torch.float64) + 0.3 * draw(20, 3, 3)])
    u, _, vh = torch.linalg.svd(z)
    sign = torch.ones(120, 3).double()
    sign[:, 2] = torch.linalg.det(u @ vh)
    expected = u @ (sign.unsqueeze(-1) * vh)
    assert torch.allclose(latent.project(z), expected, rtol=0, atol=1e-9)
    assert torch.allclose(latent.project(1e6 * z), expected, rtol=0, atol=1e-9)
    r = random_rotations(20, 2, torch.float64)
    assert torch.allclose(latent.project(r), r, rtol=0, atol=1e-14)
    assert is_rotation(latent.project(torch.zeros(2, 3, 3)), 1e-6)
    low = latent.project(z.float())
    assert low.dtype == torch.float32 and is_rotation(low, 2e-6)


def test_the_projections_derivative_is_that_on_the_tangent_space():
    latent = Rotations()
    r = random_rotations(1, 3, torch.float64)[0]
    v, square = draw(3), draw(3, 3, seed=5)
    value, along = torch.func.jvp(latent.project, (r,), (r @ hat(v),))
    assert torch.allclose(along, r @ hat(v), rtol=0, atol=1e-13)
    across = torch.func.jvp(latent.project, (r,), (r @ (square + square.T),))[1]
    assert across.abs().max() < 1e-13
    z = r + 0.2 * draw(3, 3, seed=6)
    slope = (latent.project(z + 1e-5 * square) - latent.project(z - 1e-5 * square)) / 2e-5
    assert torch.allclose(torch.func.jvp(latent.project, (z,), (square,))[1], slope, atol=1e-8)


def test_geodesics_are_scipys_slerp():
    latent = Rotations()
    start, end = random_rotations(2, 7, torch.float64)
    t = torch.linspace(0, 1, 7, dtype=torch.float64)
    curve = latent.geodesic(start, end, t)
    ends = Rotation.from_matrix(np.stack([start.numpy(), end.numpy()]))
    expected = torch.from_numpy(Slerp([0, 1], ends)(t.numpy()).as_matrix())
    assert torch.allclose(curve, expected, rtol=0, atol=1e-13)
    many = latent.geodesic(start.expand(4, 2, 3, 3), end.expand(4, 2, 3, 3), t)
    assert many.shape == (7, 4, 2, 3, 3)
    # Half a turn: one of the two shortest ways, of speed pi.
    opposite = start @ exp(math.pi * unit(draw(3, seed=8)))
    half = latent.geodesic(start, opposite, torch.tensor([0.5, 1.0], dtype=torch.float64))
    assert float(angle(start.T @ half[0])) == pytest.approx(math.pi / 2)
    assert torch.allclose(half[1], opposite, rtol=0, atol=1e-12)


def test_the_space_is_geomstats_and_the_charts_are_its():
    latent = Rotations()
    z = latent.prior().sample((6,))
    assert bool(latent.space.belongs(z, atol=1e-5).all())
    assert not bool(latent.space.belongs(-z, atol=1e-5).any())
    charts = latent.charts()
    assert isinstance(charts, RotationCharts) and charts.n_ambient == latent.n_ambient


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: Rotations("euler"), ValueError, "mean"),
        (lambda: Rotations(3), TypeError, "mean"),
        (lambda: Rotations(posterior="bingham"), ValueError, "posterior"),
        (lambda: Rotations(max_scale=6.0), ValueError, "max_scale"),
        (lambda: Rotations(max_scale=1e-4), ValueError, "max_scale"),
        (lambda: Rotations(max_scale=-1.0), ValueError, "max_scale"),
        (lambda: Rotations(max_scale="1"), TypeError, "max_scale"),
        (lambda: Rotations(posterior="isotropic", max_scale=4.5), ValueError, "max_scale"),
        (lambda: Rotations().posterior(torch.zeros(4, 8)), ValueError, "parameters"),
        (lambda: Rotations().posterior(torch.zeros(9) * math.nan), ValueError, "loc"),
        (lambda: Rotations().project(torch.zeros(4, 9)), ValueError, "z must"),
        (
            lambda: Rotations().geodesic(torch.eye(3), torch.eye(3), torch.tensor(0.5)),
            ValueError,
            "t must",
        ),
        (
            lambda: Rotations().geodesic(torch.zeros(3), torch.eye(3), torch.ones(1)),
            ValueError,
            "start",
        ),
        *(
            (lambda f=mean.function: f(torch.zeros(4, 7)), ValueError, "must have shape")
            for mean in MEANS.values()
        ),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()


def test_families_are_those_asked_for():
    zero = torch.zeros(7)
    assert isinstance(Rotations("6d", "isotropic").posterior(zero), IsotropicGaussian)
    assert isinstance(Rotations("quaternion").posterior(zero), RotationNormal)
