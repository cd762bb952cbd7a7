"""Callables, objects of deepinv's protocol, and what is neither."""

import pytest
import torch
from oracles import draw

from learnedmanifolds import operators
from learnedmanifolds.operators import DeepinvOperator, FunctionOperator, as_operator


class Counter:
    """Calls, vectorised or not, of a function that `torch.vmap` takes only if told so."""

    def __init__(self, vectorises):
        self.vectorises, self.n_calls = vectorises, 0

    def __call__(self, x):
        self.n_calls += 1
        if not self.vectorises:
            float(x.sum())
        return x[:2].exp()


@pytest.mark.parametrize(("vectorises", "calls"), [(True, [1, 2]), (False, [8, 15])])
def test_how_to_take_a_batch_is_found_out_once(vectorises, calls):
    function = Counter(vectorises)
    operator = FunctionOperator(function)
    for expected in calls:
        operator.batch(draw(7, 3))
        assert function.n_calls == expected


def test_a_batch_of_bad_points_teaches_nothing():
    function = Counter(True)
    operator = FunctionOperator(function)
    with pytest.raises(IndexError):
        operator.batch(torch.zeros(3, dtype=torch.float64))
    function.n_calls = 0
    operator.batch(draw(7, 3))
    assert function.n_calls == 1


class Reverse(torch.autograd.Function):
    """sin(x), in reverse mode only, and no more than one covector at a time; counted."""

    calls = []
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        Reverse.calls.append("forward")
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        Reverse.calls.append("backward")
        float(g.detach().sum())
        return ctx.saved_tensors[0].cos() * g


def test_how_to_differentiate_is_found_out_once():
    operator, x, v = FunctionOperator(Reverse.apply), draw(4), draw(3, 4, seed=1)
    for kind, vectors in [("jvp", v[:1]), ("vjp", v)]:
        counts = []
        for _ in range(2):
            Reverse.calls.clear()
            product = getattr(operator.linearize(x), kind)(vectors)
            torch.testing.assert_close(product, x.cos() * vectors)
            counts.append(len(Reverse.calls))
        assert counts[1] < counts[0]
    assert Reverse.calls == ["forward", *3 * ["backward"]]


def test_modules_keep_their_gradients_to_themselves():
    module = torch.nn.Linear(3, 2, dtype=torch.float64)
    operator = as_operator(module)
    x = draw(3)
    torch.testing.assert_close(operator.jvp(x, x), module.weight @ x)
    torch.testing.assert_close(operator.vjp(x, draw(2)), draw(2) @ module.weight)
    assert module.weight.grad is None
    assert not operator.jvp(x, x).requires_grad


class Noisy:
    """deepinv's shape of a physics: calling it adds noise, A does not."""

    def __init__(self):
        self.shapes = []

    def __call__(self, x):
        raise AssertionError("the noisy measurement must not be used")

    def A(self, x):
        self.shapes.append(tuple(x.shape))
        return 3 * x

    def A_adjoint(self, y):
        return 3 * y


@pytest.mark.parametrize(
    ("shape", "given", "observed"),
    [
        ((4, 5), (1, 1, 4, 5), (1, 4, 5)),
        ((2, 4, 5), (1, 2, 4, 5), (2, 4, 5)),
        ((6,), (1, 6), (6,)),
    ],
)
def test_physics_see_batches_with_channels(shape, given, observed):
    physics = Noisy()
    value = as_operator(physics)(draw(*shape))
    assert physics.shapes == [given] and value.shape == observed


def test_what_stands_for_an_operator():
    mask = operators.mask([0])
    assert as_operator(mask) is mask
    assert isinstance(as_operator(Noisy()), DeepinvOperator)
    assert isinstance(as_operator(torch.sin), FunctionOperator)
    lone = Noisy()
    lone.A_adjoint = None
    assert isinstance(as_operator(lone), FunctionOperator)


def test_linearity_is_what_the_protocol_says():
    class LinearPhysics(Noisy):
        def A_vjp(self, x, v):
            return self.A_adjoint(v)

    class Other(Noisy):
        def A_vjp(self, x, v):
            return self.A_adjoint(v)

    class Child(LinearPhysics):
        pass

    kinds = (Noisy, LinearPhysics, Child, Other)
    assert [DeepinvOperator(kind()).is_linear for kind in kinds] == [True, True, True, False]


def test_repr_names_the_function():
    assert "sin" in repr(as_operator(torch.sin))
    assert "Noisy" in repr(as_operator(Noisy()))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: as_operator(3), TypeError, "operator must be a callable.* got int"),
        (lambda: FunctionOperator("F"), TypeError, "function must be a callable.* got str"),
        (lambda: DeepinvOperator(torch.sin), TypeError, "physics must have methods A and A_vjp"),
        (
            lambda: FunctionOperator(lambda x: 3.0).batch(torch.zeros(2, 3)),
            TypeError,
            "operator must return a torch tensor, got float",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
