"""Atlases in geoopt: invariants, closed forms, optimizers, batches, bad input."""

import copy
import importlib
import math
import pickle
import re
import sys

import geoopt
import pytest
import torch
from geoopt.optim import RiemannianAdam, RiemannianSGD
from oracles import draw, random_flow, slope, torus_distance, unit

from learnedmanifolds import Atlas
from learnedmanifolds.charts import CircleCharts, PlaneCharts, SphereCharts, TorusCharts
from learnedmanifolds.geometry import BoundaryError, ChartRetraction
from learnedmanifolds.manifolds.geoopt import GeooptManifold


class MatrixSphere(SphereCharts):
    """The sphere S^3 as matrices of Frobenius norm 1."""

    def __init__(self):
        super().__init__(1.0, 3)
        self.ambient_shape = (2, 2)


CHARTS = {
    "circle": lambda: CircleCharts(2.0),
    "sphere": lambda: SphereCharts(1.3),
    "torus": lambda: TorusCharts(),
    "flow": lambda: random_flow(2, 5),
    "matrices": MatrixSphere,
}
RETRACTIONS = ["second-order", "chart", "projection", "exponential"]


def build(name, retraction="second-order"):
    return GeooptManifold(Atlas(CHARTS[name](), tolerance=1e-6), retraction)


@pytest.fixture(params=CHARTS)
def manifold(request):
    return build(request.param)


def inner_points(m, n=12, seed=1):
    """Points in the middle of their boxes, where short lines cross no border."""
    coords = draw(n, m.atlas.dim, seed=seed, low=-0.4, high=0.4)
    return m.atlas.decode(coords, torch.arange(n) % m.atlas.n_charts)


def tangents(m, x, size=1.0, seed=2):
    u = m.proju(x, draw(*x.shape, seed=seed))
    return size * u / m.norm(x, u, keepdim=True)


def close(a, b, atol=1e-9):
    return torch.allclose(a, b, rtol=0, atol=atol)


# --- the invariants of geoopt's manifolds ---------------------------------------------------------


def test_projx_is_idempotent_and_on_the_manifold(manifold):
    x = inner_points(manifold)
    near = manifold.projx(x + 0.01 * draw(*x.shape))
    assert close(manifold.projx(near), near)
    assert close(manifold.projx(x), x)
    manifold.assert_check_point_on_manifold(near, atol=1e-9, rtol=0)
    assert float((near - x).abs().max()) > 1e-4


def test_proju_is_idempotent_tangent_and_self_adjoint(manifold):
    x = inner_points(manifold)
    u, v = draw(2, *x.shape, seed=3)
    p = manifold.proju(x, u)
    assert close(manifold.proju(x, p), p, 1e-12)
    manifold.assert_check_vector_on_tangent(x, p, atol=1e-9, rtol=0)
    assert close(manifold.inner(x, p, v), manifold.inner(x, u, manifold.proju(x, v)), 1e-12)


def test_egrad2rgrad_represents_the_derivative(manifold):
    x = inner_points(manifold)
    g, v = draw(*x.shape, seed=4), tangents(manifold, x)
    r = manifold.egrad2rgrad(x, g)
    assert close(manifold.inner(x, r, v), manifold.inner(x, g, v), 1e-12)
    assert close(manifold.proju(x, r), r, 1e-12)


@pytest.mark.parametrize("retraction", RETRACTIONS)
@pytest.mark.parametrize("name", CHARTS)
def test_retraction_has_the_identity_as_derivative(name, retraction):
    m = build(name, retraction)
    x = inner_points(m)
    u, t = tangents(m, x), 1e-5
    assert close((m.retr(x, t * u) - m.retr(x, -t * u)) / (2 * t), u, 2e-6)
    m.assert_check_point_on_manifold(m.retr(x, 0.1 * u), atol=1e-9, rtol=0)


@pytest.mark.parametrize("method", [*RETRACTIONS, "expmap"])
@pytest.mark.parametrize("name", CHARTS)
def test_zero_vectors_lead_nowhere(name, method):
    m = build(name, "chart" if method == "expmap" else method)
    x = inner_points(m, 4)
    assert close(m.expmap(x, 0 * x) if method == "expmap" else m.retr(x, 0 * x), x)


