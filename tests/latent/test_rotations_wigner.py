"""Wigner matrices: a representation, of the right harmonics, smooth; decoders that act by it."""

import math

import numpy as np
import pytest
import torch
from oracles import draw, unit
from scipy.special import sph_harm_y
from torch import nn

from learnedmanifolds.charts.jet import functional_jet, jet_rule
from learnedmanifolds.charts.taylor import push
from learnedmanifolds.latent.rotations import (
    GroupAction,
    angle,
    exp,
    random_rotations,
    random_spectrum,
    wigner,
)

DEGREE = 6
R = torch.cat([torch.eye(3).double()[None], random_rotations(60, 0, torch.float64)])
S = random_rotations(61, 1, torch.float64)


def harmonics(degree, x):
    """Real spherical harmonics of unit vectors, orders -l..l, from SciPy's complex ones."""
    polar, azimuth = torch.acos(x[:, 2]).numpy(), torch.atan2(x[:, 1], x[:, 0]).numpy()
    columns = []
    for m in range(-degree, degree + 1):
        y = (-1) ** m * sph_harm_y(degree, abs(m), polar, azimuth)
        columns.append(y.real if m == 0 else math.sqrt(2) * (y.real if m > 0 else y.imag))
    return torch.from_numpy(np.stack(columns, -1))


def test_it_is_an_orthogonal_representation():
    together = zip(wigner(R, DEGREE), wigner(S, DEGREE), wigner(R @ S, DEGREE), strict=True)
    for degree, (d_r, d_s, d_rs) in enumerate(together):
        eye = torch.eye(2 * degree + 1).double()
        assert d_r.shape == (61, 2 * degree + 1, 2 * degree + 1)
        assert torch.allclose(d_r @ d_s, d_rs, rtol=0, atol=1e-13)
        assert torch.allclose(d_r @ d_r.mT, eye, rtol=0, atol=1e-13)
        assert torch.allclose(d_r[0], eye, rtol=0, atol=1e-14)


def test_degree_one_is_the_rotation_of_y_z_x():
    permutation = torch.eye(3).double()[[1, 2, 0]]
    assert torch.allclose(wigner(R, 1)[1], permutation @ R @ permutation.T, rtol=0, atol=1e-15)


def test_it_turns_the_spherical_harmonics():
    x = unit(draw(61, 3, seed=4))
    turned = (R @ x.unsqueeze(-1)).squeeze(-1)
    for degree, d in enumerate(wigner(R, DEGREE)):
        image = (d @ harmonics(degree, x).unsqueeze(-1)).squeeze(-1)
        assert torch.allclose(image, harmonics(degree, turned), rtol=0, atol=1e-12)


def test_traces_are_the_characters():
    t = angle(R[1:])
    for degree, d in enumerate(wigner(R[1:], DEGREE)):
        character = ((degree + 0.5) * t).sin() / (t / 2).sin()
        assert torch.allclose(d.diagonal(dim1=-2, dim2=-1).sum(-1), character, rtol=0, atol=1e-11)


@pytest.mark.parametrize("row", [0, 7])
def test_second_derivatives_give_the_casimir_operator(row):
    base = R[row]
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]).double())
    for place in (base, half_turn):

        def along(v, place=place):
            return torch.cat([d.flatten() for d in wigner(place @ exp(v), 4)])

        second = torch.func.jacfwd(torch.func.jacfwd(along))(torch.zeros(3).double())
        laplacian = second.diagonal(dim1=-2, dim2=-1).sum(-1)
        values = wigner(place, 4)
        expected = torch.cat([-k * (k + 1) * d.flatten() for k, d in enumerate(values)])
        assert torch.allclose(laplacian, expected, rtol=0, atol=1e-11)


def test_shapes_dtypes_and_batches():
    single = wigner(R[3], 3)
    batch = wigner(R[:6].view(2, 3, 3, 3), 3)
    for one, many in zip(single, batch, strict=True):
        assert torch.allclose(one, many[1, 0], rtol=0, atol=1e-14)
    low = wigner(R.float(), DEGREE)
    assert all(d.dtype == torch.float32 for d in low)
    assert (low[-1].double() - wigner(R, DEGREE)[-1]).abs().max() < 1e-5
    assert [tuple(d.shape) for d in wigner(R, 0)] == [(61, 1, 1)]


