"""The linear answer: exact on planes, optimal among its coefficients."""

import pytest
import torch
from oracles import draw

from learnedmanifolds.inverse.pca import PrincipalSubspace


def test_points_of_a_plane_are_restored_exactly():
    basis, mean = draw(2, 6, seed=1), draw(6, seed=2)
    x = mean + draw(50, 2) @ basis
    subspace = PrincipalSubspace(x, 2)
    visible = torch.tensor([True, True, False, True, False, False])
    for point in x[:5]:
        restored = subspace.restore(torch.where(visible, point, 0.0), visible)
        assert torch.allclose(restored, point, rtol=0, atol=1e-10)


def test_the_fit_is_the_best_one_on_the_visible_entries():
    x = draw(80, 5)
    subspace = PrincipalSubspace(x, 2)
    visible = torch.tensor([True, False, True, True, False])
    y = draw(5, seed=3)
    restored = subspace.restore(y, visible)
    # Normal equations: the residual is orthogonal to the visible part of the subspace.
    assert float((subspace.basis[visible].T @ (restored - y)[visible]).abs().max()) < 1e-10
    values, vectors = torch.linalg.eigh(torch.cov(x.T))
    projector = subspace.basis @ subspace.basis.T
    assert torch.allclose(projector, vectors[:, -2:] @ vectors[:, -2:].T, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PrincipalSubspace(draw(5, 3), 4), ValueError, "dim must be at most 3, got 4"),
        (lambda: PrincipalSubspace(draw(5, 3), 0), ValueError, "dim must be"),
        (lambda: PrincipalSubspace(draw(5), 1), ValueError, "x must have shape"),
        (lambda: PrincipalSubspace(draw(0, 3), 1), ValueError, "x must not be empty"),
        (
            lambda: PrincipalSubspace(draw(5, 3), 1).restore(draw(4), torch.ones(3).bool()),
            ValueError,
            "observed must have shape",
        ),
        (
            lambda: PrincipalSubspace(draw(5, 3), 1).restore(draw(3), torch.ones(2).bool()),
            ValueError,
            "visible must have shape",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
