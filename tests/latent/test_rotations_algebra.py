"""so(3): exponential, logarithm and quaternions against SciPy, derivatives at every angle."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from oracles import draw, unit
from scipy.spatial.transform import Rotation

from learnedmanifolds.latent.rotations import (
    angle,
    exp,
    from_quaternion,
    hat,
    log,
    random_rotations,
    to_quaternion,
    vee,
)

AXES = unit(draw(6, 3, seed=1))
ANGLES = [0.0, 1e-300, 1e-12, 1e-8, 1e-4, 0.1, 0.28, 0.99, 1.01, 2.0, 3.0]
NEAR_PI = [math.pi - 1e-3, math.pi - 1e-6, math.pi - 1e-9]


def scipy_matrix(vectors):
    return torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix())


def every(*angles):
    return torch.cat([t * AXES for t in angles])


def test_hat_is_the_vector_product_and_vee_its_inverse():
    v, w = draw(20, 3), draw(20, 3, seed=2)
    product = torch.linalg.cross(v, w, dim=-1)
    assert torch.allclose((hat(v) @ w.unsqueeze(-1)).squeeze(-1), product, rtol=0, atol=1e-14)
    assert torch.equal(vee(hat(v)), v)
    symmetric = draw(20, 3, 3, seed=3)
    assert torch.allclose(vee(hat(v) + symmetric + symmetric.mT), v, rtol=0, atol=1e-14)


def test_exp_and_log_agree_with_scipy_at_every_angle():
    v = every(*ANGLES, *NEAR_PI, math.pi, 4.0, 6.28, 2 * math.pi, 20.0)
    expected = scipy_matrix(v)
    assert torch.allclose(exp(v), expected, rtol=0, atol=1e-14)
    short = every(*ANGLES, *NEAR_PI)
    back = torch.from_numpy(Rotation.from_matrix(scipy_matrix(short).numpy()).as_rotvec())
    assert torch.allclose(log(scipy_matrix(short)), back, rtol=0, atol=1e-14)
    assert torch.allclose(log(exp(short)), short, rtol=0, atol=1e-14)
    # At pi the two vectors of opposite directions are equally short.
    turned = scipy_matrix(math.pi * AXES)
    assert torch.allclose(log(turned).norm(dim=-1), torch.full((6,), math.pi).double())
    assert torch.allclose(exp(log(turned)), turned, rtol=0, atol=1e-14)


def test_angle_is_scipys_magnitude():
    v = every(*ANGLES, *NEAR_PI, math.pi, 5.0)
    expected = torch.from_numpy(Rotation.from_rotvec(v.numpy()).magnitude())
    assert torch.allclose(angle(exp(v)), expected, rtol=1e-12, atol=1e-14)
    assert torch.equal(angle(torch.eye(3).expand(2, 3, 3)), torch.zeros(2))


def test_float32_keeps_its_precision():
    v = every(*ANGLES, *NEAR_PI).float()
    r = exp(v)
    assert r.dtype == log(r).dtype == angle(r).dtype == torch.float32
    assert (r.mT @ r - torch.eye(3)).abs().max() < 1e-6
    assert torch.allclose(log(r)[:-18], v[:-18], rtol=0, atol=1e-6)
    assert (exp(log(r)) - r).abs().max() < 1e-6


def test_derivatives_of_exp_are_those_of_the_matrix_exponential():
    for v in every(0.0, 1e-9, 0.3, 0.999, 1.001, math.pi, 2 * math.pi, 9.0)[::5]:
        ours = torch.autograd.functional.jacobian(exp, v)
        theirs = torch.autograd.functional.jacobian(lambda w: torch.linalg.matrix_exp(hat(w)), v)
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-13)


def test_the_second_derivative_of_exp_at_zero_is_the_symmetric_product():
    basis = hat(torch.eye(3).double())
    twice = torch.func.jacfwd(torch.func.jacfwd(exp))(torch.zeros(3).double())
    products = torch.einsum("iab,jbc->acij", basis, basis)
    assert torch.allclose(twice, 0.5 * (products + products.mT), rtol=0, atol=1e-14)


def test_log_inverts_exp_to_second_order():
    def both(v):
        return log(exp(v))

    eye = torch.eye(3).double()
    for v in every(0.0, 1e-10, 1e-4, 0.28, 0.29, 1.001, 2.0, 3.0, math.pi - 1e-4)[::4]:
        forward = torch.func.jacfwd(both)(v)
        assert torch.allclose(forward, eye, rtol=0, atol=1e-12)
        assert torch.allclose(torch.func.jacrev(both)(v), eye, rtol=0, atol=1e-12)
        second = torch.func.jacfwd(torch.func.jacfwd(both))(v)
        assert second.abs().max() < 1e-10
        assert torch.func.jacrev(torch.func.jacrev(both))(v).abs().max() < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_everywhere(dtype):
    v = every(*ANGLES, *NEAR_PI, math.pi, 2 * math.pi).to(dtype).requires_grad_()
    for function in (exp, lambda w: log(exp(w)), lambda w: angle(exp(w))):
        gradient = torch.autograd.grad(function(v).sum(), v)[0]
        assert torch.isfinite(gradient).all() and gradient.abs().max() < 10
    half_turns = torch.diag_embed(2 * torch.eye(3, dtype=dtype) - 1).requires_grad_()
    assert torch.isfinite(torch.autograd.grad(log(half_turns).sum(), half_turns)[0]).all()
    zero = torch.zeros(4, dtype=dtype, requires_grad=True)
    assert torch.equal(from_quaternion(zero), torch.eye(3, dtype=dtype))
    assert torch.isfinite(torch.autograd.grad(from_quaternion(zero).sum(), zero)[0]).all()


def test_quaternions_are_scipys():
    q = torch.cat([draw(200, 4), torch.eye(4).double(), -torch.eye(4).double()])
    theirs = Rotation.from_quat(q.numpy(), scalar_first=True)
    r = from_quaternion(q)
    assert torch.allclose(r, torch.from_numpy(theirs.as_matrix()), rtol=0, atol=1e-14)
    back = to_quaternion(r)
    assert torch.allclose(back.norm(dim=-1), torch.ones(208).double())
    assert (back[:, 0] >= 0).all()
    same = (back * unit(q)).sum(-1).abs()
    assert torch.allclose(same, torch.ones(208).double(), rtol=0, atol=1e-14)


def test_random_rotations_have_the_moments_of_haar_measure():
    n = 40_000
    r = random_rotations(n, seed=3, dtype=torch.float64)
    trace = r.diagonal(dim1=-2, dim2=-1).sum(-1)
    # The characters of the spins 1 are orthonormal: E tr R = 0, E (tr R)^2 = 1, E (tr R)^4 = 3.
    assert abs(trace.mean()) < 4 / math.sqrt(n)
    assert abs(trace.square().mean() - 1) < 4 * math.sqrt(2 / n)
    flat = r.flatten(1)
    covariance = flat.T @ flat / n
    assert (covariance - torch.eye(9) / 3).abs().max() < 5 / (3 * math.sqrt(n))
    fixed = scipy_matrix(torch.tensor([0.3, -1.2, 2.0]).double())
    for draws in (r, r @ fixed):
        theirs = scipy.stats.kstest(angle(draws).numpy(), lambda t: (t - np.sin(t)) / math.pi)
        assert theirs.pvalue > 1e-3
    assert torch.equal(random_rotations(5, seed=8), random_rotations(5, seed=8))
    assert random_rotations(0, seed=8).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: exp(torch.zeros(2)), ValueError, "vector"),
        (lambda: hat(torch.tensor(1.0)), ValueError, "vector"),
        (lambda: log(torch.zeros(3, 2)), ValueError, "rotation"),
        (lambda: angle(torch.zeros(3)), ValueError, "rotation"),
        (lambda: to_quaternion(torch.zeros(4, 4)), ValueError, "rotation"),
        (lambda: from_quaternion(torch.zeros(3)), ValueError, "quaternion"),
        (lambda: random_rotations(-1), ValueError, "n must"),
        (lambda: random_rotations(2.0), TypeError, "n must"),
        (lambda: random_rotations(2, seed=-1), ValueError, "seed"),
        (lambda: random_rotations(2, dtype=torch.int64), ValueError, "dtype"),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()
