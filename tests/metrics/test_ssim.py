"""Structural similarity against its definition, torchmetrics and closed forms."""

import math

import numpy as np
import pytest
import torch
from oracles import draw
from torchmetrics.functional.image import structural_similarity_index_measure

import learnedmanifolds as lm
from learnedmanifolds.metrics import ssim


def uniform(*shape, seed=0):
    return draw(*shape, seed=seed, low=0, high=1)


def by_definition(x, y, peak, side=11, sigma=1.5):
    """The mean over all windows of eq. 13 of Wang et al., one window after the other."""
    row = np.arange(side) - side // 2
    weight = np.exp(-(row[:, None] ** 2 + row[None] ** 2) / (2 * sigma**2))
    weight /= weight.sum()
    values = []
    for i in range(x.shape[0] - side + 1):
        for j in range(x.shape[1] - side + 1):
            a, b = x[i : i + side, j : j + side], y[i : i + side, j : j + side]
            ma, mb = (weight * a).sum(), (weight * b).sum()
            va, vb = (weight * (a - ma) ** 2).sum(), (weight * (b - mb) ** 2).sum()
            vab = (weight * (a - ma) * (b - mb)).sum()
            c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
            values.append(
                (2 * ma * mb + c1) * (2 * vab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
            )
    return np.mean(values)


@pytest.mark.parametrize(("peak", "side", "sigma"), [(1.0, 11, 1.5), (0.6, 7, 1.0), (3.0, 3, 2.0)])
def test_the_definition(peak, side, sigma):
    x, y = uniform(14, 17, seed=1), uniform(14, 17, seed=2)
    found = ssim(x, (x + y) / 2, peak, window=side, sigma=sigma)
    expected = by_definition(x.numpy(), ((x + y) / 2).numpy(), peak, side, sigma)
    assert found.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [(1, 16, 20), (3, 16, 20), (4, 3, 16, 20), (2, 2, 1, 12, 12)])
def test_random_images_agree_with_torchmetrics(shape):
    x = uniform(*shape, seed=1)
    y = 0.7 * x + 0.3 * uniform(*shape, seed=2)
    found = ssim(x, y, 0.8)
    lead = shape[:-3]
    assert found.shape == lead and found.dtype == torch.float64
    for index in np.ndindex(*lead):
        # Its mean takes reflected borders in; the map inside is that of the paper.
        _, whole = structural_similarity_index_measure(
            x[index].unsqueeze(0), y[index].unsqueeze(0), data_range=0.8, return_full_image=True
        )
        expected = whole[..., 5:-5, 5:-5].mean()
        torch.testing.assert_close(found[index], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("a", "b"), [(0.2, 0.7), (0.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_constant_images(a, b):
    """(2 a b + c) / (a^2 + b^2 + c) with c = 1e-4."""
    found = ssim(torch.full((1, 12, 12), a), torch.full((1, 12, 12), b))
    assert found.item() == pytest.approx((2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4), rel=1e-5)


def test_equal_images_have_one_and_others_less():
    x = uniform(5, 2, 15, 15)
    torch.testing.assert_close(ssim(x, x), torch.ones(5).double(), rtol=0, atol=1e-12)
    y = x.clone()
    y[2] += 1e-3 * draw(2, 15, 15)
    assert [round(v, 9) == 1 for v in ssim(x, y).tolist()] == [True, True, False, True, True]


@pytest.mark.parametrize("seed", range(5))
def test_symmetric_and_between_minus_one_and_one(seed):
    x, y = draw(3, 1, 13, 13, seed=seed), draw(3, 1, 13, 13, seed=100 + seed)
    torch.testing.assert_close(ssim(x, y), ssim(y, x))
    torch.testing.assert_close(ssim(2 * x, 2 * y, 2.0), ssim(x, y))
    assert float(ssim(x, y).abs().max()) <= 1
    board = (torch.arange(13)[:, None] + torch.arange(13)[None]) % 2
    assert -1 <= ssim(1.0 * board, 1.0 - board).item() < -0.9


def test_more_noise_is_less_alike():
    x = torch.linspace(0, 1, 32, dtype=torch.float64).expand(1, 32, 32)
    noise = draw(1, 32, 32)
    values = [ssim(x + size * noise, x).item() for size in (0.01, 0.03, 0.1, 0.3)]
    assert values == sorted(values, reverse=True) and values[0] > 0.95 and values[-1] < 0.3


def test_one_reference_serves_many_images_and_bytes_do_not_wrap():
    x, reference = uniform(5, 1, 12, 13), uniform(1, 12, 13, seed=3)
    torch.testing.assert_close(ssim(x, reference), torch.stack([ssim(one, reference) for one in x]))
    grey = (255 * x).to(torch.uint8)
    other = (255 * reference).to(torch.uint8)
    torch.testing.assert_close(
        ssim(grey, other, 255), ssim(grey.double(), other.double(), 255), rtol=0, atol=1e-12
    )
    assert lm.metrics.ssim is ssim


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ssim(x[0, 0], x[0, 0]), ValueError, "x must have shape"),
        (lambda x: ssim(x, x[0, :5]), ValueError, "reference must have the shape of x"),
        (lambda x: ssim(x[:, :10], x[:, :10]), ValueError, "window must be odd and at most"),
        (lambda x: ssim(x, x, window=4), ValueError, "window must be odd and at most"),
        (lambda x: ssim(x, x, window=1), ValueError, "window must be an integer of at least 3"),
        (lambda x: ssim(x, x, window=5.0), TypeError, "window must be an integer"),
        (lambda x: ssim(x, x, sigma=0), ValueError, "sigma must be a positive"),
        (lambda x: ssim(x, x, peak=-1), ValueError, "peak must be a positive"),
        (lambda x: ssim(x * math.nan, x), ValueError, "x must be finite"),
        (lambda x: ssim(x, x / 0), ValueError, "reference must be finite"),
        (lambda x: ssim("x", x), TypeError, "x must be an array"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(1, 12, 12))
