"""Numerical checks: what is right passes, what is wrong fails by its name."""

import autograd.numpy as anp
import matplotlib
import numpy as np
import pymanopt
import pytest
import torch
from oracles import random_flow
from pymanopt.manifolds import (
    Elliptope,
    Euclidean,
    FixedRankEmbedded,
    Grassmann,
    Oblique,
    PoincareBall,
    Positive,
    Product,
    PSDFixedRank,
    SpecialOrthogonalGroup,
    Sphere,
    Stiefel,
    SymmetricPositiveDefinite,
)

from learnedmanifolds.charts import CircleCharts, SphereCharts, TorusCharts
from learnedmanifolds.checks import (
    check_gradient,
    check_hessian,
    check_manifold,
    check_retraction,
    check_transport,
)
from learnedmanifolds.checks.slopes import fit
from learnedmanifolds.checks.validated import Validated
from learnedmanifolds.geometry import BoundaryError
from learnedmanifolds.manifolds import PymanoptManifold

RETRACTIONS = ["second-order", "chart", "projection"]
LEARNED = {
    "circle": lambda: CircleCharts(2.0),
    "sphere": lambda: SphereCharts(1.3),
    "torus": lambda: TorusCharts(),
    "flow": lambda: random_flow(2, 3),
}
HOSTS = {
    "Sphere": lambda: Sphere(4),
    "Stiefel, first order": lambda: Stiefel(4, 2),
    "Stiefel, second order": lambda: Stiefel(4, 2, retraction="polar"),
    "Euclidean": lambda: Euclidean(3, 2),
    "Oblique": lambda: Oblique(3, 2),
    "Product": lambda: Product([Sphere(3), Stiefel(3, 2), Euclidean(2)]),
    "SymmetricPositiveDefinite": lambda: SymmetricPositiveDefinite(3),
    "SpecialOrthogonalGroup": lambda: SpecialOrthogonalGroup(3),
}
QUOTIENTS = {
    "Grassmann": lambda: Grassmann(5, 2),
    "PSDFixedRank": lambda: PSDFixedRank(4, 2),
    "Positive": lambda: Positive(2, 2),
    "PoincareBall": lambda: PoincareBall(3),
    "FixedRank": lambda: FixedRankEmbedded(5, 4, 2),
}


def waves(manifold):
    """A cost without symmetry on any number of arrays, differentiated by autograd."""

    @pymanopt.function.autograd(manifold)
    def cost(*arrays):
        return sum(
            anp.sum(anp.sin((k + 1.3) * x + 0.4)) + x.ravel()[0] * x.ravel()[1] ** 2
            for k, x in enumerate(arrays)
        )

    return pymanopt.Problem(manifold, cost)


def learned(name, retraction="second-order"):
    return PymanoptManifold(LEARNED[name](), retraction, seed=0)


@pytest.mark.parametrize("name", HOSTS)
def test_right_derivatives_pass_on_pymanopts_manifolds(name):
    problem = waves(HOSTS[name]())
    gradient, hessian = check_gradient(problem, seed=0), check_hessian(problem, seed=0)
    assert gradient.passed and hessian.passed, f"{gradient}\n{hessian}"
    assert gradient.slope == pytest.approx(2, abs=0.1)
    assert hessian.slope == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("retraction", RETRACTIONS)
@pytest.mark.parametrize("name", LEARNED)
def test_right_derivatives_pass_on_learned_manifolds(name, retraction):
    problem = waves(learned(name, retraction))
    n_points = 1 if retraction == "projection" else 3
    gradient = check_gradient(problem, seed=0, n_points=n_points)
    hessian = check_hessian(problem, seed=0, n_points=n_points)
    assert gradient.passed and hessian.passed, f"{gradient}\n{hessian}"