def test_the_group_action_is_equivariant_and_keeps_lengths():
    decoder = GroupAction(3, 5).double()
    assert decoder.n_features == 80
    x, y = decoder(R), decoder(S @ R)
    assert x.shape == (61, 80)
    assert torch.allclose(decoder(R.flatten(1)), x, rtol=0, atol=0)
    acting = torch.stack([torch.block_diag(*parts) for parts in zip(*wigner(S, 3), strict=True)])
    assert torch.allclose((acting @ x.unflatten(-1, (16, 5))).flatten(1), y, rtol=0, atol=1e-12)
    assert torch.allclose(x.norm(dim=-1), decoder.spectrum.norm().expand(61), rtol=1e-12)


def test_the_group_action_trains_saves_and_feeds_a_network():
    decoder = GroupAction(2, 2, torch.nn.Linear(18, 4))
    out = decoder(R.float()[:5])
    assert out.shape == (5, 4) and out.dtype == torch.float32
    out.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in decoder.parameters())
    other = GroupAction(2, 2, torch.nn.Linear(18, 4))
    other.load_state_dict(decoder.state_dict())
    assert torch.equal(other(R.float()), decoder(R.float()))


def test_the_group_action_has_forward_second_derivatives():
    decoder = GroupAction(3, 2, torch.nn.Sequential(torch.nn.Linear(32, 6), torch.nn.SiLU()))
    decoder = decoder.double()
    forward = torch.func.jacfwd(torch.func.jacfwd(decoder))(R[5].flatten())
    reverse = torch.func.jacrev(torch.func.jacrev(decoder))(R[5].flatten())
    assert forward.abs().max() > 0.1
    assert torch.allclose(forward, reverse, rtol=0, atol=1e-12)


def test_the_toy_data_are_one_orbit():
    x, r = random_spectrum(200, degree=3, channels=2, seed=5, dtype=torch.float64)
    assert x.shape == (200, 32) and r.shape == (200, 3, 3)
    assert torch.allclose(x.norm(dim=-1), torch.full((200,), 10.0).double())
    back = [torch.block_diag(*parts) for parts in zip(*wigner(r.mT, 3), strict=True)]
    spectra = torch.stack(back) @ x.unflatten(-1, (16, 2))
    assert (spectra - spectra[0]).abs().max() < 1e-12
    assert torch.equal(random_spectrum(4, seed=5)[0], random_spectrum(4, seed=5)[0])
    assert random_spectrum(4)[0].shape == (4, 48) and random_spectrum(4)[0].dtype == torch.float32
    assert not torch.equal(random_spectrum(4, seed=5)[0], random_spectrum(4, seed=6)[0])


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: wigner(R, -1), ValueError, "degree"),
        (lambda: wigner(R, 1.0), TypeError, "degree"),
        (lambda: wigner(torch.zeros(9), 2), ValueError, "rotation"),
        (lambda: GroupAction(-1, 2), ValueError, "degree"),
        (lambda: GroupAction(2, 0), ValueError, "channels"),
        (lambda: GroupAction(2, 1, "mlp"), TypeError, "network"),
        (lambda: GroupAction(2, 1)(torch.zeros(4, 8)), ValueError, "rotation"),
        (lambda: random_spectrum(0), ValueError, "n must"),
        (lambda: random_spectrum(3, degree=-1), ValueError, "degree"),
        (lambda: random_spectrum(3, channels=0), ValueError, "channels"),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()


@pytest.mark.parametrize(
    "network", [None, nn.Sequential(nn.Linear(32, 5), nn.Tanh(), nn.Linear(5, 4))]
)
@pytest.mark.parametrize("pairs", [((0, 0),), ((0, 0), (0, 1), (1, 1))])
def test_jets_of_the_action_against_automatic_differentiation(network, pairs):
    torch.manual_seed(0)
    decoder = GroupAction(3, 2, network).double()
    x = torch.randn(4, 9, dtype=torch.float64)
    tangents = torch.randn(2, 4, 9, dtype=torch.float64)
    rule = jet_rule(2, pairs)
    ours = rule.unpack(push(decoder, rule.pack(x, tangents), rule, (9,)))
    for a, b in zip(ours, functional_jet(decoder, x, tangents, pairs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
