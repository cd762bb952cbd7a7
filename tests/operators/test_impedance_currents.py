"""Continuum currents: orthogonality, balance, independence of the mesh."""

from pathlib import Path

import numpy as np
import pytest

from learnedmanifolds.operators.impedance import ElectricalImpedance, ImpedanceMesh
from learnedmanifolds.operators.impedance.currents import (
    balanced,
    haar_patterns,
    published,
    sampled,
)

DATA = Path(__file__).parents[3] / "shared" / "data" / "eit"
CENTRE = np.array([0.5, 0.5])


def test_haar_patterns_are_an_orthogonal_basis_of_what_sums_to_zero():
    patterns = haar_patterns(16)
    assert patterns.shape == (15, 16)
    np.testing.assert_allclose(patterns.sum(1), 0)
    gram = patterns @ patterns.T
    np.testing.assert_allclose(gram, np.diag([16, 8, 8, 4, 4, 4, 4] + 8 * [2]))
    assert patterns[1].tolist() == [1] * 4 + [-1] * 4 + [0] * 8
    assert patterns[14].tolist() == [0] * 14 + [1, -1]


@pytest.mark.parametrize(
    "mesh",
    [ImpedanceMesh.rectangle(3), ImpedanceMesh.rectangle(50, 7), ImpedanceMesh.disc(3)],
    ids=["coarse", "anisotropic", "disc"],
)
def test_balanced_currents_have_no_net_current(mesh):
    np.testing.assert_allclose(balanced(mesh, CENTRE).sum(1), 0, atol=1e-12)


def test_balanced_currents_do_not_depend_on_the_mesh():
    # Their products with a linear function are the same on every mesh of the square.
    products = []
    for cells in (2, 5, 16, 33):
        mesh = ImpedanceMesh.rectangle(cells)
        points = mesh.nodes[mesh.boundary]
        products.append(balanced(mesh, CENTRE) @ np.column_stack([points, points.prod(1)]))
    for other in products[1:]:
        np.testing.assert_allclose(other, products[0], atol=1e-12)


def test_balanced_currents_on_the_right_side_by_hand():
    # Pattern 7 is on the first two segments: y from 0 to c and from c to 1/2, 2 A in and 2 A out.
    c = (1 - np.tan(np.pi / 8)) / 2
    mesh = ImpedanceMesh.rectangle(6)
    points = mesh.nodes[mesh.boundary]
    moments = balanced(mesh, CENTRE) @ np.column_stack([points[:, 0], points[:, 1]])
    assert moments[7] == pytest.approx([0, 2 * (c / 2) - 2 * (c / 2 + 1 / 4)], abs=1e-12)
    # Pattern 0: 1 A/m on the right and top sides, -1 A/m on the other two.
    assert moments[0] == pytest.approx([1 + 0.5 - 0 - 0.5, 0.5 + 1 - 0.5 - 0])
    # Pattern 3: 4 A/m on half of the right side, -4 A/m on the other half.
    assert moments[3] == pytest.approx([0, 4 * (1 / 8 - 3 / 8)], abs=1e-12)


def test_published_currents_depend_on_the_mesh_and_half_have_a_net_current():
    # The published mesh for reconstruction has 200 edges a side, too.
    net = [published(ImpedanceMesh.rectangle(n), CENTRE).sum(1) for n in (50, 200)]
    for sums in net:
        np.testing.assert_allclose(sums[:7], 0, atol=1e-12)
    assert net[1][7:] == pytest.approx([0.72, -0.64] * 4)
    assert np.abs(net[0] - net[1])[7:].min() > 0.05


@pytest.mark.parametrize("name", ["reconstruction", "generation"])
def test_published_currents_are_the_published_ones(name):
    path = DATA / f"mesh_{name}.npz"
    if not path.exists():
        pytest.skip("shared data are absent")
    with np.load(path) as file:
        mesh = ImpedanceMesh(file["nodes"], file["tris"])
        loads = file["load_vectors_at_boundary_vertices"]
        np.testing.assert_allclose(published(mesh, CENTRE), loads, rtol=0, atol=1e-16)
        np.testing.assert_allclose(4 * mesh.boundary_parameter, file["boundary_t"], atol=1e-12)


def test_sampled_currents_are_integrated_along_the_edges():
    mesh = ImpedanceMesh.rectangle(5)
    points = mesh.nodes[mesh.boundary] - 0.5
    loads = sampled(mesh, points.T)
    # The integral of (x - 1/2)^2 along the border: 1/4 on two sides, 1/12 on the others; each
    # edge's load is exact for a product of linear functions.
    np.testing.assert_allclose(loads @ points, np.eye(2) * (2 / 4 + 2 / 12), atol=1e-12)


@pytest.mark.parametrize(
    ("currents", "error", "message"),
    [
        (np.zeros((2, 7)), ValueError, r"currents must have shape \(any, 8\), got \(2, 7\)"),
        (np.zeros((0, 8)), ValueError, "currents must not be empty"),
        (np.full((1, 8), np.inf), ValueError, "currents must be finite"),
        (np.eye(8)[:2], ValueError, "integrate to zero .* pattern 0 has a net current of 0.5 A"),
        ("haar", ValueError, "currents must be one of 'balanced', 'published'"),
    ],
)
def test_bad_currents(currents, error, message):
    with pytest.raises(error, match=message):
        ElectricalImpedance(ImpedanceMesh.rectangle(2), (2, 2), currents=currents)


def test_currents_by_the_angle_need_a_star_shaped_body():
    # An L, which the rays from the centre of its box leave twice.
    nodes = np.array([[0, 0], [1, 0], [1, 0.2], [0.2, 0.2], [0.2, 1], [0, 1]])
    mesh = ImpedanceMesh(nodes, [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]])
    with pytest.raises(ValueError, match="mesh must be star-shaped"):
        ElectricalImpedance(mesh, (2, 2))
