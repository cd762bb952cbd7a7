"""Charts of a decoder on polynomials: their inverse, its derivative, their jets."""

import pytest
import torch
from oracles import draw
from torch import nn

from learnedmanifolds.charts.anchored import BOUND
from learnedmanifolds.charts.diffusion_charts import DiffusionCharts

K, D, N, DEGREE = 3, 4, 5, 3


class Cubic(nn.Module):
    """Smooth, and nothing that Taylor arithmetic knows."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear

    def forward(self, z):
        return self.linear(z) + 0.02 * self.linear(z) ** 3


def rotation(n, seed):
    linear = nn.Linear(n, n).double()
    with torch.no_grad():
        linear.weight.copy_(torch.linalg.qr(draw(n, n, seed=seed))[0])
        linear.bias.zero_()
    return linear


def charts(dim, decoder="network", seed=0):
    """Gently curved charts at different places of a space of four dimensions, in one of five."""
    enter = nn.Linear(D, N).double()
    with torch.no_grad():
        enter.weight.copy_(torch.linalg.qr(draw(N, D, seed=seed + 1))[0])
        enter.bias.zero_()
    network = nn.Sequential(enter, nn.Softplus(beta=0.5), rotation(N, seed + 2))
    count = {1: 4, 2: 10}[dim]
    coefficients = 0.05 * draw(K, count, D, seed=seed + 3)
    coefficients[:, 1 : dim + 1] += torch.linalg.qr(draw(K, D, dim, seed=seed + 4))[0].mT
    coefficients[:, 0, 0] += 1.5 * torch.arange(K)
    anchors = draw(K, 40, dim, seed=seed + 5, low=-1.0, high=1.0)
    module = network if decoder == "network" else Cubic(enter)
    return DiffusionCharts(coefficients, module, anchors, DEGREE, (N,)).requires_grad_(False)


@pytest.fixture(params=[1, 2], ids=["curves", "surfaces"])
def dim(request):
    return request.param


@pytest.fixture(params=["network", "cubic"])
def family(dim, request):
    return charts(dim, request.param)


def test_encode_inverts_decode(family):
    t = draw(K, 300, family.dim, seed=6, low=-1.0, high=1.0)
    x = family.decode(t)
    torch.testing.assert_close(family.encode(x), t, rtol=0, atol=1e-7)
    for k in range(K):
        torch.testing.assert_close(family.decode(t[k], k), x[k])
        torch.testing.assert_close(family.encode(x[k], k), t[k], rtol=0, atol=1e-7)


def test_polynomials_are_those_of_the_coefficients(dim):
    family, t = charts(dim), draw(20, dim, seed=7)
    at = family.coefficients[1]
    expected = at[0] + t @ at[1 : dim + 1]
    for q in (2, 3):
        first, count = {2: {1: (2, 1), 2: (3, 3)}, 3: {1: (3, 1), 2: (6, 4)}}[q][dim]
        for j in range(count):
            power = t[:, 0] ** (q - j) * (t[:, 1] ** j if dim == 2 else 1)
            expected = expected + power.unsqueeze(1) * at[first + j]
    torch.testing.assert_close(family.embed(t, 1), expected)


def test_jets_are_derivatives(family):
    t, v = draw(K, 6, family.dim, seed=8, low=-1.0, high=1.0), draw(K, 2, 6, family.dim, seed=9)
    pairs = ((0, 0), (0, 1), (1, 1))
    whole = family.jet(t, None, v, pairs)
    for k in range(K):
        jet = family.jet(t[k], k, v[k], pairs)
        for part, of_all in zip(jet, whole, strict=True):
            torch.testing.assert_close(of_all[k], part)
        for i in range(6):

            def point(z, k=k):
                return family.decode(z.unsqueeze(0), k)[0]

            slope = torch.autograd.functional.jacobian(point, t[k, i])
            torch.testing.assert_close(jet.first[:, i], v[k, :, i] @ slope.T)
            for n in range(N):
                bend = torch.autograd.functional.hessian(lambda z, n=n: point(z)[n], t[k, i])
                found = torch.stack([v[k, a, i] @ bend @ v[k, b, i] for a, b in pairs])
                torch.testing.assert_close(jet.second[:, i, n], found)


def test_encode_has_the_derivative_of_the_left_inverse(dim):
    """Its product with the decoder's is the identity, and it ends normal directions."""
    family, t = charts(dim), draw(8, dim, seed=10, low=-0.9, high=0.9)
    x = family.decode(t, 1).requires_grad_()
    for i in range(dim):
        (slope,) = torch.autograd.grad(family.encode(x, 1)[:, i].sum(), x)
        eye = torch.eye(dim, dtype=x.dtype).unsqueeze(1).expand(dim, *t.shape)
        tangents = family.jet(t, 1, eye).first
        torch.testing.assert_close(
            (tangents * slope).sum(-1), eye[i, :, :].T.expand(dim, -1), rtol=0, atol=1e-8
        )
        normal = draw(*x.shape, seed=11)
        frame = torch.linalg.qr(tangents.permute(1, 2, 0))[0]
        normal = normal - (frame @ (frame.mT @ normal.unsqueeze(-1))).squeeze(-1)
        assert float((normal * slope).sum(-1).abs().max()) < 1e-8
        step = 1e-4 * draw(*x.shape, seed=12)
        ahead, behind = (family.encode(x.detach() + s * step, 1)[:, i] for s in (1, -1))
        torch.testing.assert_close((step * slope).sum(-1), (ahead - behind) / 2, rtol=0, atol=1e-7)


def test_encode_finds_the_nearest_point_of_every_chart_that_is_asked(family):
    """Brute force on a fine grid; charts that are clearly farther say outside instead."""
    t = draw(100, family.dim, seed=13, low=-0.9, high=0.9)
    x = family.decode(t, 1) + 0.1 * draw(100, N, seed=14)
    line = torch.linspace(-BOUND, BOUND, {1: 4001, 2: 121}[family.dim], dtype=x.dtype)
    grid = torch.cartesian_prod(*[line] * family.dim).reshape(-1, family.dim)
    gaps = torch.stack([torch.cdist(x, family.decode(grid, k)).amin(1) for k in range(K)])
    coords = family.encode(x)
    found = (family.decode(coords) - x).norm(dim=-1)
    asked = coords.abs().amax(-1) <= 1
    assert float((found - gaps)[asked].max()) < 1e-6
    best = gaps.argmin(0)
    rows = torch.arange(len(x))
    assert float((found - gaps)[best, rows].max()) < 1e-6
    one = (family.decode(family.encode(x, 2), 2) - x).norm(dim=-1)
    assert float((one - gaps[2]).max()) < 1e-6
    single = family.encode(x.expand(K, -1, -1))
    assert float(((family.decode(single) - x).norm(dim=-1) - gaps).max()) < 1e-6