@pytest.mark.parametrize(
    ("retraction", "order"), [("second-order", 3), ("projection", 3), ("chart", 2)]
)
@pytest.mark.parametrize("name", ["sphere", "torus", "flow"])
def test_order_of_the_retraction(name, retraction, order):
    m = build(name, retraction)
    x = inner_points(m)
    u = tangents(m, x)
    sizes = torch.logspace(-1, -2, 5).tolist()
    gaps = [(m.retr(x, t * u) - m.expmap(x, t * u)).norm() for t in sizes]
    assert float(slope(sizes, torch.stack(gaps))) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", ["circle", "sphere", "torus", "matrices"])
def test_exponential_inverts_logarithm_whose_length_is_the_distance(name):
    m = build(name)
    x, y = (m.random(5, *m.atlas.ambient_shape, seed=seed) for seed in (0, 1))
    u = m.logmap(x, y)
    assert close(m.expmap(x, u), y, 1e-6)
    m.assert_check_vector_on_tangent(x, u, atol=1e-9, rtol=0)
    distance = m.dist(x, y)
    assert close(m.norm(x, u), distance)
    assert close(m.dist(y, x), distance, 1e-6)
    assert close(m.dist2(x, y), distance.square())
    assert close(m.dist(x, x), torch.zeros(5, dtype=torch.float64))


def test_transports_agree_with_their_parts_and_are_tangent(manifold):
    x = inner_points(manifold)
    u, v = tangents(manifold, x, 0.1), tangents(manifold, x, seed=5)
    y, moved = manifold.retr_transp(x, u, v)
    assert close(y, manifold.retr(x, u), 1e-12)
    assert close(moved, manifold.transp(x, y, v), 1e-10)
    assert torch.equal(moved, manifold.transp_follow_retr(x, u, v))
    manifold.assert_check_vector_on_tangent(y, moved, atol=1e-9, rtol=0)


def test_parallel_transport_follows_the_exponential_and_keeps_angles(manifold):
    x = inner_points(manifold)
    u, v, w = (tangents(manifold, x, size, seed) for size, seed in ((0.1, 2), (1, 5), (2, 6)))
    y, moved = manifold.expmap_transp(x, u, v)
    assert close(y, manifold.expmap(x, u))
    assert torch.equal(moved, manifold.transp_follow_expmap(x, u, v))
    manifold.assert_check_vector_on_tangent(y, moved, atol=1e-9, rtol=0)
    other = manifold.transp_follow_expmap(x, u, w)
    for a, b, c, d in ((moved, other, v, w), (moved, moved, v, v)):
        assert close(manifold.inner(y, a, b), manifold.inner(x, c, d), 1e-8)


# --- closed forms ---------------------------------------------------------------------------------


def test_the_unit_sphere_is_that_of_geoopt():
    m, s = GeooptManifold(Atlas(SphereCharts(), tolerance=1e-6), "projection"), geoopt.Sphere()
    x, y = m.random(8, 3, seed=0), m.random(8, 3, seed=1)
    u, v = (m.proju(x, w) for w in draw(2, 8, 3))
    for method, arguments in {
        "projx": (2 * x + 0.1 * y,),
        "proju": (x, y),
        "egrad2rgrad": (x, y),
        "retr": (x, u),
        "expmap": (x, u),
        "logmap": (x, y),
        "dist": (x, y),
        "dist2": (x, y),
        "transp": (x, y, v),
        "transp_follow_retr": (x, u, v),
        "inner": (x, u, v),
        "norm": (x, u),
        "component_inner": (x, u, v),
    }.items():
        ours, theirs = (getattr(manifold, method)(*arguments) for manifold in (m, s))
        assert ours.shape == theirs.shape, method
        assert close(ours, theirs, 1e-7), method


def test_parallel_transport_on_the_sphere():
    m = build("sphere")
    x = inner_points(m)
    u = tangents(m, x, 0.7)
    side = torch.linalg.cross(x, u)
    y, along = m.expmap_transp(x, u, u)
    angle = 0.7 / 1.3
    assert close(along, math.cos(angle) * u - math.sin(angle) * 0.7 * unit(x), 1e-8)
    assert close(m.transp_follow_expmap(x, u, side), side, 1e-8)
    assert close(y, math.cos(angle) * x + math.sin(angle) * 1.3 * unit(u), 1e-8)


