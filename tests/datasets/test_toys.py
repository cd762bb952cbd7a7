"""Toy manifolds against analytic geometry and brute force."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from learnedmanifolds import datasets
from learnedmanifolds.datasets import (
    TOYS,
    Circle,
    Loop,
    Ring,
    Sphere,
    SwissRoll,
    Torus,
    TwoCircles,
    toy,
)

NAMES = sorted(TOYS)


def speed_of_loop(t):
    return math.sqrt(math.sin(t) ** 2 + 4 * math.cos(2 * t) ** 2 + 9 * math.cos(3 * t) ** 2)


def loop_angle(x):
    """The t of points (cos t, sin 2t, sin 3t): both sines are multiples of sin t."""
    first, second = 2 * x[:, 0], 4 * x[:, 0].square() - 1
    sine = (first * x[:, 1] + second * x[:, 2]) / (first.square() + second.square())
    return torch.atan2(sine, x[:, 0]) % (2 * math.pi)


@pytest.fixture(params=NAMES)
def truth(request):
    return toy(request.param)


def around(truth, n=200, seed=0, spread=0.3):
    """Points on and off the manifold, float64."""
    x = truth.sample(n, seed=seed, dtype=torch.float64)
    source = torch.Generator().manual_seed(seed + 1)
    return x + spread * torch.randn(x.shape, generator=source, dtype=torch.float64)


def test_samples_and_grid_lie_on_the_manifold(truth):
    for x in (truth.sample(500, seed=0, dtype=torch.float64), truth.grid(500, torch.float64)):
        assert x.shape == (500, truth.ambient_dim)
        assert float(truth.distance(x).max()) < 1e-12 * (1 + float(x.abs().max()))


def test_equations():
    x = Sphere(2.0).sample(100, seed=1, dtype=torch.float64)
    assert torch.allclose(x.norm(dim=1), torch.full((100,), 2.0).double())
    x = Torus(5.0, 0.5).sample(100, seed=1, dtype=torch.float64)
    tube = (x[:, :2].norm(dim=1) - 5).square() + x[:, 2].square()
    assert torch.allclose(tube, torch.full((100,), 0.25).double())
    x = Ring(1.0, 2.0).sample(100, seed=1)
    assert bool((x.norm(dim=1) >= 1 - 1e-6).all()) and bool((x.norm(dim=1) <= 2 + 1e-6).all())
    x = TwoCircles(1.0, 3.0).sample(100, seed=1, dtype=torch.float64)
    side = x.clone()
    side[:, 0] = side[:, 0].abs() - 3
    assert torch.allclose(side.norm(dim=1), torch.ones(100).double())
    x = SwissRoll().sample(100, seed=1, dtype=torch.float64)
    t = x[:, [0, 2]].norm(dim=1)
    assert torch.allclose(x[:, 0], t * t.cos()) and torch.allclose(x[:, 2], t * t.sin())
    assert bool((x[:, 1] >= 0).all()) and bool((x[:, 1] <= 21).all())
    x = Circle(3.0).sample(100, seed=1, dtype=torch.float64)
    assert torch.allclose(x.norm(dim=1), torch.full((100,), 3.0).double())
    x, y, z = Loop().sample(100, seed=1, dtype=torch.float64).unbind(1)
    chebyshev = 4 * x.square() - 1
    assert torch.allclose(y.square(), 4 * x.square() * (1 - x.square()))
    assert torch.allclose(z.square(), chebyshev.square() * (1 - x.square()))
    assert torch.allclose(y * z, 2 * x * chebyshev * (1 - x.square()))


def test_distance_to_a_circle():
    x = 3 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double()
    assert torch.allclose(Circle(2.0).distance(x), (x.norm(dim=1) - 2).abs())
    assert float(Circle(2.0).distance(torch.zeros(1, 2))) == pytest.approx(2)


def test_nearest_point_of_the_loop_is_the_least_critical_point():
    """Against every zero of the derivative of the squared distance, by the roots of a polynomial."""
    x = around(Loop(), n=50, spread=1.0)
    found = (x - Loop().nearest(x)).norm(dim=1)
    for point, distance in zip(x.tolist(), found.tolist(), strict=True):
        a, b, c = point
        # Coefficients of exp(i k t), k = 6 to -6, of half the derivative of the squared distance.
        upper = [-0.75j, 0, -0.5j, -1.5 * c, -b + 0.25j, -0.5j * a]
        roots = np.roots([*upper, 0, *np.conj(upper[::-1])])
        t = np.angle(roots[np.abs(np.abs(roots) - 1) < 1e-6])
        gaps = np.stack([np.cos(t) - a, np.sin(2 * t) - b, np.sin(3 * t) - c])
        assert distance == pytest.approx(np.linalg.norm(gaps, axis=0).min(), abs=1e-12)


def test_far_points_see_the_loop_at_its_support():
    """From far away along u, the distance is that to the highest point of the curve over u."""
    u = torch.nn.functional.normalize(
        torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    )
    u = u.double() / u.double().norm(dim=1, keepdim=True)
    support = (u @ Loop().grid(40_000, torch.float64).T).amax(1)
    for far in (1e4, 1e6):
        gap = far - Loop().distance(far * u)
        assert float((gap - support).abs().max()) < 4 / far + 1e-6


def test_nearest_beats_a_dense_grid_and_is_a_projection(truth):
    x = around(truth)
    nearest = truth.nearest(x)
    gap = (x - nearest).norm(dim=1)
    assert float(truth.distance(nearest).max()) < 1e-9
    assert torch.allclose(truth.distance(x), gap)
    brute = torch.cdist(x, truth.grid(20_000, torch.float64)).amin(1)
    assert bool((gap <= brute + 1e-12).all())
    # A grid point is within the spacing of any point: the squared gap differs by its square.
    spacing = 2 * math.sqrt(truth.volume / 20_000) if truth.dim == 2 else truth.volume / 20_000
    assert bool((brute.square() - gap.square() <= spacing**2 + 2 * spacing * gap).all())


def test_gradient_of_the_distance_has_norm_one_off_the_manifold(truth):
    x = around(truth, seed=3).requires_grad_()
    distance = truth.distance(x)
    distance.sum().backward()
    off = distance > 1e-6
    assert bool(off.any())
    assert torch.allclose(x.grad[off].norm(dim=1), torch.ones(int(off.sum())).double())
    step = 1e-6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).double()
    moved = truth.distance((x + step).detach()) - distance.detach()
    assert torch.allclose(moved[off], (step * x.grad).sum(1)[off], rtol=0, atol=1e-9)


def test_volumes():
    assert TwoCircles(2.0, 3.0).volume == pytest.approx(8 * math.pi)
    assert Ring(1.0, 3.0).volume == pytest.approx(8 * math.pi)
    assert Sphere(0.5).volume == pytest.approx(math.pi)
    assert Torus(3.0, 1.0).volume == pytest.approx(12 * math.pi**2)
    assert Circle(0.5).volume == pytest.approx(math.pi)
    length = integrate.quad(speed_of_loop, 0, 2 * math.pi, limit=200)[0]
    assert Loop().volume == pytest.approx(length, rel=1e-12)
    length = integrate.quad(lambda t: math.sqrt(1 + t * t), 1.5 * math.pi, 4.5 * math.pi)[0]
    assert SwissRoll(2.0).volume == pytest.approx(2 * length)


def test_samples_are_uniform():
    """Kolmogorov-Smirnov at level 0.001 each, seeds fixed."""
    n = 5000
    z = Sphere().sample(n, seed=0, dtype=torch.float64)[:, 2]
    assert stats.kstest(z, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    r = Ring().sample(n, seed=0, dtype=torch.float64).norm(dim=1)
    assert stats.kstest((r.square() - 0.25) / 2, "uniform").pvalue > 1e-3
    x = Torus().sample(n, seed=0, dtype=torch.float64)
    v = torch.atan2(x[:, 2], x[:, :2].norm(dim=1) - 3) % (2 * math.pi)
    law = lambda a: (a + a.sin() / 3) / (2 * math.pi)  # noqa: E731
    assert stats.kstest(law(v), "uniform").pvalue > 1e-3
    u = torch.atan2(x[:, 1], x[:, 0]) / (2 * math.pi) + 0.5
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    x = SwissRoll().sample(n, seed=0, dtype=torch.float64)
    t = x[:, [0, 2]].norm(dim=1)
    assert stats.kstest((t / math.pi - 1.5) / 3, "uniform").pvalue > 1e-3
    x = Circle().sample(n, seed=0, dtype=torch.float64)
    u = torch.atan2(x[:, 1], x[:, 0]) / (2 * math.pi) + 0.5
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    t = np.linspace(0, 2 * math.pi, 20_001)
    length = integrate.cumulative_trapezoid([speed_of_loop(s) for s in t], t, initial=0)
    angle = loop_angle(Loop().sample(50_000, seed=0, dtype=torch.float64))
    assert stats.kstest(np.interp(angle, t, length / length[-1]), "uniform").pvalue > 1e-3
    # The parameter itself is not uniform: the test above can tell.
    assert stats.kstest(angle / (2 * math.pi), "uniform").pvalue < 1e-6


def test_the_grid_of_the_loop_has_even_steps():
    """Chords of equal arcs h differ by the share (curvature h)^2 / 24."""
    shares = []
    for n in (400, 800, 1600):
        x = Loop().grid(n, torch.float64)
        chords = (x.roll(-1, 0) - x).norm(dim=1)
        assert float(chords.max()) <= Loop().volume / n
        shares.append(1 - float(chords.min()) * n / Loop().volume)
    assert shares[0] / shares[1] == pytest.approx(4, rel=0.05)
    assert shares[1] / shares[2] == pytest.approx(4, rel=0.05)


def test_grid_is_even(truth):
    """Every ball of a random centre holds its share of the grid as it does of a large sample."""
    x = truth.grid(4000, torch.float64)
    if truth.name == "swiss_roll":  # its samples are denser inside, its grid is not
        inner = (x[:, [0, 2]].norm(dim=1) < 3 * math.pi).double().mean()
        part, whole = (
            integrate.quad(lambda t: math.sqrt(1 + t * t), 1.5 * math.pi, end * math.pi)[0]
            for end in (3, 4.5)
        )
        assert float(inner) == pytest.approx(part / whole, abs=0.002)
        return
    sample = truth.sample(40_000, seed=0, dtype=torch.float64)
    for centre in truth.sample(10, seed=1, dtype=torch.float64):
        even, random = (((y - centre).norm(dim=1) < 0.8).double().mean() for y in (x, sample))
        # Three standard errors of the sample's share; the grid's is far smaller.
        assert abs(float(even - random)) < 3 * math.sqrt(float(random) / 40_000) + 0.003


def test_noise_is_added_to_the_same_points(truth):
    clean = truth.sample(4000, seed=5, dtype=torch.float64)
    noisy = truth.sample(4000, noise=0.1, seed=5, dtype=torch.float64)
    values = ((noisy - clean) / 0.1).flatten()
    assert stats.kstest(values, "norm").pvalue > 1e-3
    single = truth.sample(4000, seed=5)
    assert single.dtype == torch.float32 and torch.equal(single, clean.float())
    assert not torch.equal(clean, truth.sample(4000, seed=6, dtype=torch.float64))


def test_components():
    x = TwoCircles().grid(100)
    assert torch.equal(TwoCircles().component(x), (x[:, 0] > 0).long())
    for name in set(NAMES) - {"two_circles"}:
        assert set(toy(name).component(toy(name).grid(50)).tolist()) == {0}


@pytest.mark.parametrize("name", NAMES)
def test_shortcuts_are_samples(name):
    x = getattr(datasets, name)(20, noise=0.02, seed=3)
    assert torch.equal(x, toy(name).sample(20, 0.02, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: toy("klein_bottle"), ValueError, "name must be one of"),
        (lambda: toy(3), TypeError, "name"),
        (lambda: Sphere().sample(0), ValueError, "n must be"),
        (lambda: Sphere().sample(2.5), TypeError, "n must be"),
        (lambda: Sphere().sample(5, noise=-1.0), ValueError, "noise must be"),
        (lambda: Sphere().sample(5, dtype=torch.int64), (TypeError, ValueError), "dtype"),
        (lambda: Sphere().sample(5, seed="a"), TypeError, "seed"),
        (lambda: Sphere().grid(0), ValueError, "n must be"),
        (lambda: Sphere().distance(torch.zeros(3)), ValueError, "x must have shape"),
        (lambda: Sphere().nearest(torch.full((1, 3), math.nan)), ValueError, "x must be finite"),
        (lambda: Sphere().component(torch.zeros(2, 2)), ValueError, "x must have shape"),
        (lambda: Sphere(0.0), ValueError, "radius must be"),
        (lambda: Circle(-1.0), ValueError, "radius must be"),
        (lambda: Loop().distance(torch.zeros(1, 2)), ValueError, "x must have shape"),
        (lambda: Ring(2.0, 1.0), ValueError, "outer must be greater than inner"),
        (lambda: Torus(1.0, 1.0), ValueError, "major_radius must be greater"),
        (lambda: TwoCircles(1.0, 0.5), ValueError, "centre must be greater"),
        (lambda: SwissRoll(-1.0), ValueError, "height must be"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
