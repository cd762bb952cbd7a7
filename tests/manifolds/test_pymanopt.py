"""Atlases in pymanopt: identities, orders, backends, optimizers, points."""

import copy
import math

import autograd.numpy as anp
import numpy as np
import pymanopt
import pytest
import torch
from oracles import TwoSquares, draw
from pymanopt.optimizers import (
    ConjugateGradient,
    NelderMead,
    ParticleSwarm,
    SteepestDescent,
    TrustRegions,
)

from learnedmanifolds import Atlas
from learnedmanifolds.charts import CircleCharts, GraphCharts, SphereCharts, TorusCharts
from learnedmanifolds.inverse import OPTIMIZERS as NAMED
from learnedmanifolds.inverse import InverseProblem, Status, solve
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.manifolds.point import AtlasPoint


def wave(t):
    return 0.3 * (2 * t).sin().sum(-1, keepdim=True) + 0.2 * t.prod(-1, keepdim=True)


CHARTS = {
    "circle": lambda: CircleCharts(2.0),
    "sphere": lambda: SphereCharts(1.3),
    "torus": lambda: TorusCharts(),
    "graph": lambda: GraphCharts(wave),
}
RETRACTIONS = ["second-order", "chart", "projection"]


def build(name, retraction="second-order", seed=0, **options):
    atlas = Atlas(CHARTS[name](), tolerance=1e-6)
    return PymanoptManifold(atlas, retraction, seed=seed, **options)


@pytest.fixture(params=CHARTS)
def name(request):
    return request.param


@pytest.fixture(params=RETRACTIONS)
def manifold(name, request):
    return build(name, request.param)


def inner_points(m, n=20):
    """Points in the middle of their boxes, where a short line crosses no border."""
    coords = draw(n, m.dim, seed=1, low=-0.5, high=0.5).numpy()
    return [m.point(c, i % m.atlas.n_charts) for i, c in enumerate(coords)]


def value(x):
    return np.sin(x).sum() + 0.3 * x[0] * x[1] ** 2


def gradient(x):
    g = np.cos(np.asarray(x))
    g[0] += 0.3 * x[1] ** 2
    g[1] += 0.6 * x[0] * x[1]
    return g


def hessian(x, h):
    out = -np.sin(np.asarray(x)) * h
    out[0] += 0.6 * x[1] * h[1]
    out[1] += 0.6 * (x[1] * h[0] + x[0] * h[1])
    return out


def problem(m, backend):
    if backend == "numpy":
        cost = pymanopt.function.numpy(m)(value)
        return pymanopt.Problem(
            m,
            cost,
            euclidean_gradient=pymanopt.function.numpy(m)(gradient),
            euclidean_hessian=pymanopt.function.numpy(m)(hessian),
        )
    if backend == "autograd":
        return pymanopt.Problem(
            m, pymanopt.function.autograd(m)(lambda x: anp.sum(anp.sin(x)) + 0.3 * x[0] * x[1] ** 2)
        )
    return pymanopt.Problem(
        m, pymanopt.function.pytorch(m)(lambda x: x.sin().sum() + 0.3 * x[0] * x[1] ** 2)
    )


def test_projection_is_idempotent_and_self_adjoint(manifold):
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = manifold.random_point()
        v, w = rng.standard_normal((2, *manifold.atlas.ambient_shape))
        p = manifold.projection(x, v)
        np.testing.assert_allclose(manifold.projection(x, p), p, atol=1e-12)
        assert manifold.inner_product(x, p, w) == pytest.approx(v @ manifold.projection(x, w))
        np.testing.assert_array_equal(manifold.to_tangent_space(x, v), p)
        assert manifold.norm(x, v - p) == pytest.approx(np.sqrt(v @ v - p @ p))


