"""Taylor arithmetic through torch modules, against nested forward-mode differentiation."""

import pytest
import torch
from torch import nn

from learnedmanifolds.charts.jet import functional_jet, jet_rule
from learnedmanifolds.charts.taylor import can_push, push
from learnedmanifolds.training.fourier import FourierFeatures


class Cubic(nn.Module):
    def forward(self, x):
        return x**3


def jets(module, shape, pairs, n=5):
    generator = torch.Generator().manual_seed(0)
    size = int(torch.tensor(shape).prod())
    x = torch.randn(n, size, generator=generator, dtype=torch.float64)
    tangents = torch.randn(3, n, size, generator=generator, dtype=torch.float64)
    rule = jet_rule(3, pairs)
    ours = rule.unpack(push(module, rule.pack(x, tangents), rule, shape))
    theirs = functional_jet(lambda z: module(z.unflatten(-1, shape)).flatten(1), x, tangents, pairs)
    return ours, theirs


@pytest.mark.parametrize(
    "activation",
    [nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.Softplus(), FourierFeatures(7, 7, 0.5)],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.parametrize(
    "pairs",
    [((0, 0),), ((0, 1), (2, 2)), tuple(zip([0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2], strict=True))],
)
def test_dense_networks(activation, pairs):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(4, 7), activation, nn.Linear(7, 7), activation, nn.Linear(7, 6)
    )
    for ours, theirs in zip(*jets(module.double(), (4,), pairs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_silu_against_its_definition():
    # torch has no second forward derivative of SiLU; u sigmoid(u) has.
    class Product(nn.Module):
        def forward(self, u):
            return u * torch.sigmoid(u)

    torch.manual_seed(0)
    first, last = nn.Linear(4, 5).double(), nn.Linear(5, 3).double()
    ours, _ = jets(nn.Sequential(first, nn.Sigmoid(), last), (4,), ((0, 1),))
    x = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert ours.value.shape == (5, 3)
    module = nn.Sequential(first, nn.SiLU(), last)
    plain = nn.Sequential(first, Product(), last)
    tangents = torch.randn(2, 5, 4, dtype=torch.float64)
    rule = jet_rule(2, ((0, 1), (1, 1)))
    found = rule.unpack(push(module, rule.pack(x, tangents), rule, (4,)))
    for ours, theirs in zip(
        found, functional_jet(plain, x, tangents, ((0, 1), (1, 1))), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_convolutions_and_shapes():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(3, 2 * 4 * 4), nn.Tanh(), nn.Unflatten(1, (2, 4, 4)),
        nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1), nn.Softplus(),
        nn.Conv2d(3, 1, 3, padding=1), nn.AvgPool2d(2), nn.Upsample(scale_factor=2), nn.Flatten(),
    ).double()  # fmt: skip
    for ours, theirs in zip(*jets(module, (3,), ((0, 1), (2, 2))), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_rows_of_several_charts_at_once():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    rule = jet_rule(1, ((0, 0),))
    x, t = torch.randn(2, 2, 5, 3, dtype=torch.float64).unbind(0)
    both = push(module, rule.pack(x, t.unsqueeze(1)), rule, (3,))
    for k in range(2):
        one = push(module, rule.pack(x[k], t[k].unsqueeze(0)), rule, (3,))
        torch.testing.assert_close(both[k], one)


@pytest.mark.parametrize(
    "module",
    [
        Cubic(),
        nn.Sequential(nn.Linear(2, 2), Cubic()),
        nn.Softplus(beta=2.0),
        nn.Dropout(0.5),
        nn.BatchNorm1d(3),
    ],
)
def test_unknown_modules_are_left_to_automatic_differentiation(module):
    assert not can_push(module)


def test_no_points_make_no_jets():
    for ours in jets(nn.Sequential(nn.Linear(4, 7), nn.Tanh()).double(), (4,), ((0, 1),), n=0)[0]:
        assert ours.shape[-2:] == (0, 7)
