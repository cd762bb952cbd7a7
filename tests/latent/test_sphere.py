"""The sphere as a latent space, and the uniform law on it."""

import math

import pytest
import torch
from axial_law import directions, near_poles
from scipy import stats

from learnedmanifolds.latent.hyperspherical_uniform import HypersphericalUniform
from learnedmanifolds.latent.power_spherical import PowerSpherical
from learnedmanifolds.latent.sphere import Sphere
from learnedmanifolds.latent.von_mises_fisher import VonMisesFisher

FAMILIES = {"von-mises-fisher": VonMisesFisher, "power-spherical": PowerSpherical}
TIMES = torch.linspace(0, 1, 5, dtype=torch.float64)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dim", [1, 2, 10, 1024])
def test_outputs_of_an_encoder_become_posteriors(family, dim):
    sphere = Sphere(dim, posterior=family)
    assert (sphere.dim, sphere.shape, sphere.n_parameters) == (dim, (dim + 1,), dim + 2)
    outputs = normal(4, 3, dim + 2, dtype=torch.float32).requires_grad_()
    law = sphere.posterior(outputs)
    assert type(law) is FAMILIES[family] and law.batch_shape == (4, 3)
    direction = outputs[..., :-1].detach().double()
    direction = direction / direction.norm(dim=-1, keepdim=True)
    assert torch.allclose(law.mode.double(), direction, rtol=0, atol=1e-6)
    expected = 1 + torch.log1p(outputs[..., -1].detach().double().exp())
    assert torch.allclose(law.concentration.double(), expected, rtol=1e-6)
    z = law.rsample()
    loss = (z[..., 0] + sphere.divergence(law, z)).sum()
    loss.backward()
    assert loss.dtype == torch.float32 and outputs.grad.isfinite().all()
    assert (outputs.grad.abs().amax((0, 1)) > 0).all()


def test_extreme_outputs():
    sphere = Sphere(2)
    outputs = torch.tensor([[0.0, 0, 0, -200], [1e30, 0, 1e30, 1e9], [0, 0, -1e-30, 0]])
    outputs.requires_grad_()
    law = sphere.posterior(outputs)
    half = 0.5**0.5
    assert torch.allclose(law.loc, torch.tensor([[1.0, 0, 0], [half, 0, half], [0, 0, -1]]))
    assert law.concentration.tolist()[:2] == [1.0, 1e6]
    law.rsample().sum().backward()
    assert outputs.grad.isfinite().all() and outputs.grad[1, 3] == 0


@pytest.mark.parametrize("m", [2, 3, 33])
def test_uniform_law(m):
    torch.manual_seed(0)
    prior = Sphere(m - 1).prior()
    z = prior.expand((2,)).rsample((5000,))
    assert z.shape == (5000, 2, m) and z.dtype == torch.get_default_dtype()
    assert ((z.norm(dim=-1) - 1).abs() < 1e-6).all()
    law = stats.beta((m - 1) / 2, (m - 1) / 2)
    along = z.double() @ directions(m)
    # Twelve p-values of all cases: one seed in 100 would fail.
    for one in (z[:, 0, 0], z[:, 1, -1], along[:, 0], along[:, 1]):
        assert stats.kstest(((1 + one) / 2).numpy(), law.cdf).pvalue > 1e-3
    area = 2 * math.pi ** (m / 2) / math.gamma(m / 2)
    assert prior.entropy().item() == pytest.approx(math.log(area), rel=1e-6)
    assert prior.log_prob(z).shape == (5000, 2)
    assert torch.allclose(prior.log_prob(z).exp(), torch.tensor(1 / area, dtype=z.dtype), rtol=1e-5)
    assert torch.equal(prior.mean, torch.zeros(m))
    assert prior.variance.sum().item() == pytest.approx(1)


def test_log_ratio_weights_integrate_the_prior():
    # E_q p / q = 1: two deviations in standard errors.
    torch.manual_seed(1)
    for family in FAMILIES:
        sphere = Sphere(3, posterior=family)
        law = sphere.posterior(normal(5))
        weights = sphere.log_ratio(law, law.sample((20_000,))).exp()
        assert abs(weights.mean() - 1) < 4 * weights.std() / len(weights) ** 0.5


def test_projection_is_to_the_nearest_point():
    sphere = Sphere(4)
    x = 3 * normal(200, 5)
    z = sphere.project(x)
    assert torch.allclose(z.norm(dim=-1), torch.ones(200, dtype=torch.float64), rtol=1e-14)
    others = directions(1000, 5, seed=2)
    assert ((x - z).norm(dim=-1) <= torch.cdist(x, others).amin(1)).all()
    assert torch.equal(sphere.project(torch.zeros(1, 5)), torch.eye(5)[:1])


@pytest.mark.parametrize("dim", [1, 2, 9])
def test_geodesics_are_arcs_of_constant_speed_and_least_length(dim):
    sphere = Sphere(dim)
    start, end = directions(2, 30, dim + 1, seed=3)
    path = sphere.geodesic(start, end, TIMES)
    assert path.shape == (5, 30, dim + 1)
    assert torch.allclose(path.norm(dim=-1), torch.ones((), dtype=torch.float64), rtol=1e-14)
    assert torch.allclose(path[0], start) and torch.allclose(path[-1], end)
    length = (start * end).sum(-1).acos()
    steps = (path[1:] * path[:-1]).sum(-1).acos()
    assert torch.allclose(steps, length.expand(4, -1) / 4, rtol=1e-9)


