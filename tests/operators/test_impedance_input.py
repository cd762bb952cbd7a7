"""Bad input of the impedance operator; factorizations that are dropped in other threads."""

import threading

import numpy as np
import pytest
import torch

from learnedmanifolds.operators.impedance import (
    ElectricalImpedance,
    Electrodes,
    ImpedanceMesh,
)
from learnedmanifolds.operators.impedance import factor as factors

MESH = ImpedanceMesh.rectangle(2)
ONES = torch.ones(3, 3, dtype=torch.float64)


@pytest.fixture(scope="module")
def operator():
    return ElectricalImpedance(MESH, (3, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mesh": None}, TypeError, "mesh must be an ImpedanceMesh, got NoneType"),
        (
            {"mesh": ImpedanceMesh.rectangle(2, width=0.5)},
            ValueError,
            r"mesh must cover the image, from \(0, 0\) to \(1, 1\) .* to \(0.5, 1\)",
        ),
        ({"mesh": ImpedanceMesh.disc(1, radius=0.6)}, ValueError, "mesh must cover the image"),
        (
            {"mesh": ImpedanceMesh(MESH.nodes - 0.5, MESH.triangles)},
            ValueError,
            "mesh must cover the image",
        ),
        ({"extent": (2.0, 1.0)}, ValueError, "mesh must cover the image"),
        ({"extent": (0.0, 1.0)}, ValueError, "extent must be a positive"),
        ({"extent": 1.0}, TypeError, r"extent must be \(width, height\)"),
        ({"image_shape": 3}, TypeError, "image_shape must be a tuple, got int"),
        ({"image_shape": (2, 3, 3)}, ValueError, r"image_shape must be \(H, W\) or \(1, H, W\)"),
        ({"image_shape": (0, 3)}, ValueError, "image_shape"),
        ({"pixels": "nearest"}, ValueError, "pixels must be one of 'area', 'midpoint'"),
        ({"scale": float("nan")}, ValueError, "scale must be finite"),
        ({"offset": [1.0, 2.0]}, ValueError, "offset must have shape"),
        ({"threads": 0}, ValueError, "threads must be an integer of at least 1, got 0"),
        ({"electrodes": 16}, TypeError, "electrodes must be Electrodes or None, got int"),
        (
            {"electrodes": Electrodes.equispaced(4), "currents": "balanced"},
            TypeError,
            r"currents through electrodes must be an array \(patterns, 4\)",
        ),
        (
            {"electrodes": Electrodes.equispaced(4), "currents": np.ones((2, 3))},
            ValueError,
            r"currents must have shape \(any, 4\), got \(2, 3\)",
        ),
        (
            {"electrodes": Electrodes.equispaced(4), "currents": [[1, -1, 0, 0], [1, 0, 0, -0.9]]},
            ValueError,
            "currents must sum to zero over the electrodes: pattern 1 has a net current of 0.1 A",
        ),
    ],
)
def test_bad_operator(arguments, error, message):
    with pytest.raises(error, match=message):
        ElectricalImpedance(**{"mesh": MESH, "image_shape": (3, 3)} | arguments)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.ones(3, 4), ValueError, r"image must have shape .*3, 3\), got .*3, 4\)"),
        (torch.ones(1, 1, 3, 3), ValueError, "image must have shape"),
        (ONES * float("nan"), ValueError, "image must be finite"),
        (ONES * float("inf"), ValueError, "image must be finite"),
        (ONES.bool(), TypeError, "image must be an array of numbers"),
        (ONES * 0, ValueError, r"positive, finite conductivity .* got 0 S/m in the triangle at"),
        (-ONES, ValueError, "got -1 S/m .* one of 8"),
    ],
)
def test_bad_image(operator, image, error, message):
    calls = [
        lambda: operator(image),
        lambda: operator.linearize(image),
        lambda: operator.misfit(image, torch.zeros(15, 8)),
        lambda: operator.batch(image.unsqueeze(0)),
    ]
    for call in calls:
        with pytest.raises(error, match=message):
            call()


