"""The validating wrapper: what is right passes unchanged, what is wrong is named."""

import copy
import inspect

import autograd.numpy as anp
import numpy as np
import pymanopt
import pymanopt.manifolds as pm
import pytest
from pymanopt.manifolds.manifold import Manifold
from pymanopt.optimizers import (
    ConjugateGradient,
    NelderMead,
    ParticleSwarm,
    SteepestDescent,
    TrustRegions,
)

from learnedmanifolds.charts import SphereCharts, TorusCharts
from learnedmanifolds.checks import check_gradient, check_hessian, check_manifold
from learnedmanifolds.checks.validated import Validated
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.manifolds.point import AtlasPoint

MANIFOLDS = {
    "Sphere": lambda: pm.Sphere(4),
    "Sphere of matrices": lambda: pm.Sphere(2, 3),
    "Stiefel": lambda: pm.Stiefel(4, 2),
    "Stiefel^2": lambda: pm.Stiefel(4, 2, k=2),
    "Grassmann": lambda: pm.Grassmann(4, 2),
    "SpecialOrthogonalGroup": lambda: pm.SpecialOrthogonalGroup(3),
    "SymmetricPositiveDefinite": lambda: pm.SymmetricPositiveDefinite(3),
    "HermitianPositiveDefinite": lambda: pm.HermitianPositiveDefinite(2),
    "Oblique": lambda: pm.Oblique(3, 2),
    "Euclidean": lambda: pm.Euclidean(3),
    "ComplexEuclidean": lambda: pm.ComplexEuclidean(3),
    "Symmetric": lambda: pm.Symmetric(3),
    "SkewSymmetric": lambda: pm.SkewSymmetric(3),
    "ComplexGrassmann": lambda: pm.ComplexGrassmann(3, 1),
    "Positive": lambda: pm.Positive(2, 2),
    "PoincareBall": lambda: pm.PoincareBall(2),
    "FixedRank": lambda: pm.FixedRankEmbedded(4, 3, 2),
    "PSDFixedRank": lambda: pm.PSDFixedRank(4, 2),
    "Product": lambda: pm.Product([pm.Sphere(3), pm.SpecialOrthogonalGroup(3)]),
    "learned sphere": lambda: PymanoptManifold(SphereCharts(1.3), seed=1),
    "learned torus": lambda: PymanoptManifold(TorusCharts(), "projection", seed=1),
}


