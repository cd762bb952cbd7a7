"""Farthest points against the definition, in few dimensions and in many."""

import numpy as np
import pytest
import torch

from learnedmanifolds.geometry.farthest import farthest


@pytest.mark.parametrize("n_features", [1, 2, 8, 9, 60])
def test_each_is_the_farthest_from_those_before(n_features):
    x = 100 + torch.from_numpy(np.random.default_rng(0).standard_normal((300, n_features)))
    pick = farthest(x, 40)
    gaps = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    assert pick[0] == 0 and len(set(pick.tolist())) == 40
    for m in range(1, 40):
        nearest = gaps[:, pick[:m]].amin(1)
        assert float(nearest[pick[m]]) == pytest.approx(float(nearest.max()), rel=1e-9)


@pytest.mark.parametrize("n_features", [2, 20])
def test_no_two_are_nearer_than_asked_and_equal_points_count_once(n_features):
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((200, n_features)))
    pick = farthest(x, 200, 1.5)
    gaps = torch.cdist(x[pick], x)
    assert float(gaps[:, pick].fill_diagonal_(torch.inf).min()) > 1.5
    assert float(gaps.amin(0).max()) <= 1.5
    assert len(farthest(x.repeat(3, 1), 600)) == 200