@pytest.mark.parametrize("name", ["Grassmann", "PSDFixedRank"])
def test_derivatives_on_quotients(name):
    manifold = QUOTIENTS[name]()
    a = np.diag(np.arange(1.0, manifold.random_point().shape[0] + 1))

    @pymanopt.function.autograd(manifold)
    def invariant(x):
        return anp.sum((x @ x.T - a) ** 2)

    @pymanopt.function.autograd(manifold)
    def variant(x):
        return anp.sum(anp.sin(x))

    right = pymanopt.Problem(manifold, invariant)
    assert check_gradient(right, seed=0) and check_hessian(right, seed=0)
    # Not a function on the quotient: its derivative along the fibres is not 0.
    if name == "PSDFixedRank":
        assert check_gradient(pymanopt.Problem(manifold, variant), seed=0)["tangent"].failed


def altered(manifold, gradient=None, hessian=None):
    """The problem `waves` with its Riemannian derivatives passed through functions."""
    right, on = waves(manifold), pymanopt.function.numpy(manifold)
    arguments = {
        "riemannian_gradient": on(
            lambda x: (gradient or (lambda x, g: g))(x, right.riemannian_gradient(x))
        )
    }
    if hessian:
        arguments["riemannian_hessian"] = on(
            lambda x, h: hessian(x, h, right.riemannian_hessian(x, h))
        )
    return pymanopt.Problem(manifold, on(lambda x: right.cost(x)), **arguments)


@pytest.mark.parametrize("error", [1e-2, -1e-2, 1e-4])
@pytest.mark.parametrize("manifold", [Sphere(4), Stiefel(4, 2), learned("torus")], ids=str)
def test_a_gradient_that_is_slightly_off_has_slope_one(manifold, error):
    check = check_gradient(altered(manifold, lambda x, g: (1 + error) * g), seed=0)
    assert not check and not check.passed
    assert check.slope == pytest.approx(1, abs=0.2)
    assert "FAILED" in check.message and "slope" in check.message
    assert check["tangent"].passed


def test_a_gradient_that_is_not_tangent_is_named():
    check = check_gradient(altered(Sphere(4), lambda x, g: g + 0.01 * x), seed=0)
    # Its derivatives along the sphere are right.
    assert check.slope_passed and not check.passed
    assert check["tangent"].failed and "tangent: FAILED (at point" in repr(check)


def test_the_worst_point_is_where_the_error_is():
    # A gradient that is wrong on a half sphere only.
    problem = altered(Sphere(4), lambda x, g: g * (1.1 if x[0] > 0 else 1.0))
    check = check_gradient(problem, seed=0)
    assert not check
    wrong = np.array([x[0] > 0 for x in check.points])
    assert 0 < wrong.sum() < len(wrong)
    np.testing.assert_array_equal(check.slopes < 1.9, wrong)
    assert check.point[0] > 0 and check.slope == check.slopes[check.worst]
    assert abs(check.tangent_vector @ check.point) < 1e-12
    assert f"at point {check.worst + 1} of 10, {wrong.sum()} of them" in check.message


@pytest.mark.parametrize("manifold", [Sphere(4), Oblique(3, 2), learned("sphere")], ids=str)
def test_a_hessian_without_the_weingarten_term_has_slope_two(manifold):
    right = waves(manifold)
    check = check_hessian(
        altered(
            manifold,
            hessian=lambda x, h, _: manifold.projection(x, right.euclidean_hessian(x, h)),
        ),
        seed=0,
    )
    assert not check and check.slope == pytest.approx(2, abs=0.1)
    assert check["symmetric"] and check["linear"] and check["tangent"]


def test_an_antisymmetric_part_of_the_hessian_is_named():
    # It does not change the second derivative along any line, so that no slope tells.
    turn = np.array([[0.0, 1e-3, 0.0], [-1e-3, 0.0, 0.0], [0.0, 0.0, 0.0]])
    check = check_hessian(altered(Euclidean(3), hessian=lambda x, h, image: image + turn @ h))
    assert check.slope_passed and check["linear"]
    assert not check and check["symmetric"].failed
    assert [item.name for item in check.properties if item.failed] == ["symmetric"]


