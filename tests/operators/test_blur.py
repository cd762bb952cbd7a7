"""Blurs against scipy.ndimage, torch's convolution and what is known of Gaussians."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from oracles import draw

from learnedmanifolds.operators import Blur, GaussianBlur

IMAGE = draw(17, 23)


def delta(height, width, row, column):
    image = torch.zeros(height, width, dtype=torch.float64)
    image[row, column] = 1
    return image


@pytest.mark.parametrize("shape", [(5, 7), (4, 6), (3, 8), (1, 1)])
def test_a_bright_pixel_becomes_the_kernel(shape):
    kernel = draw(*shape, seed=1)
    blurred = Blur(kernel, normalize=False)(delta(20, 24, 9, 11))
    top, left = 9 - shape[0] // 2, 11 - shape[1] // 2
    window = blurred[top : top + shape[0], left : left + shape[1]]
    torch.testing.assert_close(window, kernel)
    assert blurred.abs().sum() - window.abs().sum() < 1e-13


@pytest.mark.parametrize(
    ("padding", "mode"), [("constant", "constant"), ("circular", "wrap"), ("reflect", "mirror")]
)
@pytest.mark.parametrize("shape", [(5, 3), (1, 9), (15, 15)])
def test_odd_kernels_against_scipy(padding, mode, shape):
    kernel = draw(*shape, seed=2)
    expected = scipy.ndimage.convolve(IMAGE.numpy(), kernel.numpy(), mode=mode)
    found = Blur(kernel, padding, normalize=False)(IMAGE)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-11, atol=1e-11)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("shape", [(5, 3), (4, 6), (2, 7), (40, 40)])
def test_torch_with_padding_same(shape):
    kernel = draw(*shape, seed=3)
    turned = kernel.flip(0, 1)[None, None]
    expected = torch.nn.functional.conv2d(IMAGE[None, None], turned, padding="same")[0, 0]
    found = Blur(kernel, normalize=False)(IMAGE)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("size", [40, 41])
def test_wide_gaussian_on_grey(size):
    # The deblurring problem of the mixture-of-charts paper: 0.5 outside the image.
    image = draw(1, 64, 64, seed=4, low=0, high=1)
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 15.0**2))
    kernel = torch.from_numpy(weights / weights.sum())[None, None]
    expected = 0.5 + torch.nn.functional.conv2d(image[None] - 0.5, kernel, padding="same")[0]
    found = GaussianBlur(15.0, size, padding_value=0.5)(image)
    assert found.shape == (1, 64, 64)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.7])
@pytest.mark.parametrize(
    ("padding", "mode"), [("constant", "constant"), ("circular", "wrap"), ("reflect", "mirror")]
)
def test_gaussian_against_scipy(sigma, padding, mode):
    expected = scipy.ndimage.gaussian_filter(IMAGE.numpy(), sigma, mode=mode)
    found = GaussianBlur(sigma, padding=padding)(IMAGE)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0])
def test_padding_value_stands_outside(value):
    wide = torch.nn.functional.pad(IMAGE, (12, 12, 12, 12), value=value)
    kernel = draw(6, 9, seed=5)
    expected = Blur(kernel, normalize=False)(wide)[12:-12, 12:-12]
    found = Blur(kernel, padding_value=value, normalize=False)(IMAGE)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("padding", ["circular", "reflect"])
def test_a_constant_image_stays(padding):
    image = torch.full((9, 6), 0.7, dtype=torch.float64)
    kernel = draw(4, 25, seed=6, low=0, high=1)
    torch.testing.assert_close(Blur(kernel, padding)(image), image)
    torch.testing.assert_close(Blur(kernel, padding_value=0.7)(image), image)
    torch.testing.assert_close(Blur(7 * kernel, padding_value=0.7)(image), image)


def test_gaussians_form_a_semigroup():
    image = draw(64, 64, seed=7)
    twice = GaussianBlur(3.0, 61, padding="circular")(
        GaussianBlur(4.0, 81, padding="circular")(image)
    )
    torch.testing.assert_close(
        twice, GaussianBlur(5.0, 101, padding="circular")(image), rtol=0, atol=1e-12
    )


def test_sigma_is_in_pixels():
    spread = GaussianBlur(2.5, padding_value=0.0)(delta(61, 61, 30, 30))
    offsets = torch.arange(61, dtype=torch.float64) - 30
    assert abs(spread.sum() - 1) < 1e-12
    for axis in (0, 1):
        profile = spread.sum(axis)
        assert abs((profile * offsets).sum()) < 1e-12
        # Cut off at four standard deviations, of which 0.1 % of the variance is left outside.
        assert abs((profile * offsets**2).sum() / 2.5**2 - 1) < 2e-3


def test_even_gaussian_shifts_by_half_a_pixel_towards_the_start():
    spread = GaussianBlur(3.0, 24)(delta(41, 41, 20, 20))
    offsets = torch.arange(41, dtype=torch.float64) - 20
    for axis in (0, 1):
        assert abs((spread.sum(axis) * offsets).sum() + 0.5) < 1e-12


def test_channels_are_blurred_one_by_one():
    blur, images = Blur(draw(4, 5, seed=8), padding_value=0.3), draw(3, 8, 9, seed=9)
    torch.testing.assert_close(blur(images), torch.stack([blur(image) for image in images]))


def test_one_operator_serves_images_of_several_sizes_and_dtypes():
    kernel = draw(4, 5, seed=10)
    shared = Blur(kernel)
    for shape in [(8, 9), (9, 8), (8, 8), (20, 30)]:
        for dtype in (torch.float64, torch.float32):
            image = draw(*shape, seed=11).to(dtype)
            torch.testing.assert_close(shared(image), Blur(kernel)(image), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: GaussianBlur(0.0), ValueError, "sigma must be a positive"),
        (lambda: GaussianBlur("a"), TypeError, "sigma"),
        (lambda: GaussianBlur(math.nan), ValueError, "sigma"),
        (lambda: GaussianBlur(1.0, 0), ValueError, "kernel_size must be an integer of at least 1"),
        (lambda: GaussianBlur(1.0, 3.0), TypeError, "kernel_size must be an integer"),
        (lambda: GaussianBlur(1.0, padding="zero"), ValueError, "padding must be one of"),
        (lambda: GaussianBlur(1e9), ValueError, "sigma must be at most 1250 pixels .* got 10{9}"),
        (lambda: GaussianBlur(1251), ValueError, "sigma must be at most 1250"),
        (lambda: GaussianBlur(1.7e308), ValueError, "sigma must be"),
        (lambda: GaussianBlur(1.0, 10**9), ValueError, "kernel_size must be at most 10001, got"),
        (lambda: Blur([1.0, 2.0]), ValueError, "kernel must have shape"),
        (lambda: Blur([[math.nan]]), ValueError, "kernel must be finite"),
        (lambda: Blur(torch.zeros(0, 3)), ValueError, "kernel must not be empty"),
        (lambda: Blur("kernel"), TypeError, "kernel"),
        (lambda: Blur([[1.0, -1.0]]), ValueError, "sum other than 0 to be normalised"),
        (lambda: Blur([[1.0]], "mirror"), ValueError, "padding must be one of"),
        (lambda: Blur([[1.0]], "reflect", 0.5), ValueError, "padding_value must be 0 with"),
        (lambda: Blur([[1.0]], padding_value=math.inf), ValueError, "padding_value must be fin"),
        (lambda: Blur([[1.0]])(torch.zeros(3, 3, dtype=torch.int64)), ValueError, "floats"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_wide_gaussian_has_a_kernel_of_a_given_size():
    torch.testing.assert_close(GaussianBlur(1e9, 3).kernel, torch.full((3, 3), 1 / 9).double())


def test_differences_are_not_normalised():
    image = draw(5, 6, seed=12)
    found = Blur([[1.0, -1.0]], "circular", normalize=False)(image)
    torch.testing.assert_close(found, image.roll(-1, 1) - image)