def test_random_tangent_vectors_are_tangent_and_of_norm_one(manifold):
    x = manifold.random_point()
    h = manifold.random_tangent_vector(x)
    assert np.linalg.norm(h) == pytest.approx(1)
    np.testing.assert_allclose(manifold.projection(x, h), h, atol=1e-12)
    assert np.abs(h - manifold.random_tangent_vector(x)).max() > 1e-6
    zero = manifold.zero_vector(x)
    assert zero.shape == x.shape and not zero.any()


def test_retraction_of_zero_stays_and_has_the_identity_as_derivative(manifold):
    for x in inner_points(manifold, 4):
        np.testing.assert_allclose(manifold.retraction(x, 0 * x), x, atol=1e-12)
        h, t = manifold.random_tangent_vector(x), 1e-5
        ahead, back = (np.asarray(manifold.retraction(x, s * h)) for s in (t, -t))
        np.testing.assert_allclose((ahead - back) / (2 * t), h, atol=1e-7)


def test_slopes_of_gradient_and_hessian(name):
    m = build(name)
    f = problem(m, "numpy")
    sizes = np.logspace(-1, -2, 6)
    first, second = np.zeros(6), np.zeros(6)
    for x in inner_points(m):
        h = m.random_tangent_vector(x)
        slope = m.inner_product(x, f.riemannian_gradient(x), h)
        curvature = m.inner_product(x, f.riemannian_hessian(x, h), h)
        for i, t in enumerate(sizes):
            rest = f.cost(m.retraction(x, t * h)) - f.cost(x) - t * slope
            first[i] += rest**2
            second[i] += (rest - 0.5 * t * t * curvature) ** 2
    fitted = [np.polyfit(np.log(sizes), 0.5 * np.log(e), 1)[0] for e in (first, second)]
    assert fitted == pytest.approx([2, 3], abs=0.1)


def test_hessian_is_symmetric(name):
    m = build(name)
    f = problem(m, "numpy")
    for x in inner_points(m, 5):
        a, b = m.random_tangent_vector(x), m.random_tangent_vector(x)
        left = m.inner_product(x, f.riemannian_hessian(x, a), b)
        assert left == pytest.approx(m.inner_product(x, a, f.riemannian_hessian(x, b)), abs=1e-11)


@pytest.mark.parametrize("backend", ["autograd", "pytorch"])
def test_backends_give_the_same_derivatives(name, backend):
    m = build(name)
    exact, automatic = problem(m, "numpy"), problem(m, backend)
    for x in inner_points(m, 3):
        h = m.random_tangent_vector(x)
        assert automatic.cost(x) == pytest.approx(exact.cost(x))
        for left, right in (
            (automatic.riemannian_gradient(x), exact.riemannian_gradient(x)),
            (automatic.riemannian_hessian(x, h), exact.riemannian_hessian(x, h)),
        ):
            np.testing.assert_allclose(left, right, atol=1e-11)


TARGETS = {
    "circle": ([-1.0, 2.0], [-2 / 5**0.5, 4 / 5**0.5]),
    "sphere": ([2.0, 1.0, 2.0], [2.6 / 3, 1.3 / 3, 2.6 / 3]),
    "torus": ([0.0, -6.0, 1.0], [0, -3 - 3 / 10**0.5, 1 / 10**0.5]),
}
OPTIMIZERS = {
    "steepest": lambda: SteepestDescent(verbosity=0, max_iterations=100),
    "conjugate": lambda: ConjugateGradient(verbosity=0, max_iterations=100),
    "trust": lambda: TrustRegions(verbosity=0, max_iterations=30),
    "nelder-mead": lambda: NelderMead(verbosity=0, max_cost_evaluations=60),
    "swarm": lambda: ParticleSwarm(verbosity=0, max_cost_evaluations=150, population_size=10),
}


