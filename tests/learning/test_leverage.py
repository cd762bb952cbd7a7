"""Leverages: diagonals of projections, and what leaving a row out makes of them."""

import torch
from oracles import draw

from learnedmanifolds.learning.leverage import leverages


def test_those_of_many_rows_are_of_the_projection_on_their_columns():
    # Sizes of columns do not count, as long as they are far larger than the damping.
    features = draw(400, 12, seed=0) @ torch.diag(torch.linspace(1, 2, 12, dtype=torch.float64))
    root, own, _ = leverages(features)
    axes = torch.linalg.qr(features).Q
    torch.testing.assert_close(own / 400, axes.square().sum(1), rtol=5e-3, atol=0)
    new = draw(5, 12, seed=1)
    gain = torch.linalg.lstsq(features.mT @ features / 400, new.mT).solution
    torch.testing.assert_close(
        (new @ root).square().sum(1), (new * gain.mT).sum(1), rtol=1e-2, atol=0
    )


def test_a_row_left_out():
    features = draw(60, 12, seed=2)
    _, _, others = leverages(features)
    damping = 1e-3 * float((features.square().sum(0) / 60).mean())
    for row in (0, 7, 59):
        kept = torch.cat([features[:row], features[row + 1 :]])
        products = kept.mT @ kept / 60 + damping * torch.eye(12, dtype=torch.float64)
        own = features[row]
        expected = own @ torch.linalg.solve(products, own)
        torch.testing.assert_close(others[row], expected, rtol=1e-10, atol=0)
