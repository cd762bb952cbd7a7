"""Electrical impedance tomography against analytic solutions and the published problem."""

import copy
import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from learnedmanifolds.operators.impedance import (
    ElectricalImpedance,
    Electrodes,
    ImpedanceMesh,
    interpolate,
)
from learnedmanifolds.operators.impedance.assembly import Assembly

DATA = Path(__file__).parents[3] / "shared" / "data" / "eit"
F64 = torch.float64


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    """Positive, and rough."""
    return 0.5 + torch.rand(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def small(kind: str) -> ElectricalImpedance:
    mesh = ImpedanceMesh.rectangle(4, 3)
    if kind == "electrodes":
        electrodes = Electrodes.equispaced(5, coverage=0.4, contact_impedance=0.2)
        return ElectricalImpedance(mesh, (3, 4), electrodes=electrodes, scale=1.3, offset=0.1)
    return ElectricalImpedance(mesh, (3, 4), currents=kind, scale=1.3, offset=0.1)


KINDS = ("balanced", "published", "electrodes")


def angles(mesh: ImpedanceMesh) -> np.ndarray:
    x, y = (mesh.nodes[mesh.boundary] - 0.5).T
    return np.arctan2(y, x)


def disc_in_pixels(size: int, radius: float) -> np.ndarray:
    """The share of each pixel inside a disc around the image's centre, by counting."""
    t = (np.arange(8 * size) + 0.5) / (8 * size) - 0.5
    inside = t[:, None] ** 2 + t**2 < radius**2
    return inside.reshape(size, 8, size, 8).mean((1, 3))


def cosine_errors(radius_of_inclusion: float, inside: float, outside: float, refinements):
    """Largest errors (refinements, 3) of u for the currents cos(k theta), k = 1, 2, 3.

    On the border u = lambda_k cos(k theta), lambda_k = R / (k s_out) (1 - q) / (1 + q) with
    q = (s_in - s_out) / (s_in + s_out) (r / R)^(2 k).
    """
    sigma = outside + (inside - outside) * disc_in_pixels(256, radius_of_inclusion)
    k = np.arange(1, 4)[:, None]
    q = (inside - outside) / (inside + outside) * (radius_of_inclusion / 0.5) ** (2 * k)
    factor = 0.5 / (k * outside) * (1 - q) / (1 + q)
    errors = []
    for refinement in refinements:
        mesh = ImpedanceMesh.disc(refinement)
        cosines = np.cos(k * angles(mesh))
        found = ElectricalImpedance(mesh, (256, 256), currents=cosines)(torch.from_numpy(sigma))
        errors.append(np.abs(found.numpy() / factor - cosines).max(1))
    return np.array(errors)


def test_homogeneous_disc_converges_with_order_two():
    errors = cosine_errors(0.0, 1.7, 1.7, (3, 4, 5))
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 2, atol=0.1)
    assert errors[-1].max() < 3e-3


@pytest.mark.parametrize("inside", [3.0, 0.2])
def test_disc_with_a_concentric_inclusion_converges(inside):
    # Order one: the inclusion's border cuts triangles.
    errors = cosine_errors(0.25, inside, 1.0, (3, 4, 5, 6))
    assert np.all(np.log2(errors[:-1] / errors[1:]) > 0.85)
    assert errors[-1].max() < 4e-3


def test_layers_across_the_current_add_up():
    # 1 A/m in on the right side and out on the left: u(1) - u(0) = sum of width / conductivity.
    mesh = ImpedanceMesh.rectangle(8, 3)
    sigma = torch.tensor([1.0, 2.0, 5.0, 0.5], dtype=F64).expand(4, 4)
    electrodes = Electrodes([0.0, 0.5], [0.25, 0.25], [0.3, 0.05])
    voltage = ElectricalImpedance(mesh, (4, 4), electrodes=electrodes)(sigma)[0]
    resistance = (1 + 1 / 2 + 1 / 5 + 2) / 4 + 0.3 + 0.05
    assert voltage.tolist() == pytest.approx([resistance / 2, -resistance / 2])


def test_layers_along_the_current_share_it():
    # Electrodes without noteworthy contact impedance on the left and right of a 2 m x 1 m plate.
    mesh = ImpedanceMesh.rectangle(4, 6, width=2.0, height=1.0)
    sigma = torch.tensor([3.0, 1.0, 0.2], dtype=F64)[:, None].expand(3, 5)
    electrodes = Electrodes([0.0, 0.5], [1 / 6, 1 / 6], 1e-9)
    operator = ElectricalImpedance(mesh, (3, 5), electrodes=electrodes, extent=(2.0, 1.0))
    voltage = operator(sigma)[0]
    assert float(voltage[0] - voltage[1]) == pytest.approx(2 / (4.2 / 3))