def test_squared_distances_have_logarithms_as_gradients():
    m = build("sphere")
    x, y = m.random(3, 3, seed=2).data, m.random(2, 1, 3, seed=3).data
    x.requires_grad_(), y.requires_grad_()
    m.dist2(x, y).sum().backward()
    assert close(x.grad, -2 * m.logmap(x, y).sum(0), 1e-6)
    assert close(y.grad, -2 * m.logmap(y, x).sum(1, keepdim=True), 1e-6)
    x.grad = None
    m.dist(x, y).sum().backward()
    assert close(x.grad, -unit(m.logmap(x, y)).sum(0), 1e-6)
    x.grad = None
    m.dist2(x, x.detach()).sum().backward()
    assert close(x.grad, 0 * x)
    assert not m.retr(x, y.detach()).requires_grad and not m.projx(x).requires_grad


# --- shapes ---------------------------------------------------------------------------------------


VECTORS = {"proju": 1, "egrad2rgrad": 1, "retr": 1, "expmap": 1, "transp": 2, "retr_transp": 2}
VECTORS |= {"expmap_transp": 2, "transp_follow_retr": 2, "transp_follow_expmap": 2}


@pytest.mark.parametrize("name", ["sphere", "matrices"])
@pytest.mark.parametrize("method", VECTORS)
def test_batch_shapes_broadcast(name, method):
    m = build(name)
    shape = m.atlas.ambient_shape
    x = inner_points(m, 3).unsqueeze(1)
    u = tangents(m, x.expand(3, 4, *shape), 0.2)
    if method == "transp":
        arguments = (x, m.retr(x, u), u[0])
    else:
        arguments = (x, u, u[1])[: 1 + VECTORS[method]]
    whole = geoopt.utils.make_tuple(getattr(m, method)(*arguments))
    for i in range(3):
        for j in range(4):
            single = (a.expand(3, 4, *shape)[i, j] for a in arguments)
            parts = geoopt.utils.make_tuple(getattr(m, method)(*single))
            for one, all_of_them in zip(parts, whole, strict=True):
                assert all_of_them.shape == (3, 4, *shape) and one.shape == shape
                assert close(one, all_of_them[i, j], 1e-10)


def test_distances_of_all_pairs():
    m = build("matrices")
    x, y = m.random(2, 2, 2, seed=0), m.random(3, 2, 2, seed=1)
    every = m.dist(x.unsqueeze(1), y)
    assert every.shape == (2, 3)
    assert close(every, (x.flatten(1) @ y.flatten(1).T).acos(), 1e-7)
    assert m.dist(x[0], y[0]).shape == ()
    assert m.dist2(x[:1], y[:1], keepdim=True).shape == (1, 1, 1)


def test_shapes_of_inner_products():
    m = build("matrices")
    x, u = draw(5, 1, 2, 2), draw(4, 2, 2)
    assert m.inner(x, u).shape == m.norm(x, u).shape == (5, 4)
    assert m.inner(x, u, u[0], keepdim=True).shape == m.component_inner(x, u).shape == (5, 4, 1, 1)
    assert close(m.norm(x, u, keepdim=True)[2, :, 0, 0], u.flatten(1).norm(dim=-1))
    assert close(m.inner(x, u, u.flip(0))[1], (u * u.flip(0)).sum((-1, -2)))


def test_empty_batches():
    m = build("torus")
    none, one = torch.zeros(0, 3, dtype=torch.float64), inner_points(m, 1)[0]
    assert m.projx(none).shape == m.random(0, 3).shape == (0, 3)
    for method, count in VECTORS.items():
        for x in (none, one):
            found = getattr(m, method)(x, *[none] * count)
            assert all(part.shape == (0, 3) for part in geoopt.utils.make_tuple(found))
    for method in ("dist", "dist2", "inner", "norm"):
        assert getattr(m, method)(one, none).shape == (0,)
    assert m.logmap(none, one).shape == (0, 3)
    assert m.check_point_on_manifold(none) and m.check_vector_on_tangent(none, none)


