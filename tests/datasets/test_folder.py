"""Pictures of a folder: order, sizes, colours, orientation, and every way to be wrong."""

import numpy as np
import pytest
import torch
from PIL import Image

from learnedmanifolds.datasets import image_folder


def save(path, value, shape=(4, 6), **settings):
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path, **settings)


def test_pictures_come_in_the_natural_order_of_their_names(tmp_path):
    for number, value in ((10, 100), (2, 20), (1, 10)):
        save(tmp_path / f"view{number}.png", value)
    save(tmp_path / "view3.BMP", 30)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._view1.png").write_bytes(b"of the file system")
    (tmp_path / "folder.png").mkdir()
    data = image_folder(tmp_path)
    assert data.images.shape == (4, 1, 4, 6) and data.images.dtype == torch.float32
    torch.testing.assert_close(data.images[:, 0, 0, 0] * 255, torch.tensor([10.0, 20, 30, 100]))
    assert data.labels is None
    scaled = image_folder(str(tmp_path), scaled=True).images
    torch.testing.assert_close(scaled[:, 0, 0, 0], torch.tensor([10, 20, 30, 100]) / 127.5 - 1)


def test_pixels_are_exact_and_upright(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    images = image_folder(tmp_path, grey=False).images
    assert images.shape == (1, 3, 5, 7)
    np.testing.assert_array_equal((255 * images[0]).round().numpy(), pixels.transpose(2, 0, 1))
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    grey = 255 * image_folder(tmp_path).images[0, 0].numpy()
    assert np.abs(grey - luma).max() < 1


def test_size_averages_and_stretches(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (64, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    save(tmp_path / "b.png", 77, (10, 9))
    small = image_folder(tmp_path, 4).images
    assert small.shape == (2, 1, 4, 4)
    # The mean is kept up to the weights at the border; taking single pixels has spread 0.29 instead.
    assert float(small[0].mean()) == pytest.approx(pixels.mean() / 255, abs=0.02)
    assert float(small[0].std()) < 0.05
    torch.testing.assert_close(small[1], torch.full((1, 4, 4), 77 / 255))
    assert image_folder(tmp_path, (3, 8)).images.shape == (2, 1, 3, 8)


def test_orientation_of_a_camera_is_followed(tmp_path):
    pixels = np.zeros((4, 6), dtype=np.uint8)
    pixels[0, 0] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was turned: the first row is the right side of the scene
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=turned)
    image = image_folder(tmp_path).images[0, 0]
    assert image.shape == (6, 4) and float(image[0, -1]) == 1 and float(image.sum()) == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_modes_of_eight_bits(tmp_path, mode):
    Image.new("RGB", (3, 2), (255, 255, 255)).convert(mode).save(tmp_path / "a.png")
    assert bool((image_folder(tmp_path).images == 1).all())
    assert image_folder(tmp_path, grey=False).images.shape == (1, 3, 2, 3)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*absent"):
        image_folder(tmp_path / "absent")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(FileNotFoundError, match="no folder .*a.txt"):
        image_folder(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match=r"path must be a folder with pictures \(.png, "):
        image_folder(tmp_path)
    with pytest.raises(TypeError, match="path must be a str or Path"):
        image_folder(None)


def test_bad_pictures(tmp_path):
    save(tmp_path / "a.png", 5, (40, 60))
    save(tmp_path / "b.png", 5, (50, 60))
    with pytest.raises(ValueError, match=r"a.png has \(40, 60\) pixels, b.png \(50, 60\)"):
        image_folder(tmp_path)
    whole = (tmp_path / "b.png").read_bytes()
    for broken in (b"", b"no picture", whole[: len(whole) // 2]):
        (tmp_path / "b.png").write_bytes(broken)
        with pytest.raises(ValueError, match=r"readable pictures, .*b.png is not"):
            image_folder(tmp_path, 8)
    Image.fromarray(np.full((40, 60), 60_000, dtype=np.uint16)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match="b.png must have 8 bits a channel"):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (0, ValueError),
        (2.5, TypeError),
        ((3,), ValueError),
        ((3, -1), ValueError),
        ("ab", TypeError),
    ],
)
def test_bad_size(tmp_path, size, error):
    save(tmp_path / "a.png", 5)
    with pytest.raises(error, match="size must be"):
        image_folder(tmp_path, size)