# The derivative-free ones look for a Karcher mean in every step: too slow to cross with the torus.
SLOW = {"nelder-mead": ["circle"], "swarm": ["circle", "sphere"]}


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [(name, key) for key in OPTIMIZERS for name in SLOW.get(key, TARGETS)],
    indirect=["name"],
)
def test_every_optimizer_finds_the_nearest_point(name, optimizer):
    free = optimizer in ("nelder-mead", "swarm")
    m = build(name, seed=3, distance="chordal" if free else "geodesic")
    target, expected = (np.array(v) for v in TARGETS[name])
    on = pymanopt.function.numpy(m)
    f = pymanopt.Problem(
        m,
        on(lambda x: ((x - target) ** 2).sum()),
        euclidean_gradient=on(lambda x: 2 * (np.asarray(x) - target)),
        euclidean_hessian=on(lambda x, h: 2 * h),
    )
    np.random.seed(0)  # noqa: NPY002, pymanopt's own random numbers
    start = {} if free else {"initial_point": m.random_point()}
    result = OPTIMIZERS[optimizer]().run(f, **start)
    assert np.linalg.norm(result.point - expected) < (0.2 if free else 1e-4)


class TestGeodesics:
    """Against pymanopt's own sphere of radius 1."""

    ours = PymanoptManifold(Atlas(SphereCharts(), tolerance=1e-6), seed=5)
    exact = pymanopt.manifolds.Sphere(3)

    def pairs(self, n=8):
        return [(self.ours.random_point(), self.ours.random_point()) for _ in range(n)]

    def test_exp_log_dist_and_mean_are_the_spheres(self):
        for x, y in self.pairs():
            v = self.ours.log(x, y)
            np.testing.assert_allclose(v, self.exact.log(np.array(x), np.array(y)), atol=1e-7)
            # To the tolerance of geodesics: distances are looked for from the same end in both
            # directions, so that they are symmetric, logarithms from the first point.
            assert self.ours.dist(x, y) == pytest.approx(np.linalg.norm(v), rel=1e-8)
            assert self.ours.dist(x, y) == self.ours.dist(y, x)
            np.testing.assert_allclose(self.ours.exp(x, v), y, atol=1e-7)
            mean = self.ours.pair_mean(x, y)
            np.testing.assert_allclose(mean, self.exact.pair_mean(x, y), atol=1e-7)

    def test_parallel_transport_is_the_spheres(self):
        m = PymanoptManifold(self.ours.atlas, transport="parallel", seed=6)
        for _ in range(4):
            x, y = m.random_point(), m.random_point()
            u = m.random_tangent_vector(x)
            moved, along = m.transport(x, y, u), self.exact.log(np.array(x), np.array(y))
            # What is orthogonal to the geodesic stays as it is; along it, it keeps its angle.
            assert np.linalg.norm(moved) == pytest.approx(1, abs=1e-7)
            back = -self.exact.log(np.array(y), np.array(x))
            assert moved @ back == pytest.approx(u @ along, abs=1e-6)
            normal = np.cross(x, along)
            assert moved @ normal == pytest.approx(u @ normal, abs=1e-6)

    def test_the_exponential_as_retraction(self):
        m = PymanoptManifold(self.ours.atlas, "exponential", seed=7)
        x = m.random_point()
        v = 2.5 * m.random_tangent_vector(x)
        np.testing.assert_allclose(m.retraction(x, v), self.exact.exp(np.array(x), v), atol=1e-7)

    def test_chordal_distance_is_a_lower_bound(self):
        m = PymanoptManifold(self.ours.atlas, distance="chordal")
        for x, y in self.pairs(3):
            assert m.dist(x, y) == pytest.approx(np.linalg.norm(x - y))
            assert m.dist(x, y) < self.ours.dist(x, y)
            mean = self.exact.pair_mean(np.array(x), np.array(y))
            np.testing.assert_allclose(m.pair_mean(x, y), mean, atol=1e-8)

    def test_components(self):
        atlas = Atlas(TwoSquares(), tolerance=1e-6)
        m = PymanoptManifold(atlas)
        x, y = m.point(np.zeros(2), 0), m.point(np.zeros(2), 1)
        assert m.dist(x, y) == math.inf
        for call in (m.log, m.pair_mean):
            with pytest.raises(ValueError, match="different components"):
                call(x, y)
        with pytest.raises(ValueError, match="leave the manifold through its boundary"):
            m.exp(x, np.array([3.0, 0.0, 0.0]))


