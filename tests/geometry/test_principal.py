"""Principal coordinates of many features: orthonormal, and what they leave."""

import pytest
import torch
from oracles import draw

from learnedmanifolds.geometry.principal import Principal


@pytest.mark.parametrize("n_features", [64, 65, 500, 5000])
def test_what_coordinates_leave_is_what_is_not_restored(n_features):
    # 80 directions, the later ones narrower.
    width = 0.9 ** torch.arange(80, dtype=torch.float64)
    x = (draw(500, 80, seed=0) * width) @ draw(80, n_features, seed=1) / n_features**0.5
    x = x - x.mean(0)
    principal = Principal.of(x, 0)
    coordinates = principal.coordinates(x)
    left = (x - principal.restore(coordinates)).square().sum(1).mean()
    assert coordinates.shape == (500, 64)
    # Axes are of single precision.
    total = float(x.square().sum()) / len(x)
    assert principal.rest(x, coordinates) == pytest.approx(float(left), abs=1e-6 * total)
    # No 64 orthonormal directions leave less than the singular values after them.
    least = float(torch.linalg.eigvalsh(x @ x.mT)[:-64].clamp(min=0).sum()) / len(x)
    assert least <= 1.0001 * float(left) + 1e-12
    assert float(left) <= 1.05 * least + 1e-12