def test_points_are_looked_for_once(monkeypatch):
    m = build("sphere")
    asked = []
    find = m.atlas.find
    monkeypatch.setattr(m.atlas, "find", lambda x, name: asked.append(len(x)) or find(x, name))
    x, y = inner_points(m, 3), inner_points(m, 5, seed=7).unsqueeze(1)
    u = torch.zeros(5, 3, 3, dtype=torch.float64)
    for method in ("retr", "expmap", "proju", "egrad2rgrad"):
        getattr(m, method)(x, u)
    for method in ("retr_transp", "expmap_transp", "transp_follow_retr", "transp_follow_expmap"):
        getattr(m, method)(x, u, u)
    assert asked == [3] * 8
    asked.clear()
    m.transp(x, y, u), m.logmap(x[:1], y[:2]), m.inner(x, u), m.norm(x, u)
    assert asked == [5, 1, 2]


# --- optimizers -----------------------------------------------------------------------------------


OPTIMIZERS = {
    "adam": lambda p, lr: RiemannianAdam(p, lr=lr),
    "amsgrad": lambda p, lr: RiemannianAdam(p, lr=lr, amsgrad=True, stabilize=7),
    "sgd": lambda p, lr: RiemannianSGD(p, lr=lr),
    "momentum": lambda p, lr: RiemannianSGD(p, lr=lr, momentum=0.7),
    "nesterov": lambda p, lr: RiemannianSGD(p, lr=lr, momentum=0.7, nesterov=True, stabilize=5),
}


# Rate, steps, decay of the rate a step, and how near to the minimiser that leads.
PACE = {name: (0.1, 80, 1.0, 1e-6) for name in OPTIMIZERS}
PACE |= {name: (0.3, 150, 0.97, 2e-3) for name in ("adam", "amsgrad")}


def gap(x, target):
    return (x - target).square().sum()


def descend(manifold, start, cost, optimizer, lr, steps, decay=1.0, watch=lambda x: None):
    """A parameter after optimization."""
    x = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    chosen = OPTIMIZERS[optimizer]([x], lr)
    rates = torch.optim.lr_scheduler.ExponentialLR(chosen, decay)
    for _ in range(steps):
        chosen.zero_grad()
        cost(x).backward()
        chosen.step()
        rates.step()
        watch(x.detach())
    return x.detach()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_find_the_nearest_point_of_the_sphere(optimizer):
    m = build("sphere")
    target = torch.tensor([2.0, 1.0, 2.0], dtype=torch.float64)
    start = 1.3 * unit(torch.tensor([0.2, 1.0, -1.0], dtype=torch.float64))
    rate, steps, decay, tolerance = PACE[optimizer]

    def watch(x):
        assert abs(float(x.norm()) - 1.3) < 1e-12

    x = descend(m, start, lambda x: gap(x, target), optimizer, rate, steps, decay, watch)
    assert close(x, 1.3 * unit(target), tolerance)


