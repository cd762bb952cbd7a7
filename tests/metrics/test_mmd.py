"""The maximum mean discrepancy: values by hand, its mean in closed form, and its test."""

import itertools
import math

import numpy as np
import pytest
import torch
from oracles import draw
from scipy import stats

from learnedmanifolds.metrics import GaussianKernel, InverseMultiquadric, mmd


def test_two_points_each_by_hand():
    x, y = [[0.0], [1.0]], [[0.0], [2.0]]
    gauss = mmd(x, y, GaussianKernel(1.0), n_permutations=0)
    assert gauss.value == pytest.approx((math.exp(-2) - 1) / 2, abs=1e-14)
    inverse = mmd(x, y, InverseMultiquadric(1.0), n_permutations=0)
    assert inverse.value == pytest.approx(-0.4, abs=1e-14)
    both = mmd(x, y, [GaussianKernel(1.0), InverseMultiquadric(1.0)], n_permutations=0)
    assert both.value == pytest.approx((gauss.value + inverse.value) / 2, abs=1e-14)
    wide = mmd([[0.0], [3.0]], [[0.0], [6.0]], GaussianKernel(3.0), n_permutations=0)
    assert wide.value == pytest.approx(gauss.value, abs=1e-14)
    assert gauss.p_value is None and len(gauss.null) == 0


def test_unlike_sizes_by_hand():
    x, y = [[0.0], [0.0], [0.0]], [[1.0], [1.0]]
    found = mmd(x, y, GaussianKernel(1.0), n_permutations=0)
    assert found.value == pytest.approx(2 - 2 * math.exp(-0.5), abs=1e-14)
    assert (found.n_x, found.n_y) == (3, 2)


@pytest.mark.parametrize(("dim", "shift", "std"), [(1, 0.0, 1.0), (1, 1.2, 0.7), (3, 0.8, 1.5)])
def test_the_mean_over_gaussian_samples(dim, shift, std):
    """E k(x, y) = (l^2 / v)^(d / 2) exp(-|m|^2 / 2 v), where x - y ~ N(m, (v - l^2) I)."""
    length, count = 1.3, 400

    def mean_kernel(mean, variance):
        v = length**2 + variance
        return (length**2 / v) ** (dim / 2) * math.exp(-dim * mean**2 / (2 * v))

    expected = mean_kernel(0, 2) + mean_kernel(0, 2 * std**2) - 2 * mean_kernel(shift, 1 + std**2)
    x = draw(count, 12, dim, seed=1)
    y = shift + std * draw(count, 9, dim, seed=2)
    values = [
        mmd(a, b, GaussianKernel(length), n_permutations=0).value for a, b in zip(x, y, strict=True)
    ]
    error = np.std(values) / math.sqrt(count)
    assert error < 0.02
    assert np.mean(values) == pytest.approx(expected, abs=4 * error)


def test_permutations_give_the_values_of_all_splits():
    x, y = draw(3, 2, seed=1), draw(4, 2, seed=2)
    pooled = torch.cat([x, y]).numpy()

    def kernel(a, b):
        return 1 / (1 + ((a - b) ** 2).sum())

    def estimate(chosen):
        rest = [i for i in range(7) if i not in chosen]
        within = [kernel(pooled[i], pooled[j]) for i, j in itertools.permutations(chosen, 2)]
        other = [kernel(pooled[i], pooled[j]) for i, j in itertools.permutations(rest, 2)]
        across = [kernel(pooled[i], pooled[j]) for i in chosen for j in rest]
        return np.mean(within) + np.mean(other) - 2 * np.mean(across)

    splits = np.array([estimate(c) for c in itertools.combinations(range(7), 3)])
    found = mmd(x, y, InverseMultiquadric(1.0), n_permutations=3000)
    assert found.value == pytest.approx(splits[0], abs=1e-12)
    gap = np.abs(found.null.numpy()[:, None] - splits[None])
    assert gap.min(1).max() < 1e-12
    counts = np.bincount(gap.argmin(1), minlength=len(splits))
    # Each of the 35 splits equally often; wrong by chance once in a thousand seeds.
    assert stats.chisquare(counts).pvalue > 1e-3
    exact = (splits >= splits[0] - 1e-12).mean()
    assert found.p_value == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 3000))


