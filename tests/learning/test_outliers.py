"""Points off curves and sheets, steps in the density, tails, repeated points, parts of their own."""

import numpy as np
import pytest

from learnedmanifolds.learning.outliers import groups_apart, outlying


@pytest.mark.parametrize("seed", range(5))
def test_points_off_a_sheet_of_changing_density_are_told(seed):
    rng = np.random.default_rng(seed)
    flat = rng.normal(size=(1500, 2))
    frame, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    x = np.c_[flat, np.sin(flat[:, :1]), 0 * flat] @ frame
    # Off by ten times the usual distance of neighbours, in the tails by hardly more than it.
    x[:20] += rng.choice([-1, 1], (20, 1)) * frame[4]
    found = outlying(1e4 * x + 1e6, 2, 0.0)
    near = np.linalg.norm(flat[:20], axis=1) < 2
    assert found[:20][near].all() and found[20:].mean() < 0.002


@pytest.mark.parametrize("ratio", [10, 30])
def test_a_step_in_the_density_of_a_circle_has_none(ratio):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        half = (rng.random(2000) < ratio / (1 + ratio)) * np.pi
        angle = half + np.pi * rng.random(2000)
        x = np.stack([np.cos(angle), np.sin(angle)], 1)
        # Few of the sparse half, some 60 to 180 points.
        assert outlying(x, 1, 1e-6).sum() <= 5


def test_noise_and_the_tails_of_curves_and_sheets_have_hardly_any():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sheet = np.c_[rng.normal(size=(2000, 2)), 0.05 * rng.normal(size=(2000, 1))]
        assert outlying(sheet, 2, 0.05**2).mean() < 0.001
        t = rng.exponential(size=2000)
        curve = np.stack([np.cos(t), np.sin(t), t], 1) + 0.05 * rng.normal(size=(2000, 3))
        assert outlying(curve, 1, 2 * 0.05**2).mean() < 0.003


def test_outliers_between_outliers_are_told_but_no_part_of_enough_points():
    rng = np.random.default_rng(0)
    line = np.c_[np.linspace(0, 10, 1000), np.zeros((1000, 2))]
    heap = [5.0, 3.0, 0.0] + 0.01 * rng.standard_normal((12, 3))
    chain = np.c_[np.full(6, 2.0), 0.5 * np.arange(1, 7), np.zeros(6)]
    found = outlying(np.concatenate([line, heap, chain]), 1, 1e-6)
    assert not found[:1012].any() and found[1012:].all()


def test_repeated_points_are_no_outliers_nor_make_any():
    grid = np.stack(np.meshgrid(*2 * [np.arange(15.0)]), -1).reshape(-1, 2)
    grid = np.c_[grid, np.zeros(len(grid))]
    assert not outlying(np.concatenate([grid, *200 * [grid[:3]]]), 2, 0.0).any()
    off = np.concatenate([grid, [[7.0, 7.0, 9.0]], *200 * [grid[:3]]])
    assert outlying(off, 2, 0.0).sum() == 1


def test_few_points_and_what_fills_its_space_have_none():
    assert not outlying(np.c_[np.arange(20.0) ** 4, np.arange(20.0) ** 7], 1, 0.0).any()
    assert not outlying(np.random.default_rng(0).standard_cauchy((500, 2)), 2, 0.0).any()


def test_points_ever_farther_apart_have_none():
    i = np.arange(60.0)
    for size in (2 ** (i / 2), np.exp(0.3 * i)):
        x = size[:, None] * np.stack([np.cos(i / 3), np.sin(i / 3)], 1)
        assert not outlying(x, 1, 0.0).any()


def groups(rng, big, *small):
    """A large part and small ones, each turned at random and 5 apart, with noise, and their numbers."""
    parts = []
    for i, part in enumerate((big, *small)):
        turn = np.linalg.qr(rng.standard_normal(2 * (part.shape[1],)))[0]
        parts.append(part @ turn + 5.0 * i + 0.01 * rng.standard_normal(part.shape))
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def ball(rng, count, dim):
    x = rng.standard_normal((count, dim + 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_small_blobs_are_apart_and_small_parts_of_the_same_dimension_are_not():
    caught, lost = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for dim in (1, 2):
            blobs = [0.3 * rng.standard_normal((n, dim + 1)) for n in (15, 30)]
            flat = [rng.uniform(size=(n, dim)) @ np.eye(dim, dim + 1) for n in (15, 40)]
            round_ones = [0.3 * ball(rng, n, dim) for n in (15, 40)]
            x, group = groups(rng, ball(rng, 3000, dim), *blobs, *flat, *round_ones)
            apart = groups_apart(x, group, dim)
            found = [apart[group == g] for g in range(7)]
            # Whole groups, and never the large one.
            assert all(f.all() or not f.any() for f in found) and not found[0].any()
            caught += [f.all() for f in found[1:3]]
            lost += [f.any() for f in found[3:]]
    # Some random clouds of fifteen points are hollow.
    assert np.mean(caught) > 0.9 and np.mean(lost) < 0.02


def test_points_on_a_line_are_apart_from_a_surface():
    rng = np.random.default_rng(0)
    line = rng.uniform(size=(20, 1)) @ np.eye(1, 3)
    x, group = groups(rng, ball(rng, 1000, 2), line)
    assert (groups_apart(x, group, 2) == (group == 1)).all()


def test_groups_that_are_near_or_a_large_share_are_not_apart():
    rng = np.random.default_rng(0)
    blob = 0.3 * rng.standard_normal((40, 3))
    x, group = groups(rng, ball(rng, 1000, 2), blob)
    assert groups_apart(x, group, 2).sum() == 40
    assert not groups_apart(np.r_[x[:700], x[1000:]], np.r_[group[:700], group[1000:]], 2).any()
    x[group == 1] -= 4.9
    assert not groups_apart(x, group, 2).any()


def test_groups_like_the_others_are_no_blobs():
    # Of curves that bend in many directions few points look like more than one dimension.
    def bent(count, seed):
        rng = np.random.default_rng(seed)
        a, b = rng.standard_normal((2, 6, 20))
        phase = np.outer(np.linspace(0, 2 * np.pi, count, endpoint=False), np.arange(1, 7))
        return np.cos(phase) @ a + np.sin(phase) @ b

    counts = [40] + [60] * 15
    curves = [bent(count, seed) for seed, count in enumerate(counts)]
    x, group = groups(np.random.default_rng(0), *curves)
    assert not groups_apart(x, group, 1).any()
    # The same one beside a circle is a blob.
    circle = 10 * np.pad(ball(np.random.default_rng(0), 900, 1), ((0, 0), (0, 18)))
    x, group = groups(np.random.default_rng(0), curves[0], circle)
    assert (groups_apart(x, group, 1) == (group == 0)).all()
