"""Meshes, integrals along their border, interpolation between them, and bad meshes."""

import numpy as np
import pytest
import torch

from learnedmanifolds.operators.impedance import ImpedanceMesh, interpolate
from learnedmanifolds.operators.impedance.boundary import (
    arc_integrals,
    boundary_mass,
    rays,
)

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]], dtype=float)
FANS = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])


def shuffled(mesh: ImpedanceMesh, seed: int) -> ImpedanceMesh:
    """The same mesh, its vertices renumbered and half of its triangles turned over."""
    source = np.random.default_rng(seed)
    order = source.permutation(len(mesh.nodes))
    triangles = np.argsort(order)[mesh.triangles]
    turned = source.random(len(triangles)) < 0.5
    return ImpedanceMesh(
        mesh.nodes[order], np.where(turned[:, None], triangles[:, ::-1], triangles)
    )


@pytest.mark.parametrize("seed", range(4))
def test_border_is_counterclockwise_from_the_lower_right_corner(seed):
    mesh = shuffled(ImpedanceMesh.rectangle(5, 3, width=2, height=1), seed)
    points = mesh.nodes[mesh.boundary]
    assert len(points) == 2 * (5 + 3)
    np.testing.assert_allclose(points[0], [2, 0])
    np.testing.assert_allclose(points[3], [2, 1])
    np.testing.assert_allclose(points[8], [0, 1])
    np.testing.assert_allclose(points[11], [0, 0])
    assert mesh.perimeter == pytest.approx(6)
    assert mesh.boundary_parameter[[0, 3, 8, 11]] == pytest.approx([0, 1 / 6, 3 / 6, 4 / 6])


def test_border_of_a_disc_starts_at_the_lower_right():
    mesh = shuffled(ImpedanceMesh.disc(3), 0)
    points = mesh.nodes[mesh.boundary] - 0.5
    angles = np.unwrap(np.arctan2(points[:, 1], points[:, 0]))
    np.testing.assert_allclose(angles, -np.pi / 4 + 2 * np.pi * np.arange(32) / 32, atol=1e-12)
    np.testing.assert_allclose(np.hypot(*points.T), 0.5)


def test_areas():
    assert ImpedanceMesh.rectangle(4, 7, width=3, height=0.5).areas.sum() == pytest.approx(1.5)
    gaps = np.array([np.pi / 4 - ImpedanceMesh.disc(r).areas.sum() for r in (2, 3, 4)])
    np.testing.assert_allclose(np.log2(gaps[:-1] / gaps[1:]), 2, atol=0.1)


def test_hat_functions_have_the_gradients_and_integrals_of_linear_functions():
    mesh = shuffled(ImpedanceMesh.disc(2, radius=0.7), 1)
    slope = np.array([0.3, -1.2])
    values = mesh.nodes @ slope + 2
    gradient = (mesh.gradients * values[mesh.triangles][..., None]).sum(1)
    np.testing.assert_allclose(gradient, np.broadcast_to(slope, gradient.shape), atol=1e-12)
    # The disc's centroid is its centre.
    mean = 0.7 * slope.sum() + 2
    assert mesh.hat_integrals @ values == pytest.approx(mean * mesh.areas.sum())


@pytest.mark.parametrize("seed", range(5))
def test_arcs_are_integrated_exactly(seed):
    # On the sides of the unit square, from (1, 0): linear functions of the arc length t.
    source = np.random.default_rng(seed)
    mesh = ImpedanceMesh.rectangle(3, 5)
    starts, lengths = source.random(6), 0.9 * source.random(6)
    points = mesh.nodes[mesh.boundary]
    f, g = points @ source.normal(size=2) + 1, points @ source.normal(size=2) - 1
    integrals = arc_integrals(mesh, starts, lengths)
    np.testing.assert_allclose(integrals.hats.sum(1), 4 * lengths)
    first, both, second = integrals.products
    f1, g1 = np.roll(f, -1), np.roll(g, -1)
    product = first @ (f * g) + both @ (f * g1 + f1 * g) + second @ (f1 * g1)
    # Simpson's rule is exact for the product on each piece between vertices and ends.
    corner = np.array([1.0, 0, 1, 1, 0, 1, 0, 0]).reshape(4, 2)

    def at(t, values):
        parameters = np.append(mesh.boundary_parameter, 1.0) * 4
        return np.interp(np.mod(t, 4), parameters, np.append(values, values[0]))

    np.testing.assert_allclose(at(np.arange(4.0), points[:, 0]), corner[:, 0])
    for arc in range(6):
        a, b = 4 * starts[arc], 4 * (starts[arc] + lengths[arc])
        knots = np.concatenate([mesh.boundary_parameter * 4, mesh.boundary_parameter * 4 + 4])
        knots = np.unique(np.concatenate([[a, b], knots[(knots > a) & (knots < b)]]))
        length, middle = np.diff(knots), (knots[1:] + knots[:-1]) / 2
        eps = 1e-12
        ends = (knots[:-1] + eps, knots[1:] - eps)
        simple = (length * at(middle, f)).sum()
        low, mid, high = (at(t, f) * at(t, g) for t in (ends[0], middle, ends[1]))
        assert integrals.hats[arc] @ f == pytest.approx(simple, abs=1e-10)
        assert product[arc] == pytest.approx((length * (low + 4 * mid + high) / 6).sum(), abs=1e-9)


def test_an_arc_around_everything_is_the_whole_border():
    mesh = ImpedanceMesh.disc(2)
    once = arc_integrals(mesh, np.array([0.37]), np.array([1.0])).hats
    np.testing.assert_allclose(once, boundary_mass(mesh, np.ones((1, 16))), atol=1e-14)


