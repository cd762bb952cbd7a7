"""The check of operators passes on right ones and tells every wrong one by its property."""

import math

import numpy as np
import pytest
import torch
from oracles import draw

import learnedmanifolds as lm
from learnedmanifolds import operators
from learnedmanifolds.operators import AffineOperator, FunctionOperator, Linearization, Operator
from learnedmanifolds.operators.impedance import ElectricalImpedance, ImpedanceMesh

SHAPE = (5, 6)
POINT = draw(*SHAPE, seed=1)
RIGHT = {
    "Gaussian": operators.GaussianBlur(1.5, padding_value=0.5),
    "mirrored": operators.Blur(draw(4, 3), "reflect"),
    "Radon": operators.Radon([0.1, 1.0, 2.5], 0.1),
    "mask": operators.mask([1, 1, 20]),
    "callable": lambda x: x.sin() * x.flip(0),
    "nearly linear": lambda x: x + 1e-3 * x**2,
    "scalar": lambda x: x.square().sum(),
    "constant": lambda x: 1 + 0 * x.flatten()[:2],
}


class Sines(Operator):
    """sin(x) + x, its parts free to be replaced by wrong ones."""

    def __init__(self, **wrong):
        self.wrong = wrong

    def batch(self, points):
        value = points.sin() + points
        return self.wrong.get("batch", lambda y: y)(value) if len(points) > 1 else value

    def linearize(self, point):
        slope = point.cos() + 1
        right = {"value": self(point), "jvp": lambda v: slope * v, "vjp": lambda w: slope * w}
        changed = {name: self.wrong[name](right[name]) for name in right if name in self.wrong}
        return Linearization(**(right | changed))


def last_row_lost(apply):
    return lambda w: apply(torch.cat([w[:, :-1], 0 * w[:, -1:]], 1))


class Twice(AffineOperator):
    def __init__(self, back=lambda w: 2 * w, curve=0.0):
        self.back, self.curve = back, curve

    def batch(self, points):
        return 2 * points + self.curve * points**2

    def derivative(self, vectors):
        return 2 * vectors

    def adjoint(self, covectors, ambient_shape):
        return self.back(covectors)