def test_products_with_pymanopts_manifolds():
    ours = build("sphere", seed=8)
    product = pymanopt.manifolds.Product([ours, pymanopt.manifolds.Stiefel(4, 2)])
    a = draw(4, 2, seed=9).numpy()
    target = np.array([1.0, -2.0, 2.0])

    @pymanopt.function.autograd(product)
    def cost(x, frame):
        return anp.sum((x - target) ** 2) - anp.sum(a * frame)

    np.random.seed(1)  # noqa: NPY002, pymanopt's own random numbers
    result = TrustRegions(verbosity=0).run(pymanopt.Problem(product, cost))
    u, _, vt = np.linalg.svd(a, full_matrices=False)
    np.testing.assert_allclose(result.point[0], 1.3 * target / 3, atol=1e-6)
    np.testing.assert_allclose(result.point[1], u @ vt, atol=1e-6)


def test_plain_arrays_are_located(name):
    m = build(name)
    for x in inner_points(m, 4):
        plain = np.array(x)
        v = np.arange(1.0, 1 + x.size)
        np.testing.assert_allclose(m.projection(plain, v), m.projection(x, v), atol=1e-8)
        found = m.locate(plain)
        assert isinstance(found, AtlasPoint)
        np.testing.assert_allclose(found, plain, atol=1e-9)


def test_points_off_the_manifold_are_refused_with_the_tolerance(name):
    m = build(name)
    x = np.array(m.random_point())
    normal = np.ones_like(x) - m.projection(x, np.ones_like(x))
    off = x + 1e-3 * normal / np.linalg.norm(normal)
    for call in (m.projection, m.retraction):
        with pytest.raises(ValueError, match="tolerance is 1e-06"):
            call(off, np.zeros_like(x))


@pytest.mark.parametrize(
    "bad", [np.zeros(7), np.array(1.0), np.full(3, np.nan), np.zeros((1, 3))], ids=repr
)
def test_bad_arrays_are_refused(bad):
    m = build("sphere")
    with pytest.raises(ValueError, match="point must"):
        m.locate(bad)
    if not np.isnan(bad).any():
        with pytest.raises(ValueError, match="vector must"):
            m.projection(m.random_point(), bad)


@pytest.mark.parametrize(("coords", "chart"), [([0, 0], 2), ([0, 0], -1), ([0, 1.5], 0), ([0], 0)])
def test_bad_places_are_refused(coords, chart):
    with pytest.raises(ValueError, match="chart must|coords must"):
        build("sphere").point(np.array(coords, dtype=float), chart)


def test_bad_constructor_arguments_are_refused():
    with pytest.raises(TypeError, match="source must"):
        PymanoptManifold("sphere")
    with pytest.raises(ValueError, match="retraction must"):
        PymanoptManifold(SphereCharts(), "exact")
    with pytest.raises(TypeError, match="transport must be a Transport or one of"):
        PymanoptManifold(SphereCharts(), transport=3)
    with pytest.raises(ValueError, match="distance must"):
        PymanoptManifold(SphereCharts(), distance="euclidean")
    with pytest.raises(ValueError, match="seed must"):
        PymanoptManifold(SphereCharts(), seed=-1)


def test_the_jacobian_at_a_visited_point_is_computed_once(monkeypatch):
    m = build("sphere")
    calls, jet = [], m.atlas.charts.jet

    def counted(*arguments):
        calls.append(arguments)
        return jet(*arguments)

    monkeypatch.setattr(m.atlas.charts, "jet", counted)
    x = m.point(np.array([0.1, 0.2]), 1)
    assert not calls
    h = m.random_tangent_vector(x)
    m.euclidean_to_riemannian_hessian(x, gradient(x), hessian(x, h), h)
    m.retraction(x, 0.1 * h)
    m.projection(copy.deepcopy(x), h)
    assert len(calls) == 1