@pytest.mark.parametrize("seed", range(3))
def test_reciprocity_of_border_currents(seed):
    # The integral of g_i u_j along the border is symmetric and positive.
    mesh = ImpedanceMesh.rectangle(6)
    density = normal(4, 24, seed=seed).numpy()
    density -= density.mean(1, keepdims=True)
    u = ElectricalImpedance(mesh, (5, 5), currents=density)(image(5, 5, seed=seed)).numpy()
    after, u_after = np.roll(density, -1, 1), np.roll(u, -1, 1)
    simpson = density @ u.T + after @ u_after.T + (density + after) @ (u + u_after).T
    np.testing.assert_allclose(simpson, simpson.T, rtol=1e-10)
    assert np.linalg.eigvalsh(simpson).min() > 0


def test_reciprocity_of_electrodes_and_symmetry_of_a_disc():
    patterns = np.eye(8) - 1 / 8
    electrodes = Electrodes.equispaced(8, coverage=0.3, contact_impedance=0.07)
    mesh = ImpedanceMesh.disc(4)
    operator = ElectricalImpedance(mesh, (6, 6), currents=patterns, electrodes=electrodes)
    rough = operator(image(6, 6))
    torch.testing.assert_close(rough, rough.T)
    np.testing.assert_allclose(rough.sum(1), 0, atol=1e-12)
    # A homogeneous disc does not change when it is turned by a quarter, two electrodes.
    even = operator(torch.ones(6, 6, dtype=F64))
    torch.testing.assert_close(even, even.roll((2, 2), (0, 1)))


def test_potentials_scale_with_the_conductivity():
    for kind in ("balanced", "published"):
        operator = ElectricalImpedance(ImpedanceMesh.rectangle(5), (4, 4), currents=kind)
        torch.testing.assert_close(operator(3 * image(4, 4)), operator(image(4, 4)) / 3)
    shifted = dataclasses.replace(operator, scale=2.0, offset=0.3)
    torch.testing.assert_close(shifted(image(4, 4)), operator(2 * image(4, 4) + 0.3))


def test_potentials_have_mean_zero_on_the_border():
    mesh = ImpedanceMesh.rectangle(5, 3)
    potentials = ElectricalImpedance(mesh, (4, 4))(image(4, 4)).numpy()
    trapezoids = mesh.boundary_lengths * (potentials + np.roll(potentials, -1, 1)) / 2
    np.testing.assert_allclose(trapezoids.sum(1), 0, atol=1e-12)


def test_electrodes_are_shunts_where_they_touch_well():
    # Voltages fall with the contact impedance, to those of perfect conductors.
    def voltage(impedance):
        electrodes = Electrodes.equispaced(8, contact_impedance=impedance)
        operator = ElectricalImpedance(ImpedanceMesh.rectangle(16), (4, 4), electrodes=electrodes)
        first = operator(torch.ones(4, 4, dtype=F64))[0]
        return float(first[0] - first[1])

    found = np.array([voltage(z) for z in (1e-1, 1e-2, 1e-3, 1e-5, 1e-7)])
    assert np.all(np.diff(found) < 0)
    assert found[3] - found[4] < 1e-3 * found[4]
    # The body's own resistance is felt less and less where the contact is bad: U = 2 z I / length.
    assert voltage(1e4) == pytest.approx(2 * 1e4 / 0.25, rel=1e-4)