WRONG = {
    "adjoint off by a millionth": (Sines(vjp=lambda f: lambda w: (1 + 1e-6) * f(w)), {"adjoint"}),
    "adjoint without a row": (Sines(vjp=last_row_lost), {"adjoint"}),
    "adjoint turned round": (Sines(vjp=lambda f: lambda w: f(w).flip(1)), {"adjoint"}),
    "adjoint of another shape": (Sines(vjp=lambda f: lambda w: f(w)[:, :1]), {"adjoint"}),
    "adjoint that raises": (Sines(vjp=lambda f: lambda w: f(w) @ w), {"adjoint"}),
    "derivative off": (Sines(jvp=lambda f: lambda v: 1.001 * f(v)), {"adjoint"}),
    "derivative without a row": (Sines(jvp=last_row_lost), {"adjoint"}),
    "derivative not linear": (Sines(jvp=lambda f: lambda v: f(v).abs()), {"linear"}),
    "value off": (Sines(value=lambda y: y + 1e-6), {"value"}),
    "batch off": (Sines(batch=lambda y: y + 1e-6), {"batch"}),
    "batch of the first": (Sines(batch=lambda y: y[:1].expand_as(y)), {"batch"}),
    "batch of another shape": (Sines(batch=lambda y: y.mean(1)), {"batch"}),
    "affine adjoint off": (Twice(lambda w: 1.9 * w), {"adjoint"}),
    "affine adjoint not of a map": (Twice(lambda w: 2 * w.roll(1, 2)), {"adjoint"}),
    "affine but curved": (Twice(curve=1e-4), {"affine"}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_operators_pass(name):
    for seed in range(3):
        check = lm.check_adjoint(RIGHT[name], POINT, seed=seed)
        assert check.passed, check.message
        assert check["adjoint"] and check["batch"] and check["gradient"]
        assert all(item.error < 1e-10 for item in check.properties)


@pytest.mark.parametrize(
    ("operator", "order"),
    [
        (RIGHT["Gaussian"], math.inf),
        (RIGHT["callable"], 2),
        (RIGHT["constant"], math.inf),
        (lambda x: x**3, 2),
    ],
)
def test_order_of_the_remainder(operator, order):
    check = lm.check_adjoint(operator, POINT, seed=0)
    assert check.slope == order or abs(check.slope - order) < 0.1
    assert ("affine" in {item.name for item in check.properties}) == (operator is RIGHT["Gaussian"])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_operators_are_told(name):
    operator, expected = WRONG[name]
    for seed in range(3):
        check = lm.check_adjoint(operator, POINT, seed=seed)
        assert not check.passed and "FAILED" in check.message
        failed = {item.name for item in check.properties if item.failed}
        assert expected <= failed
    assert lm.check_adjoint(Sines(), POINT, seed=0).passed
    assert lm.check_adjoint(Twice(), POINT, seed=0).passed


def test_a_wrong_derivative_with_its_own_adjoint_is_told_by_the_slope():
    both = {name: (lambda f: lambda v: 1.001 * f(v)) for name in ("jvp", "vjp")}
    check = lm.check_adjoint(Sines(**both), POINT, seed=0)
    assert check["adjoint"] and not check.slope_passed
    assert abs(check.slope - 1) < 0.1
    assert not check["gradient"]


def test_a_detached_function_is_told_by_the_slope():
    check = lm.check_adjoint(lambda x: x.sin() + x.detach().cos(), POINT, seed=0)
    assert not check.passed and not check.slope_passed


def test_large_and_zero_points():
    assert lm.check_adjoint(lambda x: (x / 1e6).sin(), 1e6 * POINT, seed=0).passed
    assert lm.check_adjoint(RIGHT["callable"], torch.zeros(SHAPE), seed=0).passed
    assert lm.check_adjoint(torch.exp, np.array([0.3]), seed=0).passed


def test_the_same_seed_gives_the_same_numbers_and_leaves_torch_alone():
    state = torch.random.get_rng_state()
    first, again, other = (
        lm.check_adjoint(RIGHT["callable"], POINT, seed=seed) for seed in (3, 3, 4)
    )
    assert np.array_equal(first.errors, again.errors, equal_nan=True)
    assert not np.array_equal(first.errors, other.errors, equal_nan=True)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_integers_that_fit_are_a_point():
    assert lm.check_adjoint(torch.sin, (1, 2, 3), seed=0).passed


def test_numbers_of_draws():
    many = lm.check_adjoint(RIGHT["callable"], POINT, n_draws=20, seed=0)
    one = lm.check_adjoint(RIGHT["callable"], POINT, n_draws=1, seed=0)
    assert many.passed and one.passed
    assert len(many.slopes) == 3 and len(one.slopes) == 1


class Counted(FunctionOperator):
    n_calls = 0

    def __call__(self, point):
        self.n_calls += 1
        return super().__call__(point)

    def batch(self, points):
        self.n_calls += len(points)
        return super().batch(points)


@pytest.mark.parametrize(
    ("function", "order", "least", "most"),
    [
        # A decade in both directions and the tiny steps, three times; a few of the properties.
        (lambda x: x.sin(), 2, 14, 75),
        (lambda x: x.sin() + x.detach().cos(), 1, 14, 75),
        (lambda x: x**3, 2, 14, 75),
        # The order shows later, or never.
        (lambda x: x + 1e-6 * x**2, 2, 80, 200),
        (lambda x: 2 * x, math.inf, 150, 200),
    ],
)
def test_steps_are_taken_up_to_the_decade_that_shows_the_order(function, order, least, most):
    operator = Counted(function)
    check = lm.check_adjoint(operator, POINT, seed=0)
    assert check.slope == pytest.approx(order, abs=0.05)
    assert least <= operator.n_calls <= most
    for errors, (first, stop) in zip(check.errors, check.windows, strict=True):
        seen = np.isfinite(errors)
        assert seen[: max(stop, 7)].all() and not seen[stop:].any() or stop == first and seen.all()
    check.plot()


def test_few_factorizations_of_an_operator_that_makes_one_a_point():
    operator = ElectricalImpedance(ImpedanceMesh.rectangle(4, 3), (3, 4), scale=1.3, offset=0.1)
    check = lm.check_adjoint(operator, draw(3, 4, low=0.5, high=1.5), seed=0)
    assert check.passed, check.message
    assert operator.n_factorizations <= 65


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lm.check_adjoint(3, POINT), TypeError, "operator must be a callable"),
        (lambda: lm.check_adjoint(torch.sin, "x"), TypeError, "point"),
        (lambda: lm.check_adjoint(torch.sin, [math.nan]), ValueError, "point must be finite"),
        *(
            (
                lambda o=o, shape=shape: lm.check_adjoint(o, shape),
                ValueError,
                r"point must be a point, such as torch\.rand\(.*, not a shape, got",
            )
            for o, shape in [
                (RIGHT["Gaussian"], (1, 32, 32)),
                (RIGHT["Gaussian"], [32, 32]),
                (RIGHT["Radon"], torch.Size([8, 8])),
                (operators.linear(torch.ones(2, 9)), (3, 3)),
                (lambda x: x[2, 2], (3, 3)),
                (torch.nn.Linear(9, 2), (3, 3)),
            ]
        ),
        (
            lambda: lm.check_adjoint(operators.linear(torch.ones(2, 9)), [0.5, 3.0]),
            ValueError,
            "^point must have 9 entries",
        ),
        (lambda: lm.check_adjoint(lambda x: 3.0, POINT), TypeError, "must return a torch tensor"),
        (lambda: lm.check_adjoint(torch.sin, []), ValueError, "point must not be empty"),
        (lambda: lm.check_adjoint(torch.log, [-1.0, 2.0]), ValueError, "got 1 NaN.*of 2 values"),
        (lambda: lm.check_adjoint(torch.sin, POINT, n_draws=0), ValueError, "n_draws"),
        (lambda: lm.check_adjoint(torch.sin, POINT, tolerance=0.0), ValueError, "tolerance"),
        (lambda: lm.check_adjoint(torch.sin, POINT, seed=-1), ValueError, "seed"),
        (
            lambda: lm.check_adjoint(Sines(jvp=lambda f: lambda v: f(v)[:, :1]), POINT),
            ValueError,
            r"jvp of 10 vectors must have shape \(10, 5, 6\), got \(10, 1, 6\)",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
