"""Invertible networks: inverse, log-determinant, stacking, cached views."""

import copy

import pytest
import torch
from oracles import draw

from learnedmanifolds.charts.coupling import CouplingStack


def random_stack(width, n_charts=3, seed=0, std=0.3):
    stack = CouplingStack(n_charts, width, n_blocks=3, hidden=7).double()
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.normal_(0, std, generator=source)
    return stack.requires_grad_(False)


@pytest.mark.parametrize("width", [2, 3, 5, 8])
@pytest.mark.parametrize("chart", [0, 2, None])
def test_inverse_is_exact_both_ways(width, chart):
    stack = random_stack(width)
    x = draw(3, 40, width) if chart is None else draw(40, width)
    y, log_det = stack(x, chart)
    assert (y - x).abs().max() > 0.1
    back, log_det_back = stack.inverse(y, chart)
    assert torch.allclose(back, x, rtol=0, atol=1e-11)
    assert torch.allclose(log_det_back, -log_det, rtol=0, atol=1e-11)
    there = stack(stack.inverse(x, chart)[0], chart)[0]
    assert torch.allclose(there, x, rtol=0, atol=1e-11)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_log_det_is_that_of_the_autograd_jacobian(width):
    stack = random_stack(width, seed=1)
    x = draw(6, width, seed=2)
    for chart in range(3):
        for function in (stack, stack.inverse):
            log_det = function(x, chart)[1]
            for row in range(len(x)):
                jac = torch.func.jacrev(lambda z, f=function, k=chart: f(z[None], k)[0][0])(x[row])
                sign, expected = torch.linalg.slogdet(jac)
                assert sign > 0
                assert torch.allclose(log_det[row], expected, rtol=0, atol=1e-11)
            assert log_det.abs().min() > 1e-4


def test_stacked_call_equals_single_charts():
    stack = random_stack(5)
    x = draw(3, 9, 5)
    for function in (stack, stack.inverse):
        y, log_det = function(x)
        for k in range(3):
            one, one_log_det = function(x[k], k)
            assert torch.allclose(y[k], one, rtol=1e-12, atol=1e-12)
            assert torch.allclose(log_det[k], one_log_det, rtol=1e-12, atol=1e-12)


def test_charts_differ():
    stack, x = random_stack(4), draw(5, 4)
    assert (stack(x, 0)[0] - stack(x, 1)[0]).abs().max() > 0.1


@pytest.mark.parametrize("width", [2, 5])
def test_an_untrained_network_is_the_identity(width):
    stack = CouplingStack(2, width, n_blocks=4, hidden=16)
    x = torch.randn(30, width, generator=torch.Generator().manual_seed(0))
    y, log_det = stack(x, 1)
    assert torch.equal(y, x) and log_det.abs().max() == 0


def test_scale_of_a_block_stays_bounded():
    # REFERENCE section 1: each half is scaled by at most exp(1.4 * 0.636 * pi / 2).
    stack = CouplingStack(1, 2, n_blocks=1, hidden=4).double().requires_grad_(False)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.fill_(1e3)
    log_det = stack(torch.ones(1, 2, dtype=torch.float64), 0)[1]
    assert 2 * 1.39 < float(log_det) < 2 * 1.4


def test_every_parameter_gets_a_gradient():
    stack = random_stack(4).requires_grad_(True)
    y, log_det = stack(draw(3, 10, 4))
    (y.square().sum() + log_det.sum()).backward()
    assert all(p.grad.abs().amax((1, 2)).min() > 0 for p in stack.parameters())


def test_same_generator_same_weights_and_no_global_state():
    state = torch.get_rng_state()
    a, b, c = (CouplingStack(2, 3, 1, 4, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(a.weights[0], b.weights[0])
    assert not torch.equal(a.weights[0], c.weights[0])


class TestCachedViews:
    def test_are_kept(self):
        stack = random_stack(3)
        assert stack.blocks(1) is stack.blocks(1)

    def test_follow_in_place_updates(self):
        stack, x = random_stack(3), draw(4, 3)
        before = stack(x, 1)[0]
        with torch.no_grad():
            for parameter in stack.parameters():
                parameter.mul_(0.5)
        fresh = random_stack(3)
        fresh.load_state_dict({k: v.clone() for k, v in stack.state_dict().items()})
        after = stack(x, 1)[0]
        assert torch.equal(after, fresh(x, 1)[0])
        assert (after - before).abs().max() > 1e-2

    @pytest.mark.parametrize("assign", [False, True])
    def test_follow_loaded_parameters(self, assign):
        stack, other, x = random_stack(3), random_stack(3, seed=9), draw(4, 3)
        stack(x, 1)
        stack.load_state_dict(other.state_dict(), assign=assign)
        assert torch.equal(stack(x, 1)[0], other(x, 1)[0])

    def test_survive_a_cast(self):
        stack, x = random_stack(3), draw(4, 3)
        y = stack(x, 1)[0]
        single = stack.to(torch.float32)(x.float(), 1)[0]
        assert single.dtype == torch.float32
        assert torch.allclose(single.double(), y, rtol=0, atol=1e-5)
        assert stack.to(torch.float64)(x, 1)[0].dtype == torch.float64

    def test_are_not_shared_by_a_copy(self):
        stack, x = random_stack(3), draw(4, 3)
        y = stack(x, 1)[0]
        other = copy.deepcopy(stack)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        assert torch.equal(stack(x, 1)[0], y)
        assert torch.equal(other(x, 1)[0], x)

    def test_are_dropped_when_training_goes_on(self):
        stack, x = random_stack(3), draw(4, 3)
        stack(x, 1)
        stack.requires_grad_(True)
        stack(x, 1)[0].sum().backward()
        assert stack.weights[0].grad[1].abs().max() > 0