def ends(m, optimizer, rate):
    """Where eight steps lead on a manifold and on geoopt's sphere."""
    # The first gradient is tangent, as geoopt does not project the first momentum.
    start, target = torch.eye(3, dtype=torch.float64)[:2]
    return [
        descend(on, start, lambda x: -(x * target).sum(), optimizer, rate, 8)
        for on in (m, geoopt.Sphere())
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_go_as_on_the_sphere_of_geoopt(optimizer):
    # The nearest point of x + u is geoopt's own retraction, so every iterate is the same.
    m = GeooptManifold(Atlas(SphereCharts(), tolerance=1e-6), "projection")
    ours, theirs = ends(m, optimizer, 0.1)
    assert close(ours, theirs, 1e-10)
    assert float(ours[1]) > 0.3
    # The other retractions of second order differ from it by O(|u|^3) a step.
    m = GeooptManifold(m.atlas)
    rates = (0.01, 0.005, 0.0025)
    gaps = [torch.dist(*ends(m, optimizer, rate)) for rate in rates]
    assert float(slope(rates, torch.stack(gaps))) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("optimizer", ["adam", "nesterov"])
def test_fifty_points_of_a_torus_go_each_to_its_own_target(optimizer, monkeypatch):
    m = build("torus")
    nearest = m.random(50, 3, seed=4).data
    ring = 3 * unit(nearest * torch.tensor([1.0, 1, 0], dtype=torch.float64))
    targets = nearest + 0.4 * (nearest - ring)
    start = m.retr(nearest, tangents(m, nearest, 0.6))
    calls, find = [], m.atlas.find
    monkeypatch.setattr(m.atlas, "find", lambda x, name: calls.append(len(x)) or find(x, name))

    def watch(x):
        assert float(torus_distance(x, 3, 1).max()) < 1e-12

    rate, steps, decay, tolerance = PACE[optimizer]
    x = descend(m, start, lambda x: gap(x, targets), optimizer, rate, steps, decay, watch)
    assert close(x, nearest, tolerance)
    # Two a step: the gradient's and the retraction's; stabilization, every fifth, adds one.
    assert set(calls) == {50} and len(calls) == 2 * steps + (optimizer == "nesterov") * steps // 5


def test_descent_of_squared_distances_finds_a_mean():
    m = GeooptManifold(SphereCharts())
    # Three points around the third axis, whose mean is its pole.
    angle = 2 * math.pi / 3 * torch.arange(3, dtype=torch.float64)
    points = unit(torch.stack([angle.cos(), angle.sin(), 1 + 0 * angle], dim=-1))
    x = descend(m, points[0], lambda x: m.dist2(x, points).mean(), "sgd", 0.5, 5)
    assert close(x, torch.tensor([0, 0, 1.0], dtype=torch.float64), 1e-4)


def test_descent_slides_along_a_boundary():
    m = GeooptManifold(PlaneCharts(torch.eye(3, dtype=torch.float64)[:, :2]))
    target = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64)
    start = torch.tensor([[0.9, -0.9, 0.0], [-0.5, 0.9, 0.0]], dtype=torch.float64)
    x = descend(m, start, lambda x: gap(x, target), "momentum", 0.05, 100)
    expected = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    assert close(x, expected.expand(2, 3), 1e-5)
    # There, nothing is left that descent could follow.
    assert close(m.egrad2rgrad(expected, expected - target), 0 * expected, 1e-12)
    assert close(m.proju(expected, target), torch.tensor([2.0, 0.5, 0.0]).double())


# --- dtype, copies, files, hosts ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_is_kept(dtype):
    m = GeooptManifold(Atlas(SphereCharts(), tolerance=1e-3).to(dtype))
    x, y = m.random(5, 3, seed=0), m.random(5, 3, seed=1)
    u = m.proju(x, y)
    found = [m.projx(x), u, m.expmap(x, u), m.logmap(x, y), m.dist(x, y), m.norm(x, u)]
    found += [*m.retr_transp(x, u, u), *m.expmap_transp(x, u, u), m.transp(x, y, u)]
    assert {value.dtype for value in (x, m.origin(3), *found)} == {m.dtype} == {dtype}
    target = torch.tensor([2.0, 1.0, 2.0], dtype=dtype)
    end = descend(m, x.data, lambda x: gap(x, target), "momentum", 0.1, 40)
    assert end.dtype == dtype
    assert close(end, unit(target).expand(5, 3), 1e-3)


def test_a_manifold_moves_with_the_module_that_holds_it():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.manifold = GeooptManifold(Atlas(CHARTS["flow"](), tolerance=1e-4))
            self.x = geoopt.ManifoldParameter(self.manifold.random(4, 5, seed=0))

    model = Model()
    before = model.manifold.atlas
    model.float()
    assert model.manifold.dtype == model.x.dtype == torch.float32
    assert before.dtype == torch.float64 and model.manifold.atlas.weights.dtype == torch.float32
    assert model.manifold.check_point_on_manifold(model.x)
    assert list(model.state_dict()) == ["x"] and len(list(model.parameters())) == 1
    with pytest.raises(TypeError, match=r"x must be torch.float32 on cpu .* got torch.float64"):
        model.manifold.projx(model.x.double())