def test_a_hessian_that_is_not_linear_or_not_tangent_is_named():
    manifold = Sphere(4)
    square = check_hessian(
        altered(manifold, hessian=lambda x, h, image: image * np.linalg.norm(h) ** 0.1), seed=0
    )
    assert square.slope_passed and square["linear"].failed
    normal = check_hessian(altered(manifold, hessian=lambda x, h, image: image + x * h[0]), seed=0)
    assert normal.slope_passed and normal["tangent"].failed


def test_along_a_first_order_retraction_the_hessian_still_has_slope_three():
    manifold = Stiefel(4, 2)
    assert not check_retraction(manifold, seed=0)["second order"]
    assert check_hessian(waves(manifold), seed=0)
    # The gradient is what the retraction's own acceleration is weighed with.
    assert not check_hessian(altered(manifold, lambda x, g: 1.01 * g, lambda x, h, image: image))


def test_what_is_exact_passes_with_an_infinite_slope():
    manifold, a = Euclidean(5), np.arange(5.0)
    on = pymanopt.function.autograd(manifold)
    linear = pymanopt.Problem(manifold, on(lambda x: anp.dot(a, x) + 7))
    quadratic = pymanopt.Problem(manifold, on(lambda x: anp.dot(a * x, x)))
    for check in (check_gradient(linear), check_hessian(quadratic), check_retraction(manifold)):
        assert check and np.isinf(check.slopes).all() and not check.windows.any()
    assert check_gradient(quadratic).slope == pytest.approx(2, abs=1e-3)
    check.plot()


def test_a_greater_slope_is_no_failure():
    manifold = Euclidean(2)
    cost = pymanopt.function.autograd(manifold)(lambda x: anp.sum(x**3) + anp.sum(x))
    check = check_gradient(pymanopt.Problem(manifold, cost), point=np.zeros(2), seed=0)
    assert check and check.slope == pytest.approx(3, abs=0.01)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_cost_that_is_not_a_number_fails():
    manifold = Euclidean(2)
    on = pymanopt.function.numpy(manifold)
    problem = pymanopt.Problem(
        manifold, on(lambda x: np.nan), riemannian_gradient=on(lambda x: 0 * x)
    )
    check = check_gradient(problem)
    assert not check and np.isnan(check.slope)


def test_noise_is_not_taken_for_rounding():
    jumps = type("Jumps", (Sphere,), {"retraction": lambda self, x, v: self.random_point()})
    assert not check_retraction(jumps(3), seed=0)
    manifold, rng = Euclidean(3), np.random.default_rng(0)
    on = pymanopt.function.numpy(manifold)
    for noise, passed in ((1e-3, False), (1e-9, True)):
        problem = pymanopt.Problem(
            manifold,
            on(lambda x, noise=noise: x @ x + noise * rng.random()),
            riemannian_gradient=on(lambda x: 2 * x),
        )
        assert check_gradient(problem, seed=0).passed is passed


STEPS = np.geomspace(1e-5, 1e-1, 25)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_slope_of_a_power_is_its_exponent(order):
    slope, (first, stop) = fit(STEPS, 3 * STEPS**order + 50 * STEPS ** (order + 1), 1e-16, order)
    assert slope == pytest.approx(order, abs=0.05) and stop - first == 7


def test_the_slope_is_that_of_small_steps_away_from_rounding():
    noise = 1e-9 * np.random.default_rng(0).random(25)
    slope, (first, _) = fit(STEPS, STEPS**2 + noise, 1e-9, 2)
    assert slope == pytest.approx(2, abs=0.05) and STEPS[first] > 5e-5
    # A small linear part wins in the end, a jump at large steps does not count.
    assert fit(STEPS, 1e-4 * STEPS + STEPS**2, 1e-16, 2)[0] < 1.5
    jump = STEPS**2 + 0.3 * (STEPS > 2e-3)
    assert fit(STEPS, jump, 1e-16, 2)[0] == pytest.approx(2, abs=0.01)
    assert fit(STEPS, 0 * STEPS + 1e-16, 1e-16, 2) == (np.inf, (0, 0))
    assert np.isnan(fit(STEPS, np.nan * STEPS, 1e-16, 2)[0])


