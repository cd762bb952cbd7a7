"""Densities on atlases against those that data were drawn from, on manifolds in closed form."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from oracles import draw
from scipy import stats

import learnedmanifolds as lm
from learnedmanifolds.atlas.noise import NormalNoise, _Spectrum
from learnedmanifolds.geometry import Located

N = 10_240
SIGMA = 0.01


def rays(count, dim=2):
    """Points evenly over the circle, or the sphere S^2."""
    i = torch.arange(count, dtype=torch.float64) + 0.5
    if dim == 1:
        return torch.stack([(2 * math.pi * i / count).cos(), (2 * math.pi * i / count).sin()], 1)
    z, turn = 1 - 2 * i / count, math.pi * (1 + 5**0.5) * i
    return torch.stack([(1 - z**2).sqrt() * turn.cos(), (1 - z**2).sqrt() * turn.sin(), z], 1)


def von_mises(seed, n=N):
    angle = stats.vonmises(2.0).rvs(n, random_state=seed)
    return torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], 1))


def fisher(seed, n=N):
    return torch.from_numpy(stats.vonmises_fisher([0, 0, 1], 3.0).rvs(n, random_state=seed))


@pytest.fixture(scope="module")
def circle():
    return lm.Atlas(lm.charts.CircleCharts(), noise_std=SIGMA)


@pytest.fixture(scope="module")
def known_circle(circle):
    return circle.with_density(von_mises(0))


@pytest.fixture(scope="module")
def known_sphere():
    return lm.Atlas(lm.charts.SphereCharts(), noise_std=SIGMA).with_density(fisher(0))


def test_von_mises_on_a_circle(known_circle):
    at = rays(4000, 1)
    found = known_circle.log_prob(at).exp()
    truth = torch.from_numpy(stats.vonmises(2.0).pdf(torch.atan2(at[:, 1], at[:, 0]).numpy()))
    # The von Mises density is with respect to the angle, which is the length here. Medians of 5 seeds
    # are 0.006 on learned circles, the largest 0.010.
    assert 0.5 * float((found - truth).abs().mean()) * 2 * math.pi < 0.015
    assert float(found.mean()) * 2 * math.pi == pytest.approx(1, abs=1e-3)


def test_fisher_on_a_sphere(known_sphere):
    at = rays(20_000)
    found = known_sphere.log_prob(at).exp()
    truth = torch.from_numpy(stats.vonmises_fisher([0, 0, 1], 3.0).pdf(at.numpy()))
    assert 0.5 * float((found - truth).abs().mean()) * 4 * math.pi < 0.025
    assert float(found.mean()) * 4 * math.pi == pytest.approx(1, abs=1e-3)


def test_units_change_the_density_by_their_power(known_sphere):
    wide = lm.Atlas(lm.charts.SphereCharts(radius=20.0), noise_std=20 * SIGMA)
    at = rays(500)
    shifted = wide.with_density(20 * fisher(0)).log_prob(20 * at) + 2 * math.log(20)
    torch.testing.assert_close(shifted, known_sphere.log_prob(at), atol=1e-6, rtol=0)


def test_samples_have_the_density(known_sphere):
    # Along the axis the cumulative distribution of a von Mises-Fisher is known; 1 in 1,000 runs would
    # be over the quantile, were the density exact, which is off by at most its own 0.025.
    z = known_sphere.sample(4000, seed=3)[:, 2].numpy()

    def cdf(height):
        return (np.exp(3 * height) - np.exp(-3)) / (np.exp(3) - np.exp(-3))

    assert stats.kstest(z, cdf).statistic < stats.kstwo(4000).ppf(0.999) + 0.025
    mean = known_sphere.sample(4000, seed=3).mean(0)
    assert float(mean[:2].abs().max()) < 4 / 4000**0.5


def test_two_components_in_their_shares():
    source = torch.Generator().manual_seed(5)
    angle = 2 * math.pi * torch.rand(N, generator=source, dtype=torch.float64)
    left = torch.rand(N, generator=source) < 0.3
    x = torch.stack([angle.cos() + torch.where(left, -1.5, 1.5), angle.sin()], 1)
    x = x + SIGMA * torch.randn(x.shape, generator=source, dtype=torch.float64)
    atlas = lm.KernelAtlas(random_state=0).fit(x).atlas_
    ring = rays(2000, 1)
    shares = []
    for middle, share in ((-1.5, 0.3), (1.5, 0.7)):
        found = atlas.log_prob(ring + torch.tensor([middle, 0.0])).exp()
        shares.append(float(found.mean()) * 2 * math.pi)
        off = 0.5 * float((found - share / (2 * math.pi)).abs().mean()) * 2 * math.pi
        assert off < 0.02
    # Four standard errors of the share, and quadrature.
    assert shares[0] == pytest.approx(0.3, abs=4 * (0.21 / N) ** 0.5)
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    drawn = float((atlas.sample(4000, seed=0)[:, 0] < 0).double().mean())
    assert drawn == pytest.approx(shares[0], abs=4 * (0.21 / 4000) ** 0.5)


def test_six_dimensions_beat_the_uniform_density_and_have_its_integral():
    # Beyond three dimensions norms are drawn: a density about a pole of S^6 in R^7.
    source = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 7, generator=source, dtype=torch.float64)
    x[:, 0] += 2.0
    x = x / x.norm(dim=1, keepdim=True)
    atlas = lm.Atlas(lm.charts.SphereCharts(dim=6), noise_std=SIGMA).with_density(x[:3000])
    area = 16 * math.pi**3 / 15
    even = torch.randn(20_000, 7, generator=source, dtype=torch.float64)
    even = even / even.norm(dim=1, keepdim=True)
    density = atlas.log_prob(even).exp()
    error = float(density.std()) / len(even) ** 0.5 * area
    # Norms are drawn, and what is about a centre in another chart is not seen from its own.
    assert float(density.mean()) * area == pytest.approx(1, abs=0.05 + 4 * error)
    assert float(atlas.log_prob(x[3000:]).mean()) > -math.log(area) + 0.5
    drawn = atlas.sample(2000, seed=0)
    gap = (drawn.mean(0) - x.mean(0)).abs().max()
    assert float(gap) < 0.05 + 4 * (1 / 7 / 2000) ** 0.5


def test_noise_that_is_not_the_same_all_around():
    source = torch.Generator().manual_seed(0)
    std = torch.tensor([0.004, 0.02, 0.004, 0.004], dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=source, dtype=torch.float64))[0]
    angle = 2 * math.pi * torch.rand(3000, generator=source, dtype=torch.float64)
    radial = 0.004 * torch.randn(3000, generator=source, dtype=torch.float64)
    rest = std * torch.randn(3000, 4, generator=source, dtype=torch.float64)
    ring = torch.stack([angle.cos(), angle.sin()], 1) * (1 + radial.unsqueeze(1))
    x = torch.cat([ring, rest], 1) @ turn.T
    atlas = lm.KernelAtlas(dim=1, random_state=0).fit(x[:2000]).atlas_
    noise = stats.norm(0, [0.004, *std.tolist()])
    residual = torch.cat([radial.unsqueeze(1), rest], 1)[2000:]
    along = -math.log(2 * math.pi) - (1 + radial[2000:]).log()
    truth = along + torch.from_numpy(noise.logpdf(residual.numpy()).sum(1))
    found = atlas.log_likelihood(x[2000:])
    # A density cannot be more likely than the truth but by chance; charts and noise cost little.
    gap = truth - found
    error = float(gap.std()) / len(gap) ** 0.5
    assert -4 * error < float(gap.mean()) < 0.15
    # So much an isotropic noise would cost: half the logarithm of the means over the geometric mean.
    mean = (4 * 0.004**2 + 0.02**2) / 5
    isotropic = 0.5 * (5 * math.log(mean) - 4 * math.log(0.004**2) - math.log(0.02**2))
    assert float(gap.mean()) < 0.2 * isotropic


def test_noise_that_differs_along_the_manifold(circle):
    # Radial noise about the circle of a standard deviation from 0.004 to 0.04.
    source = np.random.default_rng(0)
    angle = source.uniform(-np.pi, np.pi, 6000)
    std = 0.004 * 10 ** (0.5 + 0.5 * np.cos(angle))
    radial = std * source.standard_normal(6000)
    ray = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], 1))
    x = ray * torch.from_numpy(1 + radial).unsqueeze(1)
    known = lm.Atlas(circle.charts, noise_std=0.02).with_density(x[:4000])
    truth = stats.norm(0, std).logpdf(radial) - math.log(2 * math.pi) - np.log1p(radial)
    gap = torch.from_numpy(truth[4000:]) - known.log_likelihood(x[4000:])
    error = float(gap.std()) / len(gap) ** 0.5
    # One size for all would cost half the logarithm of the mean variance less that of the variances.
    cost = 0.5 * (math.log((std**2).mean()) - np.log(std**2).mean())
    assert cost > 0.3
    assert -4 * error < float(gap.mean()) < 0.15 * cost
    assert len(known.distribution.noise.std) >= 4


@pytest.mark.parametrize("seed", range(5))
def test_noise_that_is_the_same_everywhere_has_one_region(circle, seed):
    source = np.random.default_rng(seed)
    angle = source.uniform(-np.pi, np.pi, 3000)
    ray = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], 1))
    x = ray * torch.from_numpy(1 + SIGMA * source.standard_normal(3000)).unsqueeze(1)
    noise = circle.with_density(x).distribution.noise
    # Regions must gain 0.02 nats a point; by chance they gain a few thousandths.
    assert noise.std.shape == (1,) and noise.directions.shape[2] == 0
    assert float(noise.std) == pytest.approx(SIGMA, rel=4 / (2 * 3000) ** 0.5)


def test_the_noise_of_a_plane_has_the_moments_of_its_residuals():
    # About a plane of R^8, normal spaces are the same everywhere: s^2 I + U U' must be the residuals'
    # covariance, in its large directions, and have its trace.
    std = torch.tensor([0.3, 0.1, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64)
    turn = torch.linalg.qr(draw(6, 6, seed=1)).Q
    residual = torch.nn.functional.pad(std * draw(4000, 6, seed=2) @ turn.T, (2, 0))
    points = torch.nn.functional.pad(draw(4000, 2, seed=3), (0, 6))
    basis = torch.eye(8, 2, dtype=torch.float64).expand(4000, 8, 2)
    noise = NormalNoise.of(points, residual, basis, 1e-3)
    assert noise.std.shape == (1,)
    covariance = residual.T @ residual / 4000
    made = noise.directions[0] @ noise.directions[0].T
    made.diagonal()[2:] += noise.std[0] ** 2
    torch.testing.assert_close(made[2:, 2:].trace(), covariance.trace())
    large = torch.nn.functional.pad(turn[:, 0], (2, 0))
    torch.testing.assert_close(large @ made @ large, large @ covariance @ large, rtol=1e-3, atol=0)
    torch.testing.assert_close(
        noise.variance(points[:3], 2), (covariance.trace() / 6).expand(3), rtol=1e-10, atol=0
    )
    law = torch.distributions.MultivariateNormal(torch.zeros(6).double(), made[2:, 2:])
    found = noise.log_prob(residual[:50], basis[:50], points[:50])
    torch.testing.assert_close(found, law.log_prob(residual[:50, 2:]), rtol=0, atol=1e-9)


def test_a_region_has_the_noise_of_all_as_its_prior():
    own, all_of_them = draw(30, 5, seed=1), draw(200, 5, seed=2) * torch.arange(1.0, 6).double()
    every = _Spectrum.of(all_of_them)
    found = _Spectrum.of(own, 10.0, every)
    pooled = (own.T @ own + 10 * all_of_them.T @ all_of_them / 200) / 40
    size, axes = torch.linalg.eigh(pooled)
    torch.testing.assert_close(found.variances, size.flip(0))
    turned = (found.axes * axes.flip(1)).sum(0).abs()
    torch.testing.assert_close(turned, torch.ones_like(turned))
    assert found.whole == pytest.approx(float(pooled.trace()))


def test_bent_normal_spaces_spread():
    # Noise as large as a fifth of the radius: without the Weingarten map the integral would not be one.
    source = torch.Generator().manual_seed(0)
    x = von_mises(1) * (1 + 0.2 * torch.randn(N, 1, generator=source, dtype=torch.float64))
    atlas = lm.Atlas(lm.charts.CircleCharts(), noise_std=0.2).with_density(x)
    side = torch.arange(-2.2, 2.2, 0.02, dtype=torch.float64)
    plane = torch.cartesian_prod(side, side)
    plane = plane[plane.norm(dim=1) > 0.1]
    inside = float(atlas.log_likelihood(plane).exp().sum()) * 0.02**2
    assert inside == pytest.approx(1, abs=0.01)


def test_likelihood_beats_a_kernel_density_in_space():
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KernelDensity

    x = lm.datasets.toy("loop").sample(3000, noise=SIGMA, seed=2)
    atlas = lm.KernelAtlas(random_state=0).fit(x[:2000]).atlas_
    widths = {"bandwidth": np.geomspace(0.005, 0.5, 15)}
    other = GridSearchCV(KernelDensity(), widths).fit(x[:2000].numpy())
    ours = float(atlas.log_likelihood(x[2000:]).mean())
    assert ours > other.score(x[2000:].numpy()) / 1000 + 0.3


def test_the_prior_is_the_density_and_has_two_derivatives(known_sphere):
    x = rays(6)
    given = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(known_sphere.log_density(given).sum(), given)
    assert bool(torch.autograd.gradcheck(known_sphere.log_density, (given,)))
    assert bool(torch.autograd.gradgradcheck(known_sphere.log_density, (given,)))
    assert float(slope[:, 2].min()) > 0
    free = known_sphere.log_density(x) - known_sphere.log_prob(x)
    torch.testing.assert_close(free, torch.zeros_like(free), atol=1e-10, rtol=0)
    # Data that say nothing of a point leave the most likely place of the density.
    problem = lm.InverseProblem(
        lambda p: p[..., :1] * 0, torch.zeros(1), noise_std=1.0, prior_weight=1.0
    )
    point = lm.solve(problem, known_sphere, n_starts=2, seed=0).point
    assert float(point[2]) > 0.95


def test_responsibilities_go_by_density_where_charts_tell_nothing(known_circle):
    shares = known_circle.responsibilities(rays(50, 1))
    torch.testing.assert_close(shares.sum(1), torch.ones(50, dtype=shares.dtype))
    depth = known_circle.charts.domain.depth(known_circle.claims(rays(50, 1))[0]).T
    assert float(shares[depth < 0].max()) < 0.05


def test_responsibilities_go_by_the_noise_where_each_chart_has_its_own():
    source = np.random.default_rng(0)
    angle = source.uniform(-np.pi, np.pi, 3000)
    wide = np.arange(3000) % 2
    radius = 1 + wide + np.where(wide, 0.15, 0.01) * source.standard_normal(3000)
    x = torch.from_numpy(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        atlas = lm.KernelAtlas(n_charts=4, dim=1, random_state=0).fit(x).atlas_
    coords = 0.5 * torch.ones(1, 1, dtype=torch.float64)
    far = [float(atlas.decode(coords, k).norm()) > 1.5 for k in range(4)]
    # Nearer to the inner circle, but more than twenty times its noise away.
    shares = atlas.responsibilities(1.47 * rays(40, 1))[:, far].sum(1)
    assert sum(far) in (1, 2, 3)
    assert float(shares.min()) > 0.99
    shares = atlas.responsibilities(1.02 * rays(40, 1))[:, far].sum(1)
    assert float(shares.max()) < 0.01


def test_copies_keep_the_density(known_circle, tmp_path):
    at = rays(20, 1)
    expected = known_circle.log_prob(at)
    single = known_circle.to(torch.float32)
    assert single.log_prob(at).dtype == torch.float32
    torch.testing.assert_close(single.log_prob(at).double(), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(copy.deepcopy(known_circle).log_prob(at), expected)
    x = lm.datasets.toy("circle").sample(500, noise=SIGMA, seed=0)
    learned = lm.KernelAtlas(random_state=0).fit(x).atlas_
    learned.save(tmp_path / "a.safetensors")
    again = lm.load(tmp_path / "a.safetensors")
    assert torch.equal(again.log_prob(at), learned.log_prob(at))
    assert torch.equal(again.log_likelihood(x[:20]), learned.log_likelihood(x[:20]))
    assert torch.equal(again.sample(20, seed=1), learned.sample(20, seed=1))


def test_few_points(circle):
    few = circle.with_density(von_mises(0, 8))
    found = few.log_prob(rays(2000, 1)).exp()
    assert float(found.mean()) * 2 * math.pi == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dim", [1, 4])
def test_data_at_one_place_have_a_narrow_density(dim):
    charts = lm.charts.CircleCharts() if dim == 1 else lm.charts.SphereCharts(dim=dim)
    place = torch.eye(dim + 1, dtype=torch.float64)[0]
    atlas = lm.Atlas(charts, noise_std=SIGMA).with_density(place.expand(50, dim + 1))
    there, opposite = atlas.log_prob(torch.stack([place, -place])).tolist()
    assert math.isfinite(there) and there > opposite + 10


def test_an_atlas_without_data(circle):
    assert not circle.has_density
    for ask in (circle.log_prob, circle.log_likelihood):
        with pytest.raises(ValueError, match="atlas must know data"):
            ask(rays(3, 1))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(10, 3), "shape"),
        (torch.full((10, 2), torch.nan), "finite|NaN"),
        (5 + torch.rand(100, 2), "within the tolerance"),
        (torch.zeros(0, 2), "within the tolerance"),
    ],
)
def test_data_that_no_density_has(circle, x, message):
    with pytest.raises(ValueError, match=message):
        circle.with_density(x)


def test_places_that_are_known(circle):
    x = von_mises(0, 400)
    at = circle.locate(x)
    known = circle.with_density(x, at).log_prob(x)
    torch.testing.assert_close(known, circle.with_density(x).log_prob(x))
    with pytest.raises(ValueError, match="at must"):
        circle.with_density(x, Located(at.chart[:3], at.coords[:3]))