def test_rays_meet_the_sides_of_a_square():
    mesh = ImpedanceMesh.rectangle(7)
    angles = np.pi * np.array([-1 / 4, -1 / 8, 0, 1 / 8, 1 / 2, 1, 3 / 2])
    corner = (1 - np.tan(np.pi / 8)) / 2
    expected = np.array([0, corner, 0.5, 1 - corner, 1.5, 2.5, 3.5]) / 4
    found = rays(mesh, np.array([0.5, 0.5]), angles)
    np.testing.assert_allclose((found - expected + 0.5) % 1, 0.5, atol=1e-12)


def test_interpolation_keeps_what_is_linear_along_the_sides():
    fine, coarse = ImpedanceMesh.rectangle(12), ImpedanceMesh.rectangle(4)
    slope = np.array([[0.4, -1.0], [2.0, 3.0]])
    data = fine.nodes[fine.boundary] @ slope
    carried = interpolate(data.T, fine, coarse)
    np.testing.assert_allclose(carried, (coarse.nodes[coarse.boundary] @ slope).T, atol=1e-12)


def test_interpolation_converges_with_order_two():
    coarse = ImpedanceMesh.rectangle(7)
    target = torch.from_numpy(np.cos(2 * np.pi * coarse.boundary_parameter + 1))
    errors = []
    for cells in (16, 32, 64):
        fine = ImpedanceMesh.rectangle(cells)
        data = np.cos(2 * np.pi * fine.boundary_parameter + 1)
        errors.append(float((interpolate(data, fine, coarse) - target).abs().max()))
    np.testing.assert_allclose(np.log2(errors[0] / np.array(errors[2])), 4, atol=0.3)


def test_interpolation_refuses():
    mesh = ImpedanceMesh.rectangle(2)
    with pytest.raises(ValueError, match=r"data must have shape \(..., 8\), got \(2, 7\)"):
        interpolate(np.zeros((2, 7)), mesh, mesh)
    with pytest.raises(ValueError, match="data must be finite"):
        interpolate(np.full(8, np.nan), mesh, mesh)
    with pytest.raises(TypeError, match="target must be an ImpedanceMesh, got int"):
        interpolate(np.zeros(8), mesh, 3)


RING = np.concatenate(
    [r * np.stack([np.cos(t), np.sin(t)], 1) for r in (1, 2) for t in [np.arange(4) * np.pi / 2]]
)
RING_TRIANGLES = [[i, (i + 1) % 4, 4 + i] for i in range(4)] + [
    [(i + 1) % 4, 4 + i, 4 + (i + 1) % 4] for i in range(4)
]


@pytest.mark.parametrize(
    ("nodes", "triangles", "error", "message"),
    [
        (SQUARE[:, :1], FANS, ValueError, r"nodes must have shape \(any, 2\)"),
        (SQUARE * np.nan, FANS, ValueError, "nodes must be finite"),
        (SQUARE, FANS.astype(float), TypeError, "triangles must be an array of integers"),
        (SQUARE, FANS[:, :2], ValueError, r"triangles must have shape \(any, 3\), got \(4, 2\)"),
        (SQUARE, FANS[:0], ValueError, r"triangles must have shape \(any, 3\)"),
        (SQUARE, FANS + 1, ValueError, "name vertices 0 to 4, got 1 to 5"),
        (SQUARE, FANS - 1, ValueError, "name vertices 0 to 4, got -1 to 3"),
        (np.concatenate([SQUARE, [[3, 3]]]), FANS, ValueError, "every vertex .* the first is 5"),
        (
            SQUARE,
            [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 3]],
            ValueError,
            "degenerate: triangle 3",
        ),
        (SQUARE * [1, 0], FANS, ValueError, "degenerate: triangle 0"),
        (SQUARE, np.concatenate([FANS, FANS[:1]]), ValueError, "at most one other"),
        (SQUARE, [[0, 1, 4], [2, 3, 4]], ValueError, "one closed curve"),
        (RING, RING_TRIANGLES, ValueError, "without holes"),
        # The centre is moved out of the square, so that one triangle covers parts of others.
        (
            np.concatenate([SQUARE[:4], [[0.5, -0.5]]]),
            FANS,
            ValueError,
            "they overlap",
        ),
    ],
)
def test_bad_mesh(nodes, triangles, error, message):
    with pytest.raises(error, match=message):
        ImpedanceMesh(nodes, np.asarray(triangles))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ImpedanceMesh.rectangle(0), ValueError, "columns"),
        (lambda: ImpedanceMesh.rectangle(2, 1.5), TypeError, "rows"),
        (lambda: ImpedanceMesh.rectangle(2, width=0.0), ValueError, "width"),
        (lambda: ImpedanceMesh.disc(0), ValueError, "refinements"),
        (lambda: ImpedanceMesh.disc(2, radius=-1), ValueError, "radius"),
    ],
)
def test_bad_generated_mesh(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_mesh_cannot_be_changed():
    mesh = ImpedanceMesh(SQUARE.copy(), FANS)
    with pytest.raises(ValueError, match="read-only"):
        mesh.nodes[0] = 3
    with pytest.raises(AttributeError):
        mesh.nodes = SQUARE


def test_a_mesh_is_named_by_its_size():
    # (8 + 1)^2 nodes and 2 * 8^2 triangles.
    mesh = ImpedanceMesh.rectangle(8)
    assert repr(mesh) == "ImpedanceMesh(81 nodes, 128 triangles)"