def test_bad_image_of_a_batch_is_found(operator):
    with pytest.raises(ValueError, match="got -2 S/m"):
        operator.batch(torch.stack([ONES, -2 * ONES, ONES]))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (torch.zeros(15, 9), ValueError, r"data must have shape \(15, 8\), got \(15, 9\)"),
        (torch.zeros(8), ValueError, "data must have shape"),
        (torch.full((15, 8), float("nan")), ValueError, "data must be finite"),
        ("data", TypeError, "data must be an array of numbers"),
    ],
)
def test_bad_data(operator, data, error, message):
    with pytest.raises(error, match=message):
        operator.misfit(ONES, data)


def test_bad_vectors(operator):
    linear = operator.linearize(ONES)
    with pytest.raises(ValueError, match=r"vectors must have shape \(any, 3, 3\)"):
        linear.jvp(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"covectors must have shape \(any, 15, 8\)"):
        linear.vjp(torch.zeros(2, 8, 15))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Electrodes([0.0], [0.1]), ValueError, "at least two electrodes, got 1"),
        (lambda: Electrodes([0.0, 0.5], [0.1]), ValueError, r"lengths must have shape \(2,\)"),
        (lambda: Electrodes([0.0, 0.5], [0.1, 0.0]), ValueError, "lengths must be positive"),
        (lambda: Electrodes([0.0, 1.0], [0.1, 0.1]), ValueError, r"in \[0, 1\), got 0.0 to 1.0"),
        (lambda: Electrodes([0.0, 0.5], [0.6, 0.1]), ValueError, "electrode 0 reaches 0.1 of"),
        (lambda: Electrodes([0.1, 0.9], [0.1, 0.3]), ValueError, "electrode 1 reaches 0.1 of"),
        (lambda: Electrodes([0, 0.5], [0.1, 0.1], 0), ValueError, "contact_impedance must be posi"),
        (
            lambda: Electrodes([0, 0.5], [0.1, 0.1], [1, 2, 3]),
            ValueError,
            r"contact_impedance must be a number or have shape \(2,\)",
        ),
        (lambda: Electrodes.equispaced(1), ValueError, "count"),
        (lambda: Electrodes.equispaced(4, coverage=1.1), ValueError, "coverage must be at most 1"),
        (lambda: Electrodes.equispaced(4, coverage=0), ValueError, "coverage must be a positive"),
    ],
)
def test_bad_electrodes(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_electrodes_may_touch_and_pass_the_end_of_the_border():
    mesh = ImpedanceMesh.disc(3)
    for electrodes in (
        Electrodes.equispaced(4, coverage=1.0, contact_impedance=0.5),
        Electrodes([0.9, 0.2], [0.3, 0.7], 0.5),
    ):
        # Together they cover the border once: (u, U) -> the integral of (u - U)^2 / z along it.
        matrix = electrodes.contact_matrix(mesh)
        x, y = mesh.nodes.T
        potentials = np.concatenate([3 * x - y + 1, np.ones(len(electrodes))])
        ends = (3 * x - y)[mesh.boundary]
        after = np.roll(ends, -1)
        edges = mesh.boundary_lengths * (ends**2 + ends * after + after**2) / 3
        assert potentials @ matrix @ potentials == pytest.approx(edges.sum() / 0.5)
    # A homogeneous disc turned by a quarter: another electrode passes the end of the border.
    turned, plain = (
        ElectricalImpedance(
            mesh, (2, 2), electrodes=Electrodes([start, start + 0.3 - wraps], [0.3, 0.7])
        )
        for start, wraps in ((0.9, 1), (0.15, 0))
    )
    ones = torch.ones(2, 2, dtype=torch.float64)
    torch.testing.assert_close(turned(ones), plain(ones))


def test_a_factorization_is_released_in_its_own_thread():
    matrix = factors.sp.csc_array(2 * np.eye(3))
    made, dropped = threading.Event(), threading.Event()
    held, waiting = [], []

    def work():
        held.append(factors.Factor(matrix))
        made.set()
        dropped.wait(10)
        waiting.append(len(factors._thread.dropped))
        factors.Factor(matrix)
        waiting.append(len(factors._thread.dropped))

    thread = threading.Thread(target=work)
    thread.start()
    made.wait(10)
    np.testing.assert_allclose(held[0].solve(np.ones((3, 2))), 0.5)
    held.clear()
    dropped.set()
    thread.join(10)
    assert waiting == [1, 0]
