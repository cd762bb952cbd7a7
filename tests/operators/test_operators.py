"""What holds for every operator: derivative, adjoint, batches, dtypes, torch's derivatives."""

import math

import numpy as np
import pytest
import torch
from oracles import draw, slope

from learnedmanifolds import operators
from learnedmanifolds.operators import (
    Blur,
    DeepinvOperator,
    Downsample,
    FunctionOperator,
    GaussianBlur,
    Radon,
)

IMAGE, STACK = (6, 9), (2, 6, 8)


class Squares(torch.autograd.Function):
    """x^2 in the form that torch.func does not take."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g


class OnceDifferentiable(Squares):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g


class Hidden(Squares):
    """Half of the backward pass is out of torch's sight."""

    @staticmethod
    def backward(ctx, g):
        return ctx.saved_tensors[0] * (g + g.detach())


class Cubes(torch.autograd.Function):
    """x^3 in the form of torch.func, in reverse mode only."""

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0] ** 2 * g


def branching(x):
    return x.flatten()[:3].sin() if float(x.detach().sum()) < 1e9 else x


MATRIX = draw(5, 54, seed=3)


def outside_torch(function):
    """Of every image of a batch, through NumPy."""
    return lambda *batches: torch.from_numpy(
        np.stack([function(*(x.detach().numpy() for x in row)) for row in zip(*batches)])  # noqa: B905
    ).to(batches[0].dtype)


class LinearPhysics:
    """deepinv's linear protocol, unknown to torch."""

    A = staticmethod(outside_torch(lambda x: 2 * x[:, ::2]))

    @staticmethod
    def A_adjoint(y):
        wide = torch.zeros(*y.shape[:2], 2 * y.shape[2], *y.shape[3:], dtype=y.dtype)
        wide[:, :, ::2] = 2 * y
        return wide

    def A_vjp(self, x, v):
        return self.A_adjoint(v)


class AdjointOnly:
    A, A_adjoint = staticmethod(LinearPhysics.A), staticmethod(LinearPhysics.A_adjoint)


class Intensities:
    """|B x|^2, with an A_adjoint that is not the derivative's, as deepinv's phase retrieval."""

    A = staticmethod(outside_torch(lambda x: (MATRIX.numpy() @ x.ravel()) ** 2))

    def A_adjoint(self, y):
        return (y @ MATRIX.to(y)).view(-1, 1, *IMAGE)

    def A_vjp(self, x, v):
        return self.A_adjoint(2 * (x.flatten(1) @ MATRIX.to(x).T) * v)


class NothingInTorch(Intensities):
    A_vjp = staticmethod(
        outside_torch(
            lambda x, v: (2 * ((MATRIX.numpy() @ x.ravel()) * v) @ MATRIX.numpy()).reshape(
                1, *IMAGE
            )
        )
    )


AFFINE = {
    "identity": (operators.identity, (4, 5)),
    "mask of entries": (operators.mask([3, 0, 3, 7]), (2, 5)),
    "mask of an image": (operators.mask(draw(*IMAGE, seed=1) > 0), IMAGE),
    "matrix": (operators.linear(draw(4, 10, seed=2)), (2, 5)),
    "Gaussian": (GaussianBlur(1.3), IMAGE),
    "Gaussian on grey": (GaussianBlur(2.0, 8, padding_value=0.5), STACK),
    "Gaussian, mirrored": (GaussianBlur(1.0, padding="reflect"), IMAGE),
    "blur": (Blur(draw(3, 4, seed=4)), STACK),
    "blur, affine, not normalised": (
        Blur(draw(4, 3, seed=5), padding_value=-2.0, normalize=False),
        IMAGE,
    ),
    "blur, circular": (Blur(draw(5, 2, seed=6), "circular"), IMAGE),
    "blur, circular, wider than the image": (Blur(draw(7, 21, seed=6), "circular"), IMAGE),
    "blur, mirrored": (Blur(draw(4, 5, seed=7), "reflect"), STACK),
    "blur, mirrored, wider than the image": (Blur(draw(15, 2, seed=8), "reflect"), IMAGE),
    "blur, wider than the image": (Blur(draw(20, 13, seed=9)), IMAGE),
    "means of blocks": (Downsample(2), STACK),
    "Radon": (Radon([0.0, 0.4, math.pi / 2, 4.0], 0.3), IMAGE),
    "Radon, few wide detectors": (Radon(draw(3, seed=10), 0.3, 4, 1.0), STACK),
    "linear physics": (DeepinvOperator(LinearPhysics()), STACK),
    "linear physics, one channel": (DeepinvOperator(LinearPhysics()), IMAGE),
    "A and A_adjoint": (DeepinvOperator(AdjointOnly()), STACK),
}
SMOOTH = {
    "function": (FunctionOperator(lambda x: (x * x.flip(-1)).sin().sum(0)), IMAGE),
    "scalar function": (FunctionOperator(lambda x: x.square().sum()), (3,)),
    "constant function": (FunctionOperator(lambda x: 1 + 0 * x[0]), IMAGE),
    "branching function": (FunctionOperator(branching), IMAGE),
    "old autograd function": (FunctionOperator(Squares.apply), IMAGE),
    "autograd function without jvp": (FunctionOperator(Cubes.apply), IMAGE),
    "intensities": (DeepinvOperator(Intensities()), IMAGE),
}
ONCE = {
    "differentiable once": (FunctionOperator(OnceDifferentiable.apply), IMAGE),
    "partly hidden from torch": (FunctionOperator(Hidden.apply), IMAGE),
    "nothing in torch": (DeepinvOperator(NothingInTorch()), IMAGE),
}
CASES = AFFINE | SMOOTH | ONCE