def test_p_values_are_uniform_when_the_laws_are_the_same():
    """Each p is uniform on 1/20, ..., 1; both tests err once in a thousand seeds."""
    n_tests = 600
    p = np.array(
        [
            mmd(
                draw(14, 2, seed=2 * s).exp(),
                draw(10, 2, seed=2 * s + 1).exp(),
                n_permutations=19,
                seed=s,
            ).p_value
            for s in range(n_tests)
        ]
    )
    steps = np.rint(20 * p).astype(int)
    np.testing.assert_allclose(steps / 20, p)
    assert stats.chisquare(np.bincount(steps, minlength=21)[1:]).pvalue > 1e-3
    rejected = int((p <= 0.1).sum())
    assert stats.binomtest(rejected, n_tests, 0.1).pvalue > 1e-3


def test_it_sees_a_shift_and_a_change_of_shape():
    x = draw(150, 2, seed=1)
    assert mmd(x, 0.7 + draw(150, 2, seed=2), n_permutations=199).p_value == 1 / 200
    ring = draw(150, 2, seed=3)
    ring = math.sqrt(2) * ring / ring.norm(dim=1, keepdim=True)
    assert mmd(x, ring, n_permutations=199).p_value == 1 / 200


def test_what_leaves_it_as_it_is():
    x, y = draw(30, 3, seed=1), 1 + draw(20, 3, seed=2)
    value = mmd(x, y, n_permutations=0).value
    frame = torch.linalg.qr(draw(5, 3))[0]
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    moved = mmd(17 * x[order] @ frame.T + 2, 17 * y @ frame.T + 2, n_permutations=0)
    assert moved.value == pytest.approx(value, abs=1e-10)
    assert mmd(y, x, n_permutations=0).value == pytest.approx(value, abs=1e-12)
    images = mmd(x.view(30, 1, 3, 1).numpy(), y.view(20, 1, 3, 1), n_permutations=0)
    assert images.value == pytest.approx(value, abs=1e-12)


def test_the_bank_has_lengths_around_the_median():
    """Of 0, ..., 5 the fifteen distances are 1 to 5, and the eighth is 2."""
    found = mmd([[0.0], [1.0], [2.0]], [[3.0], [4.0], [5.0]], n_permutations=0)
    assert found.kernels == tuple(
        kind(length) for kind in (GaussianKernel, InverseMultiquadric) for length in (1.0, 2.0, 4.0)
    )


def test_subsets_and_seeds():
    x, y = draw(80, 2), draw(90, 2, seed=1)
    found = mmd(x, y, max_points=30, seed=5)
    assert (found.n_x, found.n_y, len(found.null)) == (30, 30, 500)
    again = mmd(x, y, max_points=30, seed=5)
    assert (again.value, again.p_value) == (found.value, found.p_value)
    assert mmd(x, y, max_points=30, seed=6).value != found.value
    assert mmd(x, y, max_points=None, n_permutations=0).n_y == 90


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: mmd(x[:1], x), ValueError, "x must hold at least 2 points, got 1"),
        (lambda x: mmd(x, x[:1]), ValueError, "y must hold at least 2 points, got 1"),
        (lambda x: mmd(x, x[:, :1]), ValueError, "y must have points of the size of those of x, 2"),
        (lambda x: mmd(x, x * math.nan), ValueError, "y must be finite"),
        (lambda x: mmd(x, [["a"]]), TypeError, "y must be an array"),
        (lambda x: mmd(0 * x, 0 * x), ValueError, "x and y must hold different points"),
        (lambda x: mmd(x, x, n_permutations=-1), ValueError, "n_permutations must be"),
        (lambda x: mmd(x, x, max_points=1), ValueError, "max_points must be"),
        (lambda x: mmd(x, x, seed=0.5), TypeError, "seed must be"),
        (lambda x: mmd(x, x, []), ValueError, "kernels must hold at least one"),
        (lambda x: mmd(x, x, ["rbf"]), TypeError, "kernels must be a Kernel or a sequence"),
        (lambda x: mmd(x, x, 3), TypeError, "kernels must be a Kernel or a sequence"),
        (lambda x: GaussianKernel(0.0), ValueError, "length must be a positive"),
        (lambda x: InverseMultiquadric("1"), TypeError, "length must be a positive"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(5, 2))


def test_the_permutations_do_not_depend_on_the_default_dtype():
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 30, 2, generator=source, dtype=torch.float64)
    single = mmd(x, y, seed=0).null
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        double = mmd(x, y, seed=0).null
    finally:
        torch.set_default_dtype(before)
    assert torch.equal(single, double)