def test_electrodes_that_end_inside_an_edge():
    # Voltages are continuous in the electrode's end as it passes a vertex of the mesh (at 1/16).
    def voltage(length):
        electrodes = Electrodes([0.0, 0.5], [length, 0.2], 0.01)
        operator = ElectricalImpedance(ImpedanceMesh.rectangle(4), (2, 2), electrodes=electrodes)
        return float(operator(torch.ones(2, 2, dtype=F64))[0, 0])

    before, at, beyond = (voltage(1 / 16 + step) for step in (-1e-6, 0.0, 1e-6))
    assert abs(before - at) < 1e-4 * at and abs(beyond - at) < 1e-4 * at
    assert voltage(1 / 16 - 0.02) > before > beyond > voltage(1 / 16 + 0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_first_and_second_order(kind):
    operator = dataclasses.replace(small(kind), mesh=ImpedanceMesh.rectangle(2), image_shape=(2, 2))
    points = torch.stack([image(2, 2), image(2, 2, seed=5)]).requires_grad_()
    assert torch.autograd.gradcheck(operator.batch, points, check_forward_ad=True)
    one = points[:1].detach().requires_grad_()
    assert torch.autograd.gradgradcheck(operator.batch, one, check_fwd_over_rev=True)


@pytest.mark.parametrize("kind", KINDS)
def test_torch_func_agrees_with_the_linearization(kind):
    operator, x = small(kind), image(3, 4)
    directions = torch.eye(12, dtype=F64).view(12, 3, 4)
    columns = operator.linearize(x).jvp(directions).movedim(0, -1).unflatten(-1, (3, 4))
    torch.testing.assert_close(torch.func.jacrev(operator)(x), columns)
    torch.testing.assert_close(torch.func.jacfwd(operator)(x), columns)
    data = normal(*operator.observation_shape)

    def cost(y):
        return operator.misfit(y, data)

    hessian = torch.func.hessian(cost)(x)
    torch.testing.assert_close(hessian, torch.autograd.functional.hessian(cost, x))
    step = 1e-5 * normal(3, 4)
    change = torch.func.grad(cost)(x + step) - torch.func.grad(cost)(x - step)
    torch.testing.assert_close((hessian * step).sum((2, 3)), change / 2, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_linearization_is_a_taylor_polynomial_with_its_adjoint(kind):
    operator, x = small(kind), image(3, 4)
    linear = operator.linearize(x)
    torch.testing.assert_close(linear.value, operator(x))
    v, w = normal(5, 3, 4), normal(5, *operator.observation_shape)
    pushed, pulled = linear.jvp(v), linear.vjp(w)
    torch.testing.assert_close(
        torch.einsum("icm,jcm->ij", pushed, w), torch.einsum("ihw,jhw->ij", v, pulled)
    )
    torch.testing.assert_close(linear.jvp(v[2:3])[0], pushed[2])
    steps = 0.1 * 0.5 ** torch.arange(4, dtype=F64)
    errors = torch.stack(
        [(operator(x + t * v[0]) - linear.value - t * pushed[0]).norm() for t in steps]
    )
    assert torch.all((torch.log2(errors[:-1] / errors[1:]) - 2).abs() < 0.2)
    assert linear.jvp(v[:0]).shape == (0, *operator.observation_shape)
    assert linear.vjp(w[:0]).shape == (0, 3, 4)


@pytest.mark.parametrize("threads", [1, 2])
def test_batch_is_singles(threads):
    operator, count = dataclasses.replace(small("balanced"), threads=threads), 70
    points = torch.stack([image(3, 4, seed=i) for i in range(count)]).requires_grad_()
    values = operator.batch(points)
    (gradient,) = torch.autograd.grad(values.square().sum(), points)
    for i in (0, 1, 33, count - 1):
        x = points[i].detach().requires_grad_()
        single = operator(x)
        torch.testing.assert_close(single, values[i])
        torch.testing.assert_close(torch.autograd.grad(single.square().sum(), x)[0], gradient[i])


def test_one_factorization_serves_cost_gradient_hessian_and_linearization():
    operator = small("balanced")
    data = operator(image(3, 4, seed=3))
    before = operator.n_factorizations
    x = image(3, 4).requires_grad_()
    value = operator.misfit(x, data)
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    torch.autograd.grad((gradient * normal(3, 4)).sum(), x)
    linear = operator.linearize(x.detach())
    linear.jvp(normal(20, 3, 4))
    linear.vjp(normal(20, 15, 14))
    operator(x.detach().clone())
    assert operator.n_factorizations == before + 1
    # A point that was tried and refused does not cost the old one its factorization.
    operator.misfit(x + 0.1, data)
    operator.misfit(x, data)
    assert operator.n_factorizations == before + 2


def test_shapes_and_dtypes():
    mesh = ImpedanceMesh.rectangle(3)
    plane = ElectricalImpedance(mesh, (5, 4))
    channel = ElectricalImpedance(mesh, (1, 5, 4))
    assert plane.observation_shape == (15, 12)
    torch.testing.assert_close(channel(image(1, 5, 4)), plane(image(5, 4)))
    assert channel.linearize(image(1, 5, 4)).vjp(normal(2, 15, 12)).shape == (2, 1, 5, 4)
    single = image(5, 4).float().requires_grad_()
    value = plane(single)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), plane(image(5, 4)), rtol=1e-6, atol=1e-6)
    assert torch.autograd.grad(value.sum(), single)[0].dtype == torch.float32
    torch.testing.assert_close(
        plane(np.ones((5, 4), dtype=int)), plane(torch.ones(5, 4, dtype=F64))
    )
    assert plane.batch(image(0, 5, 4)).shape == (0, 15, 12)
    assert plane.conductivity(image(5, 4)).shape == (18,)


def test_operators_are_frozen_and_travel():
    operator = small("electrodes")
    with pytest.raises(dataclasses.FrozenInstanceError):
        operator.scale = 2.0
    expected = operator(image(3, 4))
    for other in (pickle.loads(pickle.dumps(operator)), copy.deepcopy(operator)):
        torch.testing.assert_close(other(image(3, 4)), expected, rtol=0, atol=0)


