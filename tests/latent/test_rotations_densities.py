"""Distributions on SO(3): normalisation, divergences, samplers and pathwise derivatives."""

import functools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from oracles import draw, unit
from torch.distributions import kl_divergence

from learnedmanifolds.latent.rotations import (
    HaarUniform,
    IsotropicGaussian,
    RotationNormal,
    angle,
    exp,
    hat,
    log,
    random_rotations,
)

EYE = torch.eye(3).double()
LOC = random_rotations(1, 11, torch.float64)[0]
NORMAL_SCALES = [1e-3, 0.05, 0.5, 1.0, 1.5, 2.0, 5.0]
TIMES = [1e-6, 0.01, 0.2, 0.4999, 0.5001, 1.0, 4.0, 10.0]
CASES = [
    *(pytest.param(lambda s=s: RotationNormal(LOC, s), id=f"normal{s}") for s in NORMAL_SCALES),
    *(pytest.param(lambda t=t: IsotropicGaussian(LOC, t), id=f"heat{t}") for t in TIMES),
]
# Scales and the angle beyond which nothing of the mass is left.
DIAGONAL = [((0.3, 0.1, 0.2), 2.4), ((1.5, 0.4, 0.8), math.pi), ((1.5, 1.5, 1.5), math.pi)]


def width(distribution):
    if isinstance(distribution, RotationNormal):
        return float(distribution.scale.max())
    return float((2 * distribution.time).sqrt())


gauss = functools.lru_cache(np.polynomial.legendre.leggauss)


def angles_of_mass(distribution, n=400):
    """Gauss nodes of the angle and the mass that an isotropic distribution has there."""
    nodes, weights = gauss(n)
    end = min(math.pi, 10 * width(distribution))
    t = torch.from_numpy(end * (nodes + 1) / 2)
    density = distribution.log_prob(distribution.loc @ exp(t.unsqueeze(-1) * unit(draw(3)))).exp()
    volume = 16 * math.pi * (t / 2).sin().square() * torch.from_numpy(end * weights / 2)
    return t, density, density * volume


@pytest.mark.parametrize("make", CASES)
def test_isotropic_densities_integrate_to_one(make):
    assert float(angles_of_mass(make())[2].sum()) == pytest.approx(1, abs=1e-9)


def sphere_of_angles(end, n=(60, 48, 64)):
    """Rotations and their volumes, a product rule over angle, height and azimuth of the axis."""
    (t, wt), (h, wh) = (gauss(k) for k in n[:2])
    t, wt = (t + 1) * end / 2, wt * end / 2
    phi = 2 * np.pi * np.arange(n[2]) / n[2]
    t, h, phi = (torch.from_numpy(a) for a in np.meshgrid(t, h, phi, indexing="ij"))
    ring = (1 - h**2).sqrt()
    axis = torch.stack([ring * phi.cos(), ring * phi.sin(), h], -1)
    weights = torch.from_numpy(wt[:, None, None] * wh[None, :, None] * np.full(n[2], 1 / n[2]))
    volume = 8 * math.pi * (t / 2).sin().square() * weights
    return exp(t.unsqueeze(-1) * axis).flatten(0, 2), volume.flatten()


@pytest.mark.parametrize(("scale", "end"), DIAGONAL)
def test_diagonal_densities_are_those_of_their_draws(scale, end):
    distribution = RotationNormal(LOC, torch.tensor(scale, dtype=torch.float64))
    places, volume = sphere_of_angles(end)
    mass = distribution.log_prob(LOC @ places).exp() * volume
    assert float(mass.sum()) == pytest.approx(1, abs=1e-7)
    mean = (mass[:, None, None] * (LOC @ places)).sum(0)
    assert torch.allclose(distribution.mean, mean, rtol=0, atol=1e-7)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = LOC.T @ distribution.sample((20_000,))
    # Moments of second order tell the three scales apart.
    for function in (lambda r: r.flatten(-2), lambda r: r.flatten(-2) ** 2):
        expected = (mass.unsqueeze(-1) * function(places)).sum(0)
        spread = function(draws).std(0) / math.sqrt(20_000)
        assert ((function(draws).mean(0) - expected).abs() < 4.5 * spread + 1e-12).all()


