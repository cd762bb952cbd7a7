"""Embeddings of the cube: exact curves as oracles, pushed-forward laws, one training."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from oracles import draw
from torch import nn

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.geometry import Curvature
from learnedmanifolds.latent.embedding import (
    EmbeddedSpace,
    EmbeddingSettings,
    Gate,
    LearnedEmbedding,
    Projection,
    fit_embedding,
    measure_embedding,
)
from learnedmanifolds.latent.embedding.training import imq_discrepancy
from learnedmanifolds.latent.quadrature import quadrature
from learnedmanifolds.latent.torus import Circle


def fitted(curve, n_ambient, dim=1, seed=0):
    """A network whose last layer is solved for, so that phi(t) is a given function up to 1e-5."""
    embedding = LearnedEmbedding(dim, n_ambient, 128, seed)
    with torch.no_grad():
        embedding.network[0].weight *= 4
        coords = embedding.chart.anchors
        features = embedding.network[:-1](coords)
        features = torch.cat([features, torch.ones(len(features), 1).double()], -1)
        last = torch.linalg.lstsq(features, curve((1 + coords) / 2), driver="gelsd").solution
        embedding.network[-1].weight.copy_(last[:-1].T)
        embedding.network[-1].bias.copy_(last[-1])
    return embedding.requires_grad_(False)


def circle(t, turns=1.0):
    angle = 2 * math.pi * turns * t
    return torch.cat([angle.cos(), angle.sin()], -1)


def ellipse(t):
    return circle(t) * torch.tensor([3.0, 1.0]).double()


def surface(t):
    """A quarter of a cylinder of radius 2, of unequal density."""
    u = (t[..., :1] + 0.3 * t[..., :1].square()) * math.pi / 2 / 1.3
    return torch.cat([2 * u.cos(), 2 * u.sin(), t[..., 1:] * 3], -1)


@pytest.fixture(scope="module")
def round_embedding():
    return fitted(circle, 2)


CURVES = {"circle": (circle, 2, 1), "ellipse": (ellipse, 2, 1), "surface": (surface, 3, 2)}


@pytest.mark.parametrize("name", CURVES)
def test_inverse_and_volume_of_a_network(name):
    curve, n_ambient, dim = CURVES[name]
    embedding = fitted(curve, n_ambient, dim)
    t = draw(50, dim, seed=1, low=0.02, high=0.98)
    z = embedding(t)
    assert torch.allclose(z, curve(t), rtol=0, atol=1e-4)
    assert torch.allclose(embedding.inverse(z), t, rtol=0, atol=1e-8)
    jacobian = torch.func.vmap(torch.func.jacrev(embedding))(t)
    volume = torch.linalg.svdvals(jacobian).log().sum(-1)
    assert torch.allclose(embedding.log_volume(t), volume, rtol=0, atol=1e-10)
    assert embedding(t.float()).dtype == embedding.inverse(z.float()).dtype == torch.float32
    assert embedding.inverse(z.view(5, 10, -1)).shape == (5, 10, dim)


def test_the_inverse_of_a_network_is_differentiable():
    embedding = fitted(surface, 3, 2)
    charts = embedding.charts()
    z = embedding(draw(6, 2, seed=2, low=0.1, high=0.9))
    jacobian = torch.func.vmap(torch.func.jacrev(embedding.network))(charts.encode(z, 0))
    z.requires_grad_()
    coords = charts.encode(z, 0)
    for i in range(2):
        (row,) = torch.autograd.grad(coords[:, i].sum(), z, retain_graph=True)
        # A left inverse of the derivative that vanishes across the tangents.
        assert torch.allclose(row, torch.linalg.pinv(jacobian)[:, i], rtol=0, atol=1e-9)


def test_charts_of_a_network_and_their_curvature():
    embedding = fitted(surface, 3, 2)
    atlas = Atlas(embedding.charts())
    x = embedding(draw(40, 2, seed=3, low=0.05, high=0.95))
    located = atlas.locate(x)
    assert torch.allclose(atlas.decode(located.coords, located.chart), x, rtol=0, atol=1e-9)
    curvature = Curvature(atlas.geometry(located.coords, located.chart))
    # A cylinder: flat inside, bent with radius 2 outside.
    assert curvature.sectional(*draw(2, 40, 3, seed=4)).abs().max() < 1e-2
    bend = curvature.mean_curvature_vector.norm(dim=-1)
    assert torch.allclose(bend, torch.full((40,), 0.5).double(), atol=1e-2)


def test_turned_copies_close_the_seam(round_embedding):
    atlas = Atlas(round_embedding.charts(3), noise_std=1e-3)
    angles = 2 * math.pi * torch.arange(100, dtype=torch.float64).view(-1, 1) / 100
    x = torch.cat([angles.cos(), angles.sin()], -1)
    located = atlas.locate(x)
    assert (located.coords.abs() < 0.7).all()
    assert torch.allclose(atlas.decode(located.coords, located.chart), x, rtol=0, atol=1e-4)


def test_projection_is_the_circle():
    projection = Projection(2)
    t = draw(100, 2, seed=5, low=0, high=1)
    z = projection(t)
    assert torch.allclose(z[:, 2:], circle(t[:, 1:]), rtol=0, atol=1e-12)
    assert torch.allclose(projection.inverse(z), t, rtol=0, atol=1e-12)
    jacobian = torch.func.vmap(torch.func.jacrev(projection))(t)
    volume = torch.linalg.svdvals(jacobian).log().sum(-1)
    assert torch.allclose(projection.log_volume(t), volume, rtol=0, atol=1e-10)


def spaces(embedding):
    for hidden in ("beta", "normal"):
        for rotation in (False, True):
            yield EmbeddedSpace(embedding, hidden, rotation)


@pytest.mark.parametrize("exact", [True, False])
def test_laws_on_the_circle_keep_the_protocol(exact, round_embedding):
    for space in spaces(Projection() if exact else round_embedding):
        raw = draw(3, space.n_parameters, seed=6).float().requires_grad_()
        assert space.n_parameters == (4 if space.rotation else 2)
        law = space.posterior(raw)
        z = law.rsample((400,))
        assert z.shape == (400, 3, 2) and z.dtype == torch.float32
        assert torch.allclose(z.norm(dim=-1), torch.tensor(1.0), atol=1e-4)
        # A copy has to be inverted, the draw itself not.
        inside = (law.embedding.inverse(z) - 0.5).abs()[..., 0] < 0.45
        close = (law.log_prob(z) - law.log_prob(z.clone())).abs() < 1e-2
        assert close[inside].float().mean() > 0.95
        kl = space.divergence(law, z)
        ratio = (law.log_prob(z) - space.prior().log_prob(z)).detach()
        assert ((kl - ratio.mean(0)).abs() < 5 * ratio.std(0) / 20).all()
        (z.sum() + kl.sum()).backward()
        assert (raw.grad[:, :2] != 0).all() and torch.isfinite(raw.grad).all()
        assert space.project(law.mode).shape == (3, 2)
        assert law.expand((5, 3)).sample().shape == (5, 3, 2) and law.has_rsample
        prior = space.prior()
        assert torch.equal(prior.log_prob(prior.sample((4,))), torch.zeros(4))


@pytest.mark.parametrize("hidden", ["beta", "normal"])
def test_density_with_respect_to_volume_integrates_to_one(hidden):
    for curve, embedding in ((circle, Projection()), (ellipse, fitted(ellipse, 2))):
        space = EmbeddedSpace(embedding, hidden)
        law = space.posterior(
            torch.tensor([3.0, 4.0]).double()
            if hidden == "beta"
            else torch.tensor([0.3, -1.0]).double()
        )
        t = (torch.arange(2000, dtype=torch.float64).view(-1, 1) + 0.5) / 2000
        z = curve(t)
        step = (curve(t + 1 / 4000) - curve(t - 1 / 4000)).norm(dim=-1)
        assert float((law.log_density(z).exp() * step).sum()) == pytest.approx(1, abs=2e-3)
        prior = (space.prior().log_density(z).exp() * step).sum()
        assert float(prior) == pytest.approx(1, abs=2e-3)


def test_turning_the_encoder_turns_the_draws():
    space = EmbeddedSpace(Projection(), rotation=True)
    raw = torch.tensor([2.0, 1.0, 1.0, 0.0])
    alpha = 1.1
    turn = torch.tensor([[math.cos(alpha), -math.sin(alpha)], [math.sin(alpha), math.cos(alpha)]])
    turned = torch.cat([raw[:2], 3 * turn @ raw[2:]])
    draws = []
    with torch.random.fork_rng():
        for outputs in (raw, turned):
            torch.manual_seed(7)
            draws.append(space.posterior(outputs).rsample((100,)))
    assert torch.allclose(draws[0] @ turn.T, draws[1], atol=1e-6)
    laws = [space.posterior(outputs) for outputs in (raw, turned)]
    assert torch.equal(*(space.divergence(law, law.mode) for law in laws))
    at = Circle().prior().sample((50,))
    assert torch.allclose(laws[0].log_prob(at), laws[1].log_prob(at @ turn.T), atol=1e-3)


def test_a_law_from_another_embedding_has_no_closed_divergence(round_embedding):
    one, other = EmbeddedSpace(round_embedding), EmbeddedSpace(Projection())
    law = one.posterior(torch.zeros(2))
    with pytest.raises(NotImplementedError):
        torch.distributions.kl_divergence(law, other.prior())


def test_geodesics_go_across_the_seam_only_with_a_rotation(round_embedding):
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    ends = torch.tensor([[0.05], [0.9]], dtype=torch.float64)
    start, end = circle(ends)
    for space, length in (
        (EmbeddedSpace(Projection()), 0.15),
        (EmbeddedSpace(round_embedding, rotation=True), 0.15),
        (EmbeddedSpace(round_embedding), 0.85),
    ):
        curve = space.geodesic(start, end, t)
        assert curve.shape == (9, 2)
        assert torch.allclose(curve[0], start, atol=1e-3)
        assert torch.allclose(curve[-1], end, atol=1e-3)
        chords = (curve[1:] - curve[:-1]).norm(dim=-1)
        expected = 2 * math.sin(math.pi * length / 8)
        assert torch.allclose(chords, torch.tensor(expected).double(), rtol=0, atol=1e-3)


@pytest.mark.filterwarnings("ignore:torch's default dtype is not float64:UserWarning")
def test_geomstats_spaces(round_embedding):
    assert EmbeddedSpace(Projection(2)).space.dim == 2
    space = EmbeddedSpace(round_embedding).space
    x = round_embedding(draw(5, 1, seed=8, low=0.1, high=0.9))
    assert space.dim == 1 and space.belongs(x).all()


def test_quadrature_of_a_network_is_that_of_its_image(round_embedding):
    nodes, log_weights = quadrature(EmbeddedSpace(round_embedding, rotation=True), 64)
    weights = log_weights.exp().unsqueeze(-1)
    assert torch.allclose((weights * nodes).sum(0), torch.zeros(2).double(), atol=1e-4)
    assert torch.allclose((weights * nodes.square()).sum(0), torch.full((2,), 0.5).double())


SAMPLES = circle(draw(4096, 1, seed=9, low=0, high=1))


def two_pieces(t):
    """A cover of the circle in two pieces, with a fast way through the middle between them."""
    jump = torch.sigmoid((t - 0.5) * 60)
    return (1 - jump) * circle(t) + jump * circle(1.5 - t)


@pytest.mark.parametrize(
    ("curve", "passes", "figures"),
    [
        (circle, True, {"stray": 0, "miss": 0, "unevenness": 0, "overlap": 0, "gap": 0}),
        (lambda t: circle(t, 2), False, {"overlap": 1, "gap": 0, "miss": 0}),
        (
            lambda t: circle(t, 0.8),
            False,
            {
                "gap": 2 * math.sin(0.2 * math.pi),
                "miss": 2 * math.sin(0.1 * math.pi),
                "unevenness": 0.2 * 15 / 16,
            },
        ),
        (lambda t: 1.2 * circle(t), False, {"stray": 0.2, "miss": 0.2, "unevenness": 0}),
        (two_pieces, False, {"gap": 2, "overlap": 0}),
        (lambda t: circle(t.square()), False, {"least_stretch": 0, "unevenness": 0.25}),
    ],
    ids=["circle", "twice", "part", "too large", "two pieces", "uneven"],
)
def test_quality_of_known_curves(curve, passes, figures):
    quality = measure_embedding(fitted(curve, 2), SAMPLES)
    assert Gate().passes(quality) is passes
    assert quality.size == pytest.approx(1, abs=1e-2)
    for name, value in figures.items():
        assert getattr(quality, name) == pytest.approx(value, abs=0.04), name


def test_the_discrepancy_is_the_unbiased_double_sum():
    a, b = draw(5, 2, seed=10), draw(7, 2, seed=11)

    def kernel(x, y):
        return sum(c / (c + float((x - y).square().sum())) for c in (0.1, 2.0))

    inner = [
        np.mean([kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j])
        for s in (a, b)
    ]
    expected = inner[0] + inner[1] - 2 * np.mean([kernel(x, y) for x in a for y in b])
    assert float(imq_discrepancy(a, b, (0.1, 2.0))) == pytest.approx(expected)


SHORT = EmbeddingSettings(width=64, n_steps=800, batch_size=128, learning_rate=1e-2)


def test_a_circle_is_learned_and_passes_the_gate():
    state = torch.random.get_rng_state()
    embedding = fit_embedding(Circle(), settings=SHORT)
    assert torch.equal(torch.random.get_rng_state(), state)
    t = (torch.arange(1000, dtype=torch.float64).view(-1, 1) + 0.5) / 1000
    z = embedding(t)
    assert (z.norm(dim=-1) - 1).abs().max() < 0.15
    angle = torch.atan2(z[:, 1], z[:, 0]).numpy()
    # One sheet: the angle goes around once, at nearly constant speed.
    turned = np.unwrap(angle)
    assert abs(abs(turned[-1] - turned[0]) - 2 * math.pi) < 0.3
    assert (np.sign(np.diff(turned)) == np.sign(turned[-1] - turned[0])).all()
    assert scipy.stats.kstest(angle, scipy.stats.uniform(-np.pi, 2 * np.pi).cdf).statistic < 0.05
    assert embedding.quality.miss < 0.25 and not any(
        p.requires_grad for p in embedding.parameters()
    )


def test_samples_far_from_the_origin_and_of_another_size_are_learned_in_their_units():
    samples = 50 * SAMPLES + torch.tensor([300.0, -20.0])
    quick = EmbeddingSettings(width=32, n_steps=150, batch_size=64, learning_rate=1e-2)
    anything = Gate(*[math.inf] * 2, 0.0, *[math.inf] * 4)
    far = fit_embedding(samples, settings=quick, gate=anything)
    near = fit_embedding(SAMPLES, settings=quick, gate=anything)
    t = torch.linspace(0, 1, 20).view(-1, 1).double()
    assert torch.allclose((far(t) - torch.tensor([300.0, -20.0])) / 50, near(t), atol=1e-3)
    assert torch.allclose(far.encoder(samples[:9]), near.encoder(SAMPLES[:9]), atol=1e-3)
    again = fit_embedding(SAMPLES, settings=quick, gate=anything)
    other = fit_embedding(SAMPLES, settings=quick, gate=anything, seed=1)
    assert torch.equal(again(t), near(t)) and not torch.allclose(other(t), near(t), atol=1e-3)


def test_a_network_is_rebuilt_from_its_config_and_weights(round_embedding):
    again = LearnedEmbedding(**round_embedding.config())
    again.load_state_dict(round_embedding.state_dict())
    t = draw(5, 1, seed=12, low=0, high=1)
    assert torch.equal(again(t), round_embedding(t))


def test_failures_list_the_figures_of_every_start():
    poor = EmbeddingSettings(width=4, n_steps=1, batch_size=8)
    with pytest.raises(RuntimeError, match=r"(?s)seed 3: stray .* seed 4: stray"):
        fit_embedding(SAMPLES, settings=poor, n_starts=2, seed=3)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: fit_embedding(SAMPLES, 3), ValueError, "dim"),
        (lambda: fit_embedding(SAMPLES[:, 0]), ValueError, "source"),
        (lambda: fit_embedding(torch.ones(5, 2)), ValueError, "equal ones"),
        (lambda: fit_embedding(torch.full((5, 2), torch.nan)), ValueError, "finite"),
        (lambda: fit_embedding("circle"), TypeError, "source"),
        (lambda: fit_embedding(SAMPLES, n_starts=0), ValueError, "n_starts"),
        (lambda: EmbeddingSettings(batch_size=1), ValueError, "batch_size"),
        (lambda: EmbeddingSettings(scales=(0.1, 0.0)), ValueError, "scales"),
        (lambda: EmbeddingSettings(weight=-1.0), ValueError, "weight"),
        (lambda: EmbeddedSpace(nn.Identity()), TypeError, "embedding"),
        (lambda: EmbeddedSpace(Projection(), "gamma"), ValueError, "hidden"),
        (lambda: EmbeddedSpace(LearnedEmbedding(1, 3), rotation=True), ValueError, "rotation"),
        (lambda: EmbeddedSpace(Projection()).posterior(torch.ones(4)), ValueError, "parameters"),
        (lambda: LearnedEmbedding(3, 2), ValueError, "n_ambient"),
        (lambda: Projection(0), ValueError, "dim"),
        (lambda: Projection()(torch.ones(2)), ValueError, "t must"),
        (lambda: LearnedEmbedding(1, 2).inverse(torch.ones(3)), ValueError, "z must"),
        (
            lambda: measure_embedding(LearnedEmbedding(1, 2), torch.ones(4, 3)),
            ValueError,
            "samples",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()