def test_misfit_is_an_integral_along_the_border():
    # A disc under cos(theta) and data zero: the integral of (R / s)^2 cos^2 is pi R^3 / s^2.
    mesh = ImpedanceMesh.disc(5)
    operator = ElectricalImpedance(mesh, (2, 2), currents=np.cos(angles(mesh))[None])
    value = operator.misfit(torch.full((2, 2), 1.3, dtype=F64), torch.zeros(1, 128, dtype=F64))
    assert float(value) == pytest.approx(np.pi / 8 / 1.3**2, rel=1e-3)
    # Affine data on a square, integrated by hand: potentials cancel against themselves.
    square = small("balanced")
    points = square.mesh.nodes[square.mesh.boundary]
    offset = torch.from_numpy(points[:, 0]).expand(15, 14)
    value = square.misfit(image(3, 4), square(image(3, 4)) + offset)
    assert float(value) == pytest.approx(15 * (1 + 2 / 3))


@pytest.fixture(scope="module")
def case():
    if not (DATA / "case_0.npz").exists():
        pytest.skip("shared data are absent")
    with np.load(DATA / "case_0.npz") as file:
        return {name: file[name] for name in file}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(DATA / f"mesh_{name}.npz") as file:
        return file["nodes"], file["tris"]


def test_published_misfit_and_derivatives(case):
    operator = ElectricalImpedance.published(*load("reconstruction"))
    data = torch.from_numpy(case["ND_boundary"])
    other = torch.from_numpy(case["other"]).requires_grad_()
    value = operator.misfit(other, data)
    assert value.item() == pytest.approx(float(case["data_fidelity_other"]), rel=1e-9)
    assert operator.misfit(case["image"], data).item() == pytest.approx(
        float(case["data_fidelity_self"]), rel=1e-9
    )
    (gradient,) = torch.autograd.grad(value, other)
    step = float(case["fd_central_h"])
    for number in (0, 3, 5):
        index, central = case["fd_central_index"][number], case["fd_central"][number]
        direction = torch.from_numpy(case["directions"][index]).view(128, 128)

        def difference(h, along=direction):
            ahead, behind = (
                operator.misfit(case["other"] + s * along.numpy(), data) for s in (h, -h)
            )
            return (ahead - behind).item() / (2 * h)

        # The published differences are those of the same function ...
        size = float(gradient.norm() * direction.norm())
        assert difference(step) == pytest.approx(central, abs=1e-9)
        # ... and, without their error of order h^2, its derivatives.
        limit = (4 * difference(step / 2) - central) / 3
        assert float((gradient * direction).sum()) == pytest.approx(limit, abs=1e-6 * size)


def test_published_data_come_from_the_fine_mesh(case):
    fine = ElectricalImpedance.published(*load("generation"))
    coarse = ImpedanceMesh(*load("reconstruction"))
    data = interpolate(fine(torch.from_numpy(case["image"])), fine.mesh, coarse)
    np.testing.assert_allclose(data, case["ND_boundary"], atol=1e-10)


def test_exact_balanced_currents_leave_little_misfit_at_the_true_image(case):
    # 1 % of the 0.0023 that the published currents leave.
    settings = {"scale": 1.6, "offset": 0.2}
    fine = ElectricalImpedance(ImpedanceMesh(*load("generation")), **settings)
    coarse = ElectricalImpedance(ImpedanceMesh(*load("reconstruction")), **settings)
    true, other = (torch.from_numpy(case[name]) for name in ("image", "other"))
    data = interpolate(fine(true), fine.mesh, coarse.mesh)
    at_truth = coarse.misfit(true, data).item()
    assert at_truth < 2.3e-5
    assert coarse.misfit(other, data).item() > 300 * at_truth


@pytest.mark.parametrize("sides", [(12, 12), (12, 7)])
def test_right_angles_leave_no_entries(sides):
    # The matrix of a mesh of right-angled triangles is the difference star's: five entries a row. Its
    # zeros, kept, filled in and made factorizations thirty times as slow.
    mesh = ImpedanceMesh.rectangle(*sides)
    assembly = Assembly(mesh, len(mesh.nodes))
    sigma = np.random.default_rng(0).uniform(0.5, 2, len(mesh.triangles))
    matrix = assembly.matrix(sigma)
    nodes, edges = (sides[0] + 1) * (sides[1] + 1), 2 * sides[0] * sides[1] + sum(sides)
    # Without the grounded node, a corner of two edges.
    assert matrix.nnz == nodes - 1 + 2 * (edges - 2)
    whole = assembly.gradient.adjoint @ (
        np.tile(sigma, 2)[:, None] * assembly.gradient.forward.toarray()
    )
    np.testing.assert_allclose(matrix.toarray(), whole, atol=1e-13)