@pytest.mark.parametrize("name", HOSTS | QUOTIENTS)
def test_pymanopts_retractions_and_transports_pass(name):
    manifold = (HOSTS | QUOTIENTS)[name]()
    if name == "FixedRank":
        with pytest.raises(NotImplementedError, match="neither points that are arrays nor exp"):
            check_retraction(manifold)
    else:
        check = check_retraction(manifold, seed=0)
        assert check, check
        first_order = name in ("Stiefel, first order", "Product", "SpecialOrthogonalGroup")
        assert check["second order"].passed is not first_order
    if name != "PoincareBall":
        check = check_transport(manifold, seed=0)
        assert check, check


@pytest.mark.parametrize("retraction", RETRACTIONS)
@pytest.mark.parametrize("name", LEARNED)
def test_learned_retractions_have_the_order_that_they_claim(name, retraction):
    n_points = 1 if retraction == "projection" else 3
    check = check_retraction(learned(name, retraction), seed=0, n_points=n_points)
    assert check and check["ends on the manifold"]
    # The circle's charts run along it at constant speed.
    assert check["second order"].passed is (retraction != "chart" or name == "circle")


@pytest.mark.parametrize(("transport", "isometric"), [("projection", False), ("parallel", True)])
def test_learned_transports(transport, isometric):
    manifold = PymanoptManifold(SphereCharts(1.3), transport=transport, seed=0)
    check = check_transport(manifold, seed=0, n_points=1)
    assert check and check["isometric"].passed is isometric
    assert check.slope == pytest.approx(1, abs=0.1)


def unit(x):
    return x / np.linalg.norm(x)


TILT = np.array([0.3, -0.2, 0.5, 0.1])
UP = np.array([0.0, 0.0, 0.0, 1.0])


def bend(x, v):
    """A retraction of first order: a turn of the end about a fixed axis that grows as t^2."""
    end = unit(x + v)
    angle = v @ v
    turned = end.copy()
    turned[0] = np.cos(angle) * end[0] - np.sin(angle) * end[1]
    turned[1] = np.sin(angle) * end[0] + np.cos(angle) * end[1]
    return turned


ROUND_TRIPS = {"dist to exp", "log of exp", "exp of log"}

