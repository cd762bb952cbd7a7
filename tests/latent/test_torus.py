"""Circle and torus as latent spaces: posteriors, divergence, geodesics, geomstats."""

import math

import pytest
import torch
from oracles import draw

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.latent.torus import Circle, Torus


def points(n, dim, seed=0):
    angles = draw(n, dim, seed=seed, low=-math.pi, high=math.pi)
    return torch.stack([angles.cos(), angles.sin()], -1).flatten(-2), angles


@pytest.mark.parametrize("dim", [1, 3])
def test_encoder_outputs_give_directions_and_scales(dim):
    space = Torus(dim)
    assert (space.shape, space.n_ambient, space.n_parameters) == ((2 * dim,), 2 * dim, 3 * dim)
    raw = draw(6, 5, 3 * dim, seed=1)
    law = space.posterior(raw)
    assert law.batch_shape == (6, 5) and law.event_shape == (2 * dim,)
    for i in range(dim):
        vector = raw[..., 2 * i : 2 * i + 2]
        pair = law.mode[..., 2 * i : 2 * i + 2]
        assert torch.allclose(pair * vector.norm(dim=-1, keepdim=True), vector)
    assert torch.allclose(law.scale, (1 + raw[..., 2 * dim :].exp()).log() + 1e-3)
    assert (space.posterior(-1000 * torch.ones(3 * dim)).scale > 0).all()


def test_a_zero_direction_has_an_angle_and_finite_derivatives():
    raw = torch.zeros(3, requires_grad=True)
    law = Circle().posterior(raw)
    assert torch.equal(law.mode, torch.tensor([1.0, 0.0]))
    law.log_prob(torch.tensor([0.0, 1.0])).backward()
    assert torch.isfinite(raw.grad).all()


def test_divergence_is_the_mean_log_ratio_and_differentiable():
    space = Torus(2)
    raw = torch.tensor([1.0, 2, -1, 0, -0.5, 1.5], dtype=torch.float64, requires_grad=True)
    law = space.posterior(raw)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = law.sample((20_000,))
    kl = space.divergence(law, z[0])
    ratio = (law.log_prob(z) - space.prior().log_prob(z)).detach()
    assert abs(float(kl.detach() - ratio.mean())) < 4 * float(ratio.std()) / math.sqrt(20_000)
    # It is exact: the same whatever the draws, and blind to the direction.
    assert torch.equal(kl, space.divergence(law, z[1]))
    (gradient,) = torch.autograd.grad(kl, raw)
    assert (gradient[:4] == 0).all() and (gradient[4:] < 0).all()


@pytest.mark.parametrize("dim", [1, 2])
def test_geodesics_are_shortest_of_constant_speed(dim):
    space, t = Torus(dim), torch.linspace(0, 1, 33, dtype=torch.float64)
    (start, a), (end, b) = points(200, dim, 1), points(200, dim, 2)
    curve = space.geodesic(start, end, t)
    assert curve.shape == (33, 200, 2 * dim)
    assert torch.allclose(curve[0], start) and torch.allclose(curve[-1], end)
    chords = (curve[1:] - curve[:-1]).norm(dim=-1)
    turns = 2 * math.pi * torch.arange(-1, 2, dtype=torch.float64)
    gap = ((b - a).unsqueeze(-1) + turns).abs().amin(-1)
    # The chord of an arc s is 2 sin(s / 2), on every circle.
    pieces = 2 * (gap / 64).sin()
    assert torch.allclose(chords, pieces.norm(dim=-1).expand(32, -1), rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("dim", [1, 2])
def test_geomstats_agrees(dim):
    latent = Torus(dim)
    space = latent.space
    (start, _), (end, _) = points(50, dim, 3), points(50, dim, 4)
    start, end = start.float(), end.float()
    assert space.belongs(start, atol=1e-5).all()
    middle = latent.geodesic(start, end, torch.tensor([0.5]))[0]
    one = space.metric.dist(start, middle)
    assert torch.allclose(2 * one, space.metric.dist(start, end), atol=1e-3)
    assert torch.allclose(one, space.metric.dist(middle, end), atol=1e-3)


def test_projection_is_the_nearest_point():
    space = Torus(2)
    z = draw(100, 4, seed=5)
    near = space.project(z)
    candidates, _ = points(4000, 2, 6)
    best = torch.cdist(z, candidates).amin(-1)
    gap = (near - z).norm(dim=-1)
    assert (gap <= best).all() and (best - gap).max() < 0.2
    assert torch.allclose(space.project(near), near, rtol=0, atol=1e-15)
    assert torch.equal(space.project(torch.zeros(4)), torch.tensor([1.0, 0, 1, 0]))


def test_charts_hold_the_prior_and_projection_agrees():
    space = Torus(2)
    atlas = Atlas(space.charts(), noise_std=0.01)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        z = space.prior().sample((300,)).double()
    located = atlas.locate(z)
    assert (located.coords.abs() < 1).all()
    assert torch.allclose(atlas.decode(located.coords, located.chart), z, rtol=0, atol=1e-6)
    off = z + 0.2 * draw(300, 4, seed=7)
    assert torch.allclose(atlas.project(off), space.project(off), rtol=0, atol=1e-7)


def test_the_circle_is_the_torus_of_dimension_one():
    raw = draw(4, 3, seed=8)
    one, other = Circle().posterior(raw), Torus(1).posterior(raw)
    assert torch.equal(one.loc, other.loc) and torch.equal(one.scale, other.scale)
    assert repr(Circle()) == "Circle()" and repr(Torus(3)) == "Torus(3)"


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: Torus(0), ValueError, "dim"),
        (lambda: Torus(1.5), TypeError, "dim"),
        (lambda: Torus(2).posterior(torch.zeros(5)), ValueError, "parameters"),
        (lambda: Torus(2).posterior(torch.full((6,), torch.nan)), ValueError, "loc"),
        (lambda: Torus(2).posterior([0.0] * 6), TypeError, "parameters"),
        (lambda: Torus(2).posterior(torch.zeros(6).long()), TypeError, "parameters"),
        (lambda: Circle().project(torch.zeros(3)), ValueError, "z"),
        (lambda: Circle().geodesic(*torch.ones(2, 2), torch.tensor(0.5)), ValueError, "t must"),
        (
            lambda: Circle().geodesic(torch.ones(2), torch.ones(3), torch.zeros(1)),
            ValueError,
            "end",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()


def test_times_are_a_tensor():
    z = Torus(2).prior().sample((3,))
    with pytest.raises(TypeError, match="t must be a tensor of shape"):
        Torus(2).geodesic(z, z, 0.5)
    with pytest.raises(ValueError, match="t must have shape"):
        Torus(2).geodesic(z, z, torch.zeros(2, 2))
