"""Conditional means of mixtures of Gaussians: against those of one Gaussian, and of clusters apart."""

import pytest
import torch
from oracles import draw

from learnedmanifolds.inverse.gaussians import Gaussians


def test_one_gaussian_is_linear_regression():
    x = draw(400, 5, seed=1) @ draw(5, 5, seed=2)
    visible = torch.tensor([True, False, True, True, False])
    made = Gaussians(x, 1, 1e-9, 0)
    y = draw(5, seed=3)
    # Least squares of the hidden entries on the visible ones, with a constant.
    rows = torch.cat([torch.ones(400, 1).double(), x[:, visible]], 1)
    slopes = torch.linalg.lstsq(rows, x).solution
    expected = torch.cat([torch.ones(1).double(), y[visible]]) @ slopes
    torch.testing.assert_close(made.restore(y, visible), expected, rtol=1e-5, atol=1e-5)
    # Hidden entries are not read, visible ones stay.
    other = torch.where(visible, y, 1e3)
    torch.testing.assert_close(made.restore(other, visible), made.restore(y, visible))
    torch.testing.assert_close(made.restore(y, visible)[visible], y[visible])


def test_clusters_apart_are_told_by_what_is_seen():
    centers = torch.tensor([[-5.0, 1.0], [5.0, -2.0], [0.0, 7.0]]).double()
    x = (centers.unsqueeze(1) + 0.01 * draw(3, 50, 2, seed=4)).flatten(0, 1)
    made = Gaussians(x, 3, 1e-6, 0)
    seen = torch.tensor([True, False])
    for center in centers:
        assert float((made.restore(center, seen) - center).abs().max()) < 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Gaussians(draw(5, 3), 6, 1e-3), "n_components must be at most 5, got 6"),
        (lambda: Gaussians(draw(5, 3), 0, 1e-3), "n_components must be"),
        (lambda: Gaussians(draw(5, 3), 1, 0.0), "ridge must be"),
        (lambda: Gaussians(draw(5), 1, 1e-3), "x must have shape"),
        (
            lambda: Gaussians(draw(5, 3), 1, 1e-3).restore(draw(4), torch.ones(3).bool()),
            "observed must have shape",
        ),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