def case(name, seed=20):
    operator, shape = CASES[name]
    return operator, draw(*shape, seed=seed)


def normal(shape, seed):
    return draw(1, *shape, seed=seed)[0]


def basis(shape, dtype=torch.float64):
    return torch.eye(math.prod(shape), dtype=dtype).view(-1, *shape)


def matrices(operator, x):
    """F' and F'^T as matrices (n, m), one from each of the two maps."""
    value, jvp, vjp = operator.linearize(x)
    forth, back = jvp(basis(x.shape)), vjp(basis(value.shape))
    assert forth.shape == (x.numel(), *value.shape) and back.shape == (value.numel(), *x.shape)
    return forth.reshape(x.numel(), -1), back.reshape(value.numel(), -1).T


@pytest.mark.parametrize("name", CASES)
def test_adjoint_is_the_transpose(name):
    operator, x = case(name)
    forth, back = matrices(operator, x)
    torch.testing.assert_close(forth, back, rtol=1e-12, atol=1e-12)
    if name != "constant function":
        assert forth.abs().max() > 1e-3


@pytest.mark.parametrize("name", CASES)
def test_single_products_are_those_of_the_linearization(name):
    operator, x = case(name)
    forth, _ = matrices(operator, x)
    value = operator(x)
    v, w = normal(x.shape, 21), normal(value.shape, 22)
    forward, reverse = operator.jvp(x, v), operator.vjp(x, w)
    assert forward.shape == value.shape and reverse.shape == x.shape
    torch.testing.assert_close(forward.flatten(), v.flatten() @ forth)
    torch.testing.assert_close(reverse.flatten(), forth @ w.flatten())
    torch.testing.assert_close(operator.linearize(x).value, value, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", AFFINE)
def test_affine_operators_have_no_remainder(name):
    operator, x = case(name)
    for seed in range(5):
        v = 3 * draw(*x.shape, seed=seed)
        change = operator(x + v) - operator(x)
        torch.testing.assert_close(operator.jvp(x, v), change, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(SMOOTH | ONCE) - {"constant function"}))
def test_remainder_is_of_second_order(name):
    operator, x = case(name)
    steps = np.geomspace(1e-3, 1e-2, 4)
    errors = []
    for seed in range(5):
        v = draw(*x.shape, seed=seed)
        rate = operator.jvp(x, v)
        errors.append([(operator(x + t * v) - operator(x) - t * rate).norm() for t in steps])
    slopes = slope(steps, torch.tensor(errors).T)
    assert (slopes - 2).abs().max() < 0.05


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_its_points(name):
    operator, x = case(name)
    points = draw(7, *x.shape, seed=23)
    together = operator.batch(points)
    assert together.shape == (7, *operator(x).shape)
    torch.testing.assert_close(together, torch.stack([operator(p) for p in points]))