def test_a_deep_copy_keeps_the_place_and_arithmetic_drops_it():
    m = build("sphere")
    x = m.point(np.array([0.9, 0.2]), 1)
    y = copy.deepcopy(x)
    assert y.chart == 1 and y is not x
    np.testing.assert_array_equal(y.coords, [0.9, 0.2])
    assert not isinstance(x + 1, AtlasPoint) and isinstance(x.sum(), float)
    y[0] = 5.0
    with pytest.raises(ValueError, match="not a point"):
        _ = y.chart
    assert x.chart == 1 and x[0] != 5
    for write in (lambda z: np.multiply(z, 1.01, out=z), lambda z: z.__iadd__(0.1)):
        z = copy.deepcopy(x)
        assert write(z) is z
        with pytest.raises(ValueError, match="not a point"):
            _ = z.chart


def test_the_seed_decides_points_and_vectors():
    a, b, c = (build("torus", seed=s) for s in (1, 1, 2))
    x, y, z = a.random_point(), b.random_point(), c.random_point()
    np.testing.assert_array_equal(x, y)
    assert np.abs(x - z).max() > 0
    np.testing.assert_array_equal(a.random_tangent_vector(x), b.random_tangent_vector(y))


def test_torch_keeps_its_default_dtype():
    assert torch.get_default_dtype() == torch.float32


CHANGES = {
    "copyto": lambda p, q: np.copyto(p, q),
    "flat": lambda p, q: p.flat.__setitem__(slice(None), q),
    "view": lambda p, q: p[:].__setitem__(slice(None), q),
    "plain": lambda p, q: np.asarray(p).__setitem__(slice(None), q),
    "item": lambda p, q: p.__setitem__(slice(None), q),
    "ufunc": lambda p, q: np.add(q, 0.0, out=p),
    "put": lambda p, q: np.put(p, np.arange(3), q),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_point_is_where_its_values_are(change):
    manifold = PymanoptManifold(SphereCharts(), seed=0)
    p, q, v = manifold.random_point(), np.array([0.6, 0.0, 0.8]), np.array([1.0, 2.0, 3.0])
    change(p, q)
    assert np.allclose(manifold.projection(p, v), v - (v @ q) * q)
    with pytest.raises(ValueError, match="not a point that a PymanoptManifold returned"):
        _ = p.chart


def test_a_filled_point_is_refused_off_the_manifold():
    manifold = PymanoptManifold(SphereCharts(), seed=0)
    p = manifold.random_point()
    p.fill(1.0)
    with pytest.raises(ValueError, match="must be on the manifold"):
        manifold.projection(p, np.ones(3))


VECTORS = {
    "retraction": lambda m, x, v, w: m.retraction(x, v),
    "exp": lambda m, x, v, w: m.exp(x, v),
    "transport": lambda m, x, v, w: m.transport(x, m.retraction(x, 0.1 * w), v),
    "projection": lambda m, x, v, w: m.projection(x, v),
    "to_tangent_space": lambda m, x, v, w: m.to_tangent_space(x, v),
    "weingarten": lambda m, x, v, w: m.weingarten(x, v, w),
    "weingarten, normal": lambda m, x, v, w: m.weingarten(x, w, v),
    "gradient": lambda m, x, v, w: m.euclidean_to_riemannian_gradient(x, v),
    "Hessian, gradient": lambda m, x, v, w: m.euclidean_to_riemannian_hessian(x, v, w, w),
    "Hessian": lambda m, x, v, w: m.euclidean_to_riemannian_hessian(x, w, v, w),
    "Hessian, vector": lambda m, x, v, w: m.euclidean_to_riemannian_hessian(x, w, w, v),
    "inner_product, first": lambda m, x, v, w: m.inner_product(x, v, w),
    "inner_product": lambda m, x, v, w: m.inner_product(x, w, v),
    "norm": lambda m, x, v, w: m.norm(x, v),
}
CHORDAL = {
    "dist": lambda m, x, v, w: m.dist(x, v),
    "dist, first": lambda m, x, v, w: m.dist(v, x),
    "log": lambda m, x, v, w: m.log(x, v),
    "pair_mean": lambda m, x, v, w: m.pair_mean(x, v),
    "pair_mean, first": lambda m, x, v, w: m.pair_mean(v, x),
}
BOUND = {"retraction", "exp", "transport"}


def sphere_place(**options):
    m = PymanoptManifold(Atlas(SphereCharts(1.5), tolerance=1e-6), seed=0, **options)
    x = m.random_point()
    return m, x, m.random_tangent_vector(x)


@pytest.mark.parametrize("name", VECTORS | CHORDAL)
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (None, TypeError),
        ("vector", TypeError),
        (np.ones(3, dtype=complex), TypeError),
        (np.ones(3, dtype=bool), TypeError),
        (np.array([None, 1, 2]), TypeError),
        ([1.0, [2.0, 3.0], 4.0], ValueError),
        (1.0, ValueError),
        (np.ones(2), ValueError),
        (np.ones((1, 3)), ValueError),
        (np.ones((3, 1)), ValueError),
        (np.ones(0), ValueError),
    ],
    ids=repr,
)
def test_vectors_of_the_wrong_kind_are_refused(name, bad, error):
    chordal = {"distance": "chordal"} if name in CHORDAL else {}
    with pytest.raises(error, match="(vector|gradient|hessian|vector_a|vector_b|point_.) must"):
        (VECTORS | CHORDAL)[name](*sphere_place(**chordal)[:2], bad, sphere_place()[2])