@pytest.mark.parametrize("make", CASES)
def test_draws_have_the_density_of_the_angle_and_uniform_axes(make):
    distribution = make()
    end = min(math.pi, 10 * width(distribution))
    grid = torch.linspace(1e-9 * end, end, 4001, dtype=torch.float64)
    density = distribution.log_prob(LOC @ exp(grid.unsqueeze(-1) * unit(draw(3)))).exp()
    mass = scipy.integrate.cumulative_simpson(
        (density * 16 * math.pi * (grid / 2).sin().square()).numpy(), x=grid.numpy(), initial=0
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        draws = LOC.T @ distribution.sample((8000,))
    theirs = scipy.stats.kstest(
        angle(draws).numpy(), lambda t: np.interp(t, grid.numpy(), mass, 0, 1)
    )
    assert theirs.pvalue > 1e-3
    axes = unit(log(draws))
    assert all(scipy.stats.kstest((a + 1) / 2, "uniform").pvalue > 1e-3 for a in axes.T.numpy())


@pytest.mark.parametrize(
    ("scale", "nats"),
    [(0.1, 7.022342), (0.3, 3.746589), (0.5, 2.254697), (1.0, 0.427670)]
    + [(1.5, 0.017366), (2.0, 0.060411), (3.0, 0.523332), (5.0, 0.692968)],
)
def test_divergence_of_the_normal(scale, nats):
    ours = kl_divergence(RotationNormal(LOC, scale), HaarUniform())
    assert float(ours) == pytest.approx(nats, abs=1e-6)


@pytest.mark.parametrize(("time", "nats"), [(0.05, 3.603411), (0.5, 0.516676), (2.0, 0.001484)])
def test_divergence_of_the_heat_kernel(time, nats):
    ours = kl_divergence(IsotropicGaussian(LOC, time), HaarUniform())
    assert float(ours) == pytest.approx(nats, abs=1e-6)


def test_divergences_at_both_ends():
    # Flat space: the entropy of N(0, s^2) in R^3; what is left over falls with s^2.
    for family, widths in ((RotationNormal, 1.0), (lambda r, s: IsotropicGaussian(r, s**2 / 2), 1)):
        gaps = []
        for s in (0.02 * widths, 0.01 * widths):
            flat = math.log(8 * math.pi**2) - 1.5 * math.log(2 * math.pi * math.e * s**2)
            gaps.append(float(kl_divergence(family(LOC, s), HaarUniform())) - flat)
        assert 0 < gaps[1] < 1e-4 and gaps[0] / gaps[1] == pytest.approx(4, rel=1e-3)
    # The leading term of the series, 9/2 exp(-4 s), to relative precision.
    late = kl_divergence(IsotropicGaussian(LOC, 8.0), HaarUniform())
    assert float(late) == pytest.approx(4.5 * math.exp(-32), rel=1e-6, abs=0)


@pytest.mark.parametrize("make", CASES)
def test_divergences_are_the_means_of_the_log_ratio(make):
    distribution = make()
    t, density, mass = angles_of_mass(distribution, n=1000)
    expected = float((mass * (8 * math.pi**2 * density).log()).sum())
    ours = kl_divergence(distribution, HaarUniform())
    assert float(ours) == pytest.approx(expected, abs=2e-5)
    assert float(distribution.entropy()) == pytest.approx(math.log(8 * math.pi**2) - float(ours))


def slope_of(function, x, h=1e-4):
    return float((function(x + h) - function(x - h)) / (2 * h))


@pytest.mark.parametrize("x", [0.05, 0.3, 0.7, 1.2])
def test_gradients_of_divergences(x):
    for family in (RotationNormal, IsotropicGaussian):

        def divergence(value, family=family):
            return kl_divergence(family(LOC, value), HaarUniform())

        value = torch.tensor(x).double().requires_grad_()
        gradient = float(torch.autograd.grad(divergence(value), value)[0])
        step = 1e-4 * x
        expected = slope_of(divergence, torch.tensor(x).double(), step)
        assert gradient == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("time", [0.02, 0.3, 0.499, 0.501, 0.8, 2.0])
def test_the_isotropic_gaussian_solves_the_heat_equation(time):
    places = torch.stack([EYE, *(exp(t * unit(draw(3, seed=4))) for t in (0.1, 1.0, 2.5, 3.1))])

    def density(s, v, place):
        distribution = IsotropicGaussian(LOC, s, validate_args=False)
        return distribution.log_prob(LOC @ place @ exp(v)).exp()

    zero, now = torch.zeros(3).double(), torch.tensor(time, dtype=torch.float64)
    hessian = torch.func.jacfwd(torch.func.jacfwd(density, argnums=1), argnums=1)
    rate = torch.func.vmap(lambda place: torch.func.jacrev(density)(now, zero, place))(places)
    second = torch.func.vmap(lambda place: hessian(now, zero, place))(places)
    laplacian = second.diagonal(dim1=-2, dim2=-1).sum(-1)
    size = torch.stack([density(now, zero, place) for place in places]) / time
    assert ((laplacian - rate).abs() < 1e-9 * size + 1e-12).all()


def test_the_two_forms_of_the_heat_kernel_agree():
    places = LOC @ exp(torch.linspace(0, math.pi, 50).double().unsqueeze(-1) * unit(draw(3)))
    early, late = (IsotropicGaussian(LOC, t).log_prob(places) for t in (0.5 - 1e-14, 0.5))
    assert torch.allclose(early, late, rtol=0, atol=2e-13)


def test_means_of_isotropic_distributions():
    for s in (0.1, 1.0, 3.0, 5.0):
        # E cos |v| of a normal v.
        shrink = (1 + 2 * (1 - s**2) * math.exp(-(s**2) / 2)) / 3
        assert torch.allclose(RotationNormal(LOC, s).mean, shrink * LOC, rtol=0, atol=1e-7)
    for time in (0.01, 0.3, 2.0):
        distribution = IsotropicGaussian(LOC, time)
        t, _, mass = angles_of_mass(distribution)
        expected = float((mass * (1 + 2 * t.cos())).sum()) / 3
        assert torch.allclose(distribution.mean, expected * LOC, rtol=0, atol=1e-12)
    assert torch.equal(HaarUniform().mean, torch.zeros(3, 3))


def test_densities_move_with_the_group():
    r = random_rotations(50, 2, torch.float64)
    s = random_rotations(1, 3, torch.float64)[0]
    scale = torch.tensor([0.4, 0.8, 1.2]).double()
    families = (lambda loc: RotationNormal(loc, scale), lambda loc: IsotropicGaussian(loc, 0.4))
    for family in families:
        assert torch.allclose(
            family(s @ LOC).log_prob(s @ r), family(LOC).log_prob(r), rtol=0, atol=1e-11
        )
    # A quarter turn about loc's third axis exchanges the scales of the other two.
    quarter = exp(torch.tensor([0, 0, math.pi / 2], dtype=torch.float64))
    exchanged, same = RotationNormal(LOC @ quarter, scale[[1, 0, 2]]), RotationNormal(LOC, scale)
    wrong = RotationNormal(LOC @ quarter, scale)
    assert torch.allclose(exchanged.log_prob(r @ quarter), same.log_prob(r), rtol=0, atol=1e-11)
    assert not torch.allclose(wrong.log_prob(r @ quarter), same.log_prob(r), rtol=0, atol=0.1)


@pytest.mark.parametrize("s", [0.05, 0.4, 1.0])
def test_pathwise_derivative_of_the_normal_is_that_of_the_mean(s):
    n = 20_000
    scale = torch.full((n,), s).double().requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(2)
        draws = RotationNormal(EYE.expand(n, 3, 3), scale).rsample()
    trace = draws.diagonal(dim1=-2, dim2=-1).sum()
    each = torch.autograd.grad(trace, scale)[0]
    # E tr R = 1 + 2 (1 - s^2) exp(-s^2 / 2).
    expected = -2 * s * (3 - s**2) * math.exp(-(s**2) / 2)
    assert abs(float(each.mean()) - expected) < 4 * float(each.std()) / math.sqrt(n)


@pytest.mark.parametrize("time", [0.001, 0.1, 0.49, 0.51, 1.5])
def test_pathwise_derivative_of_the_heat_kernel(time):
    n = 1500

    def draws(value):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return IsotropicGaussian(EYE.expand(n, 3, 3), value).rsample()

    times = torch.full((n,), time).double().requires_grad_()
    trace = draws(times).diagonal(dim1=-2, dim2=-1).sum(-1)
    each = torch.autograd.grad(trace.sum(), times)[0]
    # E tr R = 3 exp(-2 s).
    expected = -6 * math.exp(-2 * time)
    assert abs(float(each.mean()) - expected) < 4 * float(each.std()) / math.sqrt(n)
    # The same random numbers at two neighbouring times; steps that stay on one side of 0.5.
    step = 1e-3 * time
    high, low = draws(times.detach() + step), draws(times.detach() - step)
    slope = (high - low).diagonal(dim1=-2, dim2=-1).sum(-1) / (2 * step)
    assert torch.allclose(each, slope, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_densities_and_gradients_are_finite_at_the_ends(dtype):
    v = torch.tensor([0.0, 1e-30, 1e-12, 1e-7, 1e-3, 3.0, math.pi - 1e-6, math.pi]).to(dtype)
    places = exp(v.unsqueeze(-1) * unit(draw(3, seed=9)).to(dtype))
    loc = torch.eye(3, dtype=dtype)
    for s in (2e-3, 0.1, 1.0, 4.0):
        for family in (RotationNormal, lambda r, x: IsotropicGaussian(r, x**2 / 2)):
            scale = torch.full((8,), s, dtype=dtype, requires_grad=True)
            at = places.clone().requires_grad_()
            value = family(loc.expand(8, 3, 3), scale).log_prob(at)
            assert value.dtype == dtype and torch.isfinite(value).all()
            gradients = torch.autograd.grad(value.sum(), (at, scale))
            assert all(torch.isfinite(g).all() for g in gradients)


def test_wrapping_is_negligible_for_small_scales_and_singular_for_large_ones():
    # At loc the density of a small scale is the normal one, its curvature -1 / scale^2 + 1/6.
    scale = torch.tensor([0.2, 0.3, 0.1]).double()
    small = RotationNormal(EYE, scale, validate_args=False)
    peak = -1.5 * math.log(2 * math.pi) - float(scale.log().sum())
    assert float(small.log_prob(EYE)) == pytest.approx(peak, abs=1e-12)
    zero = torch.zeros(3).double()
    hessian = torch.func.hessian(lambda v: small.log_prob(exp(v)))(zero)
    expected = torch.diag(-(scale**-2) + 1 / 6)
    assert torch.allclose(hessian, expected, rtol=0, atol=1e-8)
    # Of a large scale it grows like 1 / t^2.
    large = RotationNormal(EYE, 2.0)
    values = large.log_prob(exp(torch.tensor([[1e-4, 0, 0], [1e-5, 0, 0]]).double())).exp()
    assert float(values[1] / values[0]) == pytest.approx(100, rel=1e-3)


def test_both_sides_of_a_half_turn_agree():
    axis = unit(draw(3, seed=5))
    sides = exp(torch.tensor([[math.pi - 1e-9], [math.pi + 1e-9]]).double() * axis)
    left, right = RotationNormal(EYE, torch.tensor([0.5, 1.0, 2.0]).double()).log_prob(sides)
    assert float(left) == pytest.approx(float(right), abs=1e-7)


def test_batches_shapes_and_expansion():
    loc = random_rotations(6, 4).view(2, 3, 3, 3)
    scales = torch.rand(2, 3, 3) + 0.1
    for distribution, isotropic in (
        (RotationNormal(loc, scales), False),
        (RotationNormal(loc, scales[..., 0]), True),
        (RotationNormal(loc, 0.3), True),
        (IsotropicGaussian(loc, scales[..., 0]), True),
    ):
        assert distribution.batch_shape == (2, 3) and distribution.event_shape == (3, 3)
        z = distribution.rsample((4,))
        assert z.shape == (4, 2, 3, 3, 3) and z.dtype == torch.float32
        assert distribution.log_prob(z).shape == (4, 2, 3)
        assert distribution.mean.shape == (2, 3, 3, 3)
        assert torch.equal(distribution.mode, loc)
        wide = distribution.expand((5, 2, 3))
        assert wide.rsample().shape == (5, 2, 3, 3, 3)
        same = wide.log_prob(z[0])
        assert torch.allclose(same, distribution.log_prob(z[0]).expand(5, 2, 3))
        if isotropic:
            assert kl_divergence(wide, HaarUniform()).shape == (5, 2, 3)
        else:
            with pytest.raises(NotImplementedError, match="all directions"):
                kl_divergence(distribution, HaarUniform())
    # One element of a batch is that distribution.
    single = RotationNormal(loc[1, 2], scales[1, 2]).log_prob(z[0, 1, 2])
    assert torch.allclose(single, RotationNormal(loc, scales).log_prob(z[0])[1, 2], rtol=1e-5)


def test_the_uniform_distribution():
    uniform = HaarUniform()
    assert uniform.event_shape == (3, 3) and uniform.batch_shape == ()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = uniform.sample((5000,))
    assert scipy.stats.kstest(angle(z), lambda t: (t - np.sin(t)) / math.pi).pvalue > 1e-3
    assert torch.allclose(uniform.log_prob(z), torch.tensor(-math.log(8 * math.pi**2)))
    assert uniform.expand((2,)).sample((3,)).shape == (3, 2, 3, 3)
    assert float(kl_divergence(uniform, uniform)) == 0
    assert float(uniform.entropy()) == pytest.approx(math.log(8 * math.pi**2))


BAD_LOCS = {
    "scaled": 1.01 * EYE,
    "reflection": -EYE,
    "nan": EYE * math.nan,
    "sheared": EYE + hat(torch.ones(3).double()),
}


@pytest.mark.parametrize("name", BAD_LOCS)
def test_matrices_that_are_no_rotations_are_refused(name):
    for family in (RotationNormal, IsotropicGaussian):
        with pytest.raises(ValueError, match="loc"):
            family(BAD_LOCS[name], 0.3)
        with pytest.raises(ValueError, match="RotationMatrix"):
            family(EYE, 0.3).log_prob(BAD_LOCS[name])
    with pytest.raises(ValueError, match="RotationMatrix"):
        HaarUniform().log_prob(BAD_LOCS[name])


@pytest.mark.parametrize("scale", [0.0, -1.0, 5.1, math.nan, math.inf])
def test_scales_out_of_range_are_refused(scale):
    with pytest.raises(ValueError, match=r"scale.*Interval\(lower_bound=0.0001, upper_bound=5.0\)"):
        RotationNormal(EYE, scale)
    with pytest.raises(ValueError, match="scale"):
        RotationNormal(EYE, torch.tensor([0.1, scale, 0.1]).double())
    with pytest.raises(ValueError, match="time"):
        IsotropicGaussian(EYE, 2 * scale)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: RotationNormal(torch.zeros(3), 0.1), ValueError, "loc"),
        (lambda: RotationNormal(torch.zeros(9, 9), 0.1), ValueError, "loc"),
        (lambda: RotationNormal(torch.eye(3).long(), 0.1), TypeError, "loc"),
        (lambda: RotationNormal([[1.0]], 0.1), TypeError, "loc"),
        (lambda: RotationNormal(EYE, torch.ones(2)), ValueError, "scale"),
        (lambda: RotationNormal(EYE.expand(4, 3, 3), torch.ones(3)), ValueError, "scale"),
        (lambda: RotationNormal(EYE, torch.ones(4, 3)), ValueError, "scale"),
        (lambda: IsotropicGaussian(EYE, torch.ones(3)), ValueError, "time"),
        (lambda: IsotropicGaussian(torch.zeros(3, 4), 0.1), ValueError, "loc"),
        (lambda: IsotropicGaussian(EYE, 0.1).log_prob(torch.zeros(2, 9)), ValueError, "shape"),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()