@pytest.mark.parametrize("name", CASES)
def test_dtype_is_kept(name):
    operator, x = case(name)
    value, jvp, vjp = operator.linearize(x.float())
    double = operator.linearize(x)
    v, w = draw(3, *x.shape, seed=24), draw(3, *value.shape, seed=25)
    pairs = [
        (value, double.value),
        (operator(x.float()), operator(x)),
        (operator.batch(x.float()[None]), operator.batch(x[None])),
        (jvp(v.float()), double.jvp(v)),
        (vjp(w.float()), double.vjp(w)),
    ]
    for single, precise in pairs:
        assert single.dtype == torch.float32 and precise.dtype == torch.float64
        torch.testing.assert_close(single.double(), precise, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_torch_differentiates_to_the_adjoint(name):
    operator, x = case(name)
    points = draw(2, *x.shape, seed=26).requires_grad_()
    values = operator.batch(points)
    w = draw(*values.shape, seed=27)
    expected = torch.stack([operator.vjp(p, c) for p, c in zip(points.detach(), w, strict=True)])
    if not values.requires_grad:
        assert not expected.any()
        return
    (gradient,) = torch.autograd.grad(values, points, w)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("name", AFFINE | SMOOTH)
def test_double_backward(name):
    operator, x = case(name)
    w = normal(operator(x).shape, 28)

    def curved(p):
        # Curved even where F is affine, so that the second derivative goes through F twice.
        return (operator(p).square() * w).sum()

    def gradient(p, create_graph=False):
        p = p.detach().requires_grad_()
        return torch.autograd.grad(curved(p), p, create_graph=create_graph)[0], p

    v, step = draw(*x.shape, seed=29), 1e-5
    first, p = gradient(x, create_graph=True)
    (product,) = torch.autograd.grad((first * v).sum(), p)
    ahead, back = (gradient(x + sign * step * v)[0] for sign in (1, -1))
    differences = (ahead - back) / (2 * step)
    torch.testing.assert_close(product, differences, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [*AFFINE, "function", "scalar function"])
def test_torch_func(name):
    operator, x = case(name)
    forth, _ = matrices(operator, x)
    columns = torch.func.jacfwd(operator)(x).reshape(-1, x.numel())
    rows = torch.func.jacrev(operator)(x).reshape(-1, x.numel())
    torch.testing.assert_close(columns, forth.T)
    torch.testing.assert_close(rows, forth.T)
    points = draw(3, 2, *x.shape, seed=30)
    nested = torch.func.vmap(operator.batch, in_dims=1, out_dims=1)(points)
    torch.testing.assert_close(nested, torch.stack([operator.batch(row) for row in points]))

    def energy(p):
        return operator(p).square().sum()

    hessian = torch.func.jacfwd(torch.func.grad(energy))(x).reshape(x.numel(), x.numel())
    torch.testing.assert_close(hessian, hessian.T)
    if name in AFFINE:
        torch.testing.assert_close(hessian, 2 * forth @ forth.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_no_vectors_give_none(name):
    operator, x = case(name)
    value, jvp, vjp = operator.linearize(x)
    assert jvp(x.new_zeros(0, *x.shape)).shape == (0, *value.shape)
    assert vjp(x.new_zeros(0, *value.shape)).shape == (0, *x.shape)


@pytest.mark.parametrize("name", ["Gaussian on grey", "Radon", "matrix", "means of blocks"])
def test_numpy_arrays_are_accepted(name):
    operator, x = case(name)
    torch.testing.assert_close(operator(x.numpy()), operator(x))
    value, v = operator(x), draw(*x.shape, seed=31)
    torch.testing.assert_close(operator.jvp(x.numpy(), v.numpy()), operator.jvp(x, v))
    torch.testing.assert_close(operator.vjp(x.numpy(), value.numpy()), operator.vjp(x, value))


@pytest.mark.parametrize(
    "operator", [GaussianBlur(1.0), Blur([[1.0, 2.0]]), Downsample(2), Radon([0.1])]
)
@pytest.mark.parametrize("shape", [(4,), (1, 1, 4, 4)])
def test_points_that_are_no_images(operator, shape):
    with pytest.raises(ValueError, match=r"image of shape \(H, W\) or \(C, H, W\)"):
        operator(torch.zeros(shape))


@pytest.mark.parametrize(
    "operator", [GaussianBlur(1.0), Blur([[1.0, 2.0]]), Downsample(1), Radon([0.1])]
)
@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (1, 0, 0), (1, 4, 0), (0, 4, 4)])
def test_images_without_pixels(operator, shape):
    for call in (lambda x: operator(x), lambda x: operator.batch(x[None].expand(2, *x.shape))):
        with pytest.raises(ValueError, match="image of at least one pixel, got shape"):
            call(torch.zeros(shape))


def test_names():
    assert set(operators.__all__) <= set(dir(operators))
    for name in set(operators.__all__) - {"ElectricalImpedance"}:
        assert getattr(operators, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        operators.nothing  # noqa: B018


@pytest.mark.parametrize("index", [torch.tensor([True, False]), [0, 1], torch.tensor([0.0])])
def test_a_mask_is_made_of_indices(index):
    with pytest.raises(TypeError, match="index must be a tensor of int64"):
        operators.Mask(index)