def linear(manifold, seed=0):
    """Sums of coordinates with random weights, on any number of arrays."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(100)

    @pymanopt.function.autograd(manifold)
    def cost(*arrays):
        return sum(
            anp.sum(weights[k : k + x.size] * anp.ravel(x)) + 0.5 * anp.sum(x[0] ** 2)
            for k, x in enumerate(arrays)
        )

    return pymanopt.Problem(manifold, cost)


def pieces(point):
    return list(point) if isinstance(point, (list, tuple)) else [point]


def everything(manifold):
    """A result of every method, an empty list where there is none."""
    np.random.seed(3)  # noqa: NPY002, pymanopt's own random numbers
    x = manifold.random_point()
    u, v = manifold.random_tangent_vector(x), manifold.random_tangent_vector(x)
    y = manifold.retraction(x, 0.1 * u)
    results = [x, u, v, y, manifold.zero_vector(x)]
    results += [manifold.inner_product(x, u, v), manifold.norm(x, u), manifold.typical_dist]
    results += [manifold.to_tangent_space(x, u), manifold.embedding(x, v)]
    results += [manifold.projection(x, manifold.embedding(x, v))]
    for name, *arguments in (
        ("transport", x, y, u),
        ("exp", x, 0.1 * v),
        ("log", x, y),
        ("dist", x, y),
        ("pair_mean", x, y),
    ):
        try:
            results.append(getattr(manifold, name)(*arguments))
        except NotImplementedError:
            results.append([])
    return results


@pytest.mark.parametrize("name", MANIFOLDS)
def test_results_are_those_of_the_manifold(name):
    plain, checked = MANIFOLDS[name](), Validated(MANIFOLDS[name]())
    assert checked.dim == plain.dim and checked.point_layout == plain.point_layout
    for left, right in zip(everything(plain), everything(checked), strict=True):
        assert type(left) is type(right)
        for a, b in zip(pieces(left), pieces(right), strict=True):
            np.testing.assert_array_equal(a, b)


OPTIMIZERS = {
    "steepest": lambda: SteepestDescent(verbosity=0, max_iterations=20),
    "conjugate": lambda: ConjugateGradient(verbosity=0, max_iterations=20),
    "trust": lambda: TrustRegions(verbosity=0, max_iterations=10),
    "nelder-mead": lambda: NelderMead(verbosity=0, max_cost_evaluations=10),
    "swarm": lambda: ParticleSwarm(verbosity=0, max_cost_evaluations=60, population_size=5),
}
RUNS = [
    *[("Sphere", key) for key in OPTIMIZERS],
    *[("learned sphere", key) for key in OPTIMIZERS],
    *[(name, "trust") for name in ("Stiefel", "Product", "learned torus", "Grassmann")],
    *[("FixedRank", key) for key in ("steepest", "conjugate")],
    ("SymmetricPositiveDefinite", "conjugate"),
]


def build(name):
    if name == "learned sphere":
        # The derivative-free optimizers ask for thousands of distances.
        return PymanoptManifold(SphereCharts(1.3), distance="chordal", seed=1)
    return MANIFOLDS[name]()


@pytest.mark.parametrize(("name", "optimizer"), RUNS)
def test_every_optimizer_takes_the_same_steps(name, optimizer):
    results = []
    for manifold in (build(name), Validated(build(name))):
        np.random.seed(0)  # noqa: NPY002, pymanopt's own random numbers
        if name == "SymmetricPositiveDefinite":
            cost = pymanopt.function.autograd(manifold)(
                lambda x: anp.trace(x) - anp.log(anp.linalg.det(x))
            )
            problem = pymanopt.Problem(manifold, cost)
        else:
            problem = linear(manifold)
        results.append(OPTIMIZERS[optimizer]().run(problem))
    plain, checked = results
    assert checked.cost == plain.cost and checked.iterations == plain.iterations > 1
    for a, b in zip(pieces(plain.point), pieces(checked.point), strict=True):
        np.testing.assert_array_equal(a, b)


def test_points_keep_their_charts_and_everything_is_passed_on_untouched():
    manifold = PymanoptManifold(TorusCharts(), seed=0)
    seen = []

    class Spy(Manifold):
        def __getattribute__(self, name):
            if name in ("retraction", "projection"):
                return lambda *a: seen.append((name, a)) or getattr(manifold, name)(*a)
            return object.__getattribute__(self, name)

        inner_product = norm = zero_vector = retraction = projection = random_tangent_vector = (
            lambda self, *a: manifold.zero_vector(None)
        )

        def random_point(self):
            return manifold.random_point()

    checked = Validated(Spy("spy", 2))
    x = manifold.random_point()
    v = manifold.random_tangent_vector(x)
    y = checked.retraction(x, v)
    assert isinstance(y, AtlasPoint) and y.chart >= 0
    (arguments,) = [a for name, a in seen if name == "retraction"]
    assert arguments[0] is x and arguments[1] is v


def test_what_else_the_manifold_has_is_there():
    manifold = PymanoptManifold(SphereCharts(1.3), seed=0)
    checked = Validated(manifold)
    assert checked.atlas is manifold.atlas and inspect.unwrap(checked) is manifold
    assert isinstance(checked, Manifold) and str(checked) == f"validated {manifold}"
    assert checked.point(np.zeros(2), 1).chart == 1
    with pytest.raises(AttributeError, match="curl"):
        _ = checked.curl
    other = copy.deepcopy(Validated(pm.Sphere(3)))
    assert other.norm(np.eye(3)[0], np.eye(3)[1]) == 1


def test_what_is_not_implemented_stays_so():
    checked = Validated(pm.Stiefel(4, 2))
    x = checked.random_point()
    for call in (lambda: checked.dist(x, x), lambda: checked.log(x, x)):
        with pytest.raises(NotImplementedError, match="Stiefel"):
            call()
    grassmann = Validated(pm.Grassmann(4, 2))
    x = grassmann.random_point()
    with pytest.raises(NotImplementedError, match="weingarten"):
        grassmann.weingarten(x, 0 * x, 0 * x)


def test_checks_pass_on_a_validated_manifold():
    for manifold in (pm.Sphere(4), pm.Product([pm.Sphere(3), pm.Euclidean(2)])):
        checked = Validated(manifold)
        problem = linear(checked)
        assert check_gradient(problem, seed=0) and check_hessian(problem, seed=0)
        assert check_manifold(checked, seed=0)


X, U, Y = np.eye(3)[0], np.eye(3)[1], np.eye(3)[2]
BAD_ARGUMENTS = [
    ("retraction", (1.1 * X, U), "retraction: point must be on the manifold: it is off by 0.1"),
    ("retraction", (X, X + U), "retraction: tangent_vector must be tangent: .* normal part is 1,"),
    ("retraction", (X, np.eye(4)[1]), r"tangent_vector must have shape \(3,\), got \(4,\)"),
    ("retraction", (X[:2], U), r"retraction: point must have shape \(3,\), got \(2,\)"),
    ("retraction", ([1.0, 0.0, 0.0], U), "point must be made of NumPy arrays, got list"),
    ("retraction", (X, "up"), "tangent_vector must be made of NumPy arrays, got str"),
    ("retraction", (X, np.array([0.0, np.nan, 0.0])), "tangent_vector must be finite, got 1 NaN"),
    ("retraction", (X.astype(int), U), "point must be of a real floating point dtype, got int64"),
    ("retraction", (X, U + 0j), "tangent_vector must be of a real .* dtype, got complex128"),
    ("exp", (X, X), "exp: tangent_vector must be tangent"),
    ("inner_product", (X, X, U), "inner_product: tangent_vector_a must be tangent"),
    ("inner_product", (X, U, X), "inner_product: tangent_vector_b must be tangent"),
    ("norm", (X, X), "norm: tangent_vector must be tangent"),
    ("dist", (X, 2 * Y), "dist: point_b must be on the manifold"),
    ("log", (2 * X, Y), "log: point_a must be on the manifold"),
    ("pair_mean", (X, 2 * Y), "pair_mean: point_b must be on the manifold"),
    # U is tangent at X and not at its end U.
    ("transport", (U, X, U), "transport: tangent_vector_a must be tangent"),
    ("projection", (X, np.array([np.inf, 0, 0])), "projection: vector must be finite"),
    ("to_tangent_space", (X, np.zeros(2)), "to_tangent_space: vector must have shape"),
    ("random_tangent_vector", (0 * X,), "random_tangent_vector: point must be on the manifold"),
    ("zero_vector", (0 * X,), "zero_vector: point must be on the manifold"),
    ("weingarten", (X, X, X), "weingarten: tangent_vector must be tangent"),
    ("weingarten", (X, U, U), "weingarten: normal_vector must be normal: .* tangent part is 1,"),
    ("embedding", (X, X), "embedding: tangent_vector must be tangent"),
    (
        "euclidean_to_riemannian_gradient",
        (X, np.full(3, np.nan)),
        "euclidean_to_riemannian_gradient: euclidean_gradient must be finite, got 3 NaN",
    ),
    (
        "euclidean_to_riemannian_hessian",
        (X, U, np.zeros(4), U),
        "euclidean_to_riemannian_hessian: euclidean_hessian must have shape",
    ),
    ("euclidean_to_riemannian_hessian", (X, U, U, X), "tangent_vector must be tangent"),
]


@pytest.mark.parametrize(("method", "arguments", "match"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(method, arguments, match):
    with pytest.raises(ValueError, match=match):
        getattr(Validated(pm.Sphere(3)), method)(*arguments)


BAD_RESULTS = [
    ("retraction", lambda self, x, v: x + v, "retraction: result must be on the manifold: it is"),
    ("retraction", lambda self, x, v: x[:2], "retraction: result must have shape"),
    ("retraction", lambda self, x, v: [1.0, 0.0], "retraction: result must be made of NumPy"),
    ("exp", lambda self, x, v: np.nan * x, "exp: result must be finite, got 3 NaN"),
    ("log", lambda self, x, y: y - x, "log: result must be tangent"),
    ("transport", lambda self, x, y, v: v, "transport: result must be tangent"),
    ("pair_mean", lambda self, x, y: (x + y) / 2, "pair_mean: result must be on the manifold"),
    ("zero_vector", lambda self, x: np.zeros(3, int), "zero_vector: result must be of a real"),
    ("to_tangent_space", lambda self, x, v: v, "to_tangent_space: result must be tangent"),
    ("random_tangent_vector", lambda self, x: x, "random_tangent_vector: result must be tangent"),
    ("weingarten", lambda self, x, v, n: n, "weingarten: result must be tangent"),
    ("euclidean_to_riemannian_gradient", lambda self, x, g: g, "result must be tangent"),
    ("euclidean_to_riemannian_hessian", lambda self, x, g, h, v: h, "result must be tangent"),
    ("inner_product", lambda self, x, a, b: np.nan, "inner_product: result must be finite"),
    ("inner_product", lambda self, x, a, b: a * b, "inner_product: result must be a number"),
    ("inner_product", lambda self, x, a, b: 1j, "inner_product: result must be real"),
    ("norm", lambda self, x, a: np.inf, "norm: result must be finite, got inf"),
    ("norm", lambda self, x, a: -1.0, "norm: result must be at least 0, got -1"),
    ("dist", lambda self, x, y: -0.5, "dist: result must be at least 0, got -0.5"),
    ("dist", lambda self, x, y: np.nan, "dist: result must be finite, got nan"),
    ("dist", lambda self, x, y: "far", "dist: result must be a number, got 'far'"),
]
RIGHT = {
    "exp": (X, U),
    "retraction": (X, U),
    "log": (X, U),
    "pair_mean": (X, U),
    "dist": (X, U),
    "transport": (X, U, U),
    "zero_vector": (X,),
    "random_tangent_vector": (X,),
    "to_tangent_space": (X, X + U),
    "weingarten": (X, U, X),
    "euclidean_to_riemannian_gradient": (X, X + U),
    "euclidean_to_riemannian_hessian": (X, X, X + U, U),
    "inner_product": (X, U, Y),
    "norm": (X, U),
}


@pytest.mark.parametrize(("method", "function", "match"), BAD_RESULTS)
def test_bad_results_are_named(method, function, match):
    # The sphere projects by its inner product.
    base = pm.Euclidean if method == "inner_product" else pm.Sphere
    getattr(Validated(base(3)), method)(*RIGHT[method])
    broken = Validated(type("Broken", (base,), {method: function})(3))
    with pytest.raises(ValueError, match=match):
        getattr(broken, method)(*RIGHT[method])


def test_a_random_point_off_the_manifold_is_named():
    broken = type("Broken", (pm.Sphere,), {"random_point": lambda self: np.ones(3)})(3)
    with pytest.raises(ValueError, match="random_point: result must be on the manifold"):
        Validated(broken).random_point()


def test_distances_between_components_may_be_infinite():
    apart = type("Apart", (pm.Sphere,), {"dist": lambda self, x, y: np.inf})(3)
    assert np.isinf(Validated(apart).dist(X, Y))


OFF = {
    "Sphere": lambda x: 1.01 * x,
    "Sphere of matrices": lambda x: 1.01 * x,
    "Stiefel": lambda x: 1.01 * x,
    "Stiefel^2": lambda x: x + 0.01,
    "Grassmann": lambda x: 1.01 * x,
    # A reflection: orthogonal, and no rotation.
    "SpecialOrthogonalGroup": lambda x: x * [-1.0, 1.0, 1.0],
    # Symmetric, and not definite.
    "SymmetricPositiveDefinite": lambda x: x - 9 * np.eye(3),
    "HermitianPositiveDefinite": lambda x: x + np.array([[0, 0.1], [0, 0]]),
    "Oblique": lambda x: x * [1.0, 1.01],
    "Symmetric": lambda x: x + np.triu(np.ones((3, 3)), 1),
    "SkewSymmetric": lambda x: x + np.eye(3),
    "ComplexGrassmann": lambda x: 1.01 * x,
    "Positive": lambda x: -x,
    "PoincareBall": lambda x: 2 * x / np.linalg.norm(x),
    "FixedRank": lambda x: (x[0], -x[1], x[2]),
    "Product": lambda x: [x[0], 1.01 * x[1]],
    "learned sphere": lambda x: 1.01 * np.asarray(x),
    "learned torus": lambda x: 0.99 * np.asarray(x),
}


@pytest.mark.parametrize("name", OFF)
def test_points_off_the_known_manifolds_are_refused(name):
    checked = Validated(MANIFOLDS[name]())
    x = checked.random_point()
    checked.zero_vector(x)
    with pytest.raises(ValueError, match="zero_vector: point must be on the manifold"):
        checked.zero_vector(OFF[name](x))


def test_a_point_that_was_moved_from_its_place_is_refused():
    checked = Validated(PymanoptManifold(SphereCharts(1.3), seed=0))
    x = checked.random_point()
    plain = np.array(x)
    checked.zero_vector(plain)
    np.multiply(x, 1.01, out=x)
    with pytest.raises(ValueError, match="point must be on the manifold"):
        checked.zero_vector(x)


class Hyperbola(Manifold):
    """x y = 1 in the plane: a manifold that nobody knows."""

    def __init__(self):
        super().__init__("hyperbola", 1)

    def tangent(self, point):
        return np.array([point[0], -point[1]]) / np.linalg.norm(point)

    def random_point(self):
        t = np.random.uniform(0.5, 2)  # noqa: NPY002
        return np.array([t, 1 / t])

    def random_tangent_vector(self, point):
        return self.tangent(point)

    def projection(self, point, vector):
        return self.tangent(point) * (self.tangent(point) @ vector)

    def inner_product(self, point, tangent_vector_a, tangent_vector_b):
        return tangent_vector_a @ tangent_vector_b

    def norm(self, point, tangent_vector):
        return np.linalg.norm(tangent_vector)

    def zero_vector(self, point):
        return np.zeros(2)


def test_of_an_unknown_manifold_is_point_tells():
    off = np.array([1.0, 2.0])
    Validated(Hyperbola()).zero_vector(off)
    checked = Validated(Hyperbola(), is_point=lambda x: abs(x[0] * x[1] - 1) < 1e-8)
    checked.zero_vector(checked.random_point())
    with pytest.raises(ValueError, match="zero_vector: point must be on the manifold, is_point"):
        checked.zero_vector(off)
    # Tangent vectors are checked without knowing.
    with pytest.raises(ValueError, match="norm: tangent_vector must be tangent"):
        Validated(Hyperbola()).norm(np.ones(2), np.ones(2))


def test_the_tolerance_is_that_of_the_vector():
    loose, tight = Validated(pm.Sphere(3), atol=1e-3), Validated(pm.Sphere(3), atol=1e-12)
    nearly = U + 1e-6 * X
    loose.norm(X, nearly)
    loose.norm(X, 1e6 * nearly)
    for vector in (nearly, 1e6 * nearly):
        with pytest.raises(ValueError, match="the tolerance is"):
            tight.norm(X, vector)
    loose.zero_vector(1.0001 * X)
    with pytest.raises(ValueError, match="the tolerance is"):
        tight.zero_vector(1.0001 * X)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("sphere",), TypeError, "manifold must be a pymanopt Manifold, got str"),
        ((pm.Sphere(3), 0), ValueError, "atol must be"),
        ((pm.Sphere(3), -1e-8), ValueError, "atol must be"),
        ((pm.Sphere(3), "small"), TypeError, "atol must be"),
        ((pm.Sphere(3), 1e-8, True), TypeError, "is_point must be callable, got bool"),
    ],
)
def test_bad_constructor_arguments_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        Validated(*arguments)


def test_wrapping_draws_no_random_numbers():
    manifold = PymanoptManifold(SphereCharts(1.3), seed=0)
    state, own = np.random.get_state()[1].copy(), manifold._random.bit_generator.state  # noqa: NPY002
    Validated(manifold)
    Validated(pm.Product([pm.Sphere(3), manifold]))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert manifold._random.bit_generator.state == own