def test_parameters_are_copied_and_saved():
    m = build("sphere")
    model = torch.nn.ParameterDict({"x": geoopt.ManifoldParameter(m.random(4, 3, seed=0))})
    twin = copy.deepcopy(model)
    assert twin["x"].manifold is not m and twin["x"].manifold.atlas is not m.atlas
    with torch.no_grad():
        twin["x"].copy_(m.random(4, 3, seed=1))
    assert not torch.equal(twin["x"], model["x"])
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin["x"], model["x"])
    OPTIMIZERS["sgd"](twin.parameters(), 0.1).step()
    again = pickle.loads(pickle.dumps(model["x"]))
    assert torch.equal(again, model["x"])
    assert torch.equal(again.manifold.proju(again, again), m.proju(again, again))


def test_products_and_scaled_manifolds():
    m = build("sphere")
    product = geoopt.ProductManifold((m, 3), (geoopt.Sphere(), 3))
    start = torch.cat([m.origin(2, 3), geoopt.Sphere().projx(draw(2, 3))], dim=-1)
    target = torch.tensor([1.0, 2.0, 2.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    x = descend(product, start, lambda x: -(x * target).sum(), "momentum", 0.1, 60)
    expected = torch.cat([1.3 * unit(target[:3]), target[3:]])
    assert close(x, expected.expand(2, 6), 1e-4)
    double = geoopt.Scaled(m, 2.0)
    a, b = m.random(3, 3, seed=0), m.random(3, 3, seed=1)
    assert close(double.dist(a, b), 2 * m.dist(a, b))
    assert close(double.expmap(a, double.logmap(a, b)), b, 1e-6)


def test_a_retraction_may_be_an_object():
    x = inner_points(build("sphere"))
    a, b = (build("sphere", r).retr(x, x.flip(0)) for r in (ChartRetraction(), "chart"))
    assert torch.equal(a, b)


def test_random_points():
    m = build("matrices")
    state = torch.random.get_rng_state()
    x = m.random(3, 4, 2, 2, seed=5)
    assert x.shape == (3, 4, 2, 2) and isinstance(x, geoopt.ManifoldTensor) and x.manifold is m
    assert m.check_point_on_manifold(x, atol=1e-12)
    assert torch.equal(x, m.random((3, 4, 2, 2), seed=5, dtype=torch.float64, device="cpu"))
    assert not torch.equal(x, m.random(3, 4, 2, 2))
    assert m.random(2, 2).shape == (2, 2)
    assert torch.equal(m.origin(4, 2, 2), m.origin(4, 2, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    with pytest.raises(ValueError, match=r"size must .* \(2, 2\), got \(4, 2\)"):
        m.random(4, 2)
    with pytest.raises(TypeError, match="sample must be torch.float64"):
        m.random(2, 2, dtype=torch.float32)
    with pytest.raises(ValueError, match="seed must"):
        m.random(2, 2, seed=-1)


def test_what_a_manifold_says_of_itself():
    m = build("sphere")
    assert (m.name, m.ndim, m.reversible) == ("Learned", 1, False)
    assert build("matrices").ndim == 2
    assert "n_charts=2" in repr(m) and "manifold" in repr(m)
    assert (m.dtype, m.device) == (torch.float64, torch.device("cpu"))


def test_torch_keeps_its_default_dtype():
    assert torch.get_default_dtype() == torch.float32


def test_without_geoopt_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "geoopt", None)
    monkeypatch.delitem(sys.modules, "learnedmanifolds.manifolds.geoopt")
    with pytest.raises(ImportError, match=r"pip install 'learnedmanifolds\[geoopt\]'"):
        importlib.import_module("learnedmanifolds.manifolds.geoopt")


# --- boundaries, checks, bad input ----------------------------------------------------------------


def test_components_and_boundaries():
    charts = random_flow(2, 5, n_charts=2)
    charts.center[1] += 100
    m = GeooptManifold(Atlas(charts, tolerance=1e-6))
    x = m.atlas.decode(torch.zeros(2, 2, dtype=torch.float64), torch.tensor([0, 1]))
    assert m.dist(x[0], x).isinf().tolist() == [False, True]
    with pytest.raises(BoundaryError, match="different components"):
        m.logmap(x[0], x)
    far = tangents(m, x, 50.0)
    for method, vectors in (("expmap", 1), ("expmap_transp", 2), ("transp_follow_expmap", 2)):
        with pytest.raises(BoundaryError, match="through its boundary"):
            getattr(m, method)(x, *[far] * vectors)
    assert m.check_point_on_manifold(m.retr(x, far))


def test_checks_say_why_not():
    m = build("sphere")
    x = inner_points(m, 2)
    u = tangents(m, x)
    assert m.check_point_on_manifold(x, explain=True) == (True, None)
    assert m.check_vector_on_tangent(x, u, explain=True) == (True, None)
    assert m.check_point(x) and m.check_vector(u) and not m.check_point(x[:, :2])
    off = x * torch.tensor([[1.0], [1.1]], dtype=torch.float64)
    for bad, reason in (
        (off, r"off the manifold: entries by up to 0.\d+, atol=1e-05"),
        (x[:, :2], r"x must have a shape that ends in \(3,\), got \(2, 2\)"),
        (x * torch.nan, "x must be finite"),
        (x.float(), "x must be torch.float64"),
    ):
        ok, why = m.check_point_on_manifold(bad, explain=True)
        assert not ok
        with pytest.raises(ValueError, match=reason):
            m.assert_check_point_on_manifold(bad)
        assert re.search(reason, why)
    assert m.check_point_on_manifold(off, atol=0.2)
    for bad, reason in (
        (u + 1e-3 * x, "u is not tangent: entries by up to 0.00"),
        (u * torch.inf, "u must be finite"),
        (u[:, :1], "u must have a shape"),
        (u.expand(3, 2, 3)[:, :1].expand(3, 3, 3), "batch shapes must broadcast"),
    ):
        with pytest.raises(ValueError, match=reason):
            m.assert_check_vector_on_tangent(x, bad)
    assert not m.check_vector_on_tangent(off, u) and not m.check_vector_on_tangent(x, x)
    assert m.check_vector_on_tangent(off, u, ok_point=True)


METHODS = {"projx": 1, "inner": 2, "norm": 2, "dist": 2, "dist2": 2, "logmap": 2} | {
    name: 1 + count for name, count in VECTORS.items()
}


@pytest.mark.parametrize("method", METHODS)
def test_bad_tensors_are_refused(method):
    m = build("sphere")
    x = inner_points(m, 2)
    call = getattr(m, method)
    good = [x] * METHODS[method]
    for i in range(METHODS[method]):

        def put(bad, i=i):
            call(*good[:i], bad, *good[i + 1 :])

        with pytest.raises(ValueError, match=r"must have shape \(..., 3\), got \(2, 2\)"):
            put(x[:, :2])
        with pytest.raises(ValueError, match="must have shape"):
            put(x[0, 0])
        with pytest.raises(ValueError, match="must be finite"):
            put(x.where(x > x.min(), torch.nan))
        with pytest.raises(TypeError, match="must be torch.float64 on cpu"):
            put(x.float())
        with pytest.raises(TypeError, match="must be a tensor, got list"):
            put(x.tolist())
        if METHODS[method] > 1:
            with pytest.raises(ValueError, match="batch shapes must broadcast"):
                put(x[:1].expand(5, 3))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"projx", "inner", "norm"}))
def test_points_off_the_manifold_are_refused(method):
    m = build("sphere")
    x = inner_points(m, 2)
    good = [x] * METHODS[method]
    places = {"transp": [1], "dist": [0, 1], "dist2": [0, 1], "logmap": [0, 1]}.get(method, [0])
    for i in places:
        with pytest.raises(ValueError, match=f"{'xy'[i]} must be on the manifold.* 1e-06"):
            getattr(m, method)(*good[:i], 1.001 * x, *good[i + 1 :])


def test_bad_constructor_arguments_are_refused():
    with pytest.raises(TypeError, match="source must be an Atlas or Charts, got str"):
        GeooptManifold("sphere")
    with pytest.raises(ValueError, match="retraction must be one of 'second-order'"):
        GeooptManifold(SphereCharts(), "third-order")
    with pytest.raises(TypeError, match="retraction must be a Retraction"):
        GeooptManifold(SphereCharts(), 2)
    with pytest.raises(ValueError, match=r"shape that ends in \(3,\)"):
        geoopt.ManifoldParameter(torch.zeros(4), manifold=build("sphere"))
