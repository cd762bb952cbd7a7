"""Taylor-mode jets of random networks against finite differences and torch.func."""

import pytest
import torch
from oracles import draw, random_flow

from learnedmanifolds.charts import (
    Charts,
    CircleCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)

SIZES = [(1, 2), (1, 3), (2, 3), (2, 5), (3, 5), (2, 2), (3, 3)]
PAIRS = [(0, 0), (0, 1), (1, 2), (2, 1), (2, 2)]
N = 5


def central_differences(function, t, u, v):
    """First derivative along u and mixed second derivative along u and v, fourth order."""

    def along(f, direction):
        def derivative(z, h=4e-3):
            near = f(z + h * direction) - f(z - h * direction)
            far = f(z + 2 * h * direction) - f(z - 2 * h * direction)
            return (8 * near - far) / (12 * h)

        return derivative

    return along(function, u)(t), along(along(function, u), v)(t)


@pytest.mark.parametrize(("dim", "n"), SIZES)
def test_jets_of_random_flows_match_finite_differences(dim, n):
    charts = random_flow(dim, n, seed=10 * dim + n)
    t, tangents = draw(N, dim, seed=1, low=-1, high=1), draw(3, N, dim, seed=2)
    for k in range(charts.n_charts):
        jet = charts.jet(t, k, tangents, PAIRS)
        assert torch.allclose(jet.value, charts.decode(t, k), rtol=1e-13, atol=1e-13)
        for row, (i, j) in enumerate(PAIRS):
            first, second = central_differences(
                lambda z, k=k: charts.decode(z, k), t, tangents[i], tangents[j]
            )
            scale = 1 + jet.second.abs().max()
            assert torch.allclose(jet.first[i], first, rtol=0, atol=1e-9 * scale)
            assert torch.allclose(jet.second[row], second, rtol=0, atol=1e-7 * scale)
        # The network is curved, so a wrong second derivative cannot hide in the tolerance of 1e-7.
        assert jet.second.abs().max() > 1e-3


@pytest.mark.parametrize(("dim", "n"), SIZES)
def test_jets_of_random_flows_match_torch_func(dim, n):
    charts = random_flow(dim, n, seed=n - dim)
    t, tangents = draw(N, dim, seed=3, low=-1.2, high=1.2), draw(3, N, dim, seed=4)
    for k in range(charts.n_charts):
        jet = charts.jet(t, k, tangents, PAIRS)
        # Reverse mode, a point at a time: nothing in common with the Taylor rows.
        derivative = torch.func.jacrev(lambda z, k=k: charts.decode(z[None], k)[0])
        jac = torch.func.vmap(derivative)(t)
        hess = torch.func.vmap(torch.func.jacrev(derivative))(t)
        first = torch.einsum("pnd,tpd->tpn", jac, tangents)
        assert torch.allclose(jet.first, first, rtol=1e-10, atol=1e-11)
        for row, (i, j) in enumerate(PAIRS):
            second = torch.einsum("pnde,pd,pe->pn", hess, tangents[i], tangents[j])
            assert torch.allclose(jet.second[row], second, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "make",
    [lambda: random_flow(2, 3), lambda: random_flow(1, 2), TorusCharts, SphereCharts, CircleCharts],
    ids=["flow2", "flow1", "torus", "sphere", "circle"],
)
@pytest.mark.parametrize("pairs", [(), [(0, 0), (1, 1)], [(0, 1)]])
def test_all_charts_at_once_give_the_jets_of_single_charts(make, pairs):
    charts = make()
    t = draw(charts.n_charts, N, charts.dim, seed=5, low=-1, high=1)
    tangents = draw(charts.n_charts, 2, N, charts.dim, seed=6)
    stacked = charts.jet(t, None, tangents, pairs)
    assert stacked.second.shape == (charts.n_charts, len(pairs), N, charts.n_ambient)
    for k in range(charts.n_charts):
        for whole, single in zip(stacked, charts.jet(t[k], k, tangents[k], pairs), strict=True):
            assert torch.allclose(whole[k], single, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "charts",
    [
        random_flow(3, 5),
        CircleCharts(2.0),
        SphereCharts(0.7, 3),
        TorusCharts(),
        PlaneCharts(draw(5, 3, seed=3), draw(5, seed=4)),
    ],
    ids=lambda charts: type(charts).__name__,
)
def test_closed_jets_equal_the_default_of_the_protocol(charts):
    t, tangents = draw(N, charts.dim, seed=7), draw(4, N, charts.dim, seed=8)
    pairs = [(0, 0), (1, 3), (3, 1)]
    chart = charts.n_charts - 1
    for fast, general in zip(
        charts.jet(t, chart, tangents, pairs),
        Charts.jet(charts, t, chart, tangents, pairs),
        strict=True,
    ):
        assert torch.allclose(fast, general, rtol=1e-11, atol=1e-11)


def test_second_derivatives_are_symmetric_and_quadratic():
    charts = random_flow(2, 3)
    t, u = draw(N, 2, seed=9), draw(2, N, 2, seed=10)
    ab, ba = charts.jet(t, 0, u, [(0, 1), (1, 0)]).second
    assert torch.allclose(ab, ba, rtol=1e-13, atol=1e-13)
    once = charts.jet(t, 0, u[:1], [(0, 0)]).second
    thrice = charts.jet(t, 0, -3 * u[:1], [(0, 0)]).second
    assert torch.allclose(thrice, 9 * once, rtol=1e-12, atol=1e-12)
    plus = charts.jet(t, 0, (u[0] + u[1])[None], [(0, 0)]).second[0]
    squares = charts.jet(t, 0, u, [(0, 0), (1, 1)]).second.sum(0)
    assert torch.allclose(plus, squares + 2 * ab, rtol=1e-11, atol=1e-11)


def test_jets_keep_gradients_to_the_parameters():
    charts = random_flow(3, 3).requires_grad_(True)
    jet = charts.jet(draw(N, 3), 0, draw(1, N, 3, seed=1), [(0, 0)])
    jet.second.square().sum().backward()
    assert all(p.grad is not None and p.grad[0].abs().max() > 0 for p in charts.network.weights)
    assert all(p.grad[1:].abs().max() == 0 for p in charts.network.weights)
