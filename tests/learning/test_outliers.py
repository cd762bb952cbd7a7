"""Local outliers of curves, sheets and repeated points."""

import numpy as np
import pytest

from learnedmanifolds.learning.outliers import outlying


@pytest.mark.parametrize("seed", range(5))
def test_points_off_a_sheet_of_changing_density_are_told(seed):
    rng = np.random.default_rng(seed)
    flat = rng.normal(size=(1500, 2))
    frame, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    x = np.c_[flat, np.sin(flat[:, :1]), 0 * flat] @ frame
    # Off by ten times the usual distance of neighbours.
    x[:20] += rng.choice([-1, 1], (20, 1)) * frame[4]
    found = outlying(1e4 * x + 1e6)
    assert found[:20].all() and found[20:].mean() < 0.01


def test_repeated_points_are_no_outliers_nor_make_any():
    grid = np.stack(np.meshgrid(*2 * [np.arange(15.0)]), -1).reshape(-1, 2)
    assert not outlying(np.concatenate([grid, *200 * [grid[:3]]])).any()
    assert outlying(np.concatenate([grid, [[40.0, 40.0]], *200 * [grid[:3]]])).sum() == 1


def test_few_points_have_none():
    assert not outlying(np.arange(20.0)[:, None] ** 4).any()