# One wrong method of the sphere, and what must fail: no less; and no more, unless all else that is
# checked is measured by that method.
WRONG = {
    "retraction of order 0": (
        "retraction",
        lambda self, x, v: unit(x + 2 * v),
        {"retraction", "gradient", "Hessian"},
    ),
    "retraction that moves zero": (
        "retraction",
        lambda self, x, v: unit(x + v + 1e-3 * UP),
        {"retraction", "retraction: zero stays", "gradient", "Hessian", "transport"},
    ),
    "retraction off the manifold": (
        "retraction",
        lambda self, x, v: x + v,
        {
            "retraction: ends on the manifold",
            # Found on the way, between a point and an end that is none.
            *("Hessian", "transport: tangent", "exp of log"),
            *("dist definite", "triangle inequality", "pair_mean"),
        },
    ),
    "exponential map of first order": (
        "exp",
        lambda self, x, v: bend(x, v),
        {"exp: second order", *ROUND_TRIPS},
    ),
    "exponential map of other speed": ("exp", lambda self, x, v: unit(x + v), ROUND_TRIPS),
    "transport that is not tangent": (
        "transport",
        lambda self, x, y, v: v,
        {"transport: tangent"},
    ),
    "transport that is not linear": (
        "transport",
        lambda self, x, y, v: self.projection(y, v) * np.linalg.norm(v) ** 0.5,
        {"transport: linear"},
    ),
    "transport that turns around": (
        "transport",
        lambda self, x, y, v: -self.projection(y, v),
        {"transport", "transport: identity at zero"},
    ),
    "projection that is not symmetric": (
        "projection",
        lambda self, x, v: v - x * ((x + 0.1 * TILT) @ v) / ((x + 0.1 * TILT) @ x),
        {"projection symmetric"},
    ),
    "projection that is not idempotent": (
        "projection",
        lambda self, x, v: 0.9 * (v - x * (x @ v)),
        {"projection idempotent"},
    ),
    "to_tangent_space that does nothing": (
        "to_tangent_space",
        lambda self, x, v: v,
        {"to_tangent_space"},
    ),
    "inner product that is not symmetric": (
        "inner_product",
        lambda self, x, a, b: a @ b + 1e-4 * (a[0] * b[1] - a[1] * b[0]),
        {"inner_product symmetric"},
    ),
    "inner product that is not positive": (
        "inner_product",
        lambda self, x, a, b: a @ b - 100 * a[0] * b[0],
        {"inner_product positive"},
    ),
    "inner product that is not linear": (
        "inner_product",
        lambda self, x, a, b: np.linalg.norm(a) * np.linalg.norm(b),
        {"inner_product linear"},
    ),
    "norm that is squared": ("norm", lambda self, x, v: v @ v, {"norm"}),
    "zero that is not zero": (
        "zero_vector",
        lambda self, x: self.projection(x, UP),
        {"zero_vector"},
    ),
    "zero of another shape": ("zero_vector", lambda self, x: np.zeros(5), {"zero_vector"}),
    "random points off the manifold": (
        "random_point",
        lambda self: 1.001 * unit(np.random.normal(size=4)),  # noqa: NPY002
        {"random_point"},
    ),
    "random vectors that are not tangent": (
        "random_tangent_vector",
        lambda self, x: unit(np.random.normal(size=4)),  # noqa: NPY002
        {"random_tangent_vector tangent"},
    ),
    "random vectors of another norm": (
        "random_tangent_vector",
        lambda self, x: 2 * unit(self.projection(x, np.random.normal(size=4))),  # noqa: NPY002
        {"random_tangent_vector of norm 1"},
    ),
    "distance that is not symmetric": (
        "dist",
        lambda self, x, y: Sphere.dist(self, x, y) * (1 + 0.1 * (x[0] > y[0])),
        {"dist symmetric", "triangle inequality", *ROUND_TRIPS},
    ),
    "distance of a point to itself": (
        "dist",
        lambda self, x, y: Sphere.dist(self, x, y) + 0.1,
        {"dist definite", "pair_mean", *ROUND_TRIPS},
    ),
    "distance without triangle inequality": (
        "dist",
        lambda self, x, y: Sphere.dist(self, x, y) ** 2,
        {"triangle inequality", "pair_mean", *ROUND_TRIPS},
    ),
    "logarithm of other length": (
        "log",
        lambda self, x, y: 1.01 * Sphere.log(self, x, y),
        {"log of exp", "exp of log", "norm of log"},
    ),
    "mean that is an end": ("pair_mean", lambda self, x, y: x, {"pair_mean"}),
    "Weingarten map of the other sign": (
        "weingarten",
        lambda self, x, v, n: -Sphere.weingarten(self, x, v, n),
        {"Hessian"},
    ),
    "gradient that is not projected": (
        "euclidean_to_riemannian_gradient",
        lambda self, x, g: g,
        {"gradient: tangent", "Hessian"},
    ),
    "a method that breaks": (
        "log",
        lambda self, x, y: x @ np.eye(9),
        {"log of exp", "exp of log", "norm of log"},
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_manifold_fails_by_the_name_of_what_is_wrong(case):
    method, function, expected = WRONG[case]
    report = check_manifold(type("Broken", (Sphere,), {method: function})(4), seed=0)
    failed = {item.name for item in report.failures}
    assert not report and "FAILED" in report.message
    if method in ("projection", "inner_product", "norm", "random_point") or "not tangent" in case:
        assert expected <= failed, report
    else:
        assert failed == expected, report


def test_the_sphere_of_these_cases_is_right():
    report = check_manifold(type("Right", (Sphere,), {})(4), seed=0)
    assert report and not report.failures
    assert all(item.passed for item in report.properties if item.required), report


@pytest.mark.parametrize("name", HOSTS | QUOTIENTS)
def test_pymanopts_manifolds_pass(name):
    report = check_manifold((HOSTS | QUOTIENTS)[name](), seed=0)
    assert report.passed, report


def test_defects_of_pymanopt_are_found():
    # Its projection is not idempotent; that of the retraction for the exponential map is no map.
    report = check_manifold(Elliptope(5, 3), seed=0)
    assert report["projection idempotent"].failed
    assert report["exp"].passed is None and report["dist to exp"].passed is None


@pytest.mark.parametrize("name", ["circle", "sphere", "torus"])
def test_learned_manifolds_pass(name):
    report = check_manifold(learned(name), seed=0, n_points=1)
    assert report.passed, report
    assert report["exp"] and report["log of exp"] and report["retraction: second order"]


class Hemisphere(Sphere):
    """With a boundary, where geodesics end."""

    def random_point(self):
        x = super().random_point()
        return x * np.sign(x[-1])

    def exp(self, point, tangent_vector):
        end = super().exp(point, tangent_vector)
        if end[-1] < 0:
            raise BoundaryError("out")
        return end


def test_geodesics_that_leave_through_the_boundary_are_left_out():
    report = check_manifold(Hemisphere(3), seed=0, n_points=30)
    assert report.passed and report["exp"] and report["log of exp"], report
    exp = next(check for check in report.checks if check.name == "exp")
    assert np.isnan(exp.errors[:, -1]).any() and np.isfinite(exp.slopes).all()


def test_what_is_not_implemented_is_neither_success_nor_failure():
    report = check_manifold(Stiefel(4, 2), seed=0)
    assert report.passed
    for name in ("dist symmetric", "log of exp", "pair_mean"):
        assert report[name].passed is None and not report[name].failed and not report[name]
        assert f"{name}: not checked (not implemented)" in report.message
    with pytest.raises(KeyError, match="name must be one of"):
        report["curl"]
    with pytest.raises(NotImplementedError, match="transport"):
        check_transport(PoincareBall(3))


def test_a_draw_that_breaks_is_reported():
    broken = type("Broken", (Sphere,), {"random_tangent_vector": lambda self, x: 0 * x})
    report = check_manifold(broken(3))
    assert not report and "positive finite norm" in report["random points"].detail
    assert report.plot().axes == []


@pytest.mark.parametrize("wrap", [lambda m: m, Validated, lambda m: Product([m, Sphere(3)])])
def test_random_states_are_left_as_they_were(wrap):
    inner = PymanoptManifold(SphereCharts(1.3), seed=5)
    manifold = wrap(inner)
    problem = waves(manifold)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    own, of_torch = inner._random.bit_generator.state, torch.get_rng_state()
    generator = inner._random
    slopes = [check_gradient(problem, seed=s, n_points=2).slopes for s in (0, 0, 1)]
    check_retraction(manifold, n_points=1)
    check_transport(manifold, n_points=1)
    check_hessian(problem, n_points=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert inner._random is generator and generator.bit_generator.state == own
    assert torch.equal(torch.get_rng_state(), of_torch)
    np.testing.assert_array_equal(slopes[0], slopes[1])
    assert np.abs(slopes[0] - slopes[2]).max() > 0


def test_random_states_are_left_as_they_were_by_a_report():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (check_manifold(Sphere(3), seed=3) for _ in range(2))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert first.message == second.message


def test_a_point_and_a_direction_can_be_chosen():
    problem = waves(Sphere(4))
    x, v = np.eye(4)[0], 5 * np.eye(4)[1]
    check = check_gradient(problem, x, v, n_points=7)
    assert check.errors.shape == (1, len(check.steps)) and check.point is x
    np.testing.assert_allclose(check.tangent_vector, v / 5)
    several = check_hessian(problem, x, n_points=4, seed=0)
    assert len(several.slopes) == 4 and all(p is x for p in several.points)
    product = Product([Sphere(3), Euclidean(2)])
    point = [np.eye(3)[0], np.ones(2)]
    assert check_retraction(product, point, [np.eye(3)[1], np.zeros(2)])


SPHERE = Sphere(3)
BAD = [
    ({"problem": SPHERE}, TypeError, "problem must"),
    ({"n_points": 0}, ValueError, "n_points must"),
    ({"n_points": -1}, ValueError, "n_points must"),
    ({"n_points": 2.0}, TypeError, "n_points must"),
    ({"seed": -1}, ValueError, "seed must"),
    ({"seed": "0"}, TypeError, "seed must"),
    ({"tolerance": 0}, ValueError, "tolerance must"),
    ({"tolerance": "small"}, TypeError, "tolerance must"),
    ({"point": np.eye(4)[0]}, ValueError, "point must have shape"),
    ({"point": np.full(3, np.nan)}, ValueError, "point must be finite"),
    ({"tangent_vector": np.eye(3)[0]}, ValueError, "tangent_vector must come with"),
    (
        {"point": np.eye(3)[0], "tangent_vector": np.eye(4)[1]},
        ValueError,
        "tangent_vector must have shape",
    ),
    (
        {"point": np.eye(3)[0], "tangent_vector": np.eye(3)[0]},
        ValueError,
        "tangent_vector must be tangent",
    ),
    (
        {"point": np.eye(3)[0], "tangent_vector": np.zeros(3)},
        ValueError,
        "tangent_vector must have a positive",
    ),
]


@pytest.mark.parametrize(("arguments", "error", "match"), BAD)
def test_bad_arguments_are_refused(arguments, error, match):
    arguments = dict(arguments)
    problem = arguments.pop("problem", None) or waves(SPHERE)
    for check in (check_gradient, check_hessian):
        with pytest.raises(error, match=match):
            check(problem, **arguments)
    if problem is not SPHERE:
        for check in (check_retraction, check_transport):
            with pytest.raises(error, match=match):
                check(SPHERE, **arguments)


@pytest.mark.parametrize("check", [check_retraction, check_transport, check_manifold])
def test_what_is_no_manifold_is_refused(check):
    with pytest.raises(TypeError, match="manifold must be a pymanopt Manifold, got str"):
        check("sphere")
    with pytest.raises(ValueError, match="n_points must"):
        check(SPHERE, n_points=0)
    with pytest.raises(ValueError, match="seed must"):
        check(SPHERE, seed=-1)


def test_figures_show_the_curves_and_the_expected_slope():
    check = check_gradient(waves(Sphere(4)), seed=0, n_points=3)
    axis = check.plot().axes[0]
    assert axis.get_xscale() == axis.get_yscale() == "log"
    assert axis.get_xlabel() == "step" and axis.get_ylabel() == "error"
    # Three curves, the worst again, its window, the reference line.
    assert len(axis.lines) == 6
    reference = axis.lines[-1]
    x, y = (np.log(np.asarray(d, dtype=float)) for d in reference.get_data())
    assert np.polyfit(x, y, 1)[0] == pytest.approx(2) and reference.get_label() == "slope 2"
    report = check_manifold(Sphere(4), seed=0, n_points=2)
    figure = report.plot()
    assert len(figure.axes) == len(report.checks) == 5
    assert isinstance(figure, matplotlib.figure.Figure)
    figure.canvas.draw()
