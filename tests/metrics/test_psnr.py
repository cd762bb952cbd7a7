"""The peak signal-to-noise ratio against closed forms and against torchmetrics."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

import learnedmanifolds as lm
from learnedmanifolds.metrics import psnr


def uniform(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (3, 5, 7), (4, 3, 5, 7), (2, 4, 1, 5, 7)])
def test_random_images_agree_with_torchmetrics(shape):
    x, y = uniform(*shape, seed=1), uniform(*shape, seed=2)
    found = psnr(x, y, peak=0.7)
    lead = shape[: -min(len(shape), 3)]
    assert found.shape == lead and found.dtype == torch.float64
    for index in np.ndindex(*lead):
        expected = peak_signal_noise_ratio(x[index], y[index], data_range=0.7)
        torch.testing.assert_close(found[index], expected)
    torch.testing.assert_close(psnr(y, x, peak=0.7), found)
    torch.testing.assert_close(psnr(3 * x, 3 * y, peak=2.1), found)


def test_noise_of_known_size():
    noise = torch.randn(3, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([0.1, 0.01, 0.001]).view(3, 1, 1, 1)
    image = uniform(1, 256, 256).float()
    found = psnr(image + sizes * noise, image)
    torch.testing.assert_close(found, torch.tensor([20.0, 40, 60]).double(), atol=0.1, rtol=0)


def test_the_mean_is_over_channels_and_pixels():
    reference = torch.zeros(2, 4, 3, 3)
    x = reference.clone()
    x[0, 0] = 1.0
    x[1, :, 0, 0] = 1.0
    torch.testing.assert_close(
        psnr(x, reference), torch.tensor([6.020599913, 9.542425094], dtype=torch.float64)
    )


def test_equal_images_are_infinitely_close():
    x = uniform(3, 1, 4, 4)
    y = x.clone()
    y[1] += 0.1
    found = psnr(y, x)
    assert found[[0, 2]].tolist() == [math.inf, math.inf]
    assert found[1].item() == pytest.approx(20.0)
    assert psnr(x[0, 0], x[0, 0]).ndim == 0


def test_one_reference_serves_many_images():
    x, reference = uniform(5, 1, 4, 6), uniform(1, 4, 6, seed=3)
    expected = torch.stack([psnr(one, reference) for one in x])
    torch.testing.assert_close(psnr(x, reference), expected)


def test_bytes_do_not_wrap_and_half_floats_do_not_underflow():
    dark, bright = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert psnr(dark, bright, peak=255).item() == pytest.approx(0.0)
    assert psnr(bright, dark, peak=255).item() == pytest.approx(0.0)
    small = torch.full((4, 4), 2.0**-14, dtype=torch.float16)
    assert psnr(small, torch.zeros_like(small)).item() == pytest.approx(14 * 6.0205999133)


def test_it_is_found_in_the_package():
    assert lm.metrics.psnr is psnr


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: psnr(torch.zeros(4), torch.zeros(4)), ValueError, "x must have shape"),
        (lambda: psnr(torch.zeros(2, 0), torch.zeros(2, 0)), ValueError, "x must not be empty"),
        (
            lambda: psnr(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4)),
            ValueError,
            r"reference must have the shape of x, \(2, 1, 4, 4\), or of one image, \(1, 4, 4\)",
        ),
        (lambda: psnr(torch.zeros(4, 4), torch.zeros(4, 5)), ValueError, "reference must have"),
        (lambda: psnr(torch.zeros(4, 4), torch.zeros(1, 4, 4)), ValueError, "reference must have"),
        (lambda: psnr([[math.nan]], [[0.0]]), ValueError, "x must be finite"),
        (lambda: psnr([[0.0]], [[math.inf]]), ValueError, "reference must be finite"),
        (lambda: psnr("image", [[0.0]]), TypeError, "x must be an array"),
        (lambda: psnr([[0.0]], [[1.0]], peak=0), ValueError, "peak must be a positive"),
        (lambda: psnr([[0.0]], [[1.0]], peak="1"), TypeError, "peak must be a positive"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