@pytest.mark.parametrize("retraction", ["second-order", "chart", "projection", "exponential"])
@pytest.mark.parametrize("transport", ["projection", "differentiated", "parallel"])
def test_steps_that_are_not_finite_are_refused(retraction, transport):
    m, x, v = sphere_place(retraction=retraction, transport=transport)
    for value in (np.nan, np.inf, -np.inf):
        bad = np.array([0.0, value, 0.0])
        for name in BOUND:
            with pytest.raises(ValueError, match="tangent_vector(_a)? must be finite, got"):
                VECTORS[name](m, x, bad, v)


@pytest.mark.parametrize("name", sorted(set(VECTORS) - BOUND))
def test_linear_maps_carry_nan_on(name):
    m, x, v = sphere_place()
    assert not np.isfinite(VECTORS[name](m, x, np.full(3, np.nan), v)).any()


@pytest.mark.parametrize("name", VECTORS)
def test_real_arrays_of_every_kind_are_vectors(name):
    m, x, v = sphere_place()
    vector = np.array([1.0, -2.0, 0.5])
    frozen = vector.copy()
    frozen.flags.writeable = False
    expected = VECTORS[name](m, x, vector, v)
    given = [
        vector.tolist(),
        vector.astype(np.float32),
        torch.from_numpy(vector).requires_grad_(),
        vector.astype(">f8"),
        vector[::-1].copy()[::-1],
        frozen,
    ]
    for other in given:
        np.testing.assert_allclose(VECTORS[name](m, x, other, v), expected)
    whole = np.array([1, -2, 3])
    np.testing.assert_allclose(VECTORS[name](m, x, whole, v), VECTORS[name](m, x, 1.0 * whole, v))


def test_runs_go_back_from_steps_that_overflow():
    m, x, v = sphere_place()
    problem = InverseProblem(lambda p: 1e160 * p.square().square(), np.zeros(3))
    for optimizer in NAMED:
        run = solve(problem, m, optimizer, seed=0, max_iterations=5)
        assert isinstance(run.status, Status)
    with pytest.raises(ValueError, match="must be finite"):
        m.retraction(x, v * np.inf)
