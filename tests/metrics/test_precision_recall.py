"""Precision, recall, density and coverage: by hand, and their means for samples of one law."""

import math

import numpy as np
import pytest
import torch
from oracles import draw
from scipy.spatial import cKDTree

from learnedmanifolds.metrics import coverage, precision_recall

LINE = torch.arange(10.0).unsqueeze(1)


def test_by_hand():
    """Ten data on a line, 1 apart: with k = 1 each ball has radius 1, with k = 2 those inside too."""
    samples = torch.tensor([[0.4], [3.5], [3.7], [30.0]])
    found = precision_recall(samples, LINE, k=1)
    assert found.precision == pytest.approx(3 / 4)
    # Radii of the samples 3.1, 0.2, 0.2, 26.3: the last reaches 4 to 9, the first 0 to 3.
    assert found.recall == pytest.approx(1.0)
    assert found.density == pytest.approx((2 + 2 + 2 + 0) / 4)
    # 0.4 lies in the balls of 0 and 1, 3.5 and 3.7 in those of 3 and 4.
    assert found.coverage == pytest.approx(4 / 10)
    assert (found.k, found.n_samples, found.n_data) == (1, 4, 10)


def test_recall_by_hand():
    samples = torch.tensor([[0.0], [0.5], [1.0], [8.0], [8.4]])
    found = precision_recall(samples, LINE, k=1)
    # Balls [-0.5, 0.5], [0, 1], [0.5, 1.5], [7.6, 8.4], [8, 8.8]: 0, 1 and 8.
    assert found.recall == pytest.approx(3 / 10)
    assert found.precision == 1.0


def test_balls_are_closed_and_reach_to_the_k_th_other_point():
    sample = torch.tensor([[-2.0], [-2.0], [-2.0]])
    # 0 has its second neighbour at 2, all others but 1, 8 and 9 at 1.
    assert precision_recall(sample, LINE, k=1).precision == 0.0
    found = precision_recall(sample, LINE, k=2)
    assert found.precision == 1.0 and found.coverage == pytest.approx(1 / 10)
    assert found.density == pytest.approx(1 / 2)


def test_equal_and_distant_sets():
    x = draw(60, 3)
    same = precision_recall(x, x.flip(0), 3)
    assert (same.precision, same.recall, same.coverage) == (1.0, 1.0, 1.0)
    far = precision_recall(x, x + 50, 3)
    assert (far.precision, far.recall, far.density, far.coverage) == (0.0, 0.0, 0.0, 0.0)


def test_exchanging_the_sets_exchanges_precision_and_recall():
    x, y = draw(80, 2), 1 + 0.7 * draw(50, 2, seed=1)
    there, back = precision_recall(x, y, 4), precision_recall(y, x, 4)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert 0 < there.precision < 1 and 0 < there.recall < 1


def test_a_forgotten_mode_and_an_invented_one():
    data = torch.cat([draw(200, 2), draw(200, 2, seed=1) + 30])
    forgotten = precision_recall(draw(400, 2, seed=2), data)
    assert forgotten.precision > 0.95
    assert 0.45 < forgotten.recall <= 0.5 and forgotten.coverage <= 0.5
    invented = precision_recall(torch.cat([data, draw(400, 2, seed=3) - 30]), data)
    assert invented.recall == 1.0 and invented.precision == pytest.approx(0.5)
    # A datum lies in its own ball, and each ball holds five others.
    assert invented.density == pytest.approx(6 / 5 / 2)


@pytest.mark.parametrize("law", ["normal", "exponential", "sphere"])
def test_means_for_samples_of_one_law(law):
    """Whatever the law: density 1, coverage 1 - (N - 1)...(N - k) / ((N + n - 1)...(N + n - k))."""
    n, big_n, k, count = 12, 20, 3, 500

    def points(size, seed):
        x = draw(size, 3, seed=seed)
        return {"normal": x, "exponential": x.exp(), "sphere": x / x.norm(dim=1, keepdim=True)}[law]

    found = [precision_recall(points(n, 2 * s), points(big_n, 2 * s + 1), k) for s in range(count)]
    expected = 1 - math.prod((big_n - i) / (big_n + n - i) for i in range(1, k + 1))
    for name, mean in (("coverage", expected), ("density", 1.0)):
        values = [getattr(f, name) for f in found]
        assert np.mean(values) == pytest.approx(mean, abs=4 * np.std(values) / math.sqrt(count))


def test_many_points_in_several_blocks():
    x, y = draw(2300, 3, seed=1), 0.3 + draw(2100, 3, seed=2)
    a, b = cKDTree(x.numpy()), cKDTree(y.numpy())
    rx, ry = a.query(x.numpy(), 6)[0][:, -1], b.query(y.numpy(), 6)[0][:, -1]
    inside = a.query_ball_point(y.numpy(), ry, return_length=True)
    found = precision_recall(x, y, 5)
    assert found.coverage == pytest.approx((inside > 0).mean(), abs=1e-12)
    assert found.density == pytest.approx(inside.sum() / 5 / 2300, abs=1e-12)
    hit = np.unique(
        np.concatenate([b.query_ball_point(p, r) for p, r in zip(x.numpy(), rx, strict=True)])
    )
    assert found.recall == pytest.approx(len(hit) / 2100, abs=1e-12)


def test_points_of_many_coordinates():
    """Beyond 64 coordinates distances are computed another way, with the same outcome."""
    x, y = draw(90, 3), 1.2 * draw(70, 3, seed=1)
    frame = torch.linalg.qr(draw(200, 3, seed=2))[0]
    flat = precision_recall(x, y, 3)
    high = precision_recall(
        (x @ frame.T + 5).view(90, 2, 10, 10), (y @ frame.T + 5).view(70, 2, 10, 10), 3
    )
    assert flat == high


def test_coverage_with_neighbours_is_the_same():
    x, y = draw(40, 2), draw(70, 2, seed=1)
    for k in (1, 5):
        assert coverage(x, y, k=k) == precision_recall(x, y, k).coverage


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: precision_recall(x[:3], x, 3), ValueError, "samples must hold more than k=3"),
        (lambda x: precision_recall(x, x[:2], 3), ValueError, "data must hold more than k=3"),
        (lambda x: precision_recall(x, x, 0), ValueError, "k must be an integer of at least 1"),
        (lambda x: precision_recall(x, x, 1.5), TypeError, "k must be an integer"),
        (lambda x: precision_recall(x, x[:, :1]), ValueError, "data must have points of the size"),
        (lambda x: precision_recall(x[:, 0], x), ValueError, r"samples must have shape \(N"),
        (lambda x: precision_recall(x, x / 0), ValueError, "data must be finite"),
        (lambda x: precision_recall("x", x), TypeError, "samples must be an array"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(8, 2))