@pytest.mark.parametrize("gap", [0.0, 1e-300, 1e-12, 1e-6, 1e-3])
def test_geodesics_of_near_and_of_opposite_points(gap):
    sphere = Sphere(3)
    start = torch.cat([near_poles(4), directions(10, 4)])
    side = torch.linalg.svd(start.unsqueeze(1))[2][:, 1]
    end = math.cos(gap) * start + math.sin(gap) * side
    path = sphere.geodesic(start, end, TIMES)
    angle = gap * TIMES.view(-1, 1, 1)
    assert torch.allclose(path, angle.cos() * start + angle.sin() * side, rtol=0, atol=1e-15)
    path = sphere.geodesic(start, -end, TIMES)
    assert torch.allclose(path.norm(dim=-1), torch.ones((), dtype=torch.float64), rtol=1e-14)
    assert torch.allclose(path[0], start, rtol=0, atol=1e-15)
    assert torch.allclose(path[-1], -end, rtol=0, atol=1e-13)
    steps = 2 * ((path[1:] - path[:-1]).norm(dim=-1) / 2).asin()
    assert torch.allclose(steps, torch.tensor((math.pi - gap) / 4, dtype=torch.float64), rtol=1e-9)


def test_geodesics_broadcast_and_differentiate():
    sphere = Sphere(2, posterior="power-spherical")
    start, end = directions(3), directions(4, 3, seed=1)
    assert sphere.geodesic(start, end, TIMES).shape == (5, 4, 3)
    assert torch.autograd.gradcheck(
        lambda a, b: sphere.geodesic(a, b, TIMES),
        (start.requires_grad_(), end.requires_grad_()),
    )


@pytest.mark.parametrize("dim", [1, 3])
def test_charts_cover_the_sphere(dim):
    sphere = Sphere(dim)
    charts = sphere.charts()
    z = directions(300, dim + 1, seed=4)
    coords = charts.encode(z)
    assert torch.allclose(charts.decode(coords), z.expand(2, -1, -1), rtol=0, atol=1e-9)
    assert (coords.abs().amax(-1) <= 1).any(0).all()
    assert charts.dim == sphere.dim and charts.n_ambient == sphere.n_ambient


@pytest.mark.parametrize("dim", [1, 5])
def test_the_space_of_geomstats_is_the_same_sphere(dim):
    sphere = Sphere(dim)
    space = sphere.space
    # geomstats works in torch's default dtype.
    assert space.dim == dim and bool(space.belongs(sphere.prior().sample((10,))).all())
    start, end = directions(2, 6, dim + 1, seed=5, dtype=torch.float32)
    theirs = space.metric.geodesic(initial_point=start, end_point=end)(TIMES.float())
    ours = sphere.geodesic(start, end, TIMES).movedim(0, 1)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)


def test_laws_by_name():
    sphere = Sphere(2)
    loc = directions(5, 3)
    assert isinstance(sphere.von_mises_fisher(loc, 3.0), VonMisesFisher)
    assert isinstance(sphere.power_spherical(loc, 3.0), PowerSpherical)
    assert repr(Sphere(3, "power-spherical")) == "Sphere(3, posterior='power-spherical')"
    with pytest.raises(ValueError, match=r"loc.*\(\.\.\., 3\).*\(4,\)"):
        sphere.von_mises_fisher(directions(4), 3.0)
    with pytest.raises(ValueError, match=r"loc.*\(\.\.\., 3\).*\(2,\)"):
        sphere.power_spherical(directions(2), 3.0)


def test_bad_input():
    for dim in (0, -1, 1025):
        with pytest.raises(ValueError, match=r"dim.*got"):
            Sphere(dim)
    for dim in (2.0, True, "2"):
        with pytest.raises(TypeError, match="dim must be an integer"):
            Sphere(dim)
    with pytest.raises(ValueError, match=r"posterior.*'power-spherical'.*'normal'"):
        Sphere(2, posterior="normal")
    with pytest.raises(ValueError, match=r"m must be.*at least 2.*1"):
        HypersphericalUniform(1)
    sphere = Sphere(2)
    for points in (torch.zeros(5, 2), torch.zeros(())):
        with pytest.raises(ValueError, match=r"z must have shape \(\.\.\., 3\)"):
            sphere.project(points)
    with pytest.raises(ValueError, match=r"parameters must have shape \(\.\.\., 4\).*\(7, 3\)"):
        sphere.posterior(torch.zeros(7, 3))
    with pytest.raises(TypeError, match=r"parameters.*int64"):
        sphere.posterior(torch.zeros(7, 4, dtype=torch.int64))
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="loc"):
            sphere.posterior(torch.tensor([bad, 0.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match="concentration"):
        sphere.posterior(torch.tensor([1.0, 0.0, 0.0, math.nan]))
    with pytest.raises(ValueError, match=r"end must have shape"):
        sphere.geodesic(directions(3), directions(4), TIMES)
    with pytest.raises(ValueError, match=r"t must have shape"):
        sphere.geodesic(directions(3), directions(3), torch.tensor(0.5))
    with pytest.raises(ValueError, match="support"):
        sphere.prior().log_prob(torch.zeros(3))
